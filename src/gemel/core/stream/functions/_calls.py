"""Calls of functions in the journal: one for each cause, taken by one engine at a time, and never lost."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection, RowMapping

from gemel.base.clock import iso
from gemel.base.errors import InvalidInput, StoreFull, not_found
from gemel.base.ids import new_id
from gemel.core.stream.functions._deployments import held
from gemel.core.stream.functions._spec import FunctionSpec
from gemel.infra.store import Store, schema

_CALLS = schema.function_calls
STATES = ("queued", "running", "finished", "failed")
MOST_CAUSE = 300
# Inputs and results stay where they are until somebody wants them.
_LIGHT = [column for column in _CALLS.columns if column.name not in ("input", "output", "log")]
_SIZES = (
    sql.func.length(_CALLS.c.input).label("input_bytes"),
    sql.func.length(_CALLS.c.output).label("output_bytes"),
)


@dataclass(frozen=True)
class Call:
    """One call of a function.

    Attributes:
        id: Its id.
        function: Name of the function.
        cause: What it was called for; a function has one call for each.
        state: `queued`, `running`, `finished`, or `failed`: a dead letter, until it is replayed.
        attempts: How often it was begun.
        due: When it may be (or was) begun, in seconds since 1970.
        created: When it was called.
        started: When its last attempt began, or None.
        ended: When it ended, or None.
        engine: Which engine runs or ran it, or None.
        error: What went wrong last: `message`, `hint`, `code`; or None.
        input_bytes: Size of its input.
        output_bytes: Size of its result, or None.
    """

    id: str
    function: str
    cause: str
    state: str
    attempts: int
    due: float
    created: float
    started: float | None = None
    ended: float | None = None
    engine: str | None = None
    error: Mapping[str, Any] | None = None
    input_bytes: int = 0
    output_bytes: int | None = None

    @property
    def over(self) -> bool:
        """Return whether it has ended."""
        return self.state in ("finished", "failed")

    def document(self) -> dict[str, Any]:
        """Return the call as JSON, without its input and result."""
        times = {name: _instant(getattr(self, name)) for name in ("due", "created", "started", "ended")}
        rest = ("id", "function", "cause", "state", "attempts", "engine", "input_bytes", "output_bytes")
        error = None if self.error is None else dict(self.error)
        return {name: getattr(self, name) for name in rest} | times | {"error": error}


@dataclass(frozen=True)
class Taken:
    """An attempt at a call that this engine has begun; what it brings counts as long as nobody else took it over."""

    id: str
    function: str
    cause: str
    attempt: int
    started: float
    engine: str
    input: bytes = b""


class CallTable:
    """Calls of all functions.

    Args:
        store: The journal.
        engine: Id of the engine that takes calls here.
    """

    def __init__(self, store: Store, engine: str) -> None:
        self.store, self._engine = store, engine

    def add(self, connection: Connection, spec: FunctionSpec, causes: Sequence[tuple[str, bytes]]) -> int:
        """Return how many calls are new, for (cause, input) each, in the transaction of `connection`.

        Raises:
            InvalidInput: A cause is no text of 1 to 300 characters.
            NotFound: The function was removed meanwhile.
            StoreFull: As many wait already as the function allows; nothing was added.
        """
        if not held(connection, self.store, spec.name):
            raise not_found("function", spec.name, ())
        now = time.time()
        rows = [_new(spec.name, cause, data, now) for cause, data in causes]
        known = self._known(connection, spec.name, [cause for cause, _ in causes])
        fresh = [row for row in rows if row["cause"] not in known]
        self._require_room(connection, spec, len(fresh))
        insert = self.store.insert(_CALLS).on_conflict_do_nothing(index_elements=["function", "cause"])
        return sum(connection.execute(insert, row).rowcount for row in fresh)

    def _known(self, connection: Connection, function: str, causes: Sequence[str]) -> set[str]:
        query = sql.select(_CALLS.c.cause).where(_CALLS.c.function == function, _CALLS.c.cause.in_(causes))
        return {cause for (cause,) in connection.execute(query)}

    def _require_room(self, connection: Connection, spec: FunctionSpec, more: int) -> None:
        room = spec.queue - more
        waiting = sql.select(_CALLS.c.id).where(_CALLS.c.function == spec.name, _CALLS.c.state == "queued")
        over = room < 0 or connection.execute(waiting.offset(room).limit(1)).first() is not None
        if more and over:
            hint = "Call again later, raise its concurrency, or its queue."
            message = f"{spec.queue:,} calls of function '{spec.name}' wait already."
            raise StoreFull(message, hint=hint, function=spec.name)

    def of_cause(self, function: str, cause: str) -> Call:
        """Return the call for a cause.

        Raises:
            NotFound: There is none.
        """
        found = self._select(_CALLS.c.function == function, _CALLS.c.cause == cause)
        if not found:
            raise not_found(f"call of function '{function}'", cause, ())
        return found[0]

    def get(self, id: str) -> Call:
        """Return a call.

        Raises:
            NotFound: There is none.
        """
        found = self._select(_CALLS.c.id == id)
        if not found:
            raise not_found("call", id, ())
        return found[0]

    def find(
        self, function: str | None = None, state: str | None = None, limit: int = 50, offset: int = 0
    ) -> list[Call]:
        """Return calls, the newest first.

        Raises:
            InvalidInput: There is no such state.
        """
        if state is not None and state not in STATES:
            raise InvalidInput(f"'{state}' is not a state of calls.", hint=f"One of: {', '.join(STATES)}.")
        wanted = [] if function is None else [_CALLS.c.function == function]
        wanted += [] if state is None else [_CALLS.c.state == state]
        return self._select(*wanted, limit=limit, offset=offset)

    def _select(self, *wanted: Any, limit: int = 1, offset: int = 0) -> list[Call]:
        query = sql.select(*_LIGHT, *_SIZES).where(*wanted).order_by(_CALLS.c.created.desc(), _CALLS.c.id.desc())
        with self.store.read() as connection:
            return [_call(row) for row in connection.execute(query.limit(limit).offset(offset)).mappings()]

    def content(self, id: str, part: str) -> Any:
        """Return the `input`, `output` or `log` of a call.

        Raises:
            NotFound: There is no such call.
        """
        with self.store.read() as connection:
            row = connection.execute(sql.select(_CALLS.c[part]).where(_CALLS.c.id == id)).first()
        if row is None:
            raise not_found("call", id, ())
        return bytes(row[0]) if isinstance(row[0], (bytes, bytearray, memoryview)) else row[0]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many calls of each function are in each state."""
        query = sql.select(_CALLS.c.function, _CALLS.c.state, sql.func.count()).group_by(
            _CALLS.c.function, _CALLS.c.state
        )
        found: dict[str, dict[str, int]] = {}
        with self.store.read() as connection:
            for function, state, count in connection.execute(query):
                found.setdefault(function, dict.fromkeys(STATES, 0))[state] = count
        return found

    def due(self, functions: Sequence[str]) -> dict[str, tuple[int, float]]:
        """Return for each function that has calls waiting how many are due (up to 64), and when the next one is."""
        found = {}
        waiting = _CALLS.c.state == "queued"
        with self.store.read() as connection:
            for name in functions:
                ours = sql.select(_CALLS.c.due).where(_CALLS.c.function == name, waiting)
                times = [row[0] for row in connection.execute(ours.order_by(_CALLS.c.due).limit(64))]
                if times:
                    found[name] = (sum(item <= time.time() for item in times), times[0])
        return found

    def take(self, spec: FunctionSpec) -> Taken | None:
        """Return the call that has waited longest after it was begun here, or None: none is due, or enough are running."""
        now, ours = time.time(), _CALLS.c.function == spec.name
        due = sql.select(_CALLS.c.id, _CALLS.c.cause, _CALLS.c.attempts, _CALLS.c.input)
        due = (
            due.where(ours, _CALLS.c.state == "queued", _CALLS.c.due <= now)
            .order_by(_CALLS.c.due, _CALLS.c.id)
            .limit(1)
        )
        with self.store.read() as connection:
            if connection.execute(due).first() is None:
                return None
        running = sql.select(sql.func.count()).where(ours, _CALLS.c.state == "running")
        with self.store.write() as connection:
            if not held(connection, self.store, spec.name):
                return None
            row = connection.execute(due).first()
            if row is None or connection.execute(running).scalar_one() >= spec.concurrency:
                return None
            begun = {"state": "running", "engine": self._engine, "attempts": row.attempts + 1, "started": now}
            connection.execute(sql.update(_CALLS).where(_CALLS.c.id == row.id).values(begun))
        return Taken(row.id, spec.name, row.cause, row.attempts + 1, now, self._engine, bytes(row.input))

    def finish(self, taken: Taken, output: bytes, log: str) -> bool:
        """Return whether the result counts: the call was still ours."""
        return self._end(
            taken, {"state": "finished", "output": output, "error": None, "log": log, "ended": time.time()}
        )

    def fail(self, taken: Taken, error: Mapping[str, Any], log: str | None, due: float | None) -> bool:
        """Return whether the failure counts; the call waits until `due`, or is a dead letter where that is None."""
        said: dict[str, Any] = {"error": json.dumps(dict(error), ensure_ascii=False)}
        said |= {} if log is None else {"log": log}
        again = {"state": "queued", "due": due, "engine": None}
        return self._end(taken, said | (again if due is not None else {"state": "failed", "ended": time.time()}))

    def give_back(self, taken: Taken) -> bool:
        """Return whether the call waits again as if this attempt had never begun."""
        before = {"state": "queued", "engine": None, "attempts": taken.attempt - 1}
        return self._end(taken, before)

    def _end(self, taken: Taken, values: Mapping[str, Any]) -> bool:
        ours = (_CALLS.c.id == taken.id, _CALLS.c.state == "running", _CALLS.c.engine == taken.engine)
        update = sql.update(_CALLS).where(*ours, _CALLS.c.attempts == taken.attempt).values(dict(values))
        with self.store.write() as connection:
            return bool(connection.execute(update).rowcount)

    def engines(self) -> list[str]:
        """Return the ids of the engines that run calls."""
        query = sql.select(_CALLS.c.engine).where(_CALLS.c.state == "running").distinct()
        with self.store.read() as connection:
            return [engine for (engine,) in connection.execute(query)]

    def running(self, engine: str) -> list[Taken]:
        """Return the attempts that an engine has begun and not ended."""
        wanted = (_CALLS.c.id, _CALLS.c.function, _CALLS.c.cause, _CALLS.c.attempts, _CALLS.c.started, _CALLS.c.engine)
        query = sql.select(*wanted).where(_CALLS.c.state == "running", _CALLS.c.engine == engine)
        with self.store.read() as connection:
            return [Taken(*row) for row in connection.execute(query)]

    def replay(self, function: str, id: str | None = None) -> list[str]:
        """Return the ids of the dead letters of a function (all, or one) that wait again now, as if new."""
        dead = [_CALLS.c.function == function, _CALLS.c.state == "failed"]
        dead += [] if id is None else [_CALLS.c.id == id]
        again = {"state": "queued", "attempts": 0, "due": time.time(), "engine": None, "ended": None}
        with self.store.write() as connection:
            ids = [row[0] for row in connection.execute(sql.select(_CALLS.c.id).where(*dead))]
            connection.execute(sql.update(_CALLS).where(*dead).values(again))
        return ids

    def remove(self, function: str, *, id: str | None = None, states: Sequence[str] = STATES) -> int:
        """Return how many calls of a function were forgotten, and with them their causes."""
        gone = [_CALLS.c.function == function, _CALLS.c.state.in_(states)]
        gone += [] if id is None else [_CALLS.c.id == id]
        with self.store.write() as connection:
            return int(connection.execute(sql.delete(_CALLS).where(*gone)).rowcount)

    def prune(self, spec: FunctionSpec) -> None:
        """Forget the oldest finished calls beyond those that the function keeps; dead letters stay."""
        ours = (_CALLS.c.function == spec.name, _CALLS.c.state == "finished")
        bound = sql.select(_CALLS.c.ended).where(*ours).order_by(_CALLS.c.ended.desc()).offset(spec.keep).limit(1)
        with self.store.read() as connection:
            last = connection.execute(bound).scalar()
        if last is not None:
            with self.store.write() as connection:
                connection.execute(sql.delete(_CALLS).where(*ours, _CALLS.c.ended <= last))


def _new(function: str, cause: str, data: bytes, now: float) -> dict[str, Any]:
    if not isinstance(cause, str) or not 0 < len(cause) <= MOST_CAUSE or "\0" in cause:
        raise InvalidInput(f"A cause is a text of 1 to {MOST_CAUSE} characters.")
    row = {"id": new_id("call"), "function": function, "cause": cause, "state": "queued", "attempts": 0}
    return row | {"due": now, "created": now, "input": data}


def _call(row: RowMapping) -> Call:
    values = dict(row)
    error = values.pop("error")
    return Call(**values, error=None if error is None else json.loads(error))


def _instant(seconds: float | None) -> str | None:
    return None if seconds is None else iso(datetime.fromtimestamp(seconds, UTC))
