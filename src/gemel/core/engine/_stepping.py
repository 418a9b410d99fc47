"""The state goes forward: one run for each observation, one after the other, and what came of it is told."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from gemel.base.clock import iso, parse_instant
from gemel.base.errors import NotFound, StoreUnavailable
from gemel.base.units import parse_quantity
from gemel.core.engine._alerting import ended_alerts
from gemel.core.engine._given import arguments_for
from gemel.core.engine._runs import Runs
from gemel.core.engine._telling import Teller, stream_of
from gemel.core.graph import Run
from gemel.core.stream import Event, EventLog, State, StateStore
from gemel.core.stream.triggers import Marks
from gemel.core.twin import TriggerSpec, Twin

_LOOK_SECONDS = 0.5
_ALIKE = 100  # newest states among which one for the same observation is looked for


class Load(Protocol):
    """Loads an output of a run by name."""

    def __call__(self, run: Run, name: str) -> Any:
        """Return its value."""


class Stepper:
    """Follows the streams of one twin's update triggers.

    Rules: an observation that is not later than the last one of its stream is late: it is kept in the log and
    counted, and the state is not rewound. An update that fails is told as a problem, and the next observation is
    tried. Steps of several streams are made one after the other, as they come.

    Attributes:
        late: How many late observations were met.
        misfit: What the newest update said of the distance between model and observation.
        worked_on: Position in each stream up to which all is done.
    """

    def __init__(self, twin: Twin, runs: Runs, stores: tuple[EventLog, StateStore, Marks], load: Load) -> None:
        self.twin, self._runs, self._load = twin, runs, load
        self._log, self._states, self._marks = stores
        self.teller = Teller(self._log, twin.id)
        self.late = 0
        self.misfit: Mapping[str, Any] | None = None
        self.worked_on: dict[str, int] = {}
        self._newest: dict[str, str | None] = {}
        self._made: set[int] = set()
        self._stepping = threading.Lock()

    def resume(self, on: str) -> int:
        """Return the position in a stream from which the steps go on, and tell what was not told of the last one."""
        mark = self._marks.load(self.twin.id, f"step:{on}")
        state = self._states.latest(self.twin.id)
        if state is not None:
            # An engine that died just after saving this state may not have told it; events told already stay as is.
            with contextlib.suppress(NotFound):
                self._announce(self._runs.journal.get(state.run), state)
        # A state of before there were marks: it tells how far its one source was.
        old = state if state is not None and (state.source is None or state.source.endswith(f"/{on}")) else None
        self._newest[on] = mark.get("time", iso(old.valid) if old is not None else None)
        # A step that a dead engine made and did not mark is not made again.
        self._made |= {made.cause for made in self._states.history(self.twin.id, _ALIKE)}
        self.worked_on[on] = int(mark.get("position", old.cause if old is not None else 0))
        return self.worked_on[on]

    def follow(self, trigger: TriggerSpec, stop: threading.Event, seen: Callable[[], None]) -> None:
        """Make a step for each event on the trigger's stream until `stop`; `seen` is called at each look."""
        where = f"Trigger on '{trigger.on}'"
        while not stop.is_set():
            try:
                self._catch_up(trigger, where, stop)
                seen()
            except StoreUnavailable as error:
                # Nothing is skipped for a store that is away for a moment: the same observation is tried again.
                self.teller.stumble(where, error)
                stop.wait(_LOOK_SECONDS)

    def _catch_up(self, trigger: TriggerSpec, where: str, stop: threading.Event) -> None:
        on = str(trigger.on)
        if on not in self.worked_on:
            self.resume(on)
        for event in self._log.wait(stream_of(self.twin.id, on), self.worked_on[on], _LOOK_SECONDS):
            if stop.is_set():
                return
            try:
                with self._stepping:
                    done = self._step(trigger, event, where, stop)
            except StoreUnavailable:
                raise
            except Exception as error:  # what one observation made us stumble over must not end the following
                self.teller.stumble(where, error)
                done = True
            if not done:
                return
            self._newest[on] = iso(self._latest(on, event))
            self._marks.save(self.twin.id, f"step:{on}", {"position": event.position, "time": self._newest[on]})
            self.worked_on[on] = event.position

    def _latest(self, on: str, event: Event) -> datetime:
        newest = self._newest.get(on)
        return event.time if newest is None else max(event.time, parse_instant(newest))

    def _step(self, trigger: TriggerSpec, event: Event, where: str, stop: threading.Event) -> bool:
        """Return whether the event is done with: not so when the engine stops in the middle of its run."""
        state = self._states.latest(self.twin.id)
        if event.position in self._made or self._is_late(str(trigger.on), event):
            return True
        graph = self.twin.graph(trigger.run)
        arguments = arguments_for(self.twin, graph, event, state, trigger.parameters)
        # One run for one cause, also when the engine dies between the event and the end of its run.
        cause = f"{stream_of(self.twin.id, trigger.on)}/{event.position}/{trigger.run}"
        run = self._runs.wait(self._runs.start(self.twin, graph, arguments, cause=cause))
        if not run.finished:
            return False
        if run.state != "finished":
            if stop.is_set():
                return run.state == "failed"
            self.teller.stumble(where, run.error or {"message": f"The update was {run.state}."})
            return True
        self.teller.works(where)
        self._advance(run, event, state, str(trigger.on))
        return True

    def _is_late(self, on: str, event: Event) -> bool:
        newest = self._newest.get(on)
        if newest is None or event.time > parse_instant(newest):
            return False
        self.late += 1
        times = {"observation": iso(event.time), "state": newest}
        self.teller.tell("gemel.twin.late-observation", times, identity=f"late-{event.position}")
        return True

    def _advance(self, run: Run, event: Event, before: State | None, on: str) -> None:
        document = {output.name: {"from_result": output.key} for output in run.outputs}
        valid = event.time if before is None else max(event.time, before.valid)
        state = self._states.save(
            self.twin.id,
            valid,
            run.id,
            event.position,
            document,
            source=f"/{stream_of(self.twin.id)}/sources/{on}",
            uncertainty=self._uncertainty(run),
        )
        if state is not None:
            self._retain(state)
            self._announce(run, state)

    def _uncertainty(self, run: Run) -> Mapping[str, Any]:
        """Return what the update says of its own doubt in an output `uncertainty`; unknown is said as such."""
        if any(output.name == "uncertainty" for output in run.outputs):
            return {str(name): _finite(value) for name, value in dict(self._load(run, "uncertainty")).items()}
        return {"unknown": f"graph '{run.graph}' has no output 'uncertainty'"}

    def _retain(self, state: State) -> None:
        # A twin that lives for years must not fill the disk with every forecast it ever made.
        old = self._states.get(self.twin.id, state.sequence - self._runs.keep_updates)
        if old is not None:
            kept = {value["from_result"] for name, value in old.document.items() if name == "state"}
            self._runs.drop_results(old.run, kept)

    def _announce(self, run: Run, state: State) -> None:
        self._judge(run, state)
        told = {"sequence": state.sequence, "clock": iso(state.valid), "run": run.id}
        self.teller.tell("gemel.twin.updated", told, identity=f"updated-{state.cause}")
        self._alert(run, state)

    def _judge(self, run: Run, state: State) -> None:
        if not any(output.name == "misfit" for output in run.outputs):
            return
        found = {name: _finite(value) for name, value in dict(self._load(run, "misfit")).items()}
        declared = self.twin.manifest.physical.fidelity.get(str(found.get("variable", "")))
        value = found.get("value")
        measured = declared is not None and isinstance(value, (int, float))
        diverged = measured and value > parse_quantity(str(declared), str(found.get("unit", "1")))  # type: ignore[operator]
        was = bool(self.misfit and self.misfit.get("diverged"))
        self.misfit = found | {"declared": declared, "diverged": bool(diverged)}
        if diverged != was:
            kind = "diverged" if diverged else "converged"
            self.teller.tell(f"gemel.twin.{kind}", dict(self.misfit), identity=f"{kind}-{state.cause}")

    def _alert(self, run: Run, state: State) -> None:
        if not any(output.name == "alerts" for output in run.outputs):
            return
        alerts = [dict(alert) for alert in self._load(run, "alerts")]
        for number, alert in enumerate(alerts):
            self.teller.tell("gemel.twin.alert", alert | {"run": run.id}, identity=f"alert-{state.cause}-{number}")
        for number, over in enumerate(ended_alerts(self._log, self.twin.id, run.id, alerts, state.valid)):
            self.teller.tell("gemel.twin.alert-over", over, identity=f"alert-over-{state.cause}-{number}")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
