"""Bodies of requests, handed from the event loop to a thread with back-pressure."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

from starlette.types import Receive

from gemel.faces.storage._errors import Refusal
from gemel.infra.lake.storages import Readable

_HELD = 4 << 20  # bytes that wait for the thread; then the client waits


class Broken(Exception):
    """Nobody waits for the answer any more: the client hung up, or the server stops."""


class Stoppable:
    """A stream that ends in `Broken` once something is set: what takes minutes does not hold up a server that stops.

    Args:
        stream: Where the bytes come from.
        stopping: Looked at before each piece.
    """

    def __init__(self, stream: Readable, stopping: threading.Event) -> None:
        self._stream, self._stopping = stream, stopping

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; none at the end."""
        if self._stopping.is_set():
            raise Broken
        return self._stream.read(size)


class Inflow:
    """A request's body: filled in the event loop, read in a thread.

    Args:
        silence: Seconds without a byte after which a client is taken for gone.
    """

    def __init__(self, silence: float) -> None:
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._room.set()
        self._parts: deque[bytes] = deque()
        self._held = 0
        self._full = False
        self._state = "open"
        self._changed = threading.Condition()

    async def fill(self, receive: Receive) -> None:
        """Take the body in, as fast as it is read."""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                self._end("broken")
                return
            with self._changed:
                self._parts.append(message.get("body", b""))
                self._held += len(self._parts[-1])
                self._full = self._held >= _HELD
                if self._full:
                    self._room.clear()
                self._changed.notify()
            if not message.get("more_body"):
                self._end("ended")
                return
            if not self._room.is_set():
                await self._room.wait()

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, `size` of them unless the body ends; none at its end. Blocks.

        Raises:
            Broken: The client hung up.
            Refusal: It sends nothing any more (408).
        """
        found: list[bytes] = []
        missing = size if size >= 0 else 1 << 62
        while missing > 0:
            part = self._next(missing)
            if not part:
                break
            found.append(part)
            missing -= len(part)
        return found[0] if len(found) == 1 else b"".join(found)

    def close(self) -> None:
        """Let whoever reads go on with an error, when the body has not ended."""
        self._end("broken")

    def _next(self, most: int) -> bytes:
        with self._changed:
            while not self._parts:
                if self._state == "broken":
                    raise Broken
                if self._state == "ended":
                    return b""
                if not self._changed.wait(self._silence):
                    raise Refusal(408, f"Nothing came for {self._silence:g} s.")
            part = self._parts.popleft()
            if len(part) > most:
                self._parts.appendleft(part[most:])
                part = part[:most]
            self._held -= len(part)
            has_room = self._full and self._held < _HELD // 2
            self._full = self._full and not has_room
        if has_room:
            self._loop.call_soon_threadsafe(self._room.set)
        return part or self._next(most)

    def _end(self, state: str) -> None:
        with self._changed:
            self._state = state if self._state == "open" else self._state
            self._changed.notify()
