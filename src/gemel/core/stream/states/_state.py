"""What a twin knows: versions of its state, each with the time it is valid for and the time it became known."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sql

from gemel.base.errors import InvalidInput
from gemel.core.stream.events import finite
from gemel.infra.store import Store, schema

_STATES = schema.states
_MOST_URI = 300
_UNTOLD = {"unknown": "nobody stated it"}


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
        source: URI of what brought it about: a source, an assimilation, a what-if; None when nobody said.
        uncertainty: What is known of the state's errors, by variable: standard errors or quantiles with their units,
            like ``{"level": {"standard_error": 0.02, "unit": "m"}}``; or ``{"unknown": reason}``.
    """

    twin: str
    sequence: int
    valid: datetime
    known: datetime
    run: str
    cause: int
    document: Mapping[str, Any]
    source: str | None = None
    uncertainty: Mapping[str, Any] = field(default_factory=lambda: dict(_UNTOLD))


class StateStore:
    """The versions of every twin's state."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save(  # noqa: PLR0913 - one parameter for each thing that is kept
        self,
        twin: str,
        valid: datetime,
        run: str,
        cause: int,
        document: Mapping[str, Any],
        *,
        source: str | None = None,
        uncertainty: Mapping[str, Any] | None = None,
    ) -> State | None:
        """Return the new version, or None when a state for this cause or a later one of its source is already there.

        Causes are counted for each source by itself: observations of two streams do not come in the order of their
        positions. A version without a source counts for all of them.

        Raises:
            InvalidInput: The uncertainty is not JSON, or the source's URI is longer than 300 characters.
        """
        told = _told(source, uncertainty)
        with self._store.write() as connection:
            same = sql.or_(_STATES.c.source.is_(None), _STATES.c.source == source)
            query = sql.select(
                sql.func.max(_STATES.c.sequence),
                sql.func.max(sql.case((same, _STATES.c.cause))),
                sql.func.max(_STATES.c.known),
            )
            sequence, newest, known = connection.execute(query.where(_STATES.c.twin == twin)).one()
            if newest is not None and newest >= cause:
                return None
            row = told | {
                "twin": twin,
                "sequence": (sequence or 0) + 1,
                "valid": valid.timestamp(),
                # What comes later was known later, also when the engine's clock was set back in between.
                "known": max(round(time.time(), 6), known or 0.0),
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

    def as_of(self, twin: str, valid: datetime, known: datetime | None = None) -> State | None:
        """Return the state at the instant `valid`, as it was known at the instant `known`; None when there was none.

        That is the version valid last at `valid` or before, and of those valid at the same instant the newest, among
        the versions that were known by `known` (default: all). Both times together are what databases call
        bitemporal (Snodgrass 1999): what we believe now of a day, and what we believed then.
        """
        query = sql.select(_STATES).where(_STATES.c.twin == twin, _STATES.c.valid <= valid.timestamp())
        query = _among(query, known=known).order_by(_STATES.c.valid.desc(), _STATES.c.sequence.desc())
        with self._store.read() as connection:
            row = connection.execute(query.limit(1)).mappings().first()
        return None if row is None else _state(row)

    def history(
        self,
        twin: str,
        count: int,
        *,
        begin: datetime | None = None,
        end: datetime | None = None,
        known: datetime | None = None,
    ) -> Sequence[State]:
        """Return the last `count` versions, oldest first.

        Args:
            twin: Whose.
            count: Most versions.
            begin: Only those valid then or later.
            end: Only those valid then or earlier.
            known: Only those that were known by then.
        """
        query = _among(sql.select(_STATES).where(_STATES.c.twin == twin), begin, end, known)
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(_STATES.c.sequence.desc()).limit(count)).mappings().all()
        return [_state(row) for row in reversed(rows)]

    def forget(self, twin: str) -> None:
        """Remove every version of a twin's state."""
        with self._store.write() as connection:
            connection.execute(sql.delete(_STATES).where(_STATES.c.twin == twin))


def _among(
    query: sql.Select[Any], begin: datetime | None = None, end: datetime | None = None, known: datetime | None = None
) -> sql.Select[Any]:
    if begin is not None:
        query = query.where(_STATES.c.valid >= begin.timestamp())
    if end is not None:
        query = query.where(_STATES.c.valid <= end.timestamp())
    return query if known is None else query.where(_STATES.c.known <= known.timestamp())


def _told(source: str | None, uncertainty: Mapping[str, Any] | None) -> dict[str, str | None]:
    if source is not None and len(source) > _MOST_URI:
        raise InvalidInput(f"The source of a state has {len(source)} characters; {_MOST_URI} are allowed.")
    try:
        text = None if uncertainty is None else json.dumps(finite(dict(uncertainty)), allow_nan=False)
    except (TypeError, ValueError) as error:
        hint = 'Write numbers and units, or {"unknown": "why"}.'
        raise InvalidInput(f"The uncertainty of a state is not JSON: {error}.", hint=hint) from error
    return {"source": source, "uncertainty": text}


def _state(row: Mapping[Any, Any]) -> State:
    return State(
        row["twin"],
        row["sequence"],
        datetime.fromtimestamp(row["valid"], UTC),
        datetime.fromtimestamp(row["known"], UTC),
        row["run"],
        row["cause"],
        json.loads(row["document"]),
        row["source"],
        dict(_UNTOLD) if row["uncertainty"] is None else json.loads(row["uncertainty"]),
    )
