"""Replicas that lie on RSEs already: whose they are, and those that are found beside."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sql

from gemel.base.ids import new_id
from gemel.infra.lake.datasets import Name
from gemel.infra.lake.datasets._events import Outbox
from gemel.infra.lake.datasets._records import HERE
from gemel.infra.lake.rucio._facts import Did
from gemel.infra.lake.storages import Journal


class Lying:
    """Replicas in the journal, by where they lie.

    Args:
        journal: The SQL store.
        tables: Its tables, by name.
    """

    def __init__(self, journal: Journal, tables: Mapping[str, sql.Table]) -> None:
        self._journal, self._replicas = journal, tables["replicas"]
        self._outbox = Outbox(tables)

    def named(self, places: Mapping[Did, Sequence[tuple[str, str]]]) -> dict[Did, Name]:
        """Return the names of those of Rucio's files that have one here already; places are storage and path.

        Rucio knows a file that gemel itself wrote onto an RSE by the path that it was given there.
        """
        wanted = {place: did for did, found in places.items() for place in found}
        table = self._replicas.c
        chosen = sql.select(table.storage, table.path, table.scope, table.name)
        chosen = chosen.where(table.path.in_({path for _, path in wanted}), table.state == HERE)
        with self._journal.read() as connection:
            rows = connection.execute(chosen).all() if wanted else []
        return {wanted[row[0], row[1]]: Name(row[2], row[3]) for row in rows if (row[0], row[1]) in wanted}

    def found(self, places: Iterable[tuple[Name, str, str]]) -> None:
        """Note whole replicas of known files, each by storage and path; those that are noted stay as they are."""
        columns = self._replicas.c
        with self._journal.write() as connection:
            for name, storage, path in places:
                row = {"scope": name.scope, "name": name.name, "storage": storage, "path": path}
                same = sql.select(columns.id).where(*(columns[key] == value for key, value in row.items()))
                if connection.execute(same).first() is None:
                    row |= {"id": new_id("replica"), "state": HERE}
                    connection.execute(sql.insert(self._replicas), row | {"touched": time.time()})
                    self._outbox.note(connection, "changed", name, storage, change="found")
