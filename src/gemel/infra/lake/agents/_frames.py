"""A body whose end says what the whole must be: one that broke off can never be taken for a shorter one.

Each frame is its length (4 bytes, the highest first) and so many bytes; a frame of length 0 is followed by a last one, a
JSON object: `size` and `sha256` of all bytes before, or `broken`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from gemel.base.errors import ResultCorrupt, StoreUnavailable

_LENGTH = 4
_LARGEST = 64 << 20  # bytes of a frame that are believed


def frame(piece: bytes) -> bytes:
    """Return bytes as a frame.

    >>> frame(b"rain").hex(" ")
    '00 00 00 04 72 61 69 6e'
    """
    return len(piece).to_bytes(_LENGTH) + piece


def ending(summary: Mapping[str, Any]) -> bytes:
    """Return the end of a body."""
    return bytes(_LENGTH) + frame(json.dumps(dict(summary)).encode())


class Framed:
    """The bytes in the frames of a body.

    Args:
        parts: The body as it comes in.

    Attributes:
        size: Bytes that were read.

    >>> told = {"size": 4, "sha256": hashlib.sha256(b"rain").hexdigest()}
    >>> body = Framed(iter([frame(b"ra"), frame(b"in") + ending(told)]))
    >>> body.read(10), body.read(10), body.read(10)
    (b'ra', b'in', b'')
    """

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._buffer = bytearray()
        self._left = 0
        self._ended = False
        self._hasher = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """The digest of what was read, in hexadecimal."""
        return self._hasher.hexdigest()

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most `size`; none at the end, once they agree with what it says.

        Raises:
            StoreUnavailable: The body broke off.
            ResultCorrupt: Something else came than was sent.
        """
        if self._ended:
            return b""
        if not self._left:
            self._left = self._length()
            if not self._left:
                self._finish()
                return b""
        self._fill(1)
        piece = bytes(self._buffer[: min(self._left, size if size >= 0 else self._left)])
        del self._buffer[: len(piece)]
        self._left -= len(piece)
        self.size += len(piece)
        self._hasher.update(piece)
        return piece

    def _finish(self) -> None:
        told = json.loads(self._exactly(self._length()))
        if told.get("broken"):
            raise StoreUnavailable("The sender broke off.", hint="Try again.")
        if (told.get("size"), told.get("sha256")) != (self.size, self.sha256):
            message = f"{self.size} bytes with the SHA-256 digest {self.sha256} came, and others were sent."
            raise ResultCorrupt(message, expected=told.get("sha256"), found=self.sha256)
        self._ended = True

    def _length(self) -> int:
        found = int.from_bytes(self._exactly(_LENGTH))
        if found > _LARGEST:
            raise StoreUnavailable(f"A frame of {found} bytes is announced.", hint="Is the address an engine's?")
        return found

    def _exactly(self, count: int) -> bytes:
        self._fill(count)
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found

    def _fill(self, count: int) -> None:
        while len(self._buffer) < count:
            part = next(self._parts, None)
            if part is None:
                raise StoreUnavailable("The body broke off.", hint="Try again.")
            self._buffer += part
