"""What a twin knows: versions of its state, each with the time it is valid for and the time it became known."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sql

from gemel.infra.store import Store, schema

_STATES = schema.states


@dataclass(frozen=True)
class State:
    """One version of a twin's state.

    Attributes:
        sequence: 1 for the first, one more for each new version.
        valid: Instant of the physical twin that the state describes.
        known: When the engine came to know it.
        run: The run that made it.
        cause: Log position of the observation that brought it about.
        document: Named references to stored results, and plain values.
    """

    twin: str
    sequence: int
    valid: datetime
    known: datetime
    run: str
    cause: int
    document: Mapping[str, Any]


class StateStore:
    """The versions of every twin's state."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save(self, twin: str, valid: datetime, run: str, cause: int, document: Mapping[str, Any]) -> State | None:
        """Return the new version, or None when a state for this cause or a later one is already there."""
        with self._store.write() as connection:
            query = sql.select(sql.func.max(_STATES.c.sequence), sql.func.max(_STATES.c.cause))
            sequence, newest = connection.execute(query.where(_STATES.c.twin == twin)).one()
            if newest is not None and newest >= cause:
                return None
            row = {
                "twin": twin,
                "sequence": (sequence or 0) + 1,
                "valid": valid.timestamp(),
                "known": time.time(),
                "run": run,
                "cause": cause,
                "document": json.dumps(dict(document)),
            }
            inserted = connection.execute(self._store.insert(_STATES).on_conflict_do_nothing(), row)
        return _state(row) if inserted.rowcount else None

    def latest(self, twin: str) -> State | None:
        """Return the newest version, or None for a twin that has none yet."""
        found = self.history(twin, 1)
        return found[-1] if found else None

    def get(self, twin: str, sequence: int) -> State | None:
        """Return one version, or None when there is no such."""
        query = sql.select(_STATES).where(_STATES.c.twin == twin, _STATES.c.sequence == sequence)
        with self._store.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else _state(row)

    def as_of(self, twin: str, instant: datetime) -> State | None:
        """Return what the twin knew of the physical twin at `instant`: the last version valid then or before."""
        query = sql.select(_STATES).where(_STATES.c.twin == twin, _STATES.c.valid <= instant.timestamp())
        with self._store.read() as connection:
            row = connection.execute(query.order_by(_STATES.c.sequence.desc()).limit(1)).mappings().first()
        return None if row is None else _state(row)

    def history(self, twin: str, count: int) -> Sequence[State]:
        """Return the last `count` versions, oldest first."""
        query = sql.select(_STATES).where(_STATES.c.twin == twin).order_by(_STATES.c.sequence.desc()).limit(count)
        with self._store.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [_state(row) for row in reversed(rows)]

    def forget(self, twin: str) -> None:
        """Remove every version of a twin's state."""
        with self._store.write() as connection:
            connection.execute(sql.delete(_STATES).where(_STATES.c.twin == twin))


def _state(row: Mapping[Any, Any]) -> State:
    return State(
        row["twin"],
        row["sequence"],
        datetime.fromtimestamp(row["valid"], UTC),
        datetime.fromtimestamp(row["known"], UTC),
        row["run"],
        row["cause"],
        json.loads(row["document"]),
    )
