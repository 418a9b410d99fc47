"""A twin in step with its physical twin: observations in, state forward, freshness and misfit told."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gemel.base.clock import iso, parse_duration
from gemel.base.errors import GemelError, NotFound, StoreUnavailable, TwinInvalid
from gemel.base.ids import new_id
from gemel.base.plugins import plugins
from gemel.base.units import parse_quantity
from gemel.core.engine._runs import Runs
from gemel.core.graph import Process, Run
from gemel.core.stream import Event, EventLog, Source, SourceContext, State, StateStore
from gemel.core.twin import SourceSpec, TriggerSpec, Twin, resolve
from gemel.infra.lake import locate

_LATE_AFTER = 2.5  # expected intervals without an observation
_SILENT_AFTER = 10.0
_LOOK_SECONDS = 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveStatus:
    """How far a twin is from its physical twin.

    Attributes:
        freshness: `in-step`, `late`, `silent`, or `not-live`.
        age: Seconds of ours since the last observation, or None.
        clock: Instant of the physical twin that the state describes.
        sequence: Version of the state.
    """

    freshness: str = "not-live"
    age: float | None = None
    clock: datetime | None = None
    sequence: int = 0
    run: str | None = None
    last_observation: datetime | None = None
    late: int = 0
    duplicates: int = 0
    gaps: int = 0
    misfit: Mapping[str, Any] | None = None
    problem: Mapping[str, Any] | None = None


class LiveTwin:
    """Follows the sources of one twin and runs its triggers, one observation after the other.

    Rules: an observation with an id seen before is a duplicate and changes nothing; one that is not later than the
    state is late: it is kept in the log and counted, and the state is not rewound; a null value, or an instant that
    is missing, is a gap: the state moves on without it. An update that fails is told as a problem, and the next
    observation is tried.
    """

    def __init__(
        self,
        twin: Twin,
        runs: Runs,
        stores: tuple[EventLog, StateStore],
        load: Callable[[Run, str], Any],
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.twin = twin
        self._runs = runs
        self._log, self._states = stores
        self._load = load
        self._overrides = dict(options or {})
        self._keep = runs.keep_updates
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._counts = {"late": 0, "duplicates": 0, "gaps": 0}
        self._arrived: float | None = None
        self._misfit: Mapping[str, Any] | None = None
        self._problems: dict[str, Mapping[str, Any]] = {}
        self._worked_on: dict[str, int] = {}  # log position by source
        self._told = "not-live"

    @property
    def stream(self) -> str:
        """Return the name of the log stream that tells about this twin."""
        return f"twins/{self.twin.id}"

    def start(self) -> None:
        """Begin to follow the sources, from where an earlier engine left off.

        Raises:
            NotFound: A source or its kind is unknown.
            InvalidInput: The options of a source make no sense.
        """
        manifest = self.twin.manifest
        sources = {name: self._open(name, spec) for name, spec in manifest.sources.items()}
        for trigger in manifest.triggers:
            if trigger.on not in sources:
                raise TwinInvalid(f"Trigger on '{trigger.on}': twin '{self.twin.id}' has no such source.")
            self.twin.graph(trigger.run)
        for name, source in sources.items():
            self._spawn(f"source-{name}", lambda source=source, name=name: self._ingest(name, source))
        for trigger in manifest.triggers:
            self._spawn(f"trigger-{trigger.on}", lambda trigger=trigger: self._follow(trigger))

    def stop(self) -> None:
        """End all following; what was logged and not yet worked on is worked on at the next start."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=10.0)

    def wait_finished(self) -> None:
        """Return when every source has ended and each of its observations has been worked on, or at a problem."""
        for thread in self._threads:
            while thread.name.startswith("source-") and thread.is_alive() and not self._problems:
                thread.join(_LOOK_SECONDS / 10)
        for trigger in self.twin.manifest.triggers:
            last = self._log.last(self._observations(trigger.on))
            while last and not self._stop.is_set() and not self._problems:
                if self._worked_on.get(trigger.on, 0) >= last[-1].position:
                    break
                self._stop.wait(_LOOK_SECONDS / 10)

    def status(self) -> LiveStatus:
        """Return the present distance from the physical twin."""
        state = self._states.latest(self.twin.id)
        last = self._last_observation()
        age = None if self._arrived is None else time.monotonic() - self._arrived
        return LiveStatus(
            freshness=self._freshness(age),
            age=age,
            clock=state.valid if state else None,
            sequence=state.sequence if state else 0,
            run=state.run if state else None,
            last_observation=last,
            misfit=self._misfit,
            problem=next(iter(list(self._problems.values())), None),
            **self._counts,
        )

    def _open(self, name: str, spec: SourceSpec) -> Source:
        kind: Any = plugins("sources").get(spec.kind)
        uri = f"/twins/{self.twin.id}/sources/{name}"
        options = {key: self._filled(value) for key, value in (dict(spec.options) | self._overrides).items()}
        if "dataset" in options:
            options["dataset"] = self.twin.manifest.datasets.get(options["dataset"], options["dataset"])
        source: Source = kind(SourceContext(name, uri, options, self._read, self._stop))
        return source

    def _read(self, reader: str, reference: str) -> Any:
        process = self.twin.registry.get(reader)
        assert isinstance(process, Process)
        first, *others = (parameter.name for parameter in process.parameters)
        manifest = self.twin.manifest
        values = dict(manifest.settings) | {name: spec.default for name, spec in manifest.parameters.items()}
        known = {name: values[name] for name in others if name in values}
        return process.function(**{first: locate(reference, base=self.twin.folder)}, **known)

    def _filled(self, value: Any) -> Any:
        # "{live_from}" in an option stands for the setting of that name, so that an instance need only change settings.
        if not isinstance(value, str):
            return value
        try:
            return value.format_map(self.twin.manifest.settings)
        except (LookupError, ValueError, AttributeError) as error:
            message = f"Option '{value}' of a source of twin '{self.twin.id}' names no setting: {error}."
            raise TwinInvalid(message, hint="Declare it under [settings].") from error

    def _spawn(self, name: str, target: Any) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _observations(self, source: str) -> str:
        return f"{self.stream}/{source}"

    def _last_observation(self) -> datetime | None:
        events = [self._log.last(self._observations(name)) for name in self.twin.manifest.sources]
        return max((found[-1].time for found in events if found), default=None)

    def _ingest(self, name: str, source: Source) -> None:
        where = f"Source '{name}'"
        while not self._stop.is_set():
            try:
                self._take_in(name, source)
                return
            except StoreUnavailable as error:
                # Read again from the last observation that is on disk, as soon as there is a disk to write to.
                self._stumble(where, error)
                self._stop.wait(_LOOK_SECONDS)
            except Exception as error:  # whatever a driver raises ends this source, and people must see why
                self._stumble(where, error)
                return

    def _take_in(self, name: str, source: Source) -> None:
        stream = self._observations(name)
        sync = parse_duration(self.twin.manifest.physical.sync)
        last = self._log.last(stream)
        previous = last[-1].time if last else None
        for event in source.events(previous):
            if self._stop.is_set():
                return
            self._arrived = time.monotonic()
            if self._log.append(stream, event) is None:
                self._counts["duplicates"] += 1
                continue
            self._problems.pop(f"Source '{name}'", None)
            self._note_gap(event, previous, sync)
            previous = event.time if previous is None else max(previous, event.time)

    def _note_gap(self, event: Event, previous: datetime | None, sync: timedelta) -> None:
        missing = previous is not None and event.time - previous > 1.5 * sync
        # What the twin promises to mirror is what it must observe; without a promise, everything counts.
        watched = self.twin.manifest.physical.fidelity.keys() & event.data.keys() or event.data.keys()
        if missing or any(event.data[name] is None for name in watched):
            self._counts["gaps"] += 1

    def _follow(self, trigger: TriggerSpec) -> None:
        where = f"Trigger on '{trigger.on}'"
        while not self._stop.is_set():
            try:
                self._catch_up(trigger, where)
                self._tell_freshness()
            except StoreUnavailable as error:
                # Nothing is skipped for a store that is away for a moment: the same observation is tried again.
                self._stumble(where, error)
                self._stop.wait(_LOOK_SECONDS)

    def _catch_up(self, trigger: TriggerSpec, where: str) -> None:
        if trigger.on not in self._worked_on:
            self._worked_on[trigger.on] = self._resume()
        for event in self._log.wait(self._observations(trigger.on), self._worked_on[trigger.on], _LOOK_SECONDS):
            if self._stop.is_set():
                return
            try:
                self._handle(trigger, event)
            except StoreUnavailable:
                raise
            except Exception as error:  # what one observation made us stumble over must not end the following
                self._stumble(where, error)
            self._worked_on[trigger.on] = event.position

    def _resume(self) -> int:
        state = self._states.latest(self.twin.id)
        if state is None:
            return 0
        # An engine that died just after saving this state may not have told it; events told already stay as they are.
        with contextlib.suppress(NotFound):
            self._announce(self._runs.journal.get(state.run), state)
        return state.cause

    def _handle(self, trigger: TriggerSpec, event: Event) -> None:
        state = self._states.latest(self.twin.id)
        if state is not None and event.position <= state.cause:
            return  # another engine on this store was faster
        if state is not None and event.time <= state.valid:
            self._counts["late"] += 1
            times = {"observation": iso(event.time), "state": iso(state.valid)}
            self._tell("gemel.twin.late-observation", times, identity=f"late-{event.position}")
            return
        graph = self.twin.graph(trigger.run)
        observation = {"time": iso(event.time), **event.data}
        known = {"observation": observation, "state": state.document.get("state") if state else None}
        given = {name: value for name, value in known.items() if name in {item.name for item in graph.parameters}}
        arguments = resolve(self.twin, graph, given)
        # One run for one cause, also when the engine dies between the event and the end of its run.
        cause = f"{self._observations(trigger.on)}/{event.position}/{trigger.run}"
        run = self._runs.wait(self._runs.start(self.twin, graph, arguments, cause=cause))
        if run.state != "finished":
            if not self._stop.is_set():
                self._problems[f"Trigger on '{trigger.on}'"] = run.error or {"message": f"The update was {run.state}."}
            return
        self._problems.pop(f"Trigger on '{trigger.on}'", None)
        self._advance(run, event)

    def _advance(self, run: Run, event: Event) -> None:
        document = {output.name: {"from_result": output.key} for output in run.outputs}
        state = self._states.save(self.twin.id, event.time, run.id, event.position, document)
        if state is not None:
            self._retain(state)
            self._announce(run, state)

    def _retain(self, state: State) -> None:
        # A twin that lives for years must not fill the disk with every forecast it ever made.
        old = self._states.get(self.twin.id, state.sequence - self._keep)
        if old is not None:
            kept = {value["from_result"] for name, value in old.document.items() if name == "state"}
            self._runs.drop_results(old.run, kept)

    def _announce(self, run: Run, state: State) -> None:
        self._judge(run, state)
        self._tell(
            "gemel.twin.updated",
            {"sequence": state.sequence, "clock": iso(state.valid), "run": run.id},
            identity=f"updated-{state.cause}",
        )
        self._alert(run, state)

    def _judge(self, run: Run, state: State) -> None:
        if not any(output.name == "misfit" for output in run.outputs):
            return
        found = {name: _finite(value) for name, value in dict(self._load(run, "misfit")).items()}
        declared = self.twin.manifest.physical.fidelity.get(str(found.get("variable", "")))
        value = found.get("value")
        diverged = bool(
            declared
            and isinstance(value, (int, float))
            and value > parse_quantity(declared, str(found.get("unit", "1")))
        )
        was = bool(self._misfit and self._misfit.get("diverged"))
        self._misfit = found | {"declared": declared, "diverged": diverged}
        if diverged != was:
            kind = "diverged" if diverged else "converged"
            self._tell(f"gemel.twin.{kind}", dict(self._misfit), identity=f"{kind}-{state.cause}")

    def _alert(self, run: Run, state: State) -> None:
        if any(output.name == "alerts" for output in run.outputs):
            for number, alert in enumerate(self._load(run, "alerts")):
                identity = f"alert-{state.cause}-{number}"
                self._tell("gemel.twin.alert", dict(alert) | {"run": run.id}, identity=identity)

    def _freshness(self, age: float | None) -> str:
        if not self._threads or age is None:
            return "not-live"
        expected = self._expected_seconds()
        if age > _SILENT_AFTER * expected:
            return "silent"
        return "late" if age > _LATE_AFTER * expected else "in-step"

    def _expected_seconds(self) -> float:
        sync = parse_duration(self.twin.manifest.physical.sync).total_seconds()
        sources = self.twin.manifest.sources.values()
        speeds = [str((dict(spec.options) | self._overrides).get("speed", "")) for spec in sources]
        for speed in speeds:
            amount, slash, per = speed.partition("/")
            if slash:
                pace = parse_duration(amount) / parse_duration(f"1 {per}" if not per.strip()[:1].isdigit() else per)
                return max(sync / pace, 0.5)
        return sync

    def _tell_freshness(self) -> None:
        age = None if self._arrived is None else time.monotonic() - self._arrived
        now = self._freshness(age)
        if now != self._told and now != "not-live":
            self._told = now
            self._tell("gemel.twin.freshness", {"state": now})

    def _stumble(self, where: str, cause: Exception) -> None:
        error = cause if isinstance(cause, GemelError) else GemelError(f"{where}: {type(cause).__name__}: {cause}")
        _log.warning("%s of twin %s: %s", where, self.twin.id, error.message)
        self._problems[where] = error.document()
        with contextlib.suppress(GemelError):
            self._tell("gemel.twin.problem", {"where": where, **error.document()})

    def _tell(self, kind: str, data: Mapping[str, Any], *, identity: str | None = None) -> None:
        source = f"/twins/{self.twin.id}"
        event = Event(identity or new_id("event"), kind, source, datetime.now(UTC), data, subject=self.twin.id)
        self._log.append(self.stream, event)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
