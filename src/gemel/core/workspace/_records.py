"""Rows that belong to somebody: added, listed, changed and removed by owner and id, JSON columns as Python values."""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sql

from gemel.base.errors import NotFound
from gemel.infra.store import Store

Row = dict[str, Any]


class Records:
    """One table whose rows have `owner`, `id`, `created` and `updated`.

    Args:
        store: The SQL store.
        table: Its table.
        kind: What a row is called in messages.
        documents: Columns that hold JSON.
    """

    def __init__(self, store: Store, table: sql.Table, kind: str, documents: Collection[str]) -> None:
        self._store = store
        self._table = table
        self._kind = kind
        self._documents = frozenset(documents)

    def put(self, owner: str, id: str, values: Mapping[str, Any]) -> bool:
        """Return whether the row is new after adding or replacing it."""
        now = time.time()
        row = {"owner": owner, "id": id, "created": now, "updated": now, **self._encoded(values)}
        keys = [column.name for column in self._table.primary_key]
        replaced = {name: value for name, value in row.items() if name not in (*keys, "created")}
        insert = self._store.insert(self._table)
        with self._store.write() as connection:
            known = connection.execute(sql.select(self._table.c.id).where(*self._is(owner, id))).first()
            connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=replaced), row)
        return known is None

    def get(self, owner: str, id: str) -> Row:
        """Return one row.

        Raises:
            NotFound: The owner has none with this id.
        """
        with self._store.read() as connection:
            row = connection.execute(sql.select(self._table).where(*self._is(owner, id))).mappings().first()
        if row is None:
            raise NotFound(f"There is no {self._kind} '{id}'.", kind=self._kind, name=id)
        return self._decoded(dict(row))

    def list(self, owner: str, limit: int | None = None, after: str | None = None) -> builtins.list[Row]:
        """Return the owner's rows, newest first; at most `limit`, beginning behind the one with the id `after`."""
        query = sql.select(self._table).where(self._table.c.owner == owner).order_by(self._table.c.id.desc())
        if after is not None:
            query = query.where(self._table.c.id < after)
        with self._store.read() as connection:
            rows = connection.execute(query.limit(limit)).mappings().all()
        return [self._decoded(dict(row)) for row in rows]

    def change(self, owner: str, id: str, values: Mapping[str, Any], *, touch: bool = True) -> None:
        """Change columns of a row; `touch` marks it as updated now.

        Raises:
            NotFound: The owner has none with this id.
        """
        encoded = self._encoded(values) | ({"updated": time.time()} if touch else {})
        with self._store.write() as connection:
            changed = connection.execute(sql.update(self._table).where(*self._is(owner, id)).values(**encoded))
        if not changed.rowcount:
            raise NotFound(f"There is no {self._kind} '{id}'.", kind=self._kind, name=id)

    def swap(self, owner: str, id: str, column: str, old: Any, new: Any) -> bool:
        """Return whether `column` was still `old` and is now `new`: of two who try at once, one succeeds."""
        place = self._table.c[column]
        same = place.is_(None) if old is None else place == old
        update = sql.update(self._table).where(*self._is(owner, id), same).values({column: new, "updated": time.time()})
        with self._store.write() as connection:
            return bool(connection.execute(update).rowcount)

    def remove(self, owner: str, id: str) -> None:
        """Remove a row.

        Raises:
            NotFound: The owner has none with this id.
        """
        with self._store.write() as connection:
            removed = connection.execute(sql.delete(self._table).where(*self._is(owner, id)))
        if not removed.rowcount:
            raise NotFound(f"There is no {self._kind} '{id}'.", kind=self._kind, name=id)

    def _is(self, owner: str, id: str) -> tuple[sql.ColumnElement[bool], sql.ColumnElement[bool]]:
        return self._table.c.owner == owner, self._table.c.id == id

    def _encoded(self, values: Mapping[str, Any]) -> Row:
        return {name: json.dumps(value) if name in self._documents else value for name, value in values.items()}

    def _decoded(self, row: Mapping[str, Any]) -> Row:
        return {name: json.loads(value) if name in self._documents else value for name, value in row.items()}
