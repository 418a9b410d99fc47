"""A connection to the journal that the event log keeps for itself, and how soon its commits reach the disk."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from sqlalchemy.engine import Connection

from gemel.base.errors import StoreFull, StoreUnavailable
from gemel.core.stream.events._wake import Turn, folder_of
from gemel.infra.store import Store

_CHECKPOINT_PAGES = (
    16_000  # 64 MiB: the index's pages are folded into the database once, not at every few thousand events
)
_CACHE_KIBIBYTES = 65_536  # the index of event ids is written at random places; SQLite's 2 MB would thrash


class Lane:
    """Transactions on one connection of its own, one after the other; opened on first use and after a failure.

    Args:
        store: The journal.
        synced: Whether each commit is synced to disk (SQLite's synchronous=FULL) or only handed to the operating
            system (NORMAL): a killed process loses nothing either way, a power cut loses the unsynced end.
    """

    def __init__(self, store: Store, *, synced: bool) -> None:
        self._store, self._synced = store, synced
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._turn: Turn | None = None
        self._kept = contextlib.ExitStack()

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield the connection in a transaction, committed at the end of the block."""
        with self._lock:
            connection = self._opened()
            try:
                with self._turn or contextlib.nullcontext(), self._store.transaction(connection):
                    yield connection
            except StoreFull:
                raise
            except StoreUnavailable:
                self._drop()
                raise

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield the connection for reading; each statement sees the latest committed data."""
        with self._lock:
            connection = self._opened()
            try:
                yield connection
            except (self._store.engine.dialect.loaded_dbapi.OperationalError, ConnectionError):
                self._drop()
                raise

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()
            if self._turn is not None:
                self._turn.close()
                self._turn = None

    def _opened(self) -> Connection:
        if self._connection is None:
            self._connection = self._new()
        return self._connection

    def _new(self) -> Connection:
        kept = contextlib.ExitStack()
        connection = kept.enter_context(self._store.read())
        connection.detach()  # its settings would otherwise come back to the pool with it
        cursor = connection.connection.cursor()
        if self._store.dialect != "sqlite":
            cursor.execute(f"SET synchronous_commit = {'on' if self._synced else 'off'}")
        else:
            cursor.execute(f"PRAGMA synchronous={'FULL' if self._synced else 'NORMAL'}")
            cursor.execute(f"PRAGMA cache_size=-{_CACHE_KIBIBYTES}")
            cursor.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
            self._turn = self._turn or Turn(folder_of(self._store))
        self._kept = kept
        return connection

    def _drop(self) -> None:
        self._connection = None
        with contextlib.suppress(Exception):  # it may be broken, which is why it goes
            self._kept.close()
