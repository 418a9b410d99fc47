"""Storages by name: the engine's own folder, and those that people declared, kept in the journal."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from gemel.base.errors import ConfigInvalid, Conflict, GemelError, InvalidInput, not_found
from gemel.base.plugins import plugins
from gemel.infra.lake.storages._storage import Storage, TokenSource

HOME = "home"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")


class Journal(Protocol):
    """The SQL store, as far as the lake needs it."""

    def read(self) -> AbstractContextManager[Connection]:
        """Yield a connection for reading."""
        ...

    def write(self) -> AbstractContextManager[Connection]:
        """Yield a connection inside one transaction."""
        ...


class Tokens(Protocol):
    """The token broker, as far as storages need it."""

    def source(self, profile: str, storage: str) -> TokenSource:
        """Return where a storage gets its tokens; raise `NotFound` when there is no such profile."""
        ...


@dataclass(frozen=True)
class Declaration:
    """What a storage was declared with; secrets stand there by reference."""

    name: str
    kind: str
    options: Mapping[str, str]


class Storages:
    """The storages of one engine; there is always `home`, a folder in the engine's own.

    Args:
        journal: Where declarations are kept.
        tables: Of the journal, by name.
        home: The engine's folder.
        tokens: The broker, for storages that are declared with a `profile`.
        exchange: Where tasks wait for agents of sites, for storages that are reached through one.
    """

    def __init__(
        self,
        journal: Journal,
        tables: Mapping[str, sql.Table],
        home: Path,
        tokens: Tokens | None = None,
        exchange: object | None = None,
    ) -> None:
        self._journal, self._tokens, self._exchange = journal, tokens, exchange
        self._table, self._replicas = tables["storages"], tables["replicas"]
        self._own = Declaration(HOME, "local", {"folder": str(home / "data")})
        self._open: dict[str, tuple[Declaration, Storage]] = {}
        self._lock = threading.Lock()

    def list(self) -> list[Declaration]:
        """Return every declaration, `home` first."""
        with self._journal.read() as connection:
            rows = connection.execute(sql.select(self._table).order_by(self._table.c.name)).mappings().all()
        declared = [Declaration(row["name"], row["kind"], json.loads(row["options"])) for row in rows]
        # A row of the engine's own storage tells only where it stands.
        return [self._own, *(item for item in declared if item.name != HOME)]

    def get(self, name: str) -> Storage:
        """Return the storage declared as `name`.

        Raises:
            NotFound: There is none.
            ConfigInvalid: Its options cannot be used.
        """
        declared = {item.name: item for item in self.list()}
        if name not in declared:
            raise not_found("storage", name, declared, command="gemel data storages")
        with self._lock:
            known = self._open.get(name)
            if known is None or known[0] != declared[name]:
                self._open[name] = declared[name], made(declared[name], self._tokens, self._exchange)
            return self._open[name][1]

    def add(self, name: str, kind: str, options: Mapping[str, str]) -> Declaration:
        """Return the declaration of a new storage.

        Raises:
            InvalidInput: The name cannot be one, or the options do not fit the kind.
            NotFound: There is no such kind, or no such token profile.
            Conflict: The name is taken.
        """
        if not _NAME.fullmatch(name):
            hint = "Lower-case letters, digits, '.', '_' and '-'; 60 at most."
            raise InvalidInput(f"{name[:80]!r} is no name for a storage.", hint=hint)
        declaration = Declaration(name, kind, dict(options))
        made(declaration, self._tokens, self._exchange).close()
        row = {"name": name, "kind": kind, "options": json.dumps(declaration.options), "created": time.time()}
        try:
            if name == HOME:
                raise Conflict("'home' is the engine's own storage.", hint="Choose another name.")
            with self._journal.write() as connection:
                connection.execute(sql.insert(self._table), row)
        except sql.exc.IntegrityError as error:
            hint = f"gemel data storages remove {name}"
            raise Conflict(f"There is a storage '{name}' already.", hint=hint, name=name) from error
        return declaration

    def remove(self, name: str) -> None:
        """Forget a storage; its files stay where they are.

        Raises:
            NotFound: There is none.
            Conflict: Replicas of datasets lie there.
        """
        if name == HOME:
            raise Conflict("'home' is the engine's own storage, and stays.")
        with self._journal.write() as connection:
            chosen = sql.select(sql.func.count()).where(self._replicas.c.storage == name)
            count = int(connection.execute(chosen).scalar_one())
            if count:
                hint = "Move them first: gemel data move scope:name STORAGE"
                raise Conflict(f"{count} replicas lie on storage '{name}'.", hint=hint, name=name)
            gone = connection.execute(sql.delete(self._table).where(self._table.c.name == name)).rowcount
        if not gone:
            raise not_found("storage", name, [item.name for item in self.list()], command="gemel data storages")

    def unreachable(self) -> set[str]:
        """Return the names of storages that cannot be reached from this process now, as they say themselves."""
        found = set()
        for item in self.list():
            with contextlib.suppress(GemelError):
                # Only storages of such a kind are made for the question.
                asked = getattr(plugins("storages").get(item.kind), "takes_exchange", False)
                if asked and not getattr(self.get(item.name), "reachable", True):
                    found.add(item.name)
        return found

    def close(self) -> None:
        """Let all connections go."""
        with self._lock, contextlib.suppress(RuntimeError):
            for _, storage in self._open.values():
                storage.close()
            self._open.clear()


def made(declaration: Declaration, tokens: Tokens | None = None, exchange: object | None = None) -> Storage:
    """Return the storage that a declaration describes, through the plugin of its kind.

    A plugin whose class says `takes_tokens = True` is given its `TokenSource` as `tokens=` when it has a `profile`;
    one that says `takes_exchange = True`, the engine's exchange with the agents of sites as `exchange=`.

    Raises:
        ConfigInvalid: The options do not fit, or there is a `profile` and no broker.
        NotFound: There is no such kind, or no such token profile.
    """
    plugin: Any = plugins("storages").get(declaration.kind)
    profile = declaration.options.get("profile")
    given: dict[str, object] = {"exchange": exchange} if getattr(plugin, "takes_exchange", False) else {}
    if profile and getattr(plugin, "takes_tokens", False):
        if tokens is None:
            raise ConfigInvalid(f"Storage '{declaration.name}' has a token profile, and there is no token broker here.")
        given["tokens"] = tokens.source(profile, declaration.name)
    storage: Storage = plugin(declaration.name, declaration.options, **given)
    return storage
