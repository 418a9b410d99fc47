"""Profiles of OAuth 2.0: client credentials and refresh tokens (RFC 6749), exchange of tokens (RFC 8693)."""

from __future__ import annotations

import abc
import base64
import json
import re
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote, quote_plus

from gemel.base.errors import ConfigInvalid, Denied, StoreUnavailable
from gemel.base.ids import digest_bytes
from gemel.infra.lake.tokens._endpoint import Answer, checked_address
from gemel.infra.lake.tokens._kinds import Kind, one_of
from gemel.infra.lake.tokens._token import Token, Wanted, bearer, below, claims, number, revealed

# WLCG Common JWT Profiles 1.0, "Storage": capabilities by the operation that needs them.
_CAPABILITIES: Mapping[str, tuple[str, ...]] = {
    "read": ("read",),
    "write": ("modify", "create"),
    "delete": ("modify",),
}
_SCOPE = "storage.{operation}:{path}"
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
_COMMON = {
    "issuer": False, "token_endpoint": False, "client_id": True, "client_secret": False, "auth": False,
    "scope": False, "audience": False, "resource": False, "base": False, "folder": False, "ca": False,
}  # fmt: skip


class OAuth(Kind):
    """Tokens from the token endpoint of an issuer.

    Options: `issuer` or `token_endpoint`; `client_id`, `client_secret` (a reference; none for a public client) and
    `auth` (`basic` or `post`: how the client says who it is); `scope`, a template in which each word with
    ``{operation}`` stands once for every capability that is needed and ``{path}`` for the folder (default
    ``storage.{operation}:{path}``; empty: no scope is asked for); `base`, the part of the server's paths that is not in
    scopes; `folder` that all tokens are for, instead of each file's own; `audience`, `resource`, `ca`.
    """

    known: ClassVar[Mapping[str, bool]] = _COMMON
    secrets: ClassVar[tuple[str, ...]] = ("client_secret",)

    def check(self) -> None:
        """Raise when the options contradict each other."""
        given = one_of(self.name, self.options, "issuer", "token_endpoint")
        checked_address(f"the {given.replace('_', ' ')}", self.options[given])
        if self.options.get("auth", "basic") not in ("basic", "post"):
            raise ConfigInvalid("The option 'auth' is 'basic' or 'post'.")
        unknown = set(re.findall(r"{[^}]*}?", self.options.get("scope", ""))) - {"{operation}", "{path}"}
        if unknown:
            hint = "Templates know {operation} and {path}."
            raise ConfigInvalid(f"A scope cannot hold {', '.join(sorted(unknown))[:80]}.", hint=hint)

    def scope(self, wanted: Wanted) -> str:
        """Return the scope that is asked for."""
        path = self._path(wanted)
        words = []
        for word in self.options.get("scope", _SCOPE).split():
            names = _CAPABILITIES[wanted.operation] if "{operation}" in word else ("",)
            words += [word.replace("{operation}", name).replace("{path}", path) for name in names]
        return " ".join(words)

    def _path(self, wanted: Wanted) -> str:
        folder, base = self.top(wanted), "/" + self.options.get("base", "/").strip("/")
        if not below(folder, base):
            message = f"{wanted.who}: '{folder}' is not below base='{base}'."
            raise ConfigInvalid(message, hint="base= is the part of paths that scopes leave out.", **wanted.context)
        rest = folder if base == "/" else folder[len(base) :] or "/"
        # Escaped, as the profile of the WLCG wants it, no name of a folder can become a scope of its own.
        return quote(rest)

    def ask(self, wanted: Wanted) -> Token:
        """Return a new token of the issuer."""
        return self.read(wanted, self.request(wanted, self.form(wanted)))

    @abc.abstractmethod
    def form(self, wanted: Wanted) -> dict[str, str]:
        """Return what is particular to the kind of grant."""

    def request(self, wanted: Wanted, form: Mapping[str, str]) -> Answer:
        """Return what the token endpoint answers to a form of some kind of grant."""
        options, ca = self.options, self.options.get("ca", "")
        address = options.get("token_endpoint") or self.tools.endpoints.token_endpoint(wanted, options["issuer"], ca)
        sent = {**form, **{name: options[name] for name in ("audience", "resource") if options.get(name)}}
        scope = OAuth.scope(self, wanted)
        if scope:
            sent["scope"] = scope
        headers = {}
        if "client_secret" not in options:
            sent["client_id"] = options["client_id"]
        else:
            secret = revealed(wanted, "client_secret", options["client_secret"])
            if options.get("auth") == "post":
                sent |= {"client_id": options["client_id"], "client_secret": secret}
            else:
                # RFC 6749 (2.3.1): both are encoded as in forms before they are joined.
                pair = f"{quote_plus(options['client_id'])}:{quote_plus(secret)}"
                headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return self.tools.endpoints.post(wanted, address, form=sent, headers=headers, ca=ca)

    def read(self, wanted: Wanted, answer: Answer) -> Token:
        """Return the token in an answer, with its end by this machine's clock.

        Raises:
            StoreUnavailable: There is none that could be used.
            Denied: It has none of the scope that was asked for.
        """
        found = answer.document
        kind, value = found.get("token_type", "Bearer"), found.get("access_token")
        # RFC 8693 (2.2.1): "N_A" is the type of what is no access token by OAuth's own word.
        if not isinstance(kind, str) or kind.lower() not in ("bearer", "n_a"):
            raise StoreUnavailable(f"{wanted.who}: the issuer gives no bearer tokens.", **wanted.context)
        granted, asked = found.get("scope"), OAuth.scope(self, wanted).split()
        # RFC 6749 (5.1): an issuer that gives less than was asked for says what.
        if isinstance(granted, str) and asked and not set(asked) & set(granted.split()):
            hint = "Does the issuer let the client have it?"
            raise Denied(f"{wanted.who}: the issuer gives none of the scope asked for.", hint=hint, **wanted.context)
        try:
            value = bearer(wanted, value)
        except ConfigInvalid:
            value = ""
        if not value:
            raise StoreUnavailable(f"{wanted.who}: the issuer's answer holds no usable token.", **wanted.context)
        return Token(value, _end(value, found.get("expires_in"), answer))


def _end(value: str, seconds: object, answer: Answer) -> float | None:
    # A number of seconds needs no common clock; the end in the token is by the issuer's clock, which its answer tells.
    told = [(number(seconds), answer.asked), (number(claims(value).get("exp")), -answer.offset)]
    return min((item + since for item, since in told if item is not None), default=None)


class ClientCredentials(OAuth):
    """Tokens for the client itself (RFC 6749, 4.4)."""

    def form(self, wanted: Wanted) -> dict[str, str]:
        """Return the grant."""
        return {"grant_type": "client_credentials"}


class Refresh(OAuth):
    """Tokens by a refresh token (RFC 6749, 6), which may be good for one use only.

    Option `refresh_token`, a reference to the first one. When the issuer gives another one in its place, that is sealed
    in the journal before the token is used; it goes when the reference leads to a new first one.
    """

    known: ClassVar[Mapping[str, bool]] = {**_COMMON, "refresh_token": True}
    secrets: ClassVar[tuple[str, ...]] = ("client_secret", "refresh_token")

    def form(self, wanted: Wanted) -> dict[str, str]:
        """Return the grant, without its token."""
        return {"grant_type": "refresh_token"}

    def ask(self, wanted: Wanted) -> Token:
        """Return a new token; nobody else uses the refresh token meanwhile."""
        vault, name = self.tools.vault, wanted.profile
        with vault.alone(name):
            first = revealed(wanted, "refresh_token", self.options["refresh_token"])
            origin = digest_bytes(first.encode())
            newest = _kept(vault.kept(name), origin) or first
            answer = self.request(wanted, {**self.form(wanted), "refresh_token": newest})
            given = answer.document.get("refresh_token")
            if isinstance(given, str) and given and given != newest:
                vault.keep(name, json.dumps({"origin": origin, "newest": given}))
        return self.read(wanted, answer)


def _kept(text: str | None, origin: str) -> str | None:
    found = json.loads(text) if text else {}
    return str(found["newest"]) if found.get("origin") == origin else None


class Exchange(OAuth):
    """Tokens in exchange for others (RFC 8693), another issuer's for example; chains of exchanges too.

    Options: `subject_profile`, whose token is exchanged, or `subject_token`, a reference to it; `subject_token_type`,
    `requested_token_type`, `subject_issuer` (which Keycloak asks for).
    """

    known: ClassVar[Mapping[str, bool]] = {
        **_COMMON, "subject_profile": False, "subject_token": False, "subject_token_type": False,
        "requested_token_type": False, "subject_issuer": False,
    }  # fmt: skip
    secrets: ClassVar[tuple[str, ...]] = ("client_secret", "subject_token")

    def check(self) -> None:
        """Raise when the options contradict each other."""
        super().check()
        one_of(self.name, self.options, "subject_profile", "subject_token")

    @property
    def uses(self) -> tuple[str, ...]:
        """The profile whose token is exchanged."""
        return (self.options["subject_profile"],) if "subject_profile" in self.options else ()

    def scope(self, wanted: Wanted) -> str:
        """Return the scope that is asked for, and what the exchanged token differs by."""
        under = [self.tools.others.scope(name, wanted) for name in self.uses]
        return " | ".join([super().scope(wanted), *under])

    def form(self, wanted: Wanted) -> dict[str, str]:
        """Return the grant with the token that is exchanged."""
        options = self.options
        if self.uses:
            subject = self.tools.others.token(options["subject_profile"], wanted)
        else:
            subject = bearer(wanted, revealed(wanted, "subject_token", options["subject_token"]))
        form = {"grant_type": _EXCHANGE, "subject_token": subject}
        form["subject_token_type"] = options.get("subject_token_type", _ACCESS_TOKEN)
        return form | {name: options[name] for name in ("requested_token_type", "subject_issuer") if name in options}
