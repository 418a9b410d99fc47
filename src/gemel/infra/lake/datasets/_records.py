"""What the journal keeps of datasets: one row each, with digests, members and replicas beside it."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from gemel.base.clock import iso
from gemel.base.errors import Conflict, not_found
from gemel.base.ids import new_id
from gemel.infra.lake.datasets._hashing import Seen
from gemel.infra.lake.datasets._names import Name
from gemel.infra.lake.storages import Journal

RANKS = {"file": 0, "dataset": 1, "container": 2}
ARRIVING, HERE, LEAVING, BAD = "arriving", "here", "leaving", "bad"


@dataclass(frozen=True)
class Digest:
    """A digest in hexadecimal and where it is from: `stream` (computed as the bytes passed), `storage`, `given`."""

    value: str
    origin: str


@dataclass(frozen=True)
class Replica:
    """One copy of a file: on which storage, under which path, in which state."""

    id: str
    name: Name
    storage: str
    path: str
    state: str
    verified: float | None = None


@dataclass(frozen=True)
class Record:
    """What is known of a file, a dataset or a container.

    Attributes:
        name: Its name.
        kind: `file`, `dataset` or `container`.
        state: `verified` once its bytes were read whole and agreed with its digests, else `unverified`.
        size: Bytes of a file.
        licence: As SPDX names it.
        expires: Seconds since 1970-01-01 UTC; None for ever.
        metadata: JSON members.
        created: Seconds since 1970-01-01 UTC.
        digests: By algorithm.
        members: Names of what it holds.
        replicas: Copies that are whole.
    """

    name: Name
    kind: str
    state: str
    size: int | None = None
    licence: str | None = None
    expires: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created: float = 0.0
    digests: Mapping[str, Digest] = field(default_factory=dict)
    members: tuple[Name, ...] = ()
    replicas: tuple[Replica, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        digests = {name: {"value": item.value, "origin": item.origin} for name, item in self.digests.items()}
        shown = [{"storage": item.storage, "path": item.path, "state": item.state} for item in self.replicas]
        facts: dict[str, Any] = {"name": str(self.name), "kind": self.kind, "state": self.state, "size": self.size}
        facts |= {"licence": self.licence, "expires": _told(self.expires), "metadata": dict(self.metadata)}
        members = [str(member) for member in self.members]
        return facts | {"created": _told(self.created), "digests": digests, "members": members, "replicas": shown}


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

    def all(self, name: Name | None = None) -> list[Record]:
        """Return every record, or the one called `name`, in the order of names."""
        with self.journal.read() as connection:
            rows = self._rows(connection, self._datasets, name)
            digests: dict[Name, dict[str, Digest]] = defaultdict(dict)
            for row in self._rows(connection, self._digests, name):
                digests[_name(row)][row["algorithm"]] = Digest(row["value"], row["origin"])
            members: dict[Name, list[Name]] = defaultdict(list)
            for row in self._rows(connection, self._members, name):
                members[_name(row)].append(Name(row["member_scope"], row["member_name"]))
            replicas: dict[Name, list[Replica]] = defaultdict(list)
            for row in self._rows(connection, self._replicas, name):
                if row["state"] in (HERE, BAD):
                    replicas[_name(row)].append(_replica(row))
        return [_record(row, digests[_name(row)], members[_name(row)], replicas[_name(row)]) for row in rows]

    def get(self, name: Name) -> Record:
        """Return the record called `name`.

        Raises:
            NotFound: There is none.
        """
        found = self.all(name)
        if not found:
            raise not_found("dataset", str(name), [str(item.name) for item in self.all()], command="gemel data find")
        return found[0]

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

    def touch(self, replica: Replica) -> None:
        """Note that somebody is still writing a replica."""
        with self.journal.write() as connection:
            connection.execute(self._of(replica).values(touched=time.time()))

    def mark(self, replicas: Iterable[Replica], state: str, verified: float | None = None) -> None:
        """Set the state of replicas."""
        with self.journal.write() as connection:
            for replica in replicas:
                connection.execute(self._of(replica).values(state=state, verified=verified, touched=time.time()))

    def create(self, record: Record, replica: Replica | None = None) -> None:
        """Keep a new record, and let its first replica be there, in one step.

        Raises:
            Conflict: There is one of that name.
        """
        row = {"scope": record.name.scope, "name": record.name.name}
        facts: dict[str, Any] = {
            "kind": record.kind,
            "state": record.state,
            "size": record.size,
            "licence": record.licence,
        }
        facts |= {"expires": record.expires, "metadata": json.dumps(dict(record.metadata)), "created": time.time()}
        try:
            with self.journal.write() as connection:
                connection.execute(sql.insert(self._datasets), row | facts)
                self._put_digests(connection, record.name, record.digests)
                if replica is not None:
                    verified = time.time() if record.state == "verified" else None
                    connection.execute(self._of(replica).values(state=HERE, verified=verified))
        except sql.exc.IntegrityError as error:
            raise taken(record.name) from error

    def settle(self, name: Name, seen: Seen, arrived: Sequence[Replica] = (), leaving: Sequence[Replica] = ()) -> None:
        """Note, in one step, that bytes were read and found right, which replicas are there, and which are to go."""
        known = self.get(name).digests
        fresh = {key: Digest(value, "stream") for key, value in seen.digests.items() if key not in known}
        with self.journal.write() as connection:
            chosen = sql.update(self._datasets).where(*_called(self._datasets, name))
            connection.execute(chosen.values(state="verified", size=seen.size))
            self._put_digests(connection, name, fresh)
            for replica in arrived:
                connection.execute(self._of(replica).values(state=HERE, verified=time.time()))
            for replica in leaving:
                connection.execute(self._of(replica).values(state=LEAVING))

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

    def remove(self, name: Name) -> None:
        """Forget a record; its replicas are to go."""
        member = (self._members.c.member_scope == name.scope, self._members.c.member_name == name.name)
        with self.journal.write() as connection:
            for table in (self._datasets, self._digests, self._members):
                connection.execute(sql.delete(table).where(*_called(table, name)))
            connection.execute(sql.delete(self._members).where(*member))
            chosen = sql.update(self._replicas).where(*_called(self._replicas, name))
            connection.execute(chosen.values(state=LEAVING))

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

    def _rows(self, connection: Connection, table: sql.Table, name: Name | None) -> Sequence[Any]:
        chosen = sql.select(table).order_by(table.c.scope, table.c.name)
        chosen = chosen if name is None else chosen.where(*_called(table, name))
        return connection.execute(chosen).mappings().all()

    def _of(self, replica: Replica) -> Any:
        return sql.update(self._replicas).where(self._replicas.c.id == replica.id)

    def _put_digests(self, connection: Connection, name: Name, digests: Mapping[str, Digest]) -> None:
        for algorithm, item in digests.items():
            row = {"scope": name.scope, "name": name.name, "algorithm": algorithm}
            connection.execute(sql.insert(self._digests), row | {"value": item.value, "origin": item.origin})


def taken(name: Name) -> Conflict:
    """Return the error for a name that is in use."""
    hint = f"Datasets are never overwritten: choose another name, or gemel data remove {name}"
    return Conflict(f"There is a dataset '{name}' already.", hint=hint, name=str(name))


def _called(table: sql.Table, name: Name) -> tuple[Any, Any]:
    return table.c.scope == name.scope, table.c.name == name.name


def _name(row: Any) -> Name:
    return Name(row["scope"], row["name"])


def _replica(row: Any) -> Replica:
    return Replica(row["id"], _name(row), row["storage"], row["path"], row["state"], row["verified"])


def _record(row: Any, digests: dict[str, Digest], members: list[Name], replicas: list[Replica]) -> Record:
    facts = {key: row[key] for key in ("kind", "state", "size", "licence", "expires", "created")}
    document = json.loads(row["metadata"])
    return Record(
        _name(row), metadata=document, digests=digests, members=tuple(members), replicas=tuple(replicas), **facts
    )


def _told(seconds: float | None) -> str | None:
    return None if seconds is None else iso(datetime.fromtimestamp(seconds, UTC))
