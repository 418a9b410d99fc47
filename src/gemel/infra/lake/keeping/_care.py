"""Looking after copies: their presence often, every byte of them seldom; what is wrong is made good from what is right."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import sqlalchemy as sql

from gemel.base.errors import NotFound, StoreUnavailable
from gemel.infra.lake.datasets import Datasets, Finding, Name
from gemel.infra.lake.storages import Journal, Storages

_BATCH = 200
_PIECE_SECONDS = 0.25  # the scrubber rests so often at least, to keep below its rate


class Care:
    """Patrol and scrubber.

    Args:
        journal: The SQL store.
        tables: Its tables, by name.
        datasets: What is looked after.
        storages: Where it lies.
    """

    def __init__(
        self, journal: Journal, tables: Mapping[str, sql.Table], datasets: Datasets, storages: Storages
    ) -> None:
        self._journal, self._replicas, self._records = journal, tables["replicas"], tables["datasets"]
        self._datasets, self._storages = datasets, storages

    def patrol(self, seconds: float, limit: int = _BATCH) -> list[Finding]:
        """Return what was wrong among copies that nobody looked at for so long: their presence and size are checked.

        Storages that cannot be reached are left out; what is missing there shows when they are back.
        """
        found: list[Finding] = []
        away: set[str] = set()
        for id, name, storage, path, size, bad in self._unseen(seconds, limit):
            if storage in away:
                continue
            try:
                # What was found bad may be made good by now: its other copies may be within reach again.
                wrong = self._storages.get(storage).size(path) != size or bad
            except NotFound:
                wrong = True
            except (StoreUnavailable, PermissionError):
                away.add(storage)
                continue
            self._seen(id)
            if wrong:
                found += self._datasets.verify([str(name)])
        return found

    def scrub(self, seconds: float, budget: float, stopped: Callable[[], bool] = lambda: False) -> list[Finding]:
        """Return what reading copies whole showed, those first that were not read for the longest.

        Args:
            seconds: Copies read within so long are left alone.
            budget: Bytes to read at most, begun files excepted.
            stopped: Asked between files.
        """
        found: list[Finding] = []
        before, read = time.time() - seconds, 0.0
        while read < budget and not stopped():
            name, size = self._oldest(before)
            if name is None:
                break
            findings = self._datasets.verify([str(name)])
            found += findings
            read += (size or 0) * max(len(findings), 1)
            self._tried(name)
        return found

    def _unseen(self, seconds: float, limit: int) -> list[tuple[str, Name, str, str, int | None, bool]]:
        replicas, records = self._replicas.c, self._records.c
        same = sql.and_(replicas.scope == records.scope, replicas.name == records.name)
        columns = (
            replicas.id,
            replicas.scope,
            replicas.name,
            replicas.storage,
            replicas.path,
            records.size,
            replicas.state,
        )
        chosen = sql.select(*columns).join_from(self._replicas, self._records, same)
        chosen = chosen.where(replicas.state.in_(("here", "bad")), replicas.touched < time.time() - seconds)
        with self._journal.read() as connection:
            rows = connection.execute(chosen.order_by(replicas.touched).limit(limit)).all()
        return [(row[0], Name(row[1], row[2]), row[3], row[4], row[5], row[6] == "bad") for row in rows]

    def _seen(self, id: str) -> None:
        with self._journal.write() as connection:
            chosen = sql.update(self._replicas).where(self._replicas.c.id == id)
            connection.execute(chosen.values(touched=time.time()))

    def _oldest(self, before: float) -> tuple[Name | None, int | None]:
        replicas, records = self._replicas.c, self._records.c
        same = sql.and_(replicas.scope == records.scope, replicas.name == records.name)
        last = sql.func.coalesce(replicas.verified, 0.0)
        chosen = sql.select(replicas.scope, replicas.name, records.size).join_from(self._replicas, self._records, same)
        chosen = chosen.where(replicas.state.in_(("here", "bad")), last < before).order_by(last, replicas.id).limit(1)
        with self._journal.read() as connection:
            row = connection.execute(chosen).first()
        return (None, None) if row is None else (Name(row[0], row[1]), row[2])

    def _tried(self, name: Name) -> None:
        """Note that a file's copies were read, those that cannot be reached among them: others come first next time."""
        columns = self._replicas.c
        with self._journal.write() as connection:
            chosen = sql.update(self._replicas).where(columns.scope == name.scope, columns.name == name.name)
            connection.execute(chosen.values(verified=time.time()))
