"""Watches and replays as server-sent events: what was, what comes, signs of life, and why it ends."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from gemel.base.clock import iso
from gemel.base.errors import GemelError
from gemel.core.stream import Event, EventLog
from gemel.faces.aviso._asked import Asked
from gemel.faces.aviso._filter import Filter
from gemel.faces.aviso._types import EventType

HEARTBEAT_SECONDS = 10.0
LONGEST_SECONDS = 3600.0
_LOOK_SECONDS = 1.0
_BATCH = 50  # events held for one listener, however slow it is
_T = TypeVar("_T")


@dataclass(frozen=True)
class Watch:
    """One listener.

    Attributes:
        log: Where the events are.
        threads: For waiting.
        kind: What is listened to.
        asked: From where, and up to where.
        chosen: Which of them.
        base: Address of the face.
        request_id: Of the request.
        stopping: Set when the server ends.
    """

    log: EventLog
    threads: ThreadPoolExecutor
    kind: EventType
    asked: Asked
    chosen: Filter
    base: str
    request_id: str
    stopping: threading.Event | None

    @property
    def stream(self) -> str:
        """Return the stream that is read."""
        return self.kind.stream(self.asked.identifier)

    async def work(self, work: Callable[..., _T], *args: Any) -> _T:
        """Return what blocking work returns."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, functools.partial(work, *args))


class Listening:
    """The events of one listener. It holds one batch at most: who reads slowly waits for itself alone."""

    def __init__(self, watch: Watch) -> None:
        self._watch, self._stream = watch, watch.stream
        self._began = self._told = time.monotonic()
        self._topic = {"topic": self._stream}

    async def watch(self) -> AsyncIterator[bytes]:
        """Yield history when it is asked for, and then what comes."""
        try:
            last = await self._watch.work(self._newest)
            after = last
            if self._watch.asked.has_start:
                after = await self._watch.work(self._start)
                yield self._opened(None)
                async for piece in self._history(after, last):
                    yield piece
                after = max(after, last)
                yield self._control("replay_completed")
            else:
                yield self._established()
            async for piece in self._live(after):
                yield piece
        except GemelError as error:
            yield self._failed(error)

    async def replay(self) -> AsyncIterator[bytes]:
        """Yield history up to its end, which is now unless it is said."""
        try:
            after = await self._watch.work(self._start)
            last, sequence = await self._watch.work(self._end)
            yield self._opened(sequence if self._watch.asked.has_end else None)
            async for piece in self._history(after, last):
                yield piece
            yield self._control("replay_completed")
            yield self._closing("server_shutdown" if self._is_stopping else "end_of_stream")
        except GemelError as error:
            yield self._failed(error)

    async def _history(self, after: int, last: int) -> AsyncIterator[bytes]:
        while after < last and not self._is_stopping:
            found = await self._watch.work(self._watch.log.read, self._stream, after, _BATCH)
            batch = [event for event in found if event.position <= last]
            for piece in self._wanted(batch, "replay"):
                yield piece
            if self._is_quiet:
                yield self._heartbeat()
            if not batch:
                return
            after = batch[-1].position

    async def _live(self, after: int) -> AsyncIterator[bytes]:
        while not self._is_stopping:
            if time.monotonic() - self._began > LONGEST_SECONDS:
                yield self._closing("max_duration_reached")
                return
            found = await self._watch.work(self._next, after)
            for piece in self._wanted(found, "live-notification"):
                yield piece
            after = found[-1].position if found else after
            if self._is_quiet:
                yield self._heartbeat()
        yield self._closing("server_shutdown")

    def _next(self, after: int) -> Sequence[Event]:
        log = self._watch.log
        # To wait reads all that is there: first see whether there is need to.
        return log.read(self._stream, after, _BATCH) or log.wait(self._stream, after, _LOOK_SECONDS)[:_BATCH]

    def _wanted(self, events: Sequence[Event], name: str) -> list[bytes]:
        kind = self._watch.kind
        found = [event for event in events if self._watch.chosen.matches(kind.identifier(event))]
        self._told = time.monotonic() if found else self._told
        return [_frame(name, notification(kind, event, self._watch.base)) for event in found]

    def _newest(self) -> int:
        last = self._watch.log.last(self._stream)
        return last[-1].position if last else 0

    def _start(self) -> int:
        watch, asked = self._watch, self._watch.asked
        if asked.from_id is not None:
            return watch.kind.position_before(watch.log, self._stream, asked.from_id)
        assert asked.from_date is not None
        return watch.log.since(self._stream, asked.from_date)

    def _end(self) -> tuple[int, int]:
        """Return the last position of a replay, and its sequence."""
        watch, asked, newest = self._watch, self._watch.asked, self._newest()
        if asked.to_id is not None:
            newest = min(watch.kind.position_before(watch.log, self._stream, asked.to_id + 1), newest)
        elif asked.to_date is not None:
            # The first that was recorded after the date is not wanted any more.
            newest = min(watch.log.since(self._stream, asked.to_date + timedelta(microseconds=1)), newest)
        found = watch.log.read(self._stream, newest - 1, 1) if newest > 0 else []
        return newest, watch.kind.sequence(found[0]) if found and found[0].position == newest else 0

    @property
    def _is_stopping(self) -> bool:
        return self._watch.stopping is not None and self._watch.stopping.is_set()

    @property
    def _is_quiet(self) -> bool:
        return time.monotonic() - self._told >= HEARTBEAT_SECONDS

    def _heartbeat(self) -> bytes:
        self._told = time.monotonic()
        return _frame("heartbeat", {"timestamp": _now(), **self._topic})

    def _established(self) -> bytes:
        ends = {"connection_will_close_in_seconds": int(LONGEST_SECONDS), "request_id": self._watch.request_id}
        return _frame(
            "live-notification", {"type": "connection_established", **self._topic, "timestamp": _now(), **ends}
        )

    def _opened(self, end: int | None) -> bytes:
        asked = self._watch.asked
        began = {"from_sequence": asked.from_id, "from_date": iso(asked.from_date), "batch_size": _BATCH}
        ended = {} if end is None else {"end_sequence": end}
        return self._control("replay_started", **began, **ended, request_id=self._watch.request_id)

    def _control(self, type: str, **more: Any) -> bytes:
        return _frame("replay-control", {"type": type, **self._topic, "timestamp": _now(), **more})

    def _closing(self, reason: str) -> bytes:
        words = {
            "end_of_stream": "Stream completed",
            "max_duration_reached": "Connection reached maximum duration",
            "server_shutdown": "Server is shutting down gracefully",
        }
        told = {"reason": reason, "timestamp": _now(), "message": words[reason], "request_id": self._watch.request_id}
        return _frame("connection-closing", told | self._topic)

    def _failed(self, error: GemelError) -> bytes:
        told = {"error": "stream_processing_failed", "message": error.message, "request_id": self._watch.request_id}
        return _frame("error", told | self._topic)


def notification(kind: EventType, event: Event, base: str) -> dict[str, Any]:
    """Return an event as the CloudEvent that an aviso-server sends: its sequence stands behind the @ of its id."""
    return {
        "specversion": "1.0",
        "id": f"{kind.name}@{kind.sequence(event)}",
        "source": base,
        "type": f"int.ecmwf.aviso.{kind.name}",
        "datacontenttype": "application/json",
        "dataschema": f"{base}/api/v1/schema/{kind.name}",
        "time": iso(event.time),
        "data": {"identifier": dict(kind.identifier(event)), "payload": kind.payload(event)},
    }


def _frame(name: str, document: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(document)}\n\n".encode()


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
