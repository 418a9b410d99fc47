"""Which engines are alive: each holds a lease in the journal and a lock in its home folder until it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sql

from gemel.base.errors import StoreUnavailable
from gemel.base.ids import new_id
from gemel.infra.store import Store, schema

_ENGINES = schema.engines


class Presence:
    """One engine's sign of life, renewed in the background.

    Attributes:
        engine: This engine's id.
    """

    def __init__(self, store: Store, home: Path, lease_seconds: float) -> None:
        self.engine = new_id("engine")
        self._store = store
        self._locks = home / "engines"
        self._lease = lease_seconds
        self._stop = threading.Event()
        self._locks.mkdir(parents=True, exist_ok=True)
        # The kernel drops the lock at the very moment the process dies, however it dies.
        self._lock = (self._locks / self.engine).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        now = time.time()
        row = {
            "id": self.engine,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": now,
            "lease_until": now + self._lease,
        }
        with store.write() as connection:
            connection.execute(sql.insert(_ENGINES), row)

    def keep(self, tick: Callable[[], None], seconds: float) -> threading.Thread:
        """Return the running thread that calls `tick` every `seconds` and renews the lease in good time."""
        thread = threading.Thread(target=self._beat, args=(tick, seconds), name="gemel-presence", daemon=True)
        thread.start()
        return thread

    def alive(self, engine: str) -> bool:
        """Return whether the engine with this id can still be at work."""
        if engine == self.engine:
            return True
        with self._store.read() as connection:
            row = connection.execute(sql.select(_ENGINES).where(_ENGINES.c.id == engine)).mappings().first()
        if row is None:
            return False
        lock = self._locks / engine
        if row["host"] == socket.gethostname() and lock.exists():
            return _held(lock)
        return bool(row["lease_until"] > time.time())

    def close(self) -> None:
        """Withdraw: runs left unfinished may be taken over at once."""
        self._stop.set()
        with contextlib.suppress(StoreUnavailable), self._store.write() as connection:
            connection.execute(sql.delete(_ENGINES).where(_ENGINES.c.id == self.engine))
        self._lock.close()
        (self._locks / self.engine).unlink(missing_ok=True)

    def _beat(self, tick: Callable[[], None], seconds: float) -> None:
        renewed = time.monotonic()
        while not self._stop.wait(seconds):
            # A database that is away for a moment must not end the heartbeat.
            with contextlib.suppress(StoreUnavailable):
                tick()
                if time.monotonic() - renewed > self._lease / 3:
                    self._renew()
                    renewed = time.monotonic()

    def _renew(self) -> None:
        with self._store.write() as connection:
            update = sql.update(_ENGINES).where(_ENGINES.c.id == self.engine)
            connection.execute(update.values(lease_until=time.time() + self._lease))


def _held(lock: Path) -> bool:
    with lock.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
