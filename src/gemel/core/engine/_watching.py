"""Triggers that watch clocks and streams, for all twins of an engine; one engine at a time looks, any may fire."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from gemel.base.clock import iso, utc_now
from gemel.base.errors import Conflict, GemelError, InvalidInput, StoreUnavailable, not_found
from gemel.base.ids import new_id
from gemel.core.engine._duties import Duties
from gemel.core.engine._lake_events import STREAM as LAKE
from gemel.core.engine._telling import stream_of
from gemel.core.stream import Event, EventLog
from gemel.core.stream.triggers import (
    CAUSES,
    Clock,
    Drift,
    Each,
    Firing,
    Marks,
    Selection,
    StoredTriggers,
    TimedWatch,
    Volume,
    Watch,
    cause,
    watch_clock,
    watch_stream,
)
from gemel.core.twin import TriggerSpec, Twin

_DUTY = "triggers"
_LOOK_SECONDS = 0.5
_READ_SECONDS = 2.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownTrigger:
    """A trigger of a twin.

    Attributes:
        twin: Id of the twin.
        spec: What it does.
        stored: Whether it was added at run time; else it stands in `twin.toml`.
    """

    twin: str
    spec: TriggerSpec
    stored: bool

    @property
    def key(self) -> tuple[str, str]:
        """Return what it is known by."""
        return self.twin, self.spec.title


class Watching:
    """Turns what clocks and streams say into causes.

    Args:
        log: Streams that are watched, and the one of causes.
        marks: How far each trigger is.
        stored: Triggers that were added at run time.
        duties: One engine at a time watches.
        find: Finds a twin by name.
        live: Returns the twins that this engine keeps in step.
    """

    def __init__(
        self,
        log: EventLog,
        marks: Marks,
        stored: StoredTriggers,
        duties: Duties,
        twins: tuple[Callable[[str], Twin], Callable[[], Iterable[Twin]]],
    ) -> None:
        self._log, self._marks, self._stored, self._duties = log, marks, stored, duties
        self._find, self._live = twins
        self._stop, self._changed = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._followed: dict[str, threading.Thread] = {}
        self._next: dict[tuple[str, str], datetime] = {}
        self._positions: dict[tuple[str, str], int] = {}
        self._cache: tuple[float, dict[tuple[str, str], KnownTrigger]] = (-math.inf, {})
        self._lock = threading.Lock()
        #: What is wrong with triggers at present, by "twin/trigger".
        self.problems: dict[str, Mapping[str, Any]] = {}

    # What there is

    def all(self, twin: str | None = None) -> list[KnownTrigger]:
        """Return the triggers of one twin, or of the live twins and all that were added."""
        named = [self._find(twin)] if twin is not None else list(self._live())
        found = [KnownTrigger(item.id, spec, False) for item in named for spec in item.manifest.triggers]
        stored = self._stored.list(twin)
        return found + [KnownTrigger(item.twin, trigger_of(item.document), True) for item in stored]

    def get(self, twin: str, name: str) -> KnownTrigger:
        """Return one trigger.

        Raises:
            NotFound: The twin has none of that name.
        """
        known = {item.spec.title: item for item in self.all(twin)}
        if name not in known:
            raise not_found(f"trigger of twin '{twin}'", name, known, command=f"gemel trigger list {twin}")
        return known[name]

    def add(self, twin: Twin, document: Mapping[str, Any]) -> KnownTrigger:
        """Return a new trigger, which begins to watch now.

        Raises:
            InvalidInput: It makes no sense.
            NotFound: The twin has no such graph or source.
            Conflict: The twin has a trigger of that name.
        """
        spec = trigger_of(document)
        if spec.kind == "update":
            hint = f'Write it into twin.toml: [[triggers]] on = "{spec.on}", run = "{spec.run}".'
            raise InvalidInput("A trigger for each observation moves the state, and is part of the twin.", hint=hint)
        twin.graph(spec.run)
        if spec.on is not None and spec.on not in (known := {*twin.manifest.sources, *twin.manifest.windows}):
            raise not_found(f"source of twin '{twin.id}'", spec.on, known)
        if any(item.title == spec.title for item in twin.manifest.triggers):
            message = f"The twin '{twin.id}' has a trigger '{spec.title}' in its twin.toml."
            raise Conflict(message, hint="Choose another name.")
        made = self._made(KnownTrigger(twin.id, spec, True))
        self._stored.add(twin.id, spec.title, spec.model_dump(exclude_defaults=True) | {"name": spec.title})
        self._begin(twin.id, spec.title, made)
        self.changed()
        return KnownTrigger(twin.id, spec, True)

    def remove(self, twin: str, name: str) -> None:
        """Remove a trigger that was added at run time.

        Raises:
            NotFound: There is none.
            Conflict: It stands in the twin's `twin.toml`.
        """
        if not self.get(twin, name).stored:
            raise Conflict(f"Trigger '{name}' stands in the twin.toml of '{twin}'.", hint="Take it out of there.")
        self._stored.remove(twin, name)
        with self._lock:
            self._next.pop((twin, name), None)
            self._positions.pop((twin, name), None)
        self.changed()

    def call(self, twin: Twin, name: str, parameters: Mapping[str, Any], key: str | None = None) -> Event:
        """Return the cause that calling a trigger gave; a key that was used before gives the same one again.

        Raises:
            NotFound: The twin has no such trigger.
            InvalidInput: The trigger is not one to be called.
        """
        spec = self.get(twin.id, name).spec
        if not spec.call:
            raise InvalidInput(f"Trigger '{name}' of twin '{twin.id}' is not one to be called.", hint="call = true")
        firing = Firing("call", key or new_id("call"), utc_now(), {"parameters": dict(parameters)})
        event = _cause_of(twin.id, spec)(firing)
        self._log.append(CAUSES, event)
        return event

    # Looking

    def start(self) -> None:
        """Begin to watch, as soon as no other engine does."""
        if not self._threads:
            self._spawn("gemel-clock", self._watch_clocks)
            self._spawn("gemel-watch", self._watch_streams)

    def stop(self) -> None:
        """Stop watching; the next engine goes on from the marks."""
        self._stop.set()
        self._changed.set()
        for thread in [*self._threads, *self._followed.values()]:
            thread.join(5.0)

    def changed(self) -> None:
        """Look again which triggers there are; those that watch what is new begin now, not at the first look."""
        self._cache = (-math.inf, {})
        for key, trigger in self._known().items():
            if trigger.spec.kind == "dataset" and not self._marks.load(*key):
                self._begin(*key, self._made(trigger))
        self._changed.set()

    def _spawn(self, name: str, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _known(self) -> dict[tuple[str, str], KnownTrigger]:
        # Ten thousand triggers are not read at each tick; those that another engine adds are seen soon enough.
        read, known = self._cache
        if time.monotonic() - read > _READ_SECONDS:
            known = self._read()
            self._cache = (time.monotonic(), known)
        return known

    def _read(self) -> dict[tuple[str, str], KnownTrigger]:
        found = [KnownTrigger(twin.id, spec, False) for twin in self._live() for spec in twin.manifest.triggers]
        for item in self._stored.list():
            try:
                found.append(KnownTrigger(item.twin, trigger_of(item.document), True))
            except GemelError as error:
                self._stumble((item.twin, item.name), error)
        return {item.key: item for item in found if item.spec.kind not in ("update", "call")}

    def _watch_clocks(self) -> None:
        while not self._stop.is_set():
            try:
                if self._duties.take(_DUTY):
                    self._tick(utc_now())
            except StoreUnavailable as error:
                _log.warning("Clocks of triggers: %s", error.message)
            self._stop.wait(self._until_next())

    def _until_next(self) -> float:
        soonest = min(self._next.values(), default=None)
        if soonest is None:
            return _LOOK_SECONDS
        return min(max((soonest - utc_now()).total_seconds(), 0.01), _LOOK_SECONDS)

    def _tick(self, now: datetime) -> None:
        for key, trigger in self._known().items():
            if trigger.spec.kind != "clock" or self._next.get(key, now) > now:
                continue
            try:
                watch = self._made(trigger)
                assert isinstance(watch, TimedWatch)
                while watch_clock(self._log, self._marks, watch, now) and watch.clock.missed == "all":
                    continue
                with self._lock:
                    self._next[key] = watch.clock.next(now)
                self._works(key)
            except StoreUnavailable:
                raise
            except GemelError as error:
                self._stumble(key, error)

    def _watch_streams(self) -> None:
        while not self._stop.is_set():
            self._changed.clear()
            try:
                for stream in self._by_stream():
                    if stream not in self._followed:
                        self._followed[stream] = self._spawn(f"gemel-watch-{stream}", self._follower(stream))
            except StoreUnavailable as error:
                _log.warning("Triggers: %s", error.message)
            self._changed.wait(_LOOK_SECONDS)

    def _by_stream(self) -> dict[str, list[KnownTrigger]]:
        found: dict[str, list[KnownTrigger]] = {}
        for trigger in self._known().values():
            if trigger.spec.kind != "clock":
                found.setdefault(_stream(trigger), []).append(trigger)
        return found

    def _follower(self, stream: str) -> Callable[[], None]:
        def follow() -> None:
            newest = 0
            while not self._stop.is_set():
                try:
                    events = self._log.wait(stream, newest, _LOOK_SECONDS)
                    if self._duties.take(_DUTY):
                        newest = self._look(stream, events[-1].position if events else newest)
                except StoreUnavailable:
                    self._stop.wait(_LOOK_SECONDS)

        return follow

    def _look(self, stream: str, newest: int) -> int:
        """Return the position up to which every trigger on a stream has looked."""
        reached = [newest]
        for trigger in self._by_stream().get(stream, []):
            if self._positions.get(trigger.key, -1) >= newest and not _ages(trigger.spec):
                continue
            try:
                watch = self._made(trigger)
                assert isinstance(watch, Watch)
                now = utc_now() if _ages(trigger.spec) else None
                while watch_stream(self._log, self._marks, watch, now=now)[0] and not self._stop.is_set():
                    continue
                position = int(self._marks.load(*trigger.key).get("position", 0))
                self._positions[trigger.key] = max(position, newest)
                reached.append(position)
                self._works(trigger.key)
            except StoreUnavailable:
                raise
            except GemelError as error:
                self._stumble(trigger.key, error)
        return max(reached)

    def _begin(self, twin: str, name: str, made: Watch | TimedWatch) -> None:
        if isinstance(made, TimedWatch):
            self._marks.save(twin, name, {"after": iso(utc_now())})
            return
        last = self._log.last(made.stream)
        self._marks.save(twin, name, {"position": last[-1].position if last else 0, "document": {}})

    def _made(self, trigger: KnownTrigger) -> Watch | TimedWatch:
        spec, twin = trigger.spec, trigger.twin
        to_cause = _cause_of(twin, spec)
        if spec.kind == "clock":
            clock = Clock(every=spec.every, cron=spec.cron, zone=spec.zone, missed=spec.missed)
            return TimedWatch(twin, spec.title, clock, to_cause)
        watcher, selection = _watcher(spec)
        begin: Any = "new" if trigger.stored or spec.kind == "dataset" else "all"
        return Watch(_stream(trigger), twin, spec.title, watcher, to_cause, selection, begin)

    def _stumble(self, key: tuple[str, str], error: GemelError) -> None:
        where = "/".join(key)
        if where not in self.problems:
            _log.warning("Trigger %s: %s", where, error.message)
        self.problems[where] = error.document()

    def _works(self, key: tuple[str, str]) -> None:
        self.problems.pop("/".join(key), None)


def trigger_of(document: Mapping[str, Any]) -> TriggerSpec:
    """Return the trigger that a table describes.

    Raises:
        InvalidInput: It makes no sense; every problem is named.
    """
    try:
        return TriggerSpec.model_validate(dict(document))
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'trigger'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise InvalidInput(f"This is not a trigger: {told}.", hint="docs/twin-toml.md, [[triggers]]") from error


def _cause_of(twin: str, spec: TriggerSpec) -> Callable[[Firing], Event]:
    def made(firing: Firing) -> Event:
        known = dict(firing.given)
        parameters = dict(spec.parameters) | dict(known.pop("parameters", {}))
        event = cause(twin, spec.title, firing, spec.run)
        data = dict(event.data) | {"given": known, "parameters": parameters}
        return Event(event.id, event.type, event.source, event.time.astimezone(UTC), data, event.subject)

    return made


def _stream(trigger: KnownTrigger) -> str:
    spec = trigger.spec
    if spec.kind == "dataset":
        return LAKE
    return spec.stream or stream_of(trigger.twin, spec.on)


def _watcher(spec: TriggerSpec) -> tuple[Any, Selection | None]:
    if spec.kind == "volume" and spec.volume is not None:
        return Volume(**spec.volume.model_dump()), Selection(where=spec.where)
    if spec.kind == "drift" and spec.drift is not None:
        return Drift(**spec.drift.model_dump()), Selection(where=spec.where)
    if spec.kind == "dataset":
        return Each(Selection(("gemel.dataset.*",), spec.dataset, spec.where), "dataset"), None
    if spec.kind == "check":
        return Each(Selection(("gemel.check.failed",), None, {"check": str(spec.check)}), "check"), None
    return Each(Selection((str(spec.event),), None, spec.where)), None


def _ages(spec: TriggerSpec) -> bool:
    return spec.volume is not None and spec.volume.age is not None
