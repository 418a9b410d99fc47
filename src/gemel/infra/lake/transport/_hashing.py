"""Digests computed while bytes pass by, in a thread of their own, so that copying costs little beside hashing."""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from gemel.base.errors import ResultCorrupt
from gemel.infra.lake.storages import PIECE, Readable

_WAITING = 16  # pieces that may wait for being hashed: 16 MiB

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Seen:
    """What passed by: how many bytes, and their digests in hexadecimal by algorithm."""

    size: int
    digests: Mapping[str, str]


class Hashed:
    """A stream that knows the digests of what was read from it, and ends in an error when they are not as expected.

    Args:
        source: Where the bytes come from.
        expected: Digests by algorithm that the whole must have.
        size: Bytes that the whole must have.
        progress: Told how many bytes have passed.
        what: Name of the data, for messages.

    >>> import io
    >>> with Hashed(io.BytesIO(b"Wikipedia")) as stream:
    ...     content = stream.read()
    >>> stream.seen().digests["adler32"]
    '11e60398'
    """

    def __init__(
        self,
        source: Readable,
        expected: Mapping[str, str] | None = None,
        size: int | None = None,
        progress: Progress | None = None,
        what: str = "the data",
    ) -> None:
        self._source, self._expected, self._wanted, self._what = source, dict(expected or {}), size, what
        self._progress = progress
        self._adler = 1  # RFC 1950, section 8.2: the sum begins with 1
        self._hashers: dict[str, Any] = {"sha256": hashlib.sha256()}
        if "md5" in self._expected:
            self._hashers["md5"] = hashlib.md5(usedforsecurity=False)
        self._size = 0
        # Handing a piece over costs a few microseconds this way; by way of futures it would be a tenth of the hashing.
        self._pieces: SimpleQueue[bytes | None] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(_WAITING):
            self._room.put(None)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Hashed:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._pieces.put(None)
            self._thread.join()

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; none at the end.

        Raises:
            ResultCorrupt: At the end: digests or size are not those expected.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(PIECE), b""))
        piece = self._source.read(size)
        if not piece:
            self._check()
            return b""
        self._hand_over(piece)
        self._size += len(piece)
        if self._progress is not None:
            self._progress(self._size)
        return piece

    def seen(self) -> Seen:
        """Return what has passed by up to now."""
        for _ in range(_WAITING):
            self._room.get()
        for _ in range(_WAITING):
            self._room.put(None)
        digests = {name: hasher.hexdigest() for name, hasher in self._hashers.items()}
        return Seen(self._size, digests | {"adler32": f"{self._adler:08x}"})

    def _hand_over(self, piece: bytes) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._hash, name="gemel-hash", daemon=True)
            self._thread.start()
        self._room.get()
        self._pieces.put(piece)

    def _hash(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._adler = zlib.adler32(piece, self._adler)
            for hasher in self._hashers.values():
                hasher.update(piece)
            self._room.put(None)

    def _check(self) -> None:
        seen = self.seen()
        if self._wanted is not None and seen.size != self._wanted:
            message = f"{self._what} has {seen.size} bytes where {self._wanted} were expected."
            raise ResultCorrupt(message, hint="gemel data verify", expected=self._wanted, found=seen.size)
        for name, value in self._expected.items():
            if seen.digests.get(name, value) != value:
                message = f"{self._what} does not match its {name} digest: {seen.digests[name]}, not {value}."
                raise ResultCorrupt(message, hint="gemel data verify", expected=value, found=seen.digests[name])
