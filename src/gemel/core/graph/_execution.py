"""Executing a plan: ready steps in parallel, each memoised by its key and journaled before its successors count on it."""

from __future__ import annotations

import collections
import functools
import json
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from sqlalchemy.engine import Connection

from gemel.base.errors import GemelError
from gemel.core.graph._journal import Journal, LogLine, Output, StepRecord
from gemel.core.graph._plan import Plan, PlannedStep
from gemel.core.graph._progress import Cancelled, StepContext
from gemel.core.graph._results import ResultStore, StoredResult
from gemel.core.graph._step import Evaluator, Handle, Ingredients, Outcome, Performer, blame, ingredients_of
from gemel.core.graph._surroundings import Surroundings, within

_TICK_SECONDS = 0.25
_ENCODER = json.JSONEncoder(default=str)
_QUICK_SECONDS = 0.002  # a process this fast last time is not worth the way to another thread


@dataclass
class RunControl:
    """How a run is watched and stopped from outside.

    Attributes:
        cancelled: Set it to stop the run.
        abandoned: With `cancelled`, leaves the run unfinished in the journal, to be taken up later.
        notify: Called with a small document at each change of a step.
    """

    cancelled: Event = field(default_factory=Event)
    abandoned: bool = False
    notify: Callable[[dict[str, Any]], None] = lambda _change: None


@dataclass(frozen=True)
class Services:
    """What an execution needs from its engine.

    Attributes:
        evaluator: Computes light steps together; without one, each is computed by itself.
        foresee: Tells in lines what a plan will need, or refuses it, before its first step.
    """

    journal: Journal
    results: ResultStore
    pool: ThreadPoolExecutor
    seconds: dict[str, float]  # how long each process took last time
    surroundings: Surroundings = field(default_factory=Surroundings)
    evaluator: Evaluator | None = None
    foresee: Callable[[Plan, Performer], Sequence[str]] = lambda _plan, _performer: ()


class Execution:
    """One run from its first ready step to its end."""

    def __init__(
        self, run_id: str, plan: Plan, services: Services, control: RunControl, base: Path | None = None
    ) -> None:
        self._run = run_id
        self._plan = plan
        self._services = services
        self._control = control
        self._base = base
        self._performer = Performer(plan, services.results, base, services.surroundings, services.evaluator)
        self._handles: dict[str, Handle] = {}
        self._ingredients: dict[str, Ingredients] = {}
        self._missing = {name: len(step.sources) for name, step in plan.steps.items()}
        self._waiting = _uses(plan)
        self._ready = collections.deque(name for name, missing in self._missing.items() if not missing)
        self._running: dict[str, float] = {}
        self._announced: set[str] = set()
        self._done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._pending: list[tuple[StepRecord, StoredResult | None]] = []
        self._lines: list[LogLine] = []
        self._failure: GemelError | None = None
        self._before: Mapping[str, StepRecord] = {}
        self._results_wanted = frozenset(plan.outputs.values())

    def run(self) -> str:
        """Return the final state (`finished`, `failed`, `cancelled`) after recording it, or `interrupted`."""
        journal = self._services.journal
        self._before = {record.node: record for record in journal.get(self._run).steps}
        journal.begin(self._run)
        try:
            self._look_ahead()
            with journal.store.read() as connection:
                self._loop(connection)
                self._flush(connection)
        except GemelError as error:
            self._failure = self._failure or error
        return self._conclude()

    def _look_ahead(self) -> None:
        with within(self._services.surroundings):
            lines = self._services.foresee(self._plan, self._performer)
        self._lines += [LogLine(self._run, "", time.time(), "info", line) for line in lines]

    def _loop(self, connection: Connection) -> None:
        while self._running or (self._ready and not self._stopping()):
            while self._ready and not self._stopping():
                self._launch(self._ready.popleft(), connection)
            if self._running:
                self._collect(connection)

    def _stopping(self) -> bool:
        return self._failure is not None or self._control.cancelled.is_set()

    def _launch(self, name: str, connection: Connection) -> None:
        step = self._plan.steps[name]
        try:
            with within(self._services.surroundings):
                ingredients = ingredients_of(step, self._handles, self._base, self._services.results)
        except Exception as error:  # reading what decides a step touches its author's code and files
            self._fail(step, None, blame(step, error))
            return
        self._ingredients[name] = ingredients
        if not step.process.durable and name not in self._results_wanted:
            self._settle_light(step, ingredients.key)
            return
        stored = self._services.results.find(ingredients.key, connection)
        if stored is not None and (name not in self._results_wanted or self._intact(stored)):
            self._settle_cached(step, stored)
            return
        self._start(step, ingredients.key, connection)

    def _start(self, step: PlannedStep, key: str, connection: Connection) -> None:
        alone = not self._ready and not self._running
        if alone and self._services.seconds.get(step.process.id, 1.0) < _QUICK_SECONDS:
            self._absorb([self._perform(step, key)], connection)
            return
        self._flush(connection)
        self._running[step.id] = time.time()
        self._notify(step.id, "running")
        self._services.pool.submit(lambda: self._done.put(self._perform(step, key)))

    def _perform(self, step: PlannedStep, key: str) -> Outcome:
        context = StepContext(self._run, step.id, self._control.cancelled, functools.partial(self._tell, step.id))
        return self._performer.perform(step, key, self._handles, context)

    def _intact(self, stored: StoredResult) -> bool:
        if self._services.results.intact(stored):
            return True
        self._services.results.forget(stored.key)
        return False

    def _settle_light(self, step: PlannedStep, key: str) -> None:
        def compute() -> Any:
            context = StepContext(self._run, step.id, self._control.cancelled)
            outcome = self._performer.perform(step, key, self._handles, context, keep=False)
            return self._value_of(outcome)

        self._handles[step.id] = Handle(key, None, compute)
        self._pending.append((self._record(step, key, state="finished", seconds=0.0), None))
        self._release(step)

    def _settle_cached(self, step: PlannedStep, stored: StoredResult) -> None:
        self._handles[step.id] = Handle(stored.digest, stored, functools.partial(self._recompute, step, stored.key))
        before = self._before.get(step.id)
        # A step that this very run finished before it was interrupted keeps its own record.
        if before is None or before.state != "finished" or before.key != stored.key:
            self._pending.append((self._record(step, stored.key, state="finished", cached=True, seconds=0.0), None))
        self._notify(step.id, "finished", cached=True)
        self._release(step)

    def _recompute(self, step: PlannedStep, key: str) -> Any:
        outcome = self._perform(step, key)
        value = self._value_of(outcome)
        if outcome.stored is not None:
            with self._services.journal.store.write() as connection:
                self._services.results.record(outcome.stored, time.time(), connection)
        return value

    def _value_of(self, outcome: Outcome) -> Any:
        """Return the value of a step that was computed on behalf of another, or raise what went wrong in it."""
        lines = self._told(outcome)
        if lines:
            self._services.journal.log(lines)
        if outcome.cancelled:
            raise Cancelled
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    def _collect(self, connection: Connection) -> None:
        try:
            outcomes = [self._done.get(timeout=_TICK_SECONDS)]
        except queue.Empty:
            self._announce(connection)
            return
        while True:
            try:
                outcomes.append(self._done.get_nowait())
            except queue.Empty:
                break
        for outcome in outcomes:
            self._running.pop(outcome.step.id)
        self._absorb(outcomes, connection)

    def _absorb(self, outcomes: list[Outcome], connection: Connection) -> None:
        succeeded = []
        for outcome in outcomes:
            self._lines += self._told(outcome)
            if outcome.error is not None:
                self._fail(outcome.step, outcome, outcome.error)
            elif outcome.cancelled:
                self._pending.append((self._from_outcome(outcome, "cancelled"), None))
            else:
                self._pending.append((self._from_outcome(outcome, "finished"), outcome.stored))
                succeeded.append(outcome)
        # One transaction for all that finished together; only what is on disk may be built upon.
        self._flush(connection)
        for outcome in succeeded:
            self._settle(outcome)

    def _settle(self, outcome: Outcome) -> None:
        step, stored = outcome.step, outcome.stored
        assert stored is not None
        self._services.seconds[step.process.id] = outcome.seconds
        recompute = functools.partial(self._recompute, step, outcome.key)
        self._handles[step.id] = Handle(stored.digest, stored, recompute, outcome.value)
        self._notify(step.id, "finished", seconds=outcome.seconds)
        self._release(step)

    def _release(self, step: PlannedStep) -> None:
        for consumer in self._plan.consumers[step.id]:
            self._missing[consumer] -= 1
            if not self._missing[consumer]:
                self._ready.append(consumer)
        if step.process.durable or step.id in self._results_wanted:
            for source in _feeding(self._plan, step):
                self._waiting[source] -= 1
                if not self._waiting[source]:
                    self._handles[source].release()
            if not self._waiting[step.id]:
                self._handles[step.id].release()

    def _fail(self, step: PlannedStep, outcome: Outcome | None, error: GemelError) -> None:
        self._failure = self._failure or error
        document = json.dumps(error.document(), default=str)
        record = (
            self._record(step, None, state="failed", error=document)
            if outcome is None
            else self._from_outcome(outcome, "failed", document)
        )
        self._pending.append((record, None))
        self._notify(step.id, "failed", error=error.message)
        origin = self._plan.steps.get(str(error.context.get("step")), step)
        if origin is not step:
            # A light step is computed on behalf of a later one; it is the one that failed.
            self._pending.append((self._record(origin, None, state="failed", error=document), None))
            self._notify(origin.id, "failed", error=error.message)

    def _from_outcome(self, outcome: Outcome, state: str, error: str | None = None) -> StepRecord:
        return self._record(
            outcome.step,
            outcome.key,
            state=state,
            attempts=outcome.attempts,
            started=outcome.started,
            seconds=outcome.seconds,
            error=error,
        )

    def _record(self, step: PlannedStep, key: str | None, **fields: Any) -> StepRecord:
        found = self._ingredients.get(step.id)
        ingredients = _ENCODER.encode(found.document()) if found else None
        started = fields.pop("started", None) or time.time()
        return StepRecord(
            self._run, step.id, step.process.id, key=key, ingredients=ingredients, started=started, **fields
        )

    def _announce(self, connection: Connection) -> None:
        late = [name for name in self._running if name not in self._announced]
        self._announced.update(late)
        self._pending += [
            (self._record(self._plan.steps[name], None, state="running", started=self._running[name]), None)
            for name in late
        ]
        self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        if self._pending or self._lines:
            pending, self._pending = self._pending, []
            lines, self._lines = self._lines, []
            self._services.journal.record_steps(connection, pending, lines)

    def _told(self, outcome: Outcome) -> list[LogLine]:
        return [LogLine(self._run, outcome.step.id, at, level, text) for at, level, text in outcome.lines]

    def _tell(self, node: str, fraction: float, message: str) -> None:
        self._control.notify({"step": node, "state": "running", "fraction": fraction, "message": message})

    def _notify(self, node: str, state: str, **more: Any) -> None:
        self._control.notify({"step": node, "process": self._plan.steps[node].process.id, "state": state, **more})

    def _conclude(self) -> str:
        if self._failure is not None:
            state = "failed"
        else:
            state = "cancelled" if self._control.cancelled.is_set() and not self._complete() else "finished"
        if state == "cancelled" and self._control.abandoned:
            return "interrupted"
        error = self._failure.document() if self._failure else None
        outputs = []
        if state == "finished":
            for name, node in self._plan.outputs.items():
                stored = self._handles[node].stored
                assert stored is not None
                outputs.append(Output(name, stored.key, stored.format, stored.unit))
        self._services.journal.finish(self._run, state, error, outputs)
        return state

    def _complete(self) -> bool:
        return all(node in self._handles for node in self._plan.outputs.values())


def _feeding(plan: Plan, step: PlannedStep) -> set[str]:
    """Return the steps whose values `step` needs, light ones and what they need in their turn included."""
    found: set[str] = set()
    stack = list(step.sources)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            if not plan.steps[name].process.durable:
                stack.extend(plan.steps[name].sources)
    return found


def _uses(plan: Plan) -> dict[str, int]:
    """Return for each step how many steps, whose results are kept, need its value."""
    uses = dict.fromkeys(plan.steps, 0)
    wanted = frozenset(plan.outputs.values())
    for step in plan.steps.values():
        if step.process.durable or step.id in wanted:
            for name in _feeding(plan, step):
                uses[name] += 1
    return uses
