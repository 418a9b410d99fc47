"""Handing something over by HTTP POST: the secrets that it takes, and what the answers mean."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx2

from gemel.base.errors import InvalidInput, StoreUnavailable
from gemel.core.stream.alerts._outlet import Address, OutletTable, Reference, seconds
from gemel.core.stream.sources._http import seconds_of
from gemel.core.stream.sources._options import revealed
from gemel.infra.lake.web import ON_BEHALF, Web

# What is wrong with these lies in what was sent: it will never be taken.
_NEVER = (400, 406, 413, 415, 422)
_SIGNATURE = "X-Hub-Signature-256"


class PostTable(OutletTable):
    """Options of an outlet that posts.

    Attributes:
        url: Of the receiver.
        token: Reference to a bearer token.
        user: Name that goes with `password`, for basic authentication.
        password: Reference to the password.
        secret: Reference to the key of an HMAC-SHA256 over the body as it is sent.
        signature: Header that the HMAC stands in, as ``sha256=…``.
    """

    url: Address
    token: Reference | None = None
    user: str = ""
    password: Reference | None = None
    secret: Reference | None = None
    signature: str = _SIGNATURE


class Poster:
    """A client of one receiver. Redirects are not followed: alerts and secrets go where they were sent, or nowhere."""

    def __init__(self, table: PostTable) -> None:
        self._table, self._web = table, Web()
        hooks = {"request": [lambda request: self._web.check(str(request.url))]}
        self._http = httpx2.Client(timeout=seconds(table.timeout), event_hooks=hooks, headers=ON_BEHALF)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Return once the receiver has said that it has it.

        Raises:
            InvalidInput: It will never take this.
            StoreUnavailable: It is away, fails, refuses our secret, or wants it later (`context["retry_after"]`).
        """
        host = urlsplit(url).netloc
        try:
            sent = {**headers, **self._proofs(body)}
            with self._http.stream("POST", url, content=body, headers=sent) as answer:
                told = next(answer.iter_bytes(500), b"") if answer.status_code >= 300 else b""
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise StoreUnavailable(f"'{host}' cannot be reached: {why}.", hint="Is it up?") from error
        if answer.status_code < 300:
            return
        message = f"'{host}' answers with status {answer.status_code}: {told.decode(errors='replace')[:300]!r}."
        if answer.status_code in _NEVER:
            raise InvalidInput(message, status=answer.status_code)
        after = seconds_of(answer.headers.get("retry-after"))
        raise StoreUnavailable(message, status=answer.status_code, retry_after=after)

    def close(self) -> None:
        """Let connections go."""
        self._http.close()
        self._web.__exit__()

    def _proofs(self, body: bytes) -> dict[str, str]:
        # Read anew each time, so that a renewed secret is used.
        found, table = dict[str, str](), self._table
        if table.secret is not None:
            key = (revealed(table.secret) or "").encode()
            found[table.signature] = f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"
        if table.token is not None:
            found["Authorization"] = f"Bearer {revealed(table.token)}"
        elif table.password is not None:
            shown = base64.b64encode(f"{table.user}:{revealed(table.password)}".encode()).decode()
            found["Authorization"] = f"Basic {shown}"
        return found
