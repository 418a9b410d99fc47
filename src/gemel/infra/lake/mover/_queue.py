"""The queue of transfers: kept in the journal, shared by all workers, each transfer held by one at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from gemel.base.clock import iso
from gemel.base.errors import not_found
from gemel.base.ids import new_id
from gemel.infra.lake.datasets import Name
from gemel.infra.lake.storages import Journal

QUEUED, RUNNING, DONE, FAILED, CANCELLED = STATES = ("queued", "running", "done", "failed", "cancelled")
OPEN = (QUEUED, RUNNING)


@dataclass(frozen=True)
class Transfer:
    """A file that is to have a replica on a storage.

    Attributes:
        id: Of the transfer.
        name: Of the file.
        storage: Where to.
        only: Whether other replicas go once it is there: a move.
        priority: Higher ones first.
        state: `queued`, `running`, `done`, `failed` or `cancelled`.
        cause: Who asked: `person`, or the id of a rule.
        created: Seconds since 1970-01-01 UTC, as all instants here.
        started: When it was last taken up.
        ended: When it ended.
        due: Not tried before this instant.
        attempts: How often it was taken up.
        worker: Who holds it.
        cancel: Whether it is to stop.
        source: The storage it came from.
        way: How it came.
        reason: Why that way.
        size: In bytes.
        moved: Bytes that have come.
        replica: Id of the replica it last wrote.
        error: Of the last attempt, as JSON text.
    """

    id: str
    name: Name
    storage: str
    only: bool
    priority: int
    state: str
    cause: str
    created: float
    started: float | None
    ended: float | None
    due: float
    attempts: int
    worker: str | None
    cancel: bool
    source: str | None
    way: str | None
    reason: str | None
    size: int | None
    moved: int
    replica: str | None
    error: str | None

    @property
    def bandwidth(self) -> float | None:
        """Return the bytes a second of the last attempt; None before there are any."""
        if self.started is None or not self.moved:
            return None
        return self.moved / max((self.ended or time.time()) - self.started, 1e-3)

    @property
    def message(self) -> str | None:
        """Return why the last attempt failed, in words."""
        return str(json.loads(self.error)["message"]) if self.error else None

    def document(self) -> dict[str, Any]:
        """Return it as JSON; sizes in bytes, bandwidth in bytes per second."""
        shown: dict[str, Any] = {"id": self.id, "name": str(self.name), "storage": self.storage, "only": self.only}
        shown |= {"state": self.state, "priority": self.priority, "cause": self.cause, "attempts": self.attempts}
        shown |= {name: _told(getattr(self, name)) for name in ("created", "started", "ended", "due")}
        shown |= {"source": self.source, "way": self.way, "reason": self.reason, "size": self.size}
        return shown | {"moved": self.moved, "bandwidth": self.bandwidth, "error": json.loads(self.error or "null")}


class Queue:
    """Transfers in the journal.

    Args:
        journal: The SQL store.
        tables: Its tables, by name.
    """

    def __init__(self, journal: Journal, tables: Mapping[str, sql.Table]) -> None:
        self._journal, self._table = journal, tables["transfers"]

    def add(self, wanted: Iterable[tuple[Name, int | None]], storage: str, **options: Any) -> list[Transfer]:
        """Return a transfer for each file and size; one that is open already is taken, with the higher priority.

        Args:
            wanted: Names of files and their sizes.
            storage: Where to.
            **options: `only`, `priority`, `cause`.
        """
        only, priority = bool(options.get("only")), int(options.get("priority", 0))
        cause = str(options.get("cause", "person"))
        with self._journal.write() as connection:
            ids = [self._added(connection, name, storage, (only, priority, cause), size) for name, size in wanted]
        return [self.get(id) for id in ids]

    def _added(
        self, connection: Connection, name: Name, storage: str, how: tuple[bool, int, str], size: int | None
    ) -> str:
        (only, priority, cause), columns = how, self._table.c
        same = (columns.scope == name.scope, columns.name == name.name, columns.storage == storage)
        chosen = sql.select(columns.id, columns.priority, columns.only).where(*same, columns.state.in_(OPEN))
        found = connection.execute(chosen.with_for_update()).mappings().first()
        if found is not None:
            values = {"priority": max(priority, found["priority"]), "only": only or found["only"]}
            connection.execute(sql.update(self._table).where(columns.id == found["id"]).values(values))
            return str(found["id"])
        id, now = new_id("transfer"), time.time()
        row: dict[str, Any] = {"id": id, "scope": name.scope, "name": name.name, "storage": storage, "only": only}
        row |= {"priority": priority, "state": QUEUED, "cause": cause, "created": now, "due": now, "attempts": 0}
        connection.execute(sql.insert(self._table), row | {"cancel": False, "size": size, "moved": 0})
        return id

    def get(self, id: str) -> Transfer:
        """Return the transfer with an id.

        Raises:
            NotFound: There is none.
        """
        with self._journal.read() as connection:
            row = connection.execute(sql.select(self._table).where(self._table.c.id == id)).mappings().first()
        if row is None:
            raise not_found("transfer", id, (), command="gemel data transfers")
        return _transfer(row)

    def list(
        self,
        states: Collection[str] = STATES,
        *,
        name: Name | None = None,
        cause: str | None = None,
        ids: Collection[str] | None = None,
        limit: int = 1000,
    ) -> list[Transfer]:
        """Return transfers in some states (of a file, for a cause, of these ids), the newest first."""
        columns = self._table.c
        chosen = sql.select(self._table).where(columns.state.in_(states))
        chosen = chosen if ids is None else chosen.where(columns.id.in_(ids))
        if name is not None:
            chosen = chosen.where(columns.scope == name.scope, columns.name == name.name)
        if cause is not None:
            chosen = chosen.where(columns.cause == cause)
        with self._journal.read() as connection:
            rows = connection.execute(chosen.order_by(columns.created.desc(), columns.id).limit(limit)).mappings().all()
        return [_transfer(row) for row in rows]

    def last(self, name: str, storage: str, cause: str) -> Transfer | None:
        """Return the newest transfer of a file to a storage for a cause, or None."""
        called, columns = Name.parse(name), self._table.c
        same = (columns.scope == called.scope, columns.name == called.name, columns.storage == storage)
        chosen = sql.select(self._table).where(*same, columns.cause == cause).order_by(columns.created.desc()).limit(1)
        with self._journal.read() as connection:
            row = connection.execute(chosen).mappings().first()
        return None if row is None else _transfer(row)

    def coming(self) -> dict[str, int]:
        """Return how many bytes open transfers will bring, by storage."""
        total = sql.func.coalesce(sql.func.sum(self._table.c.size), 0)
        chosen = sql.select(self._table.c.storage, total).where(self._table.c.state.in_(OPEN))
        with self._journal.read() as connection:
            return {row[0]: int(row[1]) for row in connection.execute(chosen.group_by(self._table.c.storage))}

    def claim(
        self, worker: str, lease: float, *, avoid: Collection[str] = (), ids: Sequence[str] | None = None
    ) -> Transfer | None:
        """Return the next transfer, now held by `worker`; None when nothing is due.

        One whose holder fell silent is taken over.

        Args:
            worker: Who takes it.
            lease: Seconds for which it is held without a sign of life.
            avoid: Storages that are busy, or cannot be reached from here.
            ids: Only these.
        """
        now, columns = time.time(), self._table.c
        silent = sql.and_(columns.state == RUNNING, columns.lease_until < now)
        due = sql.and_(columns.state == QUEUED, columns.due <= now)
        chosen = sql.select(columns.id).where(sql.or_(due, silent), columns.storage.not_in(avoid))
        chosen = chosen if ids is None else chosen.where(columns.id.in_(ids))
        order = columns.priority.desc(), columns.due, columns.created, columns.id
        with self._journal.write() as connection:
            # Two workers of one database never wait for each other: what one is looking at, the other leaves out.
            first = chosen.order_by(*order).limit(1).with_for_update(skip_locked=True)
            id = connection.execute(first).scalar()
            if id is None:
                return None
            values = {"state": RUNNING, "worker": worker, "lease_until": now + lease, "started": now, "moved": 0}
            held = sql.update(self._table).where(columns.id == id)
            connection.execute(held.values(**values, attempts=columns.attempts + 1))
        return self.get(str(id))

    def beat(self, transfer: Transfer, lease: float, moved: int) -> bool:
        """Return whether a worker may go on: it still holds the transfer, and nobody wants it to stop."""
        columns = self._table.c
        with self._journal.write() as connection:
            chosen = self._held(transfer).values(lease_until=time.time() + lease, moved=moved)
            if not connection.execute(chosen).rowcount:
                return False
            return not connection.execute(sql.select(columns.cancel).where(columns.id == transfer.id)).scalar()

    def note(self, transfer: Transfer, **values: Any) -> bool:
        """Return whether the worker still held the transfer, of which `values` are noted."""
        with self._journal.write() as connection:
            return bool(connection.execute(self._held(transfer).values(**values)).rowcount)

    def end(self, transfer: Transfer, state: str, **values: Any) -> bool:
        """Return whether the worker still held the transfer, which has ended in `state`."""
        return self.note(transfer, state=state, ended=time.time(), lease_until=None, **values)

    def again(self, transfer: Transfer, seconds: float, error: str) -> bool:
        """Return whether the worker still held the transfer, which is to be tried again after some seconds."""
        return self.note(transfer, state=QUEUED, due=time.time() + seconds, lease_until=None, error=error)

    def cancel(self, id: str) -> Transfer:
        """Return a transfer that is cancelled, or will be as soon as its worker looks up.

        Raises:
            NotFound: There is none.
        """
        columns = self._table.c
        with self._journal.write() as connection:
            waiting = sql.update(self._table).where(columns.id == id, columns.state == QUEUED)
            connection.execute(waiting.values(state=CANCELLED, ended=time.time()))
            running = sql.update(self._table).where(columns.id == id, columns.state == RUNNING)
            connection.execute(running.values(cancel=True))
        return self.get(id)

    def forget(self, before: float) -> int:
        """Return how many transfers that ended before an instant were forgotten."""
        with self._journal.write() as connection:
            return int(connection.execute(sql.delete(self._table).where(self._table.c.ended < before)).rowcount)

    def next_due(self, ids: Sequence[str] | None = None) -> float | None:
        """Return when the next queued transfer is due, or the next silent one may be taken; None when none is open."""
        columns = self._table.c
        when = sql.case((columns.state == QUEUED, columns.due), else_=columns.lease_until)
        chosen = sql.select(sql.func.min(when)).where(columns.state.in_(OPEN))
        chosen = chosen if ids is None else chosen.where(columns.id.in_(ids))
        with self._journal.read() as connection:
            found = connection.execute(chosen).scalar()
        return None if found is None else float(found)

    def _held(self, transfer: Transfer) -> Any:
        columns = self._table.c
        mine = (columns.worker == transfer.worker, columns.attempts == transfer.attempts, columns.state == RUNNING)
        return sql.update(self._table).where(columns.id == transfer.id, *mine)


def _transfer(row: Any) -> Transfer:
    facts = {key: row[key] for key in Transfer.__dataclass_fields__ if key != "name"}
    return Transfer(name=Name(row["scope"], row["name"]), **facts)


def _told(seconds: float | None) -> str | None:
    return None if seconds is None else iso(datetime.fromtimestamp(seconds, UTC))
