"""Where storages stand and how full they are: site, tags, quota, and the bytes of replicas on each."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql

from gemel.base.errors import InvalidInput, StoreFull, not_found
from gemel.base.sizes import spoken_size
from gemel.infra.lake.storages._declared import HOME, Declaration, Journal

_WORD = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")


@dataclass(frozen=True)
class Standing:
    """Where a storage stands.

    Attributes:
        name: Of the storage.
        kind: Of the storage.
        site: Of the provider that runs it.
        tags: Words that rules choose storages by, such as `disk` or `tape`.
        quota: Bytes that datasets may take there; None for no limit.
        used: Bytes that replicas of datasets take there.
    """

    name: str
    kind: str
    site: str | None = None
    tags: tuple[str, ...] = ()
    quota: int | None = None
    used: int = 0

    @property
    def room(self) -> float:
        """Return how many bytes are left below the quota; infinite without one."""
        return float("inf") if self.quota is None else self.quota - self.used

    def document(self) -> dict[str, Any]:
        """Return it as JSON; sizes in bytes."""
        return {"site": self.site, "tags": list(self.tags), "quota": self.quota, "used": self.used}


class Standings:
    """What people say of storages beside how they are reached.

    Args:
        journal: The SQL store.
        tables: Its tables, by name.
        declared: Returns every declaration.
    """

    def __init__(
        self, journal: Journal, tables: Mapping[str, sql.Table], declared: Callable[[], Iterable[Declaration]]
    ) -> None:
        self._journal, self._declared = journal, declared
        self._table, self._replicas, self._datasets = tables["storages"], tables["replicas"], tables["datasets"]

    def all(self) -> dict[str, Standing]:
        """Return where every storage stands, by name."""
        with self._journal.read() as connection:
            rows = {row["name"]: row for row in connection.execute(sql.select(self._table)).mappings()}
            used = {row[0]: int(row[1]) for row in connection.execute(self._sizes())}
        return {item.name: _standing(item, rows.get(item.name), used.get(item.name, 0)) for item in self._declared()}

    def set(self, name: str, **facts: Any) -> Standing:
        """Return where a storage stands after some of `site`, `tags` and `quota` (bytes) were changed.

        Raises:
            NotFound: There is no such storage.
            InvalidInput: A word cannot be one, or the quota is negative.
        """
        declared = {item.name: item for item in self._declared()}
        if name not in declared:
            raise not_found("storage", name, declared, command="gemel data storages")
        for word in (*facts.get("tags", ()), *filter(None, [facts.get("site")])):
            if not _WORD.fullmatch(word):
                raise InvalidInput(f"{word[:80]!r} is no name of a site or tag.", hint="Letters a to z, digits, '.-_'.")
        if (facts.get("quota") or 0) < 0:
            raise InvalidInput("A quota is a number of bytes, 0 or more.")
        values = facts | ({"tags": json.dumps(list(facts["tags"]))} if "tags" in facts else {})
        with self._journal.write() as connection:
            changed = connection.execute(sql.update(self._table).where(self._table.c.name == name).values(**values))
            if not changed.rowcount and name == HOME:
                # The engine's own storage has no declaration of its own; this row says only where it stands.
                row = {"name": HOME, "kind": "local", "options": "{}", "created": time.time(), "tags": "[]"}
                connection.execute(sql.insert(self._table), row | values)
        return self.all()[name]

    def require_room(self, name: str, size: int | None) -> None:
        """Raise unless so many bytes more may lie on a storage.

        Raises:
            StoreFull: Its quota does not allow it.
        """
        chosen = sql.select(self._table.c.quota).where(self._table.c.name == name)
        with self._journal.read() as connection:
            quota = connection.execute(chosen).scalar()
            if quota is None:
                return
            taken = connection.execute(self._sizes().where(self._replicas.c.storage == name)).first()
        used = int(taken[1]) if taken else 0
        if used + (size or 0) > quota:
            message = f"Storage '{name}' may hold {spoken_size(quota)}, and {spoken_size(used)} lie there"
            hint = f"gemel data reclaim {name}, or name another storage."
            raise StoreFull(f"{message}: {spoken_size(size or 0)} more do not fit.", hint=hint, storage=name)

    def _sizes(self) -> Any:
        replicas, datasets = self._replicas.c, self._datasets.c
        same = sql.and_(replicas.scope == datasets.scope, replicas.name == datasets.name)
        total = sql.func.coalesce(sql.func.sum(datasets.size), 0)
        return (
            sql.select(replicas.storage, total)
            .join_from(self._replicas, self._datasets, same)
            .group_by(replicas.storage)
        )


def _standing(item: Declaration, row: Any, used: int) -> Standing:
    if row is None:
        return Standing(item.name, item.kind, used=used)
    return Standing(item.name, item.kind, row["site"], tuple(json.loads(row["tags"])), row["quota"], used)
