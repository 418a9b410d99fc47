"""A seekable file that asks for ranges: small ones where it is read here and there, large ones where it is read on."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import BinaryIO, cast

_LEAST = 64 << 10  # bytes of one request, however few are wanted: a header is read in many small steps
_MOST = 8 << 20  # bytes of one request when a file is read on and on
_KEPT = 32 << 20  # bytes that are kept of what was read last


class RangedFile(io.RawIOBase):
    """A part of a file behind `fetch`.

    Args:
        name: For messages, and for readers that look at a file's suffix.
        start: First byte of the part.
        stop: The byte after its last.
        fetch: Returns the bytes from a first to before a last one; all of them, or it raises.

    >>> file = RangedFile("digits", 2, 8, lambda start, stop: b"0123456789"[start:stop])
    >>> file.seek(-2, 2), file.read(), file.seek(0), file.read(3)
    (4, b'67', 0, b'234')
    """

    def __init__(self, name: str, start: int, stop: int, fetch: Callable[[int, int], bytes]) -> None:
        super().__init__()
        self.name = name
        self._start, self._stop = start, max(start, stop)
        self._fetch = fetch
        self._position = start
        self._windows: list[tuple[int, bytes]] = []
        self._ahead = _LEAST
        self._lock = threading.Lock()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in the part."""
        return self._position - self._start

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Return the new position, counted from the part's begin, from here or from its end."""
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._position, io.SEEK_END: self._stop}[whence]
        if base + offset < self._start:
            raise ValueError("A position before the file's begin.")
        self._position = base + offset
        return self.tell()

    def readinto(self, buffer: memoryview | bytearray) -> int:  # type: ignore[override]
        """Return how many bytes were put into `buffer`: as many as fit, or as there are."""
        view = memoryview(buffer).cast("B")
        with self._lock:
            wanted = min(len(view), max(self._stop - self._position, 0))
            done = 0
            while done < wanted:
                begin, window = self._window(wanted - done)
                part = window[self._position - begin :][: wanted - done]
                view[done : done + len(part)] = part
                done += len(part)
                self._position += len(part)
        return done

    def _window(self, wanted: int) -> tuple[int, bytes]:
        """Return bytes that hold those at the position, and where they begin."""
        for number, (begin, window) in enumerate(self._windows):
            if begin <= self._position < begin + len(window):
                self._windows.append(self._windows.pop(number))
                return begin, window
        last = self._windows[-1] if self._windows else None
        reads_on = last is not None and self._position == last[0] + len(last[1])
        self._ahead = min(2 * self._ahead, _MOST) if reads_on else _LEAST
        begin, stop = self._position, min(self._position + max(wanted, self._ahead), self._stop)
        self._windows.append((begin, self._fetch(begin, stop)))
        while len(self._windows) > 1 and sum(len(window) for _, window in self._windows) > _KEPT:
            self._windows.pop(0)
        return self._windows[-1]


def ranged(name: str, size: int, offset: int, length: int | None, fetch: Callable[[int, int], bytes]) -> BinaryIO:
    """Return the part of a file of `size` bytes that begins at `offset`, as far as there is any."""
    stop = size if length is None else min(size, offset + length)
    return cast(BinaryIO, RangedFile(name, min(offset, size), stop, fetch))
