"""Functions as they are deployed: a document and a token each, in the journal."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass

import sqlalchemy as sql
from sqlalchemy.engine import Connection, RowMapping

from gemel.base.errors import Conflict, not_found
from gemel.core.stream.functions._spec import FunctionSpec
from gemel.infra.store import Store, schema

_FUNCTIONS = schema.functions


@dataclass(frozen=True)
class Deployment:
    """A function that is deployed.

    Attributes:
        spec: What it is.
        token: 64 characters; whoever shows them may call it.
        created: When it was deployed, in seconds since 1970.
        changed: When it was last changed.
    """

    spec: FunctionSpec
    token: str
    created: float
    changed: float


class DeploymentTable:
    """Deployed functions by name."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, spec: FunctionSpec) -> Deployment:
        """Return the function after it was deployed.

        Raises:
            Conflict: There is one of that name.
        """
        now = time.time()
        deployed = Deployment(spec, secrets.token_hex(32), now, now)
        insert = self._store.insert(_FUNCTIONS).on_conflict_do_nothing(index_elements=["name"])
        row = {"name": spec.name, "document": _text(spec), "token": deployed.token, "created": now, "changed": now}
        with self._store.write() as connection:
            if not connection.execute(insert, row).rowcount:
                hint = f"Update it, or remove it first: gemel function remove {spec.name}"
                raise Conflict(f"There is a function '{spec.name}' already.", hint=hint, name=spec.name)
        return deployed

    def change(self, spec: FunctionSpec) -> Deployment:
        """Return the function after it was changed; its token stays.

        Raises:
            NotFound: There is none of that name.
        """
        with self._store.write() as connection:
            # A clock set back must not make a change look like none.
            later = sql.case((_FUNCTIONS.c.changed >= time.time(), _FUNCTIONS.c.changed + 1e-3), else_=time.time())
            update = sql.update(_FUNCTIONS).where(_FUNCTIONS.c.name == spec.name)
            connection.execute(update.values(document=_text(spec), changed=later))
        return self.get(spec.name)

    def remove(self, name: str) -> None:
        """Forget a function and its calls.

        Raises:
            NotFound: There is none of that name.
        """
        self.get(name)
        with self._store.write() as connection:
            connection.execute(sql.delete(_FUNCTIONS).where(_FUNCTIONS.c.name == name))
            connection.execute(sql.delete(schema.function_calls).where(schema.function_calls.c.function == name))

    def get(self, name: str) -> Deployment:
        """Return a function.

        Raises:
            NotFound: There is none of that name.
        """
        with self._store.read() as connection:
            row = connection.execute(sql.select(_FUNCTIONS).where(_FUNCTIONS.c.name == name)).mappings().first()
        if row is None:
            raise not_found("function", name, [item.spec.name for item in self.all()])
        return _deployment(row)

    def all(self) -> list[Deployment]:
        """Return every function in the order of names."""
        with self._store.read() as connection:
            rows = connection.execute(sql.select(_FUNCTIONS).order_by(_FUNCTIONS.c.name)).mappings().all()
        return [_deployment(row) for row in rows]

    def changes(self) -> dict[str, float]:
        """Return when each function was last changed, by name."""
        with self._store.read() as connection:
            rows = connection.execute(sql.select(_FUNCTIONS.c.name, _FUNCTIONS.c.changed))
            return {row.name: row.changed for row in rows}


def held(connection: Connection, store: Store, name: str) -> bool:
    """Return whether a function is deployed; until the transaction ends nobody else counts its calls."""
    query = sql.select(_FUNCTIONS.c.name).where(_FUNCTIONS.c.name == name)
    if store.dialect != "sqlite":  # there, one transaction at a time writes anyway
        query = query.with_for_update()
    return connection.execute(query).first() is not None


def _text(spec: FunctionSpec) -> str:
    return json.dumps(spec.document(), ensure_ascii=False)


def _deployment(row: RowMapping) -> Deployment:
    spec = FunctionSpec.from_document(json.loads(row["document"]))
    return Deployment(spec, row["token"], row["created"], row["changed"])
