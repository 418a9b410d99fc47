"""Bytes on their way between two threads: the faster one waits for the slower."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

_HELD = 4 << 20  # bytes that wait for the reader; then the writer waits


class Broken(Exception):
    """The other side gave up, or says nothing any more."""


class Channel:
    """A pipe in memory.

    Args:
        silence: Seconds after which a side that does nothing is taken for gone.

    Attributes:
        summary: What the writer says of the whole at its end.

    >>> channel = Channel(1.0)
    >>> channel.put(b"rain"); channel.end({"size": 4})
    >>> channel.read(3), channel.read(3), channel.read(3), channel.summary
    (b'rai', b'n', b'', {'size': 4})
    """

    def __init__(self, silence: float) -> None:
        self._silence = silence
        self._parts: deque[bytes] = deque()
        self._held = 0
        self._state = "open"
        self._changed = threading.Condition()
        self.summary: Mapping[str, Any] = {}

    def put(self, piece: bytes) -> None:
        """Hand bytes to the reader; blocks while too many wait for it.

        Raises:
            Broken: It gave up, or takes nothing any more.
        """
        with self._changed:
            while self._state == "open" and self._held >= _HELD:
                self._wait()
            if self._state != "open":
                raise Broken
            if piece:
                self._parts.append(piece)
                self._held += len(piece)
                self._changed.notify_all()

    def end(self, summary: Mapping[str, Any] | None = None) -> None:
        """Say that nothing more comes."""
        with self._changed:
            if self._state == "open":
                self._state, self.summary = "ended", dict(summary or {})
            self._changed.notify_all()

    def fail(self) -> None:
        """Give up, from either side."""
        with self._changed:
            self._state = "broken"
            self._parts.clear()
            self._changed.notify_all()

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most `size`; none at the end. Blocks.

        Raises:
            Broken: The writer gave up, or sends nothing any more.
        """
        with self._changed:
            while not self._parts and self._state == "open":
                self._wait()
            if self._state == "broken":
                raise Broken
            if not self._parts:
                return b""
            part = self._parts.popleft()
            if 0 <= size < len(part):
                self._parts.appendleft(part[size:])
                part = part[:size]
            self._held -= len(part)
            self._changed.notify_all()
        return part

    def _wait(self) -> None:
        if not self._changed.wait(self._silence):
            self._state = "broken"
            self._changed.notify_all()
            raise Broken
