"""What the journal keeps of datasets: one row each, with digests, members and replicas beside it."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from gemel.base.errors import Conflict, not_found
from gemel.base.ids import new_id
from gemel.infra.lake.datasets._events import Outbox
from gemel.infra.lake.datasets._names import Name
from gemel.infra.lake.datasets._record import ARRIVING, BAD, HERE, LEAVING, Record, Replica
from gemel.infra.lake.storages import Journal
from gemel.infra.lake.transport import Arrived, Digest


class Records:
    """Datasets in the journal.

    Args:
        journal: The SQL store.
        tables: Its tables, by name.
    """

    def __init__(self, journal: Journal, tables: Mapping[str, sql.Table]) -> None:
        self.journal = journal
        self._datasets, self._digests = tables["datasets"], tables["dataset_digests"]
        self._members, self._replicas = tables["dataset_members"], tables["replicas"]
        self._outbox = Outbox(tables)

    def all(self, name: Name | None = None) -> list[Record]:
        """Return every record, or the one called `name`, in the order of names."""
        with self.journal.read() as connection:
            return self._loaded(connection, name)

    def get(self, name: Name) -> Record:
        """Return the record called `name`.

        Raises:
            NotFound: There is none.
        """
        found = self.all(name)
        if not found:
            raise not_found("dataset", str(name), [str(item.name) for item in self.all()], command="gemel data find")
        return found[0]

    def members(self) -> dict[Name, list[Name]]:
        """Return the members of every group, by its name."""
        found: dict[Name, list[Name]] = defaultdict(list)
        with self.journal.read() as connection:
            for row in self._rows(connection, self._members, None):
                found[_name(row)].append(Name(row["member_scope"], row["member_name"]))
        return found

    def expired(self, now: float) -> list[Name]:
        """Return the names of what was wanted only until before an instant."""
        chosen = sql.select(self._datasets.c.scope, self._datasets.c.name).where(self._datasets.c.expires < now)
        with self.journal.read() as connection:
            return [Name(*row) for row in connection.execute(chosen).all()]

    def exists(self, name: Name) -> bool:
        """Return whether there is a record."""
        with self.journal.read() as connection:
            return bool(self._rows(connection, self._datasets, name))

    def arriving(self, name: Name, storage: str, path: str | None = None) -> Replica:
        """Return a replica that is noted before its first byte is written, so that what a crash leaves is found."""
        id = new_id("replica")
        replica = Replica(id, name, storage, path or name.path(id.rpartition("-")[2]), ARRIVING)
        row = {"id": id, "scope": name.scope, "name": name.name, "storage": storage, "path": replica.path}
        with self.journal.write() as connection:
            connection.execute(sql.insert(self._replicas), row | {"state": ARRIVING, "touched": time.time()})
        return replica

    def awaited(self, id: str) -> Replica | None:
        """Return the replica with an id when it is still to arrive."""
        chosen = sql.select(self._replicas).where(self._replicas.c.id == id, self._replicas.c.state == ARRIVING)
        with self.journal.read() as connection:
            row = connection.execute(chosen).mappings().first()
        return None if row is None else _replica(row)

    def touch(self, replica: Replica) -> None:
        """Note that somebody is still writing a replica."""
        with self.journal.write() as connection:
            connection.execute(self._of(replica).values(touched=time.time()))

    def mark(self, replicas: Iterable[Replica], state: str) -> None:
        """Set the state of replicas."""
        with self.journal.write() as connection:
            for replica in replicas:
                connection.execute(self._of(replica).values(state=state, touched=time.time()))

    def found_good(self, replica: Replica) -> None:
        """Note that a replica was read whole just now."""
        with self.journal.write() as connection:
            connection.execute(self._of(replica).values(state=HERE, verified=time.time(), touched=time.time()))

    def found_bad(self, replica: Replica, reason: str, *, lost: bool) -> None:
        """Note that a replica is damaged or not there; `lost` when this was not known yet."""
        with self.journal.write() as connection:
            connection.execute(self._of(replica).values(state=BAD, verified=time.time(), touched=time.time()))
            if lost:
                self._outbox.note(connection, "lost", replica.name, replica.storage, reason=reason)

    def found_used(self, replica: Replica, before: float) -> None:
        """Note that a replica was read by somebody, unless that was noted since `before`."""
        column = self._replicas.c.used
        chosen = sql.select(column).where(self._replicas.c.id == replica.id)
        with self.journal.read() as connection:
            last = connection.execute(chosen).scalar()
        if last is None or last < before:
            with self.journal.write() as connection:
                connection.execute(self._of(replica).values(used=time.time()))

    def create(self, record: Record, replica: Replica | None = None) -> None:
        """Keep a new record, and let its first replica be there, in one step.

        Raises:
            Conflict: There is one of that name.
        """
        try:
            with self.journal.write() as connection:
                connection.execute(sql.insert(self._datasets), _row(record))
                self._put_digests(connection, record.name, record.digests)
                place = None if replica is None else replica.storage
                self._outbox.note(connection, "new", record.name, place, **_facts(record))
                if replica is not None:
                    verified = time.time() if record.state == "verified" else None
                    connection.execute(self._of(replica).values(state=HERE, verified=verified))
        except sql.exc.IntegrityError as error:
            raise taken(record.name) from error

    def enter(self, found: Sequence[tuple[Record, str, str]]) -> None:
        """Keep new records of files that lie under a path of a storage already, in one step.

        Raises:
            Conflict: There is one of that name.
        """
        if not found:
            return
        try:
            with self.journal.write() as connection:
                connection.execute(sql.insert(self._datasets), [_row(record) for record, _, _ in found])
                for record, _, _ in found:
                    self._put_digests(connection, record.name, record.digests)
                places = [(record.name, storage, path) for record, storage, path in found]
                connection.execute(sql.insert(self._replicas), [_replica_row(*place) for place in places])
                self._outbox.note_all(
                    connection, "new", [(record.name, storage, _facts(record)) for record, storage, _ in found]
                )
        except sql.exc.IntegrityError as error:
            raise taken(found[0][0].name) from error

    def names(self, scope: str) -> set[Name]:
        """Return every name of a scope."""
        chosen = sql.select(self._datasets.c.name).where(self._datasets.c.scope == scope)
        with self.journal.read() as connection:
            return {Name(scope, row[0]) for row in connection.execute(chosen)}

    def settle(
        self, name: Name, seen: Arrived, arrived: Sequence[Replica] = (), leaving: Sequence[Replica] = ()
    ) -> None:
        """Note, in one step, that bytes were read and found right, which replicas are there, and which are to go."""
        with self.journal.write() as connection:
            found = self._loaded(connection, name, locked=True)
            if not found:
                raise not_found("dataset", str(name), (), command="gemel data find")
            known = found[0]
            if known.state != "verified" or known.size != seen.size:
                chosen = sql.update(self._datasets).where(*_called(self._datasets, name))
                connection.execute(chosen.values(state="verified", size=seen.size))
                self._outbox.note(connection, "verified", name, size=seen.size)
            self._put_digests(connection, name, {key: seen.digests[key] for key in seen.digests.keys() - known.digests})
            self._confirm(connection, known, seen.confirmed)
            for replica in arrived:
                self._let_in(connection, known, replica, {item.id for item in leaving})
                self._outbox.note(connection, "changed", name, replica.storage, change="copied", way=seen.way)
            for replica in leaving:
                connection.execute(self._of(replica).values(state=LEAVING))
                self._outbox.note(connection, "changed", name, replica.storage, change="dropped")

    def drop(self, name: Name, replicas: Iterable[Replica]) -> None:
        """Let replicas go: their files are removed by the next sweep."""
        with self.journal.write() as connection:
            for replica in replicas:
                connection.execute(self._of(replica).values(state=LEAVING))
                self._outbox.note(connection, "changed", name, replica.storage, change="dropped")

    def spare(self, name: Name, replica: Replica) -> bool:
        """Return whether a replica was let go: only where another whole one stays, both seen in one step."""
        with self.journal.write() as connection:
            known = self._loaded(connection, name, locked=True)
            if not any(item.id != replica.id and item.state == HERE for found in known for item in found.replicas):
                return False
            connection.execute(self._of(replica).values(state=LEAVING))
            self._outbox.note(connection, "changed", name, replica.storage, change="dropped")
        return True

    def unsettle(self, name: Name) -> None:
        """Note that no replica is known to be right."""
        with self.journal.write() as connection:
            chosen = sql.update(self._datasets).where(*_called(self._datasets, name))
            connection.execute(chosen.values(state="unverified"))

    def attach(self, name: Name, members: Iterable[Name]) -> None:
        """Add members; those that are there already stay."""
        present = set(self.get(name).members)
        with self.journal.write() as connection:
            for member in dict.fromkeys(members):
                if member not in present:
                    row = {"member_scope": member.scope, "member_name": member.name}
                    connection.execute(sql.insert(self._members), row | {"scope": name.scope, "name": name.name})
                    self._outbox.note(connection, "changed", name, change="member", member=str(member))

    def remove(self, name: Name) -> None:
        """Forget a record; its replicas are to go."""
        member = (self._members.c.member_scope == name.scope, self._members.c.member_name == name.name)
        with self.journal.write() as connection:
            for table in (self._datasets, self._digests, self._members):
                connection.execute(sql.delete(table).where(*_called(table, name)))
            connection.execute(sql.delete(self._members).where(*member))
            chosen = sql.update(self._replicas).where(*_called(self._replicas, name))
            connection.execute(chosen.values(state=LEAVING))
            self._outbox.note(connection, "removed", name)

    def forget(self, replica: Replica) -> None:
        """Forget a replica whose file is gone."""
        with self.journal.write() as connection:
            connection.execute(sql.delete(self._replicas).where(self._replicas.c.id == replica.id))

    def leftovers(self, before: float) -> list[Replica]:
        """Return replicas that are to go, and those that nobody has written to since `before`."""
        state, touched = self._replicas.c.state, self._replicas.c.touched
        stale = sql.and_(state == ARRIVING, touched < before)
        with self.journal.read() as connection:
            rows = connection.execute(sql.select(self._replicas).where(sql.or_(state == LEAVING, stale))).mappings()
            return [_replica(row) for row in rows.all()]

    def _loaded(self, connection: Connection, name: Name | None, *, locked: bool = False) -> list[Record]:
        rows = self._rows(connection, self._datasets, name, locked=locked)
        digests: dict[Name, dict[str, Digest]] = defaultdict(dict)
        for row in self._rows(connection, self._digests, name):
            digests[_name(row)][row["algorithm"]] = Digest(row["value"], row["origin"], row["confirmed"])
        members: dict[Name, list[Name]] = defaultdict(list)
        for row in self._rows(connection, self._members, name):
            members[_name(row)].append(Name(row["member_scope"], row["member_name"]))
        replicas: dict[Name, list[Replica]] = defaultdict(list)
        for row in self._rows(connection, self._replicas, name):
            if row["state"] in (HERE, BAD):
                replicas[_name(row)].append(_replica(row))
        return [_record(row, digests[_name(row)], members[_name(row)], replicas[_name(row)]) for row in rows]

    def _rows(
        self, connection: Connection, table: sql.Table, name: Name | None, *, locked: bool = False
    ) -> Sequence[Any]:
        chosen = sql.select(table).order_by(table.c.scope, table.c.name)
        chosen = chosen if name is None else chosen.where(*_called(table, name))
        # SQLite leaves the lock out, and does not need it: there is one writer at a time.
        return connection.execute(chosen.with_for_update() if locked else chosen).mappings().all()

    def _of(self, replica: Replica) -> Any:
        return sql.update(self._replicas).where(self._replicas.c.id == replica.id)

    def _let_in(self, connection: Connection, known: Record, replica: Replica, leaving: Collection[str]) -> None:
        others = [item for item in known.replicas if item.storage == replica.storage and item.id not in leaving]
        values = {"state": HERE, "verified": time.time(), "touched": time.time()}
        awaited = self._of(replica).where(self._replicas.c.state == ARRIVING)
        if others or not connection.execute(awaited.values(**values)).rowcount:
            message = f"Somebody else has brought '{known.name}' to storage '{replica.storage}' in the meantime."
            raise Conflict(message, hint="Nothing more is to be done.")

    def _confirm(self, connection: Connection, known: Record, algorithms: Iterable[str]) -> None:
        for algorithm in algorithms:
            digest = known.digests.get(algorithm)
            if digest is None or digest.confirmed is None:
                table = self._digests
                chosen = sql.update(table).where(*_called(table, known.name), table.c.algorithm == algorithm)
                connection.execute(chosen.values(confirmed=time.time()))

    def _put_digests(self, connection: Connection, name: Name, digests: Mapping[str, Digest]) -> None:
        for algorithm, item in digests.items():
            row = {"scope": name.scope, "name": name.name, "algorithm": algorithm}
            connection.execute(
                sql.insert(self._digests),
                row | {"value": item.value, "origin": item.origin, "confirmed": item.confirmed},
            )


def taken(name: Name) -> Conflict:
    """Return the error for a name that is in use."""
    hint = f"Datasets are never overwritten: choose another name, or gemel data remove {name}"
    return Conflict(f"There is a dataset '{name}' already.", hint=hint, name=str(name))


def _replica_row(name: Name, storage: str, path: str) -> dict[str, Any]:
    row = {"id": new_id("replica"), "scope": name.scope, "name": name.name, "storage": storage, "path": path}
    return row | {"state": HERE, "touched": time.time()}


def _row(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {"scope": record.name.scope, "name": record.name.name, "kind": record.kind}
    row |= {"state": record.state, "size": record.size, "licence": record.licence, "expires": record.expires}
    return row | {"metadata": json.dumps(dict(record.metadata)), "created": time.time()}


def _facts(record: Record) -> dict[str, Any]:
    digests = {name: item.value for name, item in record.digests.items()}
    return {"kind": record.kind, "size": record.size, "state": record.state, "digests": digests}


def _called(table: sql.Table, name: Name) -> tuple[Any, Any]:
    return table.c.scope == name.scope, table.c.name == name.name


def _name(row: Any) -> Name:
    return Name(row["scope"], row["name"])


def _replica(row: Any) -> Replica:
    return Replica(row["id"], _name(row), row["storage"], row["path"], row["state"], row["verified"], row["used"])


def _record(row: Any, digests: dict[str, Digest], members: list[Name], replicas: list[Replica]) -> Record:
    facts = {key: row[key] for key in ("kind", "state", "size", "licence", "expires", "created")}
    document = json.loads(row["metadata"])
    return Record(
        _name(row), metadata=document, digests=digests, members=tuple(members), replicas=tuple(replicas), **facts
    )
