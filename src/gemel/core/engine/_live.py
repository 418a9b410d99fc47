"""A twin in step with its physical twin: observations in, state forward, freshness and misfit told."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from gemel.base.errors import GemelError, InvalidInput, NotFound, StoreUnavailable, TwinInvalid, not_found
from gemel.core.engine._buffering import BufferFeed
from gemel.core.engine._duties import Duties
from gemel.core.engine._freshness import LiveStatus, expected_seconds, freshness
from gemel.core.engine._intake import Counts, Intake
from gemel.core.engine._opening import open_source
from gemel.core.engine._runs import Runs
from gemel.core.engine._stepping import Load, Stepper
from gemel.core.engine._telling import stream_of
from gemel.core.engine._windowing import WindowFeed, window_feeds
from gemel.core.stream import Event, EventLog, Source, StateStore
from gemel.core.stream.sources import Memory, Receiver
from gemel.core.stream.triggers import Marks
from gemel.core.twin import TriggerSpec, Twin
from gemel.infra.store import Store

_LOOK_SECONDS = 0.5
_MANY = 1000  # observations that wait before people are told


@dataclass(frozen=True)
class LiveParts:
    """What a live twin works with.

    Attributes:
        runs: Makes runs.
        log: Keeps observations, and what is told.
        states: Keeps the states.
        marks: Keeps how far followers are.
        load: Loads an output of a run.
        memory: Returns the memory of a source of a twin.
        duties: Tells which engine follows the twin.
        store: The journal.
        folder: Where files may lie for a while.
    """

    runs: Runs
    log: EventLog
    states: StateStore
    marks: Marks
    load: Load
    memory: Callable[[str, str], Memory]
    duties: Duties
    store: Store
    folder: Path


class LiveTwin:
    """Follows the sources of one twin and makes its steps; one engine does so, others stand by to take over.

    Rules: an observation with an id seen before is a duplicate and changes nothing; one that is not later than the
    last of its source is late: it is kept in the log and counted, and the state is not rewound; a null value, or an
    instant that is missing, is a gap: the state moves on without it. An update that fails is told as a problem, and
    the next observation is tried.

    Attributes:
        twin: Which.
        buffers: Its training buffers, by name.
    """

    def __init__(self, twin: Twin, parts: LiveParts, options: Mapping[str, Any] | None = None) -> None:
        self.twin, self._parts = twin, parts
        self._overrides = dict(options or {})
        self._stepper = Stepper(twin, parts.runs, (parts.log, parts.states, parts.marks), parts.load)
        self._teller = self._stepper.teller
        self._expected = 1.0
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._intakes: dict[str, Intake] = {}
        self._sources: dict[str, Source] = {}
        self._windows: list[WindowFeed] = []
        self.buffers: dict[str, BufferFeed] = {}
        self._standing_by = False
        self._heard: tuple[dict[str, int], float | None] = ({}, None)
        self._told = "not-live"

    @property
    def stream(self) -> str:
        """Return the name of the log stream that tells about this twin."""
        return stream_of(self.twin.id)

    @property
    def duty(self) -> str:
        """Return the name of the duty to follow this twin."""
        return f"twins/{self.twin.id}"

    def start(self) -> None:
        """Begin to follow the sources, from where an earlier engine left off.

        Raises:
            NotFound: A source or its kind is unknown.
            InvalidInput: The options of a source make no sense.
        """
        parts, manifest = self._parts, self.twin.manifest
        self._windows = window_feeds(self.twin, parts.log, parts.marks, self._teller)
        for name in manifest.sources:
            self._sources[name] = self._open(name)
        self._expected = expected_seconds(self.twin.manifest, self._overrides)
        for trigger in self._updates():
            self.twin.graph(trigger.run)
        for feed in self._windows:
            feed.check(manifest.sources)
        stores, ways = (parts.store, parts.log, parts.marks), (parts.folder, self._teller)
        for name in manifest.buffers:
            self.buffers[name] = BufferFeed(name, self.twin, parts.runs, stores, ways)
            self.buffers[name].check({*manifest.sources, *manifest.windows})
            self.buffers[name].needed_from = partial(self._needed_from, manifest.buffers[name].on)
        self._hear()
        if self._parts.duties.take(self.duty):
            self._follow_all()
        else:
            self._standing_by = True
            self._spawn("standing-by", self._stand_by)
        self._spawn("pulse", self._beat)

    def stop(self) -> None:
        """End all following; what was logged and not yet worked on is worked on at the next start."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=10.0)
        with contextlib.suppress(GemelError):
            self._parts.duties.release(self.duty)

    def receive(self, source: str, headers: Mapping[str, str], body: bytes) -> Counts:
        """Return what became of the observations in a request to a source that others send to; all are durable.

        Raises:
            NotFound: No such source.
            InvalidInput: The source is not one that others send to, or the request holds no events.
            Denied: The sender is not who it should be.
            StoreFull: The stream is full; nothing was kept.
        """
        if source not in self._sources:
            raise not_found(f"source of twin '{self.twin.id}'", source, self._sources)
        receiver = self._sources[source]
        if not isinstance(receiver, Receiver):
            kind = self.twin.manifest.sources[source].kind
            raise InvalidInput(f"Source '{source}' ({kind}) takes nothing from others.", hint='kind = "webhook"')
        return self._intakes[source].take(receiver.receive(headers, body))

    def wait_finished(self) -> None:
        """Return when every source has ended and each of its observations has been worked on, or at a problem."""
        while not self._stop.is_set() and not self._teller.problems:
            ended = all(intake.state in ("ended", "broken") for intake in self._intakes.values())
            if (ended or self._standing_by) and not any(self._is_behind(trigger) for trigger in self._updates()):
                return
            self._stop.wait(_LOOK_SECONDS / 10)

    def status(self) -> LiveStatus:
        """Return the present distance from the physical twin."""
        state = self._parts.states.latest(self.twin.id)
        last = self._last_observation()
        age, problems = self._age(), self._teller.problems
        counts = [intake.counts for intake in self._intakes.values()]
        lag = (last - state.valid).total_seconds() if last and state else None
        return LiveStatus(
            freshness=freshness(age, self._expected) if self._threads else "not-live",
            age=age,
            clock=state.valid if state else None,
            sequence=state.sequence if state else 0,
            run=state.run if state else None,
            last_observation=last,
            late=self._stepper.late,
            duplicates=sum(item.duplicates for item in counts),
            gaps=sum(item.gaps for item in counts),
            rejected=sum(item.rejected for item in counts),
            waiting=self._waiting(),
            lag=None if lag is None else max(lag, 0.0),
            misfit=self._stepper.misfit,
            problem=next(iter(problems.values()), None),
            problems=problems,
            parts=self._documents(),
            standing_by=self._standing_by,
        )

    def _documents(self) -> dict[str, Any]:
        sources = [intake.document() for intake in self._intakes.values()]
        windows = [feed.document() for feed in self._windows]
        return {"sources": sources, "windows": windows, "buffers": [item.document() for item in self.buffers.values()]}

    def _open(self, name: str) -> Source:
        manifest = self.twin.manifest
        intake = Intake(name, manifest.sources[name], manifest.physical, self._parts.log, self._teller)
        intake.needed_from = lambda: self._needed_from(name)
        self._intakes[name] = intake
        ways = (self._parts.memory(self.twin.id, name), intake.reject)
        return open_source(self.twin, name, self._overrides, ways, self._stop)

    def _updates(self) -> Sequence[TriggerSpec]:
        found = [trigger for trigger in self.twin.manifest.triggers if trigger.kind == "update"]
        known = {*self.twin.manifest.sources, *self.twin.manifest.windows}
        for trigger in found:
            if trigger.on not in known:
                hint = not_found("source", str(trigger.on), known).hint
                message = f"Trigger on '{trigger.on}': twin '{self.twin.id}' has no such source."
                raise TwinInvalid(message, hint=hint)
        return found

    def _needed_from(self, source: str) -> int:
        """Return the first position in a source's stream that a follower has not worked on."""
        stream = stream_of(self.twin.id, source)
        done = [self._stepper.worked_on.get(source, 0) for trigger in self._updates() if trigger.on == source]
        done += [feed.needed_from(stream) - 1 for feed in self._windows if source in feed.sources]
        for trigger in self.twin.manifest.triggers:
            if trigger.on == source and trigger.kind != "update":
                done.append(int(self._parts.marks.load(self.twin.id, trigger.title).get("position", 0)))
        last = self._parts.log.last(stream)
        return min(done) + 1 if done else (last[-1].position if last else 0)

    def _stand_by(self) -> None:
        while not self._stop.is_set():
            try:
                if self._parts.duties.take(self.duty):
                    self._standing_by = False
                    self._follow_all()
                    return
            except StoreUnavailable as error:
                self._teller.stumble("Standing by", error)
            self._stop.wait(_LOOK_SECONDS)

    def _follow_all(self) -> None:
        for name, source in self._sources.items():
            self._spawn(f"source-{name}", partial(self._intakes[name].follow, source, self._stop))
        for trigger in self._updates():
            self._spawn(f"trigger-{trigger.on}", partial(self._stepper.follow, trigger, self._stop, self._hear))
        for feed in self._windows:
            self._spawn(f"window-{feed.name}", partial(feed.follow, self._stop))
        for buffer in self.buffers.values():
            self._spawn(f"buffer-{buffer.name}", partial(buffer.follow, self._stop))

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _is_behind(self, trigger: TriggerSpec) -> bool:
        last = self._parts.log.last(stream_of(self.twin.id, trigger.on))
        if not last:
            return False
        done = self._stepper.worked_on.get(str(trigger.on), 0)
        if self._standing_by:
            done = int(self._parts.marks.load(self.twin.id, f"step:{trigger.on}").get("position", 0))
        return done < last[-1].position

    def _waiting(self) -> int:
        found = 0
        for trigger in self._updates():
            done = self._stepper.worked_on.get(str(trigger.on))
            if done is not None:
                found += len(self._parts.log.read(stream_of(self.twin.id, trigger.on), done, _MANY))
        return min(found, _MANY)

    def _last_observation(self) -> datetime | None:
        events: list[Event] = []
        for name in self.twin.manifest.sources:
            events += self._parts.log.last(stream_of(self.twin.id, name))
        return max((event.time for event in events), default=None)

    # What another engine, or an agent at the source, brought into the log is heard of here, too.

    def _hear(self) -> None:
        last = {name: self._parts.log.last(intake.stream) for name, intake in self._intakes.items()}
        positions = {name: found[-1].position for name, found in last.items() if found}
        known, when = self._heard
        if positions != known:
            first = not known and when is None and not self._threads
            self._heard = (positions, None if first else time.monotonic())

    def _age(self) -> float | None:
        arrived = [intake.arrived for intake in self._intakes.values() if intake.arrived is not None]
        arrived += [self._heard[1]] if self._heard[1] is not None else []
        return time.monotonic() - max(arrived) if arrived else None

    def _beat(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                self._hear()
                self._tell_freshness()
                self._tell_backlog()
            except StoreUnavailable:
                continue  # told by whoever needs the store; the next beat comes soon

    def _tell_freshness(self) -> None:
        now = freshness(self._age(), self._expected)
        if now != self._told and now != "not-live" and not self._standing_by:
            self._told = now
            self._teller.tell("gemel.twin.freshness", {"state": now})

    def _tell_backlog(self) -> None:
        if self._waiting() < _MANY:
            self._teller.works("Steps")
            return
        hint = (
            "Observations come faster than the update graph takes them in: make it lighter, or put a window before it."
        )
        error = {"code": "twin.behind", "message": f"{_MANY} observations or more wait to be taken in.", "hint": hint}
        self._teller.stumble("Steps", error | {"context": {}})


def require_sources(twin: Twin) -> None:
    """Raise `NotFound` when nothing of the twin could ever go live."""
    manifest = twin.manifest
    followed = [*manifest.triggers, *manifest.buffers, *manifest.windows]
    if not manifest.sources or not followed:
        raise NotFound(f"Twin '{twin.id}' has no source with a trigger.", hint="[sources.NAME], [[triggers]]")
