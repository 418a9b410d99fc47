"""What an edge lets through: only what says something new, and only what can be true."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from gemel.base.clock import iso, parse_instant
from gemel.base.errors import InvalidInput
from gemel.core.stream.events import Event


@dataclass(frozen=True)
class Filters:
    """Rules that an event must pass, in this order; none by default.

    Attributes:
        bounds: Least and greatest value of a field; what lies outside, or is no number, does not pass.
        deadband: How far a field must move from where it was when the last event passed, in the field's own unit.
        changed: Fields of which one must differ from what it was when the last event passed.
        every: Of the events that pass all else, each so-manieth goes through.
        longest: After so long (in the events' time) without one, an event passes whatever it says.

    With both `deadband` and `changed`, one of them is enough: something is new. A value that goes missing is.
    """

    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    deadband: Mapping[str, float] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    every: int = 1
    longest: timedelta | None = None

    def __post_init__(self) -> None:
        """Raise `InvalidInput` when a rule makes no sense."""
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise InvalidInput(f"every = {self.every!r} is no number of events.", hint="1 lets all through.")
        for name, band in self.deadband.items():
            if not math.isfinite(band) or band < 0:
                raise InvalidInput(f"The deadband of '{name}' is {band!r}; it is a positive number.")
        for name, (low, high) in self.bounds.items():
            if not low <= high:
                raise InvalidInput(f"The bounds of '{name}' are {low!r} and {high!r}: nothing lies between.")

    def passed(self, event: Event, state: dict[str, Any]) -> bool:
        """Return whether an event passes, and note in `state` (a JSON object, kept between calls) what it needs.

        >>> from datetime import UTC
        >>> rules, state = Filters(deadband={"flow": 0.5}), {}
        >>> at = datetime(2001, 1, 1, tzinfo=UTC)
        >>> [rules.passed(Event(str(flow), "t", "/s", at, {"flow": flow}), state) for flow in (1.0, 1.4, 1.6, 1.5)]
        [True, False, True, False]
        """
        if not all(_within(event.data.get(name), *bounds) for name, bounds in self.bounds.items()):
            return False
        overdue = self._is_overdue(event.time, state)
        if not (overdue or self._is_news(event.data, state)):
            return False
        state["count"] = int(state.get("count", -1)) + 1
        if state["count"] % self.every and not overdue:
            return False
        watched = (*self.deadband, *self.changed)
        state["last"] = {name: event.data.get(name) for name in watched}
        state["time"] = iso(event.time)
        return True

    def _is_overdue(self, time: datetime, state: Mapping[str, Any]) -> bool:
        last = state.get("time")
        return self.longest is not None and last is not None and time - parse_instant(last) >= self.longest

    def _is_news(self, data: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
        last = state.get("last")
        if last is None or not (self.deadband or self.changed):
            return True
        moved = any(_moved(last.get(name), data.get(name), band) for name, band in self.deadband.items())
        return moved or any(last.get(name) != data.get(name) for name in self.changed)


def _within(value: Any, low: float, high: float) -> bool:
    return _is_number(value) and bool(low <= value <= high)


def _moved(before: Any, now: Any, band: float) -> bool:
    if not (_is_number(before) and _is_number(now)):
        return bool(before != now)
    return bool(abs(now - before) > band)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
