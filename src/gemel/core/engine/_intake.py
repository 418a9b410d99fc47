"""From a source into the log: nothing is asked for before the last is durable, and what is no observation is kept apart."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gemel.base.clock import iso, parse_duration
from gemel.base.errors import InvalidInput, StoreFull, StoreUnavailable
from gemel.core.engine._telling import Teller, stream_of
from gemel.core.stream import Event, EventLog, Source, finite
from gemel.core.stream.events import DEAD
from gemel.core.twin import PhysicalTable, SourceSpec

_LOOK_SECONDS = 0.5
_KEPT_BYTES = 500_000  # of a payload that is no observation
_ROOM = 10  # a full stream lets go of a tenth of what it may hold


@dataclass(frozen=True)
class Counts:
    """What came in from a source since this engine began to follow it.

    Attributes:
        received: Observations that are in the log for the first time.
        duplicates: Those whose id was there already.
        gaps: Missing instants, and nulls in what the twin promises to mirror.
        rejected: Payloads that became dead letters.
    """

    received: int = 0
    duplicates: int = 0
    gaps: int = 0
    rejected: int = 0

    def plus(self, **more: int) -> Counts:
        """Return the counts with some added."""
        return Counts(**{name: getattr(self, name) + more.get(name, 0) for name in vars(self)})

    def since(self, before: Counts) -> Counts:
        """Return what was counted after `before`."""
        return Counts(**{name: getattr(self, name) - getattr(before, name) for name in vars(self)})


class Intake:
    """Follows one source of a twin.

    Attributes:
        name: Name of the source.
        counts: What came in.
        arrived: When the newest observation came, in seconds of `time.monotonic`, or None.
        state: `waiting`, `following`, `standing-by`, `ended`, or `broken`.
    """

    def __init__(self, name: str, spec: SourceSpec, physical: PhysicalTable, log: EventLog, teller: Teller) -> None:
        self.name, self.spec = name, spec
        self._log, self._teller = log, teller
        self._where = f"Source '{name}'"
        self._sync = parse_duration(physical.sync)
        self._watched = physical.fidelity.keys()
        self._ahead = parse_duration(spec.ahead)
        self.stream = stream_of(teller.twin, name)
        self.counts, self.state = Counts(), "waiting"
        self.arrived: float | None = None
        self._previous: datetime | None = None
        self._taking = threading.Lock()
        #: Set by whoever knows what the followers of this source still need: a position.
        self.needed_from: Callable[[], int] = lambda: 0

    def prepare(self) -> None:
        """Bound the stream as the source says."""
        if self.spec.limit_events or self.spec.limit_bytes:
            self._log.limit(self.stream, events=self.spec.limit_events, bytes=self.spec.limit_bytes)

    def follow(self, source: Source, stop: threading.Event) -> None:
        """Take in what the source tells until it ends, breaks, or `stop`."""
        self.state = "following"
        while not stop.is_set():
            try:
                self.prepare()
                self._take_all(source, stop)
                self.state = "ended"
                return
            except StoreUnavailable as error:
                # Read again from the last observation that is on disk, as soon as there is a disk to write to.
                self._teller.stumble(self._where, error)
                stop.wait(_LOOK_SECONDS)
            except Exception as error:  # whatever a driver raises ends this source, and people must see why
                self.state = "broken"
                self._teller.stumble(self._where, error)
                return

    def _take_all(self, source: Source, stop: threading.Event) -> None:
        last = self._log.last(self.stream)
        self._previous = last[-1].time if last else None
        for found in source.events(self._previous):
            events = [found] if isinstance(found, Event) else list(found)
            self._take_patiently(events, stop)
            if stop.is_set():
                return

    def _take_patiently(self, events: Sequence[Event], stop: threading.Event) -> None:
        while True:
            try:
                self.take(events)
                return
            except StoreUnavailable as error:
                self._teller.stumble(self._where, error)
                if stop.wait(_LOOK_SECONDS):
                    return

    def take(self, events: Sequence[Event]) -> Counts:
        """Return what became of the observations, once all of them are durable.

        Raises:
            StoreFull: The stream or the disk is full; nothing was kept, send it again.
            StoreUnavailable: The journal is away; the same.
        """
        with self._taking:
            self.arrived = time.monotonic()
            before = self.counts
            good = [event for event in events if not self._refused(event)]
            try:
                self._note(good, self._append(good))
            except InvalidInput:
                for event in good:
                    self._take_alone(event)
            self._teller.works(self._where)
            return self.counts.since(before)

    def reject(self, reason: str, payload: bytes) -> None:
        """Keep a payload that is no observation among the dead letters, with the reason; the same one is kept once."""
        digest = hashlib.sha256(payload).hexdigest()
        told: dict[str, Any] = {"reason": reason, "bytes": len(payload), "sha256": digest}
        told |= _readable(payload[:_KEPT_BYTES]) | ({"cut": True} if len(payload) > _KEPT_BYTES else {})
        letter = Event(f"rejected-{digest[:40]}", "gemel.dead-letter", f"/{self.stream}", datetime.now(UTC), told)
        self._log.append(self.stream + DEAD, letter)
        self.counts = self.counts.plus(rejected=1)

    def _refused(self, event: Event) -> bool:
        latest = datetime.now(UTC) + self._ahead
        if event.time <= latest:
            return False
        ahead = timedelta(seconds=round((event.time - latest + self._ahead).total_seconds()))
        reason = f"Dated {iso(event.time)}, {ahead} ahead of the clock; {self.spec.ahead} is allowed."
        self.reject(reason, _bytes_of(event))
        return True

    def _append(self, events: Sequence[Event]) -> list[int | None]:
        try:
            return self._log.append_many(self.stream, events)
        except StoreFull:
            if not self._make_room(len(events)):
                raise
            return self._log.append_many(self.stream, events)

    def _take_alone(self, event: Event) -> None:
        try:
            self._note([event], self._append([event]))
        except InvalidInput as error:
            self.reject(error.message, _bytes_of(event))

    def _make_room(self, wanted: int) -> bool:
        """Let the oldest observations go that everybody has worked on; return whether any went."""
        some = max(wanted, (self.spec.limit_events or 10_000) // _ROOM)
        oldest = self._log.read(self.stream, 0, some)
        if not oldest:
            return False
        before = min(oldest[-1].position + 1, self.needed_from())
        return before > oldest[0].position and self._log.trim(self.stream, before) > 0

    def _note(self, events: Iterable[Event], positions: Iterable[int | None]) -> None:
        for event, position in zip(events, positions, strict=True):
            if position is None:
                self.counts = self.counts.plus(duplicates=1)
                continue
            self.counts = self.counts.plus(received=1, gaps=int(self._is_gap(event)))
            self._previous = event.time if self._previous is None else max(self._previous, event.time)

    def _is_gap(self, event: Event) -> bool:
        missing = self._previous is not None and event.time - self._previous > 1.5 * self._sync
        # What the twin promises to mirror is what it must observe; without a promise, everything counts.
        watched = self._watched & event.data.keys() or event.data.keys()
        return missing or any(event.data[name] is None for name in watched)

    def document(self) -> dict[str, Any]:
        """Return how the source does, as JSON values."""
        age = None if self.arrived is None else round(time.monotonic() - self.arrived, 3)
        counts: Mapping[str, int] = vars(self.counts)
        return {"name": self.name, "kind": self.spec.kind, "state": self.state, "age_seconds": age, **counts}


def _bytes_of(event: Event) -> bytes:
    return json.dumps(finite(event.document()), default=str).encode(errors="replace")


def _readable(payload: bytes) -> dict[str, str]:
    try:
        return {"payload": payload.decode()}
    except UnicodeDecodeError:
        return {"payload_base64": base64.b64encode(payload).decode()}
