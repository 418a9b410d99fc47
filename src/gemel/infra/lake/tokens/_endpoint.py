"""Asking servers for tokens: nothing is sent in the clear, nothing is sent on, and no error repeats what was sent."""

from __future__ import annotations

import ipaddress
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2

from gemel.base.errors import ConfigInvalid, Denied, GemelError, StoreUnavailable, Unauthenticated
from gemel.infra.lake.storages._http import instant, trusted
from gemel.infra.lake.tokens._token import Wanted
from gemel.infra.lake.web import Web

_BYTES = 1 << 20  # of one answer
_KEPT = 3600.0  # seconds that the description of an issuer is used for
# Codes of RFC 6749 (5.2), RFC 8693 (2.2.2) and RFC 8707 (2): the error they become, and what it says.
_CODES: Mapping[str, tuple[type[GemelError], str]] = {
    "invalid_client": (Unauthenticated, "the issuer does not know the client, or its secret is wrong"),
    "invalid_grant": (Unauthenticated, "what was shown to the issuer is expired, revoked or used already"),
    "invalid_scope": (Denied, "the issuer does not give the scope that was asked for"),
    "invalid_target": (Denied, "the issuer does not give tokens for this audience or resource"),
    "unauthorized_client": (Denied, "the client may not use this kind of grant"),
    "access_denied": (Denied, "the issuer denies it"),
    "unsupported_grant_type": (ConfigInvalid, "the issuer does not offer this kind of grant"),
    "unsupported_token_type": (ConfigInvalid, "the issuer does not offer this type of token"),
    "invalid_request": (ConfigInvalid, "the issuer cannot read the request, or misses something in it"),
    "temporarily_unavailable": (StoreUnavailable, "the issuer cannot answer now"),
    "server_error": (StoreUnavailable, "the issuer failed"),
}


@dataclass(frozen=True)
class Answer:
    """A JSON object that a server gave, and the time there.

    Attributes:
        document: The object; not shown, since there are tokens in it.
        offset: Seconds that the server's clock is ahead of this machine's, as far as it tells the time.
        asked: When the request left, in seconds since 1970-01-01 UTC by this machine's clock.
    """

    document: Mapping[str, Any] = field(repr=False)
    offset: float
    asked: float


class Endpoints:
    """A client for the servers that give tokens; safe for threads.

    Args:
        patience: Seconds that each step of an answer may take; twice as many for all of it, however slowly it drips.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._guard = Web()
        self._clients: dict[str, httpx2.Client] = {}
        self._issuers: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def post(
        self,
        wanted: Wanted,
        address: str,
        *,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str],
        ca: str = "",
    ) -> Answer:
        """Return the JSON object that a server answers with to a form, or to other content.

        Raises:
            Unauthenticated: The client or what it shows is not taken.
            Denied: It may not have this.
            ConfigInvalid: The request does not fit the server.
            StoreUnavailable: The server cannot be reached, is too slow, or talks nonsense.
        """
        status, body, offset, asked = self._answered(
            wanted, "POST", address, ca, data=form, content=content, headers={"Accept": "application/json", **headers}
        )
        document = _document(body)
        if status >= 300:
            raise _refusal(wanted, address, status, document)
        if document is None:
            message = f"{wanted.who}: {_host(address)} answers with no JSON object."
            raise StoreUnavailable(message, hint="Is it the address of a token endpoint?", **wanted.context)
        return Answer(document, offset, asked)

    def token_endpoint(self, wanted: Wanted, issuer: str, ca: str = "") -> str:
        """Return the token endpoint that an issuer names (OpenID Connect Discovery 1.0, RFC 8414).

        Raises:
            ConfigInvalid: It is not described, or the description is another issuer's.
            StoreUnavailable: It cannot be reached.
        """
        with self._lock:
            known = self._issuers.get(issuer)
        if known and known[0] > time.monotonic():
            return known[1]
        described = self._described(wanted, issuer, ca)
        address = described.get("token_endpoint")
        # RFC 8414 (3.3): otherwise one issuer could send the secrets of another's clients to itself.
        if str(described.get("issuer", "")).rstrip("/") != issuer.rstrip("/") or not isinstance(address, str):
            message = f"{wanted.who}: what {_host(issuer)} describes is not the issuer '{issuer}', or has no endpoint."
            raise ConfigInvalid(message, hint="Write issuer= as the issuer itself does.", **wanted.context)
        checked_address("the token endpoint", address)
        with self._lock:
            self._issuers[issuer] = time.monotonic() + _KEPT, address
        return address

    def _described(self, wanted: Wanted, issuer: str, ca: str) -> Mapping[str, Any]:
        parts = urlsplit(issuer)
        path = parts.path.rstrip("/")
        root = f"{parts.scheme}://{parts.netloc}"
        for address in (
            f"{root}{path}/.well-known/openid-configuration",
            f"{root}/.well-known/oauth-authorization-server{path}",
        ):
            status, body, _, _ = self._answered(wanted, "GET", address, ca, headers={"Accept": "application/json"})
            document = _document(body)
            if status == 200 and document is not None:
                return document
            if status in (429,) or status >= 500:
                raise _refusal(wanted, address, status, None)
        message = f"{wanted.who}: there is no description of an issuer at '{issuer}'."
        raise ConfigInvalid(message, hint="Write token_endpoint= instead.", **wanted.context)

    def _answered(
        self, wanted: Wanted, method: str, address: str, ca: str, **request: Any
    ) -> tuple[int, bytes, float, float]:
        asked, until = time.time(), time.monotonic() + 2 * self._patience
        body, reason, status, told = bytearray(), "", 0, None
        try:
            with self._client(ca).stream(method, address, **request) as answer:
                status, told = answer.status_code, instant(answer.headers.get("date"))
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > _BYTES or time.monotonic() > until:
                        reason = "sends too much, or too slowly"
                        break
        except httpx2.TimeoutException:
            reason = "does not answer in time"
        except httpx2.ConnectError as error:
            reason = f"cannot be reached ({error})"
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
            reason = f"broke off or does not speak HTTP ({type(error).__name__})"
        # Raised here, since errors of the client hold the request with all that is secret in it.
        if reason:
            message = f"{wanted.who}: {_host(address)} {reason}."
            raise StoreUnavailable(message, hint="Is it up, and its address right?", **wanted.context)
        # A date is whole seconds; a difference of a second or two says nothing.
        offset = told - asked if told is not None and abs(told - asked) > 2 else 0.0
        return status, bytes(body), offset, asked

    def _client(self, ca: str) -> httpx2.Client:
        with self._lock:
            if ca not in self._clients:
                hooks = {"request": [lambda request: self._guard.check(str(request.url))]}
                verify: Any = trusted(ca) if ca else True
                # A redirect would carry secrets to wherever it leads.
                self._clients[ca] = httpx2.Client(
                    timeout=self._patience, follow_redirects=False, event_hooks=hooks, verify=verify
                )
            return self._clients[ca]

    def close(self) -> None:
        """Let connections go."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()


def checked_address(what: str, address: str) -> str:
    """Return an address that secrets may be sent to: https, or http on this machine.

    Raises:
        ConfigInvalid: It is another, or holds a password, a query or a fragment.
    """
    parts = urlsplit(address)
    local = parts.scheme == "http" and _loopback(parts.hostname or "")
    if not parts.hostname or not (parts.scheme == "https" or local):
        raise ConfigInvalid(f"The address of {what} is not https.", hint="Tokens are never sent in the clear.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigInvalid(f"The address of {what} holds no passwords and no queries.")
    return address


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _document(body: bytes) -> Mapping[str, Any] | None:
    # An error of the decoder holds the whole text.
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _refusal(wanted: Wanted, address: str, status: int, document: Mapping[str, Any] | None) -> GemelError:
    code = (document or {}).get("error")
    if isinstance(code, str) and code in _CODES:
        kind, words = _CODES[code]
        hint = "Look at the options that the profile was declared with."
        return kind(f"{wanted.who}: {words} ({code}).", hint=hint, **wanted.context)
    host = _host(address)
    if status == 401:
        return Unauthenticated(f"{wanted.who}: {host} does not take what it was shown.", **wanted.context)
    if status == 403:
        return Denied(f"{wanted.who}: {host} denies it.", **wanted.context)
    if status in (404, 405, 410) or 300 <= status < 400:
        hint = "Is it the right address? Redirects are not followed, for the sake of what is secret."
        return ConfigInvalid(
            f"{wanted.who}: {host} has no tokens there (status {status}).", hint=hint, **wanted.context
        )
    return StoreUnavailable(f"{wanted.who}: {host} answers with status {status}.", **wanted.context)


def _host(address: str) -> str:
    return urlsplit(address).netloc.rpartition("@")[2] or "the server"
