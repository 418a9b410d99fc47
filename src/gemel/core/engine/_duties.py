"""Which engine does what: a duty belongs to one living engine, and goes to another when that one is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import sqlalchemy as sql

from gemel.core.engine._presence import Presence
from gemel.infra.store import Store, schema

_DUTIES = schema.duties


class Duties:
    """Duties in the journal, held by engines that show a sign of life."""

    def __init__(self, store: Store, presence: Presence) -> None:
        self._store, self._presence = store, presence

    def take(self, name: str) -> bool:
        """Return whether the duty is this engine's, which takes it when nobody alive has it."""
        holder = self.holder(name)
        if holder == self._presence.engine:
            return True
        if holder is not None and self._presence.alive(holder):
            return False
        row = {"name": name, "engine": self._presence.engine, "taken": time.time()}
        with self._store.write() as connection:
            if holder is None:
                found = connection.execute(self._store.insert(_DUTIES).on_conflict_do_nothing(), row)
            else:
                mine = sql.update(_DUTIES).where(_DUTIES.c.name == name, _DUTIES.c.engine == holder)
                found = connection.execute(mine.values(engine=row["engine"], taken=row["taken"]))
        return bool(found.rowcount)

    def holder(self, name: str) -> str | None:
        """Return the engine that has the duty, or None."""
        query = sql.select(_DUTIES.c.engine).where(_DUTIES.c.name == name)
        with self._store.read() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else str(found)

    def release(self, name: str) -> None:
        """Give the duty up, if it is this engine's."""
        mine = (_DUTIES.c.name == name, _DUTIES.c.engine == self._presence.engine)
        with self._store.write() as connection:
            connection.execute(sql.delete(_DUTIES).where(*mine))

    def wait(self, name: str, stop: threading.Event, look: float, told: Callable[[bool], None]) -> bool:
        """Return True once the duty is this engine's, False when `stop` came first; `told` whether it stands by."""
        while not stop.is_set():
            if self.take(name):
                told(False)
                return True
            told(True)
            stop.wait(look)
        return False
