"""The statements of the event log, compiled once: what a row of events is, on both databases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from gemel.core.stream.events._event import Event
from gemel.infra.store import Store, schema

_EVENTS, _STREAMS = schema.events, schema.event_streams
_GROUPS, _DELIVERIES = schema.event_groups, schema.event_deliveries
_WRITTEN = ("stream", "id", "type", "source", "subject", "time", "recorded", "data")
_READ = [_EVENTS.c[name] for name in ("id", "type", "source", "time", "data", "subject", "position")]
_decode = json.JSONDecoder().raw_decode  # what we wrote has no blanks around it
_CHUNK = 500  # rows in one statement on PostgreSQL
_SIZE = sum((sql.func.length(_EVENTS.c[name]) for name in ("id", "type", "source")), sql.func.length(_EVENTS.c.data))


class Rows:
    """Prepared statements on the tables of the log, for one store."""

    def __init__(self, store: Store) -> None:
        self.store, self.sqlite = store, store.dialect == "sqlite"
        mine = _EVENTS.c.stream == sql.bindparam("stream")
        self._new = store.insert(_EVENTS).on_conflict_do_nothing(index_elements=["stream", "id"])
        self._insert = store.prepare(self._new.values({name: sql.bindparam(name) for name in _WRITTEN}))
        select = sql.select(*_READ).where(mine)
        position = _EVENTS.c.position
        # SQLite's LIMIT is compiled with an OFFSET; said in full, it is not another parameter.
        limit: Any = sql.bindparam("limit")
        none: Any = sql.literal_column("0")
        self._after = store.prepare(
            select.where(position > sql.bindparam("after")).order_by(position).limit(limit).offset(none)
        )
        self.newest = store.prepare(select.order_by(position.desc()).limit(limit).offset(none))
        between = position.between(sql.bindparam("first"), sql.bindparam("final"))
        self._between = store.prepare(select.where(between).order_by(position))
        ids = sql.select(_EVENTS.c.id, position).where(mine, position > sql.bindparam("after"))
        self._ids = store.prepare(ids)
        before = sql.select(_EVENTS.c.recorded).where(mine, position <= sql.bindparam("position"))
        self.recorded = store.prepare(before.order_by(position.desc()).limit(sql.literal_column("1")).offset(none))
        self._last = store.prepare(sql.select(sql.func.max(position)).where(mine))
        bounds = [_STREAMS.c[name] for name in ("limit_events", "limit_bytes", "events", "bytes")]
        self.bound = store.prepare(sql.select(*bounds).where(_STREAMS.c.stream == sql.bindparam("stream")))
        more = {name: _STREAMS.c[name] + sql.bindparam(f"more_{name}") for name in ("events", "bytes")}
        counted = sql.update(_STREAMS).where(_STREAMS.c.stream == sql.bindparam("stream"))
        self.count = store.prepare(counted.values(more))

    def insert(self, connection: Connection, stream: str, rows: Sequence[tuple[Any, ...]]) -> list[int | None]:
        """Return the position of each row, None where its id is there already; the stream is locked."""
        if not rows:
            return []
        found = self._insert_here(connection, rows) if self.sqlite else self._insert_there(connection, rows)
        if isinstance(found, int):
            return list(range(found + 1, found + 1 + len(rows)))
        # The first of an id has its position, the others of the same call have none.
        return [found.pop(row[1], None) for row in rows]

    def _insert_here(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> dict[str, int] | int:
        cursor = connection.connection.cursor()
        if len(rows) == 1:
            cursor.execute(self._insert.text, rows[0])
            return int(cursor.lastrowid or 0) - 1 if cursor.rowcount == 1 else {}
        row = cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
        before = int(row[0]) if row else 0
        cursor.executemany(self._insert.text, rows)
        if cursor.rowcount == len(rows):
            return before  # all are new: AUTOINCREMENT gave them the next numbers
        return dict(self._ids(connection, {"stream": rows[0][0], "after": before}).fetchall())

    def _insert_there(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> dict[str, int]:
        found: dict[str, int] = {}
        for start in range(0, len(rows), _CHUNK):
            values = [dict(zip(_WRITTEN, row, strict=True)) for row in rows[start : start + _CHUNK]]
            query = self._new.values(values).returning(_EVENTS.c.id, _EVENTS.c.position)
            found.update((id, position) for id, position in connection.execute(query))
        return found

    def streams(self) -> list[str]:
        """Return the name of every stream that holds events: one look into the index for each."""
        # Not SELECT DISTINCT, which reads the whole index.
        query = (
            "WITH RECURSIVE found(name) AS (SELECT MIN(stream) FROM events UNION ALL "
            "SELECT (SELECT MIN(stream) FROM events WHERE stream > name) FROM found WHERE name IS NOT NULL) "
            "SELECT name FROM found WHERE name IS NOT NULL"
        )
        with self.store.read() as connection:
            return [str(name) for name in connection.execute(sql.text(query)).scalars()]

    def described(self, stream: str) -> dict[str, Any]:
        """Return bounds and groups of a stream."""
        with self.store.read() as connection:
            bounds = connection.execute(sql.select(_STREAMS).where(_STREAMS.c.stream == stream)).mappings().first()
            groups = connection.execute(sql.select(_GROUPS).where(_GROUPS.c.stream == stream)).mappings().all()
            lent = connection.execute(sql.select(_DELIVERIES).where(_DELIVERIES.c.stream == stream)).mappings().all()
        held: dict[str, int] = {}
        for row in lent:
            held[row["consumers"]] = held.get(row["consumers"], 0) + len(json.loads(row["positions"]))
        told = [
            {"name": row["name"], "position": row["position"], "unacknowledged": held.get(row["name"], 0)}
            for row in groups
        ]
        named = ("limit_events", "limit_bytes", "events", "bytes")
        return {"limits": {name: bounds[name] for name in named} if bounds else None, "groups": told}

    def lock_stream(self, connection: Connection, stream: str) -> None:
        """Make writers of one stream take turns: a reader that saw a position must never miss a lower one."""
        if not self.sqlite:
            connection.execute(sql.select(sql.func.pg_advisory_xact_lock(sql.func.hashtext(stream))))

    def after(self, connection: Connection, stream: str, after: int, limit: int) -> list[Event]:
        """Return up to `limit` events after a position."""
        rows = self._after(connection, {"stream": stream, "after": after, "limit": limit})
        return [event_of(row) for row in rows.fetchall()]

    def at(self, connection: Connection, stream: str, positions: Sequence[int]) -> list[Event]:
        """Return the events at some positions, those that are still there."""
        wanted = set(positions)
        rows = self._between(connection, {"stream": stream, "first": min(wanted), "final": max(wanted)})
        return [event_of(row) for row in rows if row[6] in wanted]

    def last_position(self, connection: Connection, stream: str) -> int:
        """Return the position of the newest event of a stream, or 0."""
        return int(self._last(connection, {"stream": stream}).fetchone()[0] or 0)

    def recount(self, connection: Connection, stream: str) -> None:
        """Count a bounded stream anew."""
        held = sql.select(sql.func.count(), sql.func.coalesce(sql.func.sum(_SIZE), 0)).where(_EVENTS.c.stream == stream)
        events, size = connection.execute(held).one()
        query = sql.update(_STREAMS).where(_STREAMS.c.stream == stream)
        connection.execute(query.values(events=int(events), bytes=int(size)))

    def needed_from(self, connection: Connection, stream: str, otherwise: int) -> int:
        """Return the first position that some group has not acknowledged."""
        query = sql.select(sql.func.min(_GROUPS.c.position)).where(_GROUPS.c.stream == stream)
        handed_out = connection.execute(query).scalar()
        open_ones = connection.execute(sql.select(_DELIVERIES.c.positions).where(_DELIVERIES.c.stream == stream))
        firsts = [min(json.loads(text)) for text in open_ones.scalars()]
        bounds: list[int] = [otherwise if handed_out is None else int(handed_out) + 1, *firsts]
        return min(bounds)


def event_of(row: Any) -> Event:
    """Return the event in a row of the log."""
    id, type, source, time, data, subject, position = row
    return Event(id, type, source, datetime.fromtimestamp(time, UTC), _decode(data)[0], subject, position)
