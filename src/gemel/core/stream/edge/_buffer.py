"""Events kept on a disk at the far end of a line, until the near end has them."""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from gemel.base.clock import parse_instant
from gemel.base.errors import StoreFull, StoreUnavailable
from gemel.base.sizes import spoken_size
from gemel.core.stream.edge._filters import Filters
from gemel.core.stream.events import Event, checked
from gemel.core.stream.sources import Source

_MOST_BYTES = 256 << 20
_MOST_REFUSED = 1000
_AT_ONCE = 500  # events in one compressed batch
_TABLES = """
CREATE TABLE IF NOT EXISTS batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT, events INTEGER NOT NULL, newest TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS refused (number INTEGER PRIMARY KEY AUTOINCREMENT, reason TEXT NOT NULL, event TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Stored(NamedTuple):
    """A batch that waits: its number, and its events in order."""

    number: int
    events: list[Event]


class EdgeBuffer:
    """A private file of events: filtered, compressed, bounded, and forgotten only once they are somewhere else.

    Every `put` is one transaction that is on the disk when it returns (SQLite, `synchronous=FULL`); what a killed
    process had put is there when the file is opened again.

    Args:
        path: Of the file.
        filters: What is let through.
        most_bytes: Of compressed events that may wait.
    """

    def __init__(self, path: Path, filters: Filters | None = None, most_bytes: int = _MOST_BYTES) -> None:
        self._filters, self._most = filters or Filters(), most_bytes
        self._lock, self._arrived = threading.RLock(), threading.Event()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=FULL")
            self._base.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailable(f"The buffer '{path}' cannot be opened: {error}.") from error

    def put(self, events: Sequence[Event]) -> int:
        """Return how many of some events passed the filters; they are durable by then.

        Raises:
            StoreFull: The bound or the disk is reached; nothing was kept, and the filters know nothing of it.
            InvalidInput: One of them is no event that a log takes; nothing was kept.
        """
        with self._transaction() as base:
            state = self._fact("filters", {})
            kept = [event for event in events if self._filters.passed(event, state)]
            for start in range(0, len(kept), _AT_ONCE):
                self._insert(base, kept[start : start + _AT_ONCE])
            if kept and self._bytes() > self._most:
                hint = "It empties as soon as the line is up; ask the source again then."
                raise StoreFull(f"The edge buffer holds its {spoken_size(self._most)} already.", hint=hint)
            self._set_fact("filters", state)
            self._set_fact("dropped", self._fact("dropped", 0) + len(events) - len(kept))
        if kept:
            self._arrived.set()
        return len(kept)

    def feed(self, source: Source, stop: threading.Event, pause: float = 1.0) -> None:
        """Put all that a source yields, until it ends or `stop`; while the buffer is full, the source waits.

        Only when the source is asked for more may it acknowledge what it yielded: by then it is on the disk here.
        """
        for found in source.events(self.newest()):
            events = [found] if isinstance(found, Event) else found
            while not self._put_unless_full(events):
                if stop.wait(pause):
                    return
            if stop.is_set():
                return

    def oldest(self) -> Stored | None:
        """Return the batch that waits longest, None when nothing waits."""
        with self._lock, self._translated():
            row = self._base.execute("SELECT number, body FROM batches ORDER BY number LIMIT 1").fetchone()
        if row is None:
            return None
        documents = json.loads(zlib.decompress(row[1]))
        return Stored(row[0], [Event.from_document(document) for document in documents])

    def done(self, number: int, refused: Sequence[tuple[str, Event]] = ()) -> None:
        """Forget a batch that is somewhere else; those of its events that were refused there are kept with the reason.

        Args:
            number: Of the batch.
            refused: Reasons and events; the newest thousand are kept.
        """
        with self._transaction() as base:
            base.execute("DELETE FROM batches WHERE number = ?", [number])
            rows = [(reason, json.dumps(event.document())) for reason, event in refused]
            base.executemany("INSERT INTO refused (reason, event) VALUES (?, ?)", rows)
            newest = "(SELECT number FROM refused ORDER BY number DESC LIMIT ?)"
            base.execute(f"DELETE FROM refused WHERE number NOT IN {newest}", [_MOST_REFUSED])

    def refused(self) -> list[tuple[str, Event]]:
        """Return the events that the engine refused, with its reasons, oldest first."""
        with self._lock, self._translated():
            rows = self._base.execute("SELECT reason, event FROM refused ORDER BY number").fetchall()
        return [(reason, Event.from_document(json.loads(event))) for reason, event in rows]

    def status(self) -> dict[str, int]:
        """Return how many events and bytes wait, how many events the filters held back, how many were refused."""
        with self._lock, self._translated():
            waiting = self._base.execute("SELECT coalesce(sum(events), 0) FROM batches").fetchone()[0]
            refused = self._base.execute("SELECT count(*) FROM refused").fetchone()[0]
            told = {"waiting": waiting, "bytes": self._bytes(), "dropped": self._fact("dropped", 0)}
        return told | {"refused": refused}

    def newest(self) -> datetime | None:
        """Return the time of the newest event that was ever kept, None when there was none."""
        with self._lock, self._translated():
            found = self._fact("newest", None)
        return parse_instant(found) if found else None

    def wait(self, timeout: float) -> bool:
        """Return whether something waits, as soon as it does or when the time is up."""
        if self.oldest() is not None:
            return True
        found = self._arrived.wait(timeout)
        self._arrived.clear()
        return found

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    def _put_unless_full(self, events: Sequence[Event]) -> bool:
        try:
            self.put(events)
        except StoreFull:
            return False
        return True

    def _insert(self, base: sqlite3.Connection, events: Sequence[Event]) -> None:
        for event in events:
            checked(event)
        documents = [event.document() for event in events]
        newest = max(document["time"] for document in documents)
        body = zlib.compress(json.dumps(documents).encode(), 6)
        row = [len(documents), newest, body]
        base.execute("INSERT INTO batches (events, newest, body) VALUES (?, ?, ?)", row)
        latest = max([newest, *([found] if (found := self._fact("newest", None)) else [])], key=parse_instant)
        self._set_fact("newest", latest)

    def _bytes(self) -> int:
        return int(self._base.execute("SELECT coalesce(sum(length(body)), 0) FROM batches").fetchone()[0])

    def _fact(self, name: str, default: Any) -> Any:
        row = self._base.execute("SELECT value FROM facts WHERE name = ?", [name]).fetchone()
        return default if row is None else json.loads(row[0])

    def _set_fact(self, name: str, value: Any) -> None:
        self._base.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", [name, json.dumps(value)])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if "full" in str(error):
                raise StoreFull(f"The disk under the edge buffer is full: {error}.") from error
            raise StoreUnavailable(f"The edge buffer cannot be used: {error}.") from error
