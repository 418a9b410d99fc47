"""Requests to a Rucio server: JSON and lines of JSON over HTTP, with a token that is renewed before its end."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import httpx2

from gemel.base.errors import ConfigInvalid, GemelError, InvalidInput, StoreUnavailable, Unauthenticated
from gemel.infra.lake.rucio._errors import refusal
from gemel.infra.lake.storages import TokenSource, revealed
from gemel.infra.lake.storages._http import trusted
from gemel.infra.lake.web import Web

_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)
_BYTES = 64 << 20  # of an answer that is one document
_LINE = 1 << 20  # bytes of one line: a file with some thousand replicas
_LINES = 5_000_000  # of one answer
_EARLY = 300.0  # seconds before the end of a token from which on another is asked for
_DATE = "%a, %d %b %Y %H:%M:%S %Z"


class Client:
    """A connection to one Rucio server; safe for threads.

    Args:
        name: Of the storage by which it is known, for messages.
        options: `url` of the server; `account`; `user` and `password` (a reference), or `token` (a reference to an OIDC
            token, or one that Rucio gave), or `profile`; `vo` where the server has several; `ca`, what it trusts.
        tokens: Where tokens come from, with a `profile`.
        patience: Time limits of a request.
    """

    takes: ClassVar[dict[str, bool]] = {
        "url": True, "account": True, "user": False, "password": False, "token": False, "profile": False,
        "vo": False, "ca": False,
    }  # fmt: skip
    secrets: ClassVar[tuple[str, ...]] = ("password", "token")

    def __init__(
        self,
        name: str,
        options: Mapping[str, str],
        tokens: TokenSource | None = None,
        patience: httpx2.Timeout = _TIMEOUT,
    ) -> None:
        ways = [option for option in ("user", "token", "profile") if option in options]
        if not ways or ("user" in options) != ("password" in options) or {"user", "token"} <= set(ways):
            hint = "Give user= and password=env:NAME, or token=file:PATH, or profile=NAME."
            raise ConfigInvalid(f"Storage '{name}' does not say how to sign in to Rucio.", hint=hint)
        parts = urlsplit(options["url"])
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigInvalid("The address of a Rucio server holds no passwords and no queries.")
        with Web() as web:
            web.check(options["url"])
        self.name, self.url, self.account = name, options["url"].rstrip("/"), options["account"]
        self._options, self._tokens = dict(options), tokens
        verify: Any = trusted(options["ca"]) if "ca" in options else True
        # A redirect would carry the token to wherever it leads.
        self._http = httpx2.Client(timeout=patience, follow_redirects=False, verify=verify)
        self._token, self._until = "", 0.0
        self._lock = threading.Lock()

    def ask(self, method: str, path: str, body: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of an answer; None for one without.

        Raises:
            NotFound, Conflict, Denied, Unauthenticated, InvalidInput, StoreFull: As Rucio says.
            StoreUnavailable: It cannot be reached, does not answer in time, or has something else to say.
        """
        with self._answer(method, path, body, params, "application/json") as answer:
            content = self._content(answer)
        if not content or not answer.headers.get("content-type", "").startswith("application/json"):
            return json.loads(content) if content[:1] in (b"[", b"{") else None
        try:
            return json.loads(content)
        except ValueError as error:
            raise self._strange(path) from error

    def lines(
        self, method: str, path: str, body: Any = None, params: Mapping[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the objects of an answer, one per line, as they come; raise as `ask` does."""
        with self._answer(method, path, body, params, "application/x-json-stream") as answer, self._reached():
            for number, line in enumerate(self._cut(answer)):
                if number >= _LINES:
                    raise StoreUnavailable(f"Rucio behind storage '{self.name}' sends no end.", hint="Ask for less.")
                try:
                    found = json.loads(line)
                except ValueError as error:
                    raise self._strange(path) from error
                if not isinstance(found, dict):
                    raise self._strange(path)
                if "ExceptionClass" in found:
                    raise refusal(self.name, 500, found)
                yield found

    def close(self) -> None:
        """Let connections go."""
        self._http.close()

    @contextlib.contextmanager
    def _answer(
        self, method: str, path: str, body: Any, params: Mapping[str, Any] | None, accepted: str
    ) -> Iterator[httpx2.Response]:
        content = None if body is None else json.dumps(body).encode()
        headers = {"Accept": f"{accepted}, */*;q=0.1", "Content-Type": "application/json"}
        for attempt in (1, 2):
            sent = headers | self._signed_in("read" if method == "GET" else "write")
            with self._reached(), contextlib.ExitStack() as stack:
                asked = self._http.stream(method, f"{self.url}{path}", content=content, params=params, headers=sent)
                answer = stack.enter_context(asked)
                if answer.is_success:
                    yield answer
                    return
                error = self._refused(answer)
            if attempt == 2 or not isinstance(error, Unauthenticated) or not self._given_up(sent, method):
                raise error

    def _refused(self, answer: httpx2.Response) -> GemelError:
        told: dict[str, Any] = {}
        with contextlib.suppress(ValueError, InvalidInput):
            found = json.loads(self._content(answer) or b"{}")
            told = found if isinstance(found, dict) else {}
        for name in ("ExceptionClass", "ExceptionMessage"):
            told.setdefault(name, answer.headers.get(name))
        return refusal(self.name, answer.status_code, told)

    def _content(self, answer: httpx2.Response) -> bytes:
        found = bytearray()
        with self._reached():
            for piece in answer.iter_bytes():
                found += piece
                if len(found) > _BYTES:
                    raise InvalidInput(f"The answer of Rucio behind storage '{self.name}' is too large.")
        return bytes(found)

    def _cut(self, answer: httpx2.Response) -> Iterator[bytes]:
        rest = b""
        for piece in answer.iter_bytes():
            *whole, rest = (rest + piece).split(b"\n")
            if len(rest) > _LINE:
                raise self._strange("a line without an end")
            yield from (line for line in whole if line.strip())
        if rest.strip():
            yield rest

    def _signed_in(self, operation: str) -> dict[str, str]:
        with self._lock:
            if not self._token or time.time() > self._until - _EARLY:
                self._token, self._until = self._signed(operation)
            named = {"X-Rucio-Account": self.account, "X-Rucio-Auth-Token": self._token}
        return named | ({"X-Rucio-VO": self._options["vo"]} if "vo" in self._options else {})

    def _signed(self, operation: str) -> tuple[str, float]:
        """Return a token and when it ends; one that somebody else keeps is looked up each time."""
        if "user" in self._options:
            return self._by_password()
        if "token" in self._options:
            return revealed(self.name, self._options["token"]), 0.0
        if self._tokens is None:
            raise ConfigInvalid(f"Storage '{self.name}' has a token profile, and there is no token broker here.")
        return self._tokens.token(operation, "/"), 0.0

    def _by_password(self) -> tuple[str, float]:
        headers = {"X-Rucio-Account": self.account, "X-Rucio-Username": self._options["user"]}
        headers["X-Rucio-Password"] = revealed(self.name, self._options["password"])
        if "vo" in self._options:
            headers["X-Rucio-VO"] = self._options["vo"]
        with self._reached():
            answer = self._http.get(f"{self.url}/auth/userpass", headers=headers)
        if not answer.is_success:
            raise self._refused(answer)
        token, until = (answer.headers.get(f"X-Rucio-Auth-Token{end}", "") for end in ("", "-Expires"))
        if not token:
            raise self._strange("/auth/userpass")
        return token, _instant(until)

    def _given_up(self, sent: Mapping[str, str], method: str) -> bool:
        """Return whether there may be another token in place of a refused one."""
        refused = sent["X-Rucio-Auth-Token"]
        with self._lock:
            if self._token == refused:
                self._token = ""
        if "user" in self._options:
            return True
        if "profile" not in self._options or self._tokens is None:
            return False
        other = self._tokens.another("read" if method == "GET" else "write", "/", refused)
        return other is not None

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        hint = "Is it up, and its address right? gemel data storages"
        try:
            yield
        except httpx2.TimeoutException as error:
            _strip(error)
            raise StoreUnavailable(f"Rucio behind storage '{self.name}' does not answer in time.", hint=hint) from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            _strip(error)
            reason = str(error).rstrip(".") or type(error).__name__
            message = f"Rucio behind storage '{self.name}' cannot be reached, or broke off: {reason}."
            raise StoreUnavailable(message, hint=hint, storage=self.name) from error

    def _strange(self, path: str) -> StoreUnavailable:
        hint = f"Is there a Rucio server at {self.url}?"
        return StoreUnavailable(f"What answers for storage '{self.name}' at '{path}' is no Rucio.", hint=hint)


def spelled(*parts: str) -> str:
    """Return parts of an address, each quoted whole: slashes in names are no slashes of the address.

    >>> spelled("dids", "fulda", "a/b")
    '/dids/fulda/a%2Fb'
    """
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def _instant(text: str) -> float:
    try:
        return datetime.strptime(f"{text}+0000", f"{_DATE}%z").timestamp()
    except ValueError:
        return time.time() + 2 * _EARLY


def _strip(error: Exception) -> None:
    """Remove what is secret from the request that an error holds, which lives on as its cause."""
    with contextlib.suppress(AttributeError, RuntimeError):
        for name in ("X-Rucio-Auth-Token", "X-Rucio-Password"):
            error.request.headers.pop(name, None)  # type: ignore[attr-defined]
