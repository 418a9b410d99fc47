"""HTTP for sources that ask: limits on time and size, the token for its own host alone, and what a server asks for."""

from __future__ import annotations

import email.utils
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2

from gemel.base.errors import ConfigInvalid, Denied, InvalidInput, StoreUnavailable, Unauthenticated
from gemel.core.stream.sources._options import revealed
from gemel.core.stream.sources._payload import parsed
from gemel.infra.lake.web import ON_BEHALF, Web

_LARGEST = 16 << 20  # bytes of one page
_LATER = (408, 425, 429, 500, 502, 503, 504, 507)
_ADDRESS = 8000


class Http:
    """A client of one service.

    Args:
        url: Of the service; the token goes to its host alone.
        token: Reference to a bearer token.
        silence: Seconds of silence after which a connection is taken for dead.
    """

    def __init__(self, url: str, token: str | None = None, silence: float = 60.0) -> None:
        self._origin, self._token = _origin(url), token
        self._web = Web()
        timeout = httpx2.Timeout(silence, connect=10.0)
        hooks = {"request": [lambda request: self._web.check(str(request.url))]}
        self._http = httpx2.Client(
            timeout=timeout, follow_redirects=True, max_redirects=5, event_hooks=hooks, headers=ON_BEHALF
        )

    def document(self, url: str, params: Mapping[str, Any] | None = None, body: Any = None) -> dict[str, Any]:
        """Return the JSON object at an address, by GET, or by POST of `body`.

        Raises:
            StoreUnavailable: The host cannot be reached, fails or wants to be asked later (`context["retry_after"]`).
            Denied: The token does not do.
            InvalidInput: What is there is no JSON object, or too large.
        """
        with self.stream("GET" if body is None else "POST", url, params, body) as answer:
            content = b""
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > _LARGEST:
                    raise InvalidInput(f"'{_host(url)}' sends pages of more than {_LARGEST:,} bytes.")
        found = parsed(content)
        if not isinstance(found, dict):
            raise InvalidInput(f"'{_host(url)}' does not answer with a JSON object.")
        return found

    @contextmanager
    def stream(
        self, method: str, url: str, params: Mapping[str, Any] | None = None, body: Any = None
    ) -> Iterator[httpx2.Response]:
        """Yield a successful answer before its body is read; errors are those of `document`."""
        if len(url) > _ADDRESS:
            raise InvalidInput(f"'{_host(url)}' names an address of {len(url):,} characters.")
        try:
            with self._http.stream(method, url, params=params, json=body, headers=self._headers(url)) as answer:
                _require_success(answer, url)
                yield answer
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            told = str(error) or type(error).__name__
            raise StoreUnavailable(f"'{_host(url)}' cannot be reached: {told}.", hint="Is it up?") from error
        except httpx2.InvalidURL as error:
            raise InvalidInput(f"'{url[:200]}' is no address: {error}.") from error

    def close(self) -> None:
        """Let connections go."""
        self._http.close()
        self._web.__exit__()

    def _headers(self, url: str) -> dict[str, str]:
        token = revealed(self._token) if _origin(url) == self._origin else None
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ConfigInvalid(f"The token '{self._token}' is no line of ASCII text.")
        return {"Authorization": f"Bearer {token}"} if token else {}


def retry_after(error: BaseException) -> float | None:
    """Return the seconds that a server asked to be left alone for, None when it did not."""
    found = getattr(error, "context", {}).get("retry_after")
    return float(found) if found is not None else None


def seconds_of(header: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds in a `Retry-After` header (RFC 9110, section 10.2.3): a number or a date.

    >>> seconds_of("120"), seconds_of("soon"), seconds_of(None)
    (120.0, None, None)
    """
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        instant = email.utils.parsedate_to_datetime(header)
    except (TypeError, ValueError):
        return None
    instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return max(0.0, (instant - (now or datetime.now(UTC))).total_seconds())


def _require_success(answer: httpx2.Response, url: str) -> None:
    code, host = answer.status_code, _host(url)
    if answer.is_success:
        return
    if code == 401:
        raise Unauthenticated(f"'{host}' wants another token.", hint="Is the option 'token' right?")
    if code == 403:
        raise Denied(f"'{host}' denies access to '{url[:200]}'.", hint="What may the token do?")
    if code in _LATER:
        after = seconds_of(answer.headers.get("retry-after"))
        raise StoreUnavailable(f"'{host}' answers with status {code}.", retry_after=after)
    raise InvalidInput(f"'{host}' answers with status {code} to '{url[:200]}'.", status=code)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or url[:80]
