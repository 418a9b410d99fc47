"""Watched folders and buckets in the journal: what is followed, and what was seen of each."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sql

from gemel.base.clock import iso
from gemel.base.errors import InvalidInput, not_found
from gemel.base.ids import new_id
from gemel.infra.lake.datasets import Name
from gemel.infra.lake.storages import Journal, checked_path

SEEN, TAKEN, REFUSED = "seen", "taken", "refused"


@dataclass(frozen=True)
class Watch:
    """A folder or bucket that is followed.

    Attributes:
        id: Of the watch.
        storage: Where it is.
        prefix: Folder on the storage; empty for all.
        scope: Of the names that files get.
        pattern: Of the paths that count, such as `*.nc`.
        into: A dataset that files are added to, or None.
        licence: That files get, or None.
        created: Seconds since 1970-01-01 UTC.
        scanned: When it was last looked at.
        problem: Why it could not be looked at.
    """

    id: str
    storage: str
    prefix: str
    scope: str
    pattern: str = "*"
    into: str | None = None
    licence: str | None = None
    created: float = field(default_factory=time.time)
    scanned: float | None = None
    problem: str | None = None

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        last = None if self.scanned is None else iso(datetime.fromtimestamp(self.scanned, UTC))
        shown: dict[str, Any] = {"id": self.id, "storage": self.storage, "prefix": self.prefix, "scope": self.scope}
        shown |= {"pattern": self.pattern, "into": self.into, "licence": self.licence}
        return shown | {"scanned": last, "problem": self.problem}


@dataclass(frozen=True)
class Sighting:
    """One version of one file that was seen: whether it is waited for, taken or refused, and its name."""

    path: str
    version: str
    state: str
    seen: float
    name: str | None


class Watches:
    """Watches in the journal.

    Args:
        journal: The SQL store.
        tables: Its tables, by name.
    """

    def __init__(self, journal: Journal, tables: Mapping[str, sql.Table]) -> None:
        self._journal = journal
        self._table, self._files = tables["watches"], tables["watched_files"]

    def add(self, storage: str, prefix: str, scope: str, **options: str | None) -> Watch:
        """Return a new watch.

        Args:
            storage: Where.
            prefix: Folder there; empty for all.
            scope: Of the names that files get.
            **options: `pattern`, `into`, `licence`.

        Raises:
            InvalidInput: Folder, scope or dataset cannot be one.
        """
        folder = checked_path(prefix.rstrip("/")) if prefix.rstrip("/") else ""
        Name.parse(f"{scope}:x")
        if options.get("into"):
            Name.parse(str(options["into"]))
        given = {key: value for key, value in options.items() if value}
        unknown = given.keys() - {"pattern", "into", "licence"}
        if unknown:
            raise InvalidInput(f"A watch has no option '{min(unknown)}'.", hint="pattern, into, licence")
        watch = Watch(new_id("watch"), storage, folder, scope, **given)  # type: ignore[arg-type]
        row = {"id": watch.id, "storage": storage, "prefix": folder, "scope": scope, "created": watch.created}
        with self._journal.write() as connection:
            connection.execute(sql.insert(self._table), row | {"options": json.dumps(given)})
        return watch

    def list(self) -> list[Watch]:
        """Return all watches, the oldest first."""
        with self._journal.read() as connection:
            rows = connection.execute(sql.select(self._table).order_by(self._table.c.created)).mappings().all()
        return [_watch(row) for row in rows]

    def get(self, id: str) -> Watch:
        """Return the watch with an id.

        Raises:
            NotFound: There is none.
        """
        found = {watch.id: watch for watch in self.list()}
        if id not in found:
            raise not_found("watch", id, found, command="gemel data watch")
        return found[id]

    def remove(self, id: str) -> None:
        """Forget a watch; what it registered stays.

        Raises:
            NotFound: There is none.
        """
        self.get(id)
        with self._journal.write() as connection:
            connection.execute(sql.delete(self._files).where(self._files.c.watch == id))
            connection.execute(sql.delete(self._table).where(self._table.c.id == id))

    def scanned(self, watch: Watch, problem: str | None) -> None:
        """Note that a watch was looked at, and why it could not be."""
        with self._journal.write() as connection:
            chosen = sql.update(self._table).where(self._table.c.id == watch.id)
            connection.execute(chosen.values(scanned=time.time(), problem=problem))

    def sightings(self, watch: Watch) -> dict[tuple[str, str], Sighting]:
        """Return what was seen, by path and version."""
        columns = self._files.c
        with self._journal.read() as connection:
            rows = connection.execute(sql.select(self._files).where(columns.watch == watch.id)).mappings().all()
        found = [Sighting(row["path"], row["version"], row["state"], row["seen"], row["name"]) for row in rows]
        return {(item.path, item.version): item for item in found}

    def note(self, watch: Watch, sighting: Sighting) -> None:
        """Note what was seen of a file."""
        row = {"watch": watch.id, "path": sighting.path, "version": sighting.version}
        same = [self._files.c[key] == value for key, value in row.items()]
        values = {"state": sighting.state, "seen": sighting.seen, "name": sighting.name}
        with self._journal.write() as connection:
            if not connection.execute(sql.update(self._files).where(*same).values(values)).rowcount:
                connection.execute(sql.insert(self._files), row | values)


def _watch(row: Any) -> Watch:
    facts = {key: row[key] for key in ("id", "storage", "prefix", "scope", "created", "scanned", "problem")}
    return Watch(**facts, **json.loads(row["options"]))
