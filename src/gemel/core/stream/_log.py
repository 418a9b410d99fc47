"""The event log: ordered, durable, deduplicated by id, readable from any position."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import sqlalchemy as sql

from gemel.core.stream._event import Event, finite
from gemel.infra.store import Store, schema

_EVENTS = schema.events
# Another process's events are found by looking again; our own wake the reader at once.
_LOOK_AGAIN_SECONDS = 0.5


class EventLog(Protocol):
    """Streams of events that can be appended to and read from any position."""

    def append(self, stream: str, event: Event) -> int | None:
        """Return the event's position once it is durable, or None when its id is already in the stream."""

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """Return events after a position, oldest first."""

    def last(self, stream: str, count: int = 1) -> Sequence[Event]:
        """Return the last `count` events, oldest first."""

    def wait(self, stream: str, after: int, timeout: float) -> Sequence[Event]:
        """Return the events after a position as soon as there are any, or nothing when the time is up."""


class SqlEventLog:
    """An `EventLog` in the SQL store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._appended = 0

    def append(self, stream: str, event: Event) -> int | None:
        """Return the event's position once it is durable, or None when its id is already in the stream."""
        insert = self._store.insert(_EVENTS).on_conflict_do_nothing(index_elements=["stream", "id"])
        row = {
            "stream": stream,
            "id": event.id,
            "type": event.type,
            "source": event.source,
            "subject": event.subject,
            "time": event.time.timestamp(),
            "recorded": time.time(),
            "data": json.dumps(finite(event.data)),
        }
        with self._store.write() as connection:
            if self._store.dialect == "postgresql":
                # Writers of one stream take turns: a reader that saw a position must never miss a lower one.
                connection.execute(sql.select(sql.func.pg_advisory_xact_lock(sql.func.hashtext(stream))))
            position = connection.execute(insert.returning(_EVENTS.c.position), row).scalar()
        with self._changed:
            self._appended += 1
            self._changed.notify_all()
        return None if position is None else int(position)

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """Return events after a position, oldest first."""
        query = sql.select(_EVENTS).where(_EVENTS.c.stream == stream, _EVENTS.c.position > after)
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(_EVENTS.c.position).limit(limit)).mappings()
            return [_event(row) for row in rows]

    def last(self, stream: str, count: int = 1) -> Sequence[Event]:
        """Return the last `count` events, oldest first."""
        query = sql.select(_EVENTS).where(_EVENTS.c.stream == stream)
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(_EVENTS.c.position.desc()).limit(count)).mappings().all()
        return [_event(row) for row in reversed(rows)]

    def wait(self, stream: str, after: int, timeout: float) -> Sequence[Event]:
        """Return the events after a position as soon as there are any, or nothing when the time is up."""
        deadline = time.monotonic() + timeout
        while True:
            appended = self._appended
            found = self.read(stream, after)
            left = deadline - time.monotonic()
            if found or left <= 0:
                return found
            with self._changed:
                if self._appended == appended:  # else something came between reading and waiting: look at once
                    self._changed.wait(min(left, _LOOK_AGAIN_SECONDS))

    def forget(self, stream: str) -> None:
        """Remove every event of a stream."""
        with self._store.write() as connection:
            connection.execute(sql.delete(_EVENTS).where(_EVENTS.c.stream == stream))


def _event(row: Any) -> Event:
    return Event(
        row["id"],
        row["type"],
        row["source"],
        datetime.fromtimestamp(row["time"], UTC),
        json.loads(row["data"]),
        row["subject"],
        row["position"],
    )
