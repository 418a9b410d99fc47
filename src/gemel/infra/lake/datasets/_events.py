"""What happened to datasets: noted in the transaction that made it happen, read in order by whoever follows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from gemel.base.clock import iso
from gemel.base.ids import new_id
from gemel.infra.lake.datasets._names import Name
from gemel.infra.lake.storages import Journal

#: A dataset is there; has another set of replicas or members; was read whole and agreed; lost a replica; is gone.
TYPES = ("new", "changed", "verified", "lost", "removed")
# Names of Amazon's S3 event notifications; `verified` has none there, and says whose it is.
_S3_NAMES = {
    "new": "ObjectCreated:Put",
    "changed": "ObjectCreated:Copy",
    "lost": "ReducedRedundancyLostObject",
    "removed": "ObjectRemoved:Delete",
    "verified": "gemel:DatasetVerified",
}


@dataclass(frozen=True)
class Happened:
    """One thing that happened to a dataset.

    Attributes:
        number: Its place in the order of all; grows, with gaps.
        id: Unique for ever.
        type: One of `new`, `changed`, `verified`, `lost`, `removed`.
        name: Of the dataset.
        storage: The replica's, when it is about one.
        time: Seconds since 1970-01-01 UTC.
        facts: JSON members: `size`, `digests`, `reason`, ….
    """

    number: int
    id: str
    type: str
    name: Name
    storage: str | None
    time: float
    facts: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        when = iso(datetime.fromtimestamp(self.time, UTC))
        shown = {"id": self.id, "type": self.type, "name": str(self.name), "storage": self.storage, "time": when}
        return shown | dict(self.facts)

    def records(self) -> dict[str, Any]:
        """Return it in the form of S3's event notifications (version 2.1): the scope is the bucket, the name the key.

        >>> happened = Happened(7, "event-1", "new", Name("fulda", "rain 1.nc"), "home", 0.0, {"size": 3})
        >>> happened.records()["Records"][0]["s3"]["object"]["key"]
        'rain+1.nc'
        """
        what: dict[str, Any] = {"key": quote_plus(self.name.name), "sequencer": f"{self.number:016X}"}
        what |= {"size": self.facts["size"]} if self.facts.get("size") is not None else {}
        place = {"s3SchemaVersion": "1.0", "bucket": {"name": self.name.scope}, "object": what}
        when = iso(datetime.fromtimestamp(self.time, UTC))
        name = _S3_NAMES[self.type]
        return {
            "Records": [
                {"eventVersion": "2.1", "eventSource": "gemel:lake", "eventTime": when, "eventName": name, "s3": place}
            ]
        }


class Outbox:
    """The table in which what happens is noted.

    Args:
        tables: Of the journal, by name.
    """

    def __init__(self, tables: Mapping[str, sql.Table]) -> None:
        self._table = tables["lake_events"]

    def note(self, connection: Connection, type: str, name: Name, storage: str | None = None, **facts: Any) -> None:
        """Note that something happened, in the transaction of `connection`."""
        self.note_all(connection, type, [(name, storage, facts)])

    def note_all(
        self, connection: Connection, type: str, happened: Iterable[tuple[Name, str | None, Mapping[str, Any]]]
    ) -> None:
        """Note that the same happened to several."""
        if connection.dialect.name == "postgresql":
            # Writers take turns, so that a reader who saw a number never misses a lower one.
            connection.execute(sql.select(sql.func.pg_advisory_xact_lock(sql.func.hashtext("lake_events"))))
        now = time.time()
        rows = [
            {"id": new_id("event"), "type": type, "scope": name.scope, "name": name.name, "storage": storage}
            | {"time": now, "document": json.dumps(dict(facts), sort_keys=True)}
            for name, storage, facts in happened
        ]
        connection.execute(sql.insert(self._table), rows)


class Changes:
    """What happened, in order.

    Args:
        journal: The SQL store.
        tables: Its tables, by name.
    """

    def __init__(self, journal: Journal, tables: Mapping[str, sql.Table]) -> None:
        self._journal, self._table = journal, tables["lake_events"]

    def after(self, number: int, limit: int = 1000, name: str | None = None) -> list[Happened]:
        """Return what happened after a number (to one dataset, where one is named), oldest first."""
        columns = self._table.c
        chosen = sql.select(self._table).where(columns.number > number)
        if name is not None:
            called = Name.parse(name)
            chosen = chosen.where(columns.scope == called.scope, columns.name == called.name)
        with self._journal.read() as connection:
            rows = connection.execute(chosen.order_by(columns.number).limit(limit)).mappings().all()
        return [_happened(row) for row in rows]

    def last(self) -> int:
        """Return the number of the latest event, 0 when nothing has happened yet."""
        with self._journal.read() as connection:
            return int(connection.execute(sql.select(sql.func.max(self._table.c.number))).scalar() or 0)

    def of(self, name: str, limit: int = 1000) -> list[Happened]:
        """Return what happened to one dataset, oldest first; also when it is gone."""
        called, columns = Name.parse(name), self._table.c
        chosen = sql.select(self._table).where(columns.scope == called.scope, columns.name == called.name)
        with self._journal.read() as connection:
            rows = connection.execute(chosen.order_by(columns.number).limit(limit)).mappings().all()
        return [_happened(row) for row in rows]


def _happened(row: Any) -> Happened:
    called = Name(row["scope"], row["name"])
    facts = json.loads(row["document"])
    return Happened(row["number"], row["id"], row["type"], called, row["storage"], row["time"], facts)
