"""Rules: how many copies of a dataset there are to be, and where."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sql

from gemel.base.clock import iso
from gemel.base.errors import InvalidInput, not_found
from gemel.base.ids import new_id
from gemel.infra.lake.datasets import Name
from gemel.infra.lake.storages import Journal

_MOST_COPIES = 20
OK, COPYING, STUCK, NEW = "ok", "copying", "stuck", "new"


@dataclass(frozen=True)
class Where:
    """Which storages a rule allows, and what it asks of them together.

    Attributes:
        near: Sites, of each of which one storage must hold a copy.
        tags: Words that every storage must have.
        storages: Names of those allowed; empty for all.
        apart: Whether no two copies may be at one site.
    """

    near: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    storages: tuple[str, ...] = ()
    apart: bool = False


@dataclass(frozen=True)
class Rule:
    """So many copies of a dataset, in such places.

    Attributes:
        id: Of the rule.
        name: Of the file, dataset or container; a group's later members are meant too.
        copies: How many.
        where: On which storages.
        priority: Of the transfers that it needs.
        created: Seconds since 1970-01-01 UTC.
        expires: After it copies may go again; None for never.
        state: `new`, `ok`, `copying`, or `stuck`.
        reason: Why it is stuck.
    """

    id: str
    name: Name
    copies: int
    where: Where
    priority: int = 0
    created: float = 0.0
    expires: float | None = None
    state: str = NEW
    reason: str | None = None

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        until = None if self.expires is None else iso(datetime.fromtimestamp(self.expires, UTC))
        shown = {"id": self.id, "name": str(self.name), "copies": self.copies, "priority": self.priority}
        places = {"near": list(self.where.near), "tags": list(self.where.tags), "storages": list(self.where.storages)}
        shown |= places | {"apart": self.where.apart, "expires": until}
        return shown | {"state": self.state, "reason": self.reason}


class Rules:
    """Rules in the journal.

    Args:
        journal: The SQL store.
        tables: Its tables, by name.
    """

    def __init__(self, journal: Journal, tables: Mapping[str, sql.Table]) -> None:
        self._journal, self._table = journal, tables["rules"]

    def add(
        self,
        name: str,
        copies: int,
        where: Where | None = None,
        *,
        lifetime: timedelta | None = None,
        priority: int = 0,
    ) -> Rule:
        """Return a new rule.

        Args:
            name: Of the dataset.
            copies: How many.
            where: On which storages; default any.
            lifetime: How long it holds; None for ever.
            priority: Of its transfers.

        Raises:
            InvalidInput: The number of copies cannot be, or is less than the number of sites.
        """
        places = where or Where()
        if not 1 <= copies <= _MOST_COPIES:
            raise InvalidInput(f"{copies} copies cannot be asked for.", hint=f"From 1 to {_MOST_COPIES}.")
        if len(set(places.near)) > copies:
            raise InvalidInput(f"{copies} copies cannot be near {len(set(places.near))} sites.")
        expires = None if lifetime is None else time.time() + lifetime.total_seconds()
        rule = Rule(new_id("rule"), Name.parse(name), copies, places, priority, time.time(), expires)
        with self._journal.write() as connection:
            connection.execute(sql.insert(self._table), _row(rule))
        return rule

    def list(self, name: str | None = None) -> list[Rule]:
        """Return all rules, or those of one name, the oldest first."""
        chosen = sql.select(self._table).order_by(self._table.c.created, self._table.c.id)
        if name is not None:
            called = Name.parse(name)
            chosen = chosen.where(self._table.c.scope == called.scope, self._table.c.name == called.name)
        with self._journal.read() as connection:
            return [_rule(row) for row in connection.execute(chosen).mappings().all()]

    def get(self, id: str) -> Rule:
        """Return the rule with an id.

        Raises:
            NotFound: There is none.
        """
        found = {rule.id: rule for rule in self.list()}
        if id not in found:
            raise not_found("rule", id, found, command="gemel data rules")
        return found[id]

    def note(self, rule: Rule, state: str, reason: str | None = None) -> None:
        """Note how a rule stands."""
        if (state, reason) != (rule.state, rule.reason):
            with self._journal.write() as connection:
                chosen = sql.update(self._table).where(self._table.c.id == rule.id)
                connection.execute(chosen.values(state=state, reason=reason))

    def remove(self, id: str) -> None:
        """Forget a rule; the copies that it made stay until their place is needed.

        Raises:
            NotFound: There is none.
        """
        self.get(id)
        with self._journal.write() as connection:
            connection.execute(sql.delete(self._table).where(self._table.c.id == id))

    def expire(self, now: float) -> None:
        """Forget the rules whose time is over."""
        with self._journal.write() as connection:
            connection.execute(sql.delete(self._table).where(self._table.c.expires < now))


def _row(rule: Rule) -> dict[str, Any]:
    row: dict[str, Any] = {"id": rule.id, "scope": rule.name.scope, "name": rule.name.name, "copies": rule.copies}
    places = {"near": rule.where.near, "tags": rule.where.tags, "storages": rule.where.storages}
    row |= {"places": json.dumps(places | {"apart": rule.where.apart}), "priority": rule.priority}
    return row | {"created": rule.created, "expires": rule.expires, "state": rule.state, "reason": rule.reason}


def _rule(row: Any) -> Rule:
    told = json.loads(row["places"])
    where = Where(tuple(told["near"]), tuple(told["tags"]), tuple(told["storages"]), bool(told["apart"]))
    facts = {key: row[key] for key in ("id", "copies", "priority", "created", "expires", "state", "reason")}
    return Rule(name=Name(row["scope"], row["name"]), where=where, **facts)
