"""Watchers: what looks at the events of a stream one after the other, and says when it is time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

from gemel.base.clock import iso, parse_duration
from gemel.base.errors import InvalidInput
from gemel.core.stream.events import Event
from gemel.core.stream.events._log import data_text
from gemel.core.stream.triggers._selection import Selection, found


@dataclass(frozen=True)
class Firing:
    """Something that a watcher saw and that causes a run.

    Attributes:
        kind: What fired, like "event", "volume", "drift", "clock", "call".
        key: What tells it from every other firing of the same trigger; the same whenever it is worked out again.
        time: Instant of the physical twin at which it fired.
        given: What the run is told, JSON values.
        position: Log position of the event at which it fired, 0 for what is no event.
    """

    kind: str
    key: str
    time: datetime
    given: Mapping[str, Any] = field(default_factory=dict)
    position: int = 0


@runtime_checkable
class Watcher(Protocol):
    """Looks at events in the order of the log; all it remembers is a small JSON document, which the caller keeps.

    What it says depends on the document and the events alone, not on how many events it is shown at a time.
    """

    def observe(self, document: Mapping[str, Any], events: Sequence[Event]) -> tuple[dict[str, Any], list[Firing]]:
        """Return the document after these events, and what fired at them, oldest first.

        Args:
            document: What was returned last, empty at first; it is not changed.
            events: The next events, with their positions.
        """


@dataclass(frozen=True)
class Each:
    """Fires at each event that is selected; the cause is told the event.

    Attributes:
        selection: Which events.
        kind: What the cause is called: "event", or "dataset" for those of the lake.
    """

    selection: Selection = field(default_factory=Selection)
    kind: str = "event"

    def observe(self, document: Mapping[str, Any], events: Sequence[Event]) -> tuple[dict[str, Any], list[Firing]]:
        """Return the document as it is, and one firing for each event that matches."""
        chosen = [event for event in events if self.selection.matches(event)]
        return dict(document), [
            Firing(
                self.kind, event.id, event.time, {"event": event.document(), "position": event.position}, event.position
            )
            for event in chosen
        ]


@dataclass(frozen=True)
class Volume:
    """Fires when enough has come since it fired last: events, bytes of data, or time between first and last.

    Attributes:
        events: After so many events.
        bytes: After so many bytes of data, as JSON.
        age: When an event is so much later than the earliest one counted, like ``1 d``, by their own times; see
            `elapsed` for a stream that falls silent.
        kind: What the cause is called.
    """

    events: int | None = None
    bytes: int | None = None
    age: str | None = None
    kind: str = "volume"

    def __post_init__(self) -> None:
        """Refuse a rule that never fires, or always does."""
        if self.events is None and self.bytes is None and self.age is None:
            raise InvalidInput("A volume rule names no volume.", hint="Write events = 1000, bytes = … or age = '1 d'.")
        for name, most in (("events", self.events), ("bytes", self.bytes)):
            if most is not None and most < 1:
                raise InvalidInput(f"{name} = {most} of a volume rule is not positive.", name=name)
        if self.age is not None:
            parse_duration(self.age)

    def observe(self, document: Mapping[str, Any], events: Sequence[Event]) -> tuple[dict[str, Any], list[Firing]]:
        """Return the counts after these events, and what fired; each firing tells first, last, events and bytes."""
        counts, fired = dict(document), list[Firing]()
        for event in events:
            counts = self._counted(counts, event)
            if self._is_full(counts, counts["newest"]):
                fired.append(self._firing(counts))
                counts = {}
        return counts, fired

    def elapsed(self, document: Mapping[str, Any], now: datetime) -> tuple[dict[str, Any], list[Firing]]:
        """Return the document and what fires by age at `now`, on the events' own clock, though nothing came."""
        if not document or not self._is_full(document, now.timestamp()):
            return dict(document), []
        return {}, [self._firing(document)]

    def _counted(self, counts: Mapping[str, Any], event: Event) -> dict[str, Any]:
        time = event.time.timestamp()
        size = 0 if self.bytes is None else len(data_text(event))
        return {
            "first": counts.get("first", event.position),
            "last": event.position,
            "events": counts.get("events", 0) + 1,
            "bytes": counts.get("bytes", 0) + size,
            "oldest": min(counts.get("oldest", time), time),
            "newest": max(counts.get("newest", time), time),
        }

    def _is_full(self, counts: Mapping[str, Any], now: float) -> bool:
        enough = self.events is not None and counts["events"] >= self.events
        heavy = self.bytes is not None and counts["bytes"] >= self.bytes
        old = self.age is not None and now - counts["oldest"] >= parse_duration(self.age).total_seconds()
        return enough or heavy or old

    def _firing(self, counts: Mapping[str, Any]) -> Firing:
        time = datetime.fromtimestamp(counts["newest"], UTC)
        oldest = iso(datetime.fromtimestamp(counts["oldest"], UTC))
        given = {name: counts[name] for name in ("first", "last", "events")} | {"begin": oldest, "end": iso(time)}
        given |= {} if self.bytes is None else {"bytes": counts["bytes"]}
        # The first one tells a volume from all others, also when one by age is worked out again with more events.
        return Firing(self.kind, str(counts["first"]), time, given, counts["last"])


def numbers(event: Event, name: str) -> list[float]:
    """Return the finite values of a variable in an event: one value, or those of a block of samples.

    >>> numbers(Event("e", "t", "/s", datetime(2024, 1, 1, tzinfo=UTC), {"samples": {"flow": [1, None, 3.5]}}), "flow")
    [1.0, 3.5]
    """
    samples = event.data.get("samples")
    block = samples.get(name) if isinstance(samples, Mapping) else None
    values = block if isinstance(block, (list, tuple)) else [found(event.data, name)]
    plain = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return [float(value) for value in plain if math.isfinite(value)]
