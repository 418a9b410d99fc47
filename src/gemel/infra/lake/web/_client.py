"""HTTP with limits: on time, on size, and on where it may lead."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2

from gemel.base.errors import Denied, InvalidInput, NotFound, StoreUnavailable
from gemel.base.sizes import spoken_size

#: Says that a request is made on somebody's behalf (RFC 9110, section 7.6.3): an engine at the other end, even on this
#: very machine, does not take it for one of the machine's user.
ON_BEHALF = {"Via": "1.1 gemel"}
_DOCUMENT_BYTES = 64 << 20
_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)
_TRANSIENT = (429, 500, 502, 503, 504)


class Web:
    """A client for one task, such as opening one catalogue.

    Args:
        seconds: Time that all its requests for documents may take together.

    >>> with Web() as web:
    ...     web.check("http://169.254.169.254/latest/meta-data")
    Traceback (most recent call last):
    gemel.base.errors.Denied: '169.254.169.254' is not a host to read data from.
    """

    def __init__(self, seconds: float = 120.0) -> None:
        self._until = time.monotonic() + seconds
        self._seconds = seconds
        hooks = {"request": [lambda request: self.check(str(request.url))]}
        self._http = httpx2.Client(
            timeout=_TIMEOUT, follow_redirects=True, max_redirects=5, event_hooks=hooks, headers=ON_BEHALF
        )

    def __enter__(self) -> Web:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._http.close()

    def check(self, address: str) -> None:
        """Raise unless an address may be read: http(s), and not one of the link-local hosts that serve secrets.

        Raises:
            InvalidInput: It is no http(s) address.
            Denied: Its host is link-local (RFC 3927, RFC 4291), as the metadata services of clouds are.
        """
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"'{address[:200]}' is no http or https address.", hint="Write it like https://…")
        for found in _addresses(parts.hostname):
            # An IPv4 address in IPv6's clothes (RFC 4291, section 2.5.5.2) is looked at as what it is.
            if (getattr(found, "ipv4_mapped", None) or found).is_link_local:
                raise Denied(f"'{parts.hostname}' is not a host to read data from.")

    def document(self, address: str, *, params: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        """Return the JSON document at an address, by GET, or by POST of `body`.

        Raises:
            NotFound: There is none.
            Denied: It needs a permission that is not there.
            StoreUnavailable: The host cannot be reached, fails, or is too slow.
            InvalidInput: It is no JSON, or too large.
        """
        if time.monotonic() > self._until:
            raise StoreUnavailable(f"'{_host(address)}' took longer than {self._seconds:g} s.", hint="Ask for less.")
        method = "GET" if body is None else "POST"
        with self.stream(method, address, params=params, body=body) as answer:
            content = b"".join(self.pieces(answer, _DOCUMENT_BYTES))
        try:
            return json.loads(content)
        except ValueError as error:
            raise InvalidInput(f"There is no JSON at '{address}'.", hint="Is it the address of a document?") from error

    @contextlib.contextmanager
    def stream(
        self, method: str, address: str, *, params: Mapping[str, Any] | None = None, body: Any = None
    ) -> Iterator[httpx2.Response]:
        """Yield the answer to a request before its body is read.

        Raises:
            NotFound: There is nothing at the address.
            Denied: It needs a permission that is not there.
            StoreUnavailable: The host cannot be reached or fails.
        """
        try:
            with self._http.stream(method, address, params=params, json=body) as answer:
                _require_success(answer, address)
                yield answer
        except httpx2.TimeoutException as error:
            raise StoreUnavailable(f"'{_host(address)}' does not answer in time.", hint="Try again later.") from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            message = f"'{_host(address)}' cannot be reached: {error or type(error).__name__}."
            raise StoreUnavailable(message, hint="Is the address right, and the host up?") from error
        except httpx2.InvalidURL as error:
            raise InvalidInput(f"'{address[:200]}' is no address: {error}.") from error

    def pieces(self, answer: httpx2.Response, limit: int) -> Iterator[bytes]:
        """Yield the body of an answer, as long as it is at most `limit` bytes.

        Raises:
            InvalidInput: It is larger, or says that it is.
        """
        declared = int(answer.headers.get("content-length") or 0)
        size = 0
        if declared > limit:
            raise _too_large(str(answer.url), declared, limit)
        for piece in answer.iter_bytes():
            size += len(piece)
            if size > limit:
                raise _too_large(str(answer.url), size, limit)
            yield piece

    def state(self, address: str) -> list[str]:
        """Return what tells whether a file on the web has changed: ETag, date and size, as far as the host says.

        Raises:
            NotFound: There is no such file.
            StoreUnavailable: The host cannot be reached.
        """
        with self.stream("HEAD", address) as answer:
            return [answer.headers.get(name, "") for name in ("etag", "last-modified", "content-length")]


def _require_success(answer: httpx2.Response, address: str) -> None:
    code, host = answer.status_code, _host(address)
    if answer.is_success:
        return
    if code in (404, 410):
        raise NotFound(f"There is nothing at '{address}'.", address=address)
    if code in (401, 403):
        raise Denied(f"'{host}' denies access to '{address}'.", hint="Does the address need a token?", address=address)
    if code in _TRANSIENT:
        raise StoreUnavailable(f"'{host}' fails with status {code}.", hint="Try again later.", address=address)
    raise InvalidInput(f"'{host}' answers with status {code} to '{address}'.", address=address, status=code)


def _too_large(address: str, size: int, limit: int) -> InvalidInput:
    message = f"'{address}' is larger than {spoken_size(limit)}: {spoken_size(size)} or more."
    return InvalidInput(message, hint="Load a part of it, or put it into the lake.", address=address)


def _addresses(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        return []  # the request itself will say so
    return [ipaddress.ip_address(str(item[4][0]).split("%")[0]) for item in found]


def _host(address: str) -> str:
    return urlsplit(address).netloc.rpartition("@")[2] or address[:80]
