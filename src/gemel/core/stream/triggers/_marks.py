"""What triggers leave in the journal: how far each has looked, and those that were added at run time."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from gemel.base.errors import Conflict, not_found
from gemel.infra.store import Store, schema

_MARKS, _TRIGGERS = schema.trigger_marks, schema.triggers


class Marks:
    """How far each trigger has looked, and what it remembers: a JSON document per twin and trigger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self, twin: str, trigger: str) -> dict[str, Any]:
        """Return what was saved last, empty at first."""
        query = sql.select(_MARKS.c.document).where(_MARKS.c.twin == twin, _MARKS.c.trigger == trigger)
        with self._store.read() as connection:
            text = connection.execute(query).scalar()
        return {} if text is None else dict(json.loads(text))

    def save(self, twin: str, trigger: str, document: Mapping[str, Any], connection: Connection | None = None) -> None:
        """Keep the document: durable when this returns, or with the caller's transaction when given its `connection`."""
        row = {"twin": twin, "trigger": trigger, "document": json.dumps(dict(document), allow_nan=False)}
        insert = self._store.insert(_MARKS)
        changed = {"document": insert.excluded.document}
        statement = insert.on_conflict_do_update(index_elements=["twin", "trigger"], set_=changed)
        if connection is not None:
            connection.execute(statement, row)
            return
        with self._store.write() as own:
            own.execute(statement, row)

    def forget(self, twin: str, trigger: str | None = None) -> None:
        """Remove the mark of a trigger, or of all of a twin: it begins anew."""
        query = sql.delete(_MARKS).where(_MARKS.c.twin == twin)
        with self._store.write() as connection:
            connection.execute(query if trigger is None else query.where(_MARKS.c.trigger == trigger))


@dataclass(frozen=True)
class StoredTrigger:
    """A trigger that was added while the engine ran.

    Attributes:
        twin: Name of its twin.
        name: Its own.
        document: What it watches and what it runs, as a table of `twin.toml` says it.
        created: When it was added.
    """

    twin: str
    name: str
    document: Mapping[str, Any]
    created: datetime


class StoredTriggers:
    """The triggers that were added at run time."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, twin: str, name: str, document: Mapping[str, Any]) -> StoredTrigger:
        """Return the new trigger.

        Raises:
            Conflict: The twin has one of this name.
        """
        row = {"twin": twin, "name": name, "document": json.dumps(dict(document)), "created": time.time()}
        with self._store.write() as connection:
            if not connection.execute(self._store.insert(_TRIGGERS).on_conflict_do_nothing(), row).rowcount:
                message = f"The twin '{twin}' has a trigger '{name}' already."
                raise Conflict(message, hint="Choose another name, or remove it first.", twin=twin, trigger=name)
        return _trigger(row)

    def list(self, twin: str | None = None) -> list[StoredTrigger]:
        """Return the triggers of a twin, or of all, by twin and name."""
        query = sql.select(_TRIGGERS).order_by(_TRIGGERS.c.twin, _TRIGGERS.c.name)
        with self._store.read() as connection:
            rows = connection.execute(query if twin is None else query.where(_TRIGGERS.c.twin == twin)).mappings()
            return [_trigger(row) for row in rows]

    def get(self, twin: str, name: str) -> StoredTrigger:
        """Return one trigger; raise `NotFound` when there is no such."""
        query = sql.select(_TRIGGERS).where(_TRIGGERS.c.twin == twin, _TRIGGERS.c.name == name)
        with self._store.read() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            raise self._missing(twin, name)
        return _trigger(row)

    def remove(self, twin: str, name: str) -> None:
        """Remove a trigger with its mark; raise `NotFound` when there is no such."""
        with self._store.write() as connection:
            query = sql.delete(_TRIGGERS).where(_TRIGGERS.c.twin == twin, _TRIGGERS.c.name == name)
            removed = connection.execute(query).rowcount
            connection.execute(sql.delete(_MARKS).where(_MARKS.c.twin == twin, _MARKS.c.trigger == name))
        if not removed:
            raise self._missing(twin, name)

    def _missing(self, twin: str, name: str) -> Exception:
        return not_found("trigger", name, [trigger.name for trigger in self.list(twin)])


def _trigger(row: Mapping[Any, Any]) -> StoredTrigger:
    created = datetime.fromtimestamp(row["created"], UTC)
    return StoredTrigger(row["twin"], row["name"], json.loads(row["document"]), created)
