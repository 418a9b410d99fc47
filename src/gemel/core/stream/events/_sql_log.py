"""The event log in the journal: appends that share a commit, readers that are woken, bounds that are kept."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from gemel.base.errors import StoreFull
from gemel.core.stream.events._event import Event
from gemel.core.stream.events._groups import SqlGroup
from gemel.core.stream.events._lane import Lane
from gemel.core.stream.events._log import Begin, checked, checked_stream
from gemel.core.stream.events._rows import Rows, event_of
from gemel.core.stream.events._wake import Bell, folder_of
from gemel.infra.store import Store, schema

_EVENTS, _STREAMS = schema.events, schema.event_streams
# Whoever cannot be woken looks again: engines on other machines, and a pipe that was missed.
_LOOK_AGAIN_SECONDS = {"sqlite": 0.5, "postgresql": 0.1}
_SYNC_SECONDS = 1.0


@dataclass
class _Request:
    """Events of one caller, waiting for a commit."""

    stream: str
    rows: list[tuple[Any, ...]]
    positions: list[int | None] = field(default_factory=list)
    error: BaseException | None = None
    done: bool = False


class SqlEventLog:
    """An `EventLog` in the SQL store, whose events, acknowledgements and results can share a transaction.

    Appends that come while another is being committed are committed together with the next: at once when slow, many
    at a time when fast. An id is known for as long as its event is kept.

    Args:
        store: The journal.
        synced: "commit": an append returns when the disk has it (fsync). "second": it returns when the operating
            system has it, and the disk gets it within a second: a killed process loses nothing, a power cut the last
            second. Taking and acknowledging are never synced by themselves: a power cut makes events come again.
    """

    def __init__(self, store: Store, *, synced: Literal["commit", "second"] = "commit") -> None:
        self._store, self._rows = store, Rows(store)
        self._appends = Lane(store, synced=synced == "commit")
        self._takes = Lane(store, synced=False)
        self._syncing = _Syncing(store) if synced == "second" and store.dialect == "sqlite" else None
        self.bell = Bell(folder_of(store))
        self._look_again = _LOOK_AGAIN_SECONDS[store.dialect]
        self._queue: list[_Request] = []
        self._queueing, self._committing = threading.Lock(), threading.Lock()
        self._recorded = 0.0
        ours = weakref.WeakMethod(self.close)

        def store_closed(_: object) -> None:
            if (close := ours()) is not None:
                close()

        # Whoever closes the store means our connections, too.
        sql.event.listen(store.engine, "engine_disposed", store_closed)

    def append(self, stream: str, event: Event) -> int | None:
        """Return the event's position once it is durable, or None when its id is already in the stream.

        Raises:
            InvalidInput: The event is malformed or too large; nothing was kept.
            StoreFull: The stream's bound or the disk is reached; nothing was kept.
        """
        return self.append_many(stream, [event])[0]

    def append_many(self, stream: str, events: Sequence[Event]) -> list[int | None]:
        """Return the position of each event, None for duplicates: all of them are kept, or none. Errors as `append`."""
        checked_stream(stream)
        self._recorded = recorded = max(time.time(), self._recorded)  # a clock set back does not reorder the log
        request = _Request(stream, [_row(stream, event, recorded) for event in events])
        with self._queueing:
            self._queue.append(request)
        with self._committing:
            # Whoever waited here meanwhile finds that another has written for it.
            if not request.done:
                with self._queueing:
                    requests, self._queue = self._queue, []
                self._commit(requests)
        if request.error is not None:
            raise request.error
        return request.positions

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """Return events after a position, oldest first."""
        with self._store.read() as connection:
            return self._rows.after(connection, stream, after, limit)

    def last(self, stream: str, count: int = 1) -> Sequence[Event]:
        """Return the last `count` events, oldest first."""
        with self._store.read() as connection:
            rows = self._rows.newest(connection, {"stream": stream, "limit": count}).fetchall()
        return [event_of(row) for row in reversed(rows)]

    def streams(self) -> list[str]:
        """Return the name of every stream that holds events."""
        return self._rows.streams()

    def described(self, stream: str) -> dict[str, Any]:
        """Return a stream's bounds and how far its groups are: `limits` and `groups`, as JSON values."""
        return self._rows.described(stream)

    def since(self, stream: str, time: datetime) -> int:
        """Return the position after which the events recorded at `time` or later stand: `read` on from it."""
        instant = time.timestamp()
        with self._store.read() as connection:
            low, high = 0, self._rows.last_position(connection, stream)
            while low < high:
                middle = (low + high + 1) // 2
                row = self._rows.recorded(connection, {"stream": stream, "position": middle}).fetchone()
                low, high = (middle, high) if row is None or row[0] < instant else (low, middle - 1)
        return low

    def wait(self, stream: str, after: int, timeout: float) -> Sequence[Event]:
        """Return the events after a position as soon as there are any, or nothing when the time is up."""
        deadline = time.monotonic() + timeout
        with self.bell.listening(stream) as ear:
            while True:
                ear.clear()
                found = self.read(stream, after)
                left = deadline - time.monotonic()
                if found or left <= 0:
                    return found
                ear.wait(min(left, self._look_again))

    def group(
        self, stream: str, name: str, *, begin: Begin = "all", ack_wait: float = 30.0, attempts: int = 5
    ) -> SqlGroup:
        """Return a consumer of a group, which is made when it is new; a known one goes on where it is."""
        checked_stream(stream)
        opened = SqlGroup(self._takes, self._rows, self.bell, (stream, name), self._look_again)
        opened.open(begin, ack_wait, attempts)
        return opened

    def limit(self, stream: str, *, events: int | None = None, bytes: int | None = None) -> None:
        """Bound a stream: what goes beyond is refused with `StoreFull`, and nothing is dropped for it.

        Args:
            stream: Its name.
            events: How many it may hold; None for any number.
            bytes: How many bytes of data, ids, types and sources it may hold; None for any number.
        """
        checked_stream(stream)
        with self._appends.write() as connection:
            self._rows.lock_stream(connection, stream)
            connection.execute(sql.delete(_STREAMS).where(_STREAMS.c.stream == stream))
            if events is not None or bytes is not None:
                row = {"stream": stream, "limit_events": events, "limit_bytes": bytes, "events": 0, "bytes": 0}
                connection.execute(sql.insert(_STREAMS), row)
                self._rows.recount(connection, stream)

    def trim(self, stream: str, before: int) -> int:
        """Remove events before a position that every group has acknowledged, and return how many went.

        Their ids are forgotten with them: what is appended once more counts as new.
        """
        with self._appends.write() as connection:
            self._rows.lock_stream(connection, stream)
            bound = min(before, self._rows.needed_from(connection, stream, before))
            query = sql.delete(_EVENTS).where(_EVENTS.c.stream == stream, _EVENTS.c.position < bound)
            removed = connection.execute(query).rowcount
            self._rows.recount(connection, stream)
        return int(removed)

    def forget(self, stream: str) -> None:
        """Remove every event of a stream; its groups go on with what is appended later."""
        with self._appends.write() as connection:
            self._rows.lock_stream(connection, stream)
            for table in (_EVENTS, schema.event_deliveries):
                connection.execute(sql.delete(table).where(table.c.stream == stream))
            self._rows.recount(connection, stream)

    def close(self) -> None:
        """Close the connections and pipes that the log opened; the store stays open."""
        if self._syncing is not None:
            self._syncing.sync()
        self.bell.close()
        self._appends.close()
        self._takes.close()

    def _commit(self, requests: list[_Request]) -> None:
        try:
            with self._appends.write() as connection:
                # In one order everywhere: two engines that lock several streams do not wait for each other.
                for stream in sorted({request.stream for request in requests}):
                    self._rows.lock_stream(connection, stream)
                    self._insert(connection, stream, [item for item in requests if item.stream == stream])
        except BaseException as error:
            for request in requests:
                request.error = request.error or error
        finally:
            for request in requests:
                request.done = True
        if self._syncing is not None:
            self._syncing.soon()
        for stream in {request.stream for request in requests if any(request.positions)}:
            self.bell.ring(stream)

    def _insert(self, connection: Connection, stream: str, requests: list[_Request]) -> None:
        bound = self._rows.bound(connection, {"stream": stream}).fetchone()
        if bound is None:
            positions = iter(self._rows.insert(connection, stream, [row for item in requests for row in item.rows]))
            for request in requests:
                request.positions = [next(positions) for _ in request.rows]
            return
        for request in requests:
            connection.exec_driver_sql("SAVEPOINT one_request")
            request.positions = self._rows.insert(connection, stream, request.rows)
            try:
                self._count(connection, stream, request)
            except StoreFull as error:
                connection.exec_driver_sql("ROLLBACK TO SAVEPOINT one_request")
                request.error, request.positions = error, []
            connection.exec_driver_sql("RELEASE SAVEPOINT one_request")

    def _count(self, connection: Connection, stream: str, request: _Request) -> None:
        new = [row for row, position in zip(request.rows, request.positions, strict=True) if position is not None]
        size = sum(len(row[-1]) + sum(map(len, row[1:4])) for row in new)
        add = {"stream": stream, "more_events": len(new), "more_bytes": size}
        self._rows.count(connection, add)
        most_events, most_bytes, events, held = self._rows.bound(connection, {"stream": stream}).fetchone()
        over = [f"{most_events:,} events"] if most_events is not None and events > most_events else []
        over += [f"{most_bytes:,} bytes"] if most_bytes is not None and held > most_bytes else []
        if over and new:
            hint = "Let its consumers catch up and trim it, or raise the bound; then send the event again."
            raise StoreFull(f"The stream '{stream}' is full: {' and '.join(over)}.", hint=hint, stream=stream)


class _Syncing:
    """Brings what was committed to the disk within a second, from a thread that sleeps when nothing comes."""

    def __init__(self, store: Store) -> None:
        self._path = Path(f"{store.engine.url.database}-wal")
        self._lock = threading.Lock()
        self._planned = False

    def soon(self) -> None:
        """Sync in a second, unless that is planned already."""
        with self._lock:
            if self._planned:
                return
            self._planned = True
        timer = threading.Timer(_SYNC_SECONDS, self.sync)
        timer.daemon = True
        timer.start()

    def sync(self) -> None:
        """Sync now."""
        with self._lock:
            self._planned = False
        with contextlib.suppress(FileNotFoundError):  # folded into the database, which SQLite synced
            file = os.open(self._path, os.O_RDONLY)
            try:
                os.fdatasync(file)
            finally:
                os.close(file)


def _row(stream: str, event: Event, recorded: float) -> tuple[Any, ...]:
    data = checked(event)
    return (stream, event.id, event.type, event.source, event.subject, event.time.timestamp(), recorded, data)
