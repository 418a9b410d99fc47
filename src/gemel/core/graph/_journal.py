"""The journal of runs: who runs what, how far it is, what came out, and why it failed."""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from gemel.base.errors import not_found
from gemel.base.ids import new_id
from gemel.core.graph._graph import Graph
from gemel.core.graph._results import ResultStore, StoredResult
from gemel.infra.store import Store, schema

RUNS = schema.runs
STEPS = schema.steps
UNFINISHED = ("queued", "running")


@dataclass(frozen=True)
class StepRecord:
    """What the journal knows of one step of a run."""

    run: str
    node: str
    process: str
    state: str
    key: str | None = None
    cached: bool = False
    attempts: int = 1
    started: float | None = None
    seconds: float | None = None
    ingredients: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class LogLine:
    """One line that a step logged."""

    run: str
    node: str
    time: float
    level: str
    message: str


@dataclass(frozen=True)
class Output:
    """One named output of a run."""

    name: str
    key: str
    format: str
    unit: str | None


@dataclass(frozen=True)
class Run:
    """One execution of one graph, as recorded."""

    id: str
    twin: str
    graph: str
    state: str
    signature: str
    document: Mapping[str, Any]
    arguments: Mapping[str, Any]
    environment: Mapping[str, Any]
    created: float
    started: float | None
    ended: float | None
    engine: str
    cause: str | None
    error: Mapping[str, Any] | None
    checks: Sequence[Mapping[str, Any]] = ()
    steps: tuple[StepRecord, ...] = ()
    outputs: tuple[Output, ...] = ()

    @property
    def finished(self) -> bool:
        """Return whether the run has ended, well or badly."""
        return self.state not in UNFINISHED


@dataclass(frozen=True)
class NewRun:
    """A run about to be recorded.

    Attributes:
        signature: Digest of graph and arguments: an interrupted run with the same one is taken up again.
        cause: What fired it; at most one run exists for a cause.
    """

    twin: str
    graph: Graph
    arguments: Mapping[str, Any]
    engine: str
    signature: str
    environment: Mapping[str, Any] = field(default_factory=dict)
    cause: str | None = None


class Journal:
    """Records of runs in the SQL store."""

    def __init__(self, store: Store, results: ResultStore) -> None:
        self.store = store
        self._results = results
        upsert = store.insert(STEPS)
        keep = {column.name: upsert.excluded[column.name] for column in STEPS.c if not column.primary_key}
        self._upsert = store.prepare(upsert.on_conflict_do_update(index_elements=["run", "node"], set_=keep))
        line = dict.fromkeys(("run", "node", "time", "level", "message"))
        self._log = store.prepare(sql.insert(schema.logs).values(line).inline())

    def create(self, new: NewRun) -> tuple[str, bool]:
        """Return (run id, whether it is new); the existing run's id when one with the same cause is there."""
        run_id = new_id("run")
        row = {
            "id": run_id,
            "twin": new.twin,
            "graph": new.graph.id,
            "state": "queued",
            "signature": new.signature,
            "document": json.dumps(new.graph.to_json()),
            "arguments": json.dumps(dict(new.arguments)),
            "environment": json.dumps(dict(new.environment)),
            "created": time.time(),
            "engine": new.engine,
            "cause": new.cause,
            "cancel": False,
        }
        with self.store.write() as connection:
            inserted = connection.execute(self.store.insert(RUNS).on_conflict_do_nothing(index_elements=["cause"]), row)
            if inserted.rowcount:
                return run_id, True
            found = connection.execute(sql.select(RUNS.c.id).where(RUNS.c.cause == new.cause)).scalar_one()
        return str(found), False

    def adopt(self, run_id: str, engine: str, previous: str) -> bool:
        """Return whether this `engine` took over an unfinished run from a dead one; only one engine can."""
        with self.store.write() as connection:
            taken = connection.execute(
                sql.update(RUNS)
                .where(RUNS.c.id == run_id, RUNS.c.engine == previous, RUNS.c.state.in_(UNFINISHED))
                .values(engine=engine)
            )
            return bool(taken.rowcount)

    def begin(self, run_id: str) -> None:
        """Mark a run as running."""
        self._update(run_id, state="running", started=sql.func.coalesce(RUNS.c.started, time.time()))

    def finish(self, run_id: str, state: str, error: Mapping[str, Any] | None, outputs: Iterable[Output]) -> None:
        """Record the end of a run together with its outputs in one transaction."""
        with self.store.write() as connection:
            connection.execute(
                sql.update(RUNS)
                .where(RUNS.c.id == run_id)
                .values(state=state, ended=time.time(), error=json.dumps(error) if error else None)
            )
            for position, output in enumerate(outputs):
                insert = self.store.insert(schema.outputs).on_conflict_do_nothing()
                connection.execute(insert, {"run": run_id, "position": position, **vars(output)})

    def set_checks(self, run_id: str, checks: Sequence[Mapping[str, Any]]) -> None:
        """Record the checks made on a run's outputs."""
        self._update(run_id, checks=json.dumps(list(checks)))

    def request_cancel(self, run_id: str) -> None:
        """Ask whoever executes the run to stop it."""
        self._update(run_id, cancel=True)

    def cancel_requested(self, run_ids: Sequence[str]) -> list[str]:
        """Return those of `run_ids` whose cancellation was asked for."""
        with self.store.read() as connection:
            query = sql.select(RUNS.c.id).where(RUNS.c.id.in_(run_ids), RUNS.c.cancel)
            return list(connection.execute(query).scalars())

    def record_steps(
        self,
        connection: Connection,
        finished: Iterable[tuple[StepRecord, StoredResult | None]],
        lines: Iterable[LogLine] = (),
    ) -> None:
        """Record steps, the results they made and what they logged, in one synced transaction."""
        now = time.time()
        with self.store.transaction(connection):
            for record, result in finished:
                if result is not None:
                    self._results.record(result, now, connection)
                self._upsert(connection, vars(record))
            for line in lines:
                self._log(connection, vars(line))

    def log(self, lines: Iterable[LogLine]) -> None:
        """Record log lines by themselves."""
        with self.store.write() as connection:
            for line in lines:
                self._log(connection, vars(line))

    def logs(self, run_id: str) -> list[Mapping[str, Any]]:
        """Return the log lines of a run in the order they were written."""
        table = schema.logs
        with self.store.read() as connection:
            rows = connection.execute(sql.select(table).where(table.c.run == run_id).order_by(table.c.position))
            return [dict(row) for row in rows.mappings()]

    def caused(self, cause: str) -> Run | None:
        """Return the run that a cause made, without its steps and outputs; None while there is none."""
        with self.store.read() as connection:
            row = connection.execute(sql.select(RUNS).where(RUNS.c.cause == cause)).mappings().first()
        return None if row is None else _run(dict(row))

    def get(self, run_id: str) -> Run:
        """Return one run with its steps and outputs.

        Raises:
            NotFound: There is no such run.
        """
        with self.store.read() as connection:
            row = connection.execute(sql.select(RUNS).where(RUNS.c.id == run_id)).mappings().first()
            if row is None:
                recent = connection.execute(sql.select(RUNS.c.id).order_by(RUNS.c.created.desc()).limit(50)).scalars()
                raise not_found("run", run_id, recent, command="gemel runs")
            steps = connection.execute(sql.select(STEPS).where(STEPS.c.run == run_id)).mappings().all()
            table = schema.outputs
            query = sql.select(table.c.name, table.c.key, table.c.format, table.c.unit).where(table.c.run == run_id)
            outputs = connection.execute(query.order_by(table.c.position)).all()
        return _run(
            dict(row), tuple(StepRecord(**step) for step in steps), tuple(Output(*output) for output in outputs)
        )

    def list(self, *, twin: str | None = None, states: Sequence[str] = (), limit: int = 50) -> list[Run]:
        """Return the newest runs first, without outputs and what their steps were made of."""
        query = sql.select(RUNS).order_by(RUNS.c.created.desc(), RUNS.c.id.desc()).limit(limit)
        if twin is not None:
            query = query.where(RUNS.c.twin == twin)
        if states:
            query = query.where(RUNS.c.state.in_(states))
        with self.store.read() as connection:
            rows = connection.execute(query).mappings().all()
            steps = self._steps_of([row["id"] for row in rows], connection)
        return [_run(dict(row), tuple(steps.get(row["id"], ()))) for row in rows]

    def finished_since(self, ended: float, limit: int = 100) -> builtins.list[tuple[str, float]]:
        """Return (id, end) of runs that finished well after an instant, in that order; seconds since 1970-01-01 UTC."""
        query = sql.select(RUNS.c.id, RUNS.c.ended).where(RUNS.c.state == "finished", RUNS.c.ended > ended)
        with self.store.read() as connection:
            rows = connection.execute(query.order_by(RUNS.c.ended, RUNS.c.id).limit(limit)).all()
        return [(str(row[0]), float(row[1])) for row in rows]

    @staticmethod
    def _steps_of(run_ids: Sequence[str], connection: Connection) -> dict[str, builtins.list[StepRecord]]:
        names = ("run", "node", "process", "state", "key", "cached", "attempts", "started", "seconds")
        found: dict[str, builtins.list[StepRecord]] = {}
        query = sql.select(*(STEPS.c[name] for name in names)).where(STEPS.c.run.in_(run_ids))
        for row in connection.execute(query).mappings():
            found.setdefault(row["run"], []).append(StepRecord(**row))
        return found

    def _update(self, run_id: str, **values: Any) -> None:
        with self.store.write() as connection:
            connection.execute(sql.update(RUNS).where(RUNS.c.id == run_id).values(**values))


def _run(row: Mapping[str, Any], steps: tuple[StepRecord, ...] = (), outputs: tuple[Output, ...] = ()) -> Run:
    plain = {name: row[name] for name in ("id", "twin", "graph", "state", "signature", "created", "started", "ended")}
    parsed = {name: json.loads(row[name]) for name in ("document", "arguments", "environment")}
    optional = {name: json.loads(row[name]) if row[name] else None for name in ("error", "checks")}
    return Run(
        **plain,
        **parsed,
        engine=row["engine"],
        cause=row["cause"],
        error=optional["error"],
        checks=optional["checks"] or (),
        steps=steps,
        outputs=outputs,
    )
