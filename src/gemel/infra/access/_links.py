"""Signed addresses: whoever holds one may read what lies below it, for a while, without any other sign-in."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Literal
from urllib.parse import urlencode

_UNTIL, _KEY = "until", "key"
_PURPOSE = b"gemel signed link 1"
Standing = Literal["none", "valid", "expired", "wrong"]


class SignedLinks:
    """Signs paths with a key derived from the engine's token (HMAC-SHA256, RFC 2104); a new token ends all links.

    >>> links = SignedLinks("secret", now=lambda: 1000.0)
    >>> query = dict(part.split("=") for part in links.query("/a/b", 60).split("&"))
    >>> links.standing("/a/b", query), links.standing("/a/b/c", query), links.standing("/a/bc", query)
    ('valid', 'valid', 'wrong')
    """

    def __init__(self, token: str, now: Callable[[], float] = time.time) -> None:
        self._secret = hmac.digest(token.encode(), _PURPOSE, hashlib.sha256)
        self._now = now

    def query(self, path: str, seconds: float) -> str:
        """Return the query string that opens `path` and everything below it for so many seconds."""
        until = int(self._now() + seconds)
        return urlencode({_UNTIL: until, _KEY: self._key(path, until)})

    def standing(self, path: str, query: Mapping[str, str]) -> Standing:
        """Return what a query string is worth for `path`: `none` when it claims to be no signature."""
        until, key = query.get(_UNTIL, ""), query.get(_KEY, "")
        if not key:
            return "none"
        if not until.isascii() or not until.isdigit() or len(until) > 12 or not self._opens(path, int(until), key):
            return "wrong"
        return "valid" if int(until) > self._now() else "expired"

    def _opens(self, path: str, until: int, key: str) -> bool:
        parts = path.split("/")
        above = ("/".join(parts[:count]) for count in range(2, len(parts) + 1))
        return any(hmac.compare_digest(self._key(place, until).encode(), key.encode()) for place in above)

    def _key(self, path: str, until: int) -> str:
        return hmac.new(self._secret, f"{path}\n{until}".encode(), hashlib.sha256).hexdigest()
