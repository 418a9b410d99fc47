"""What a window is: its streams, its length, how long it waits, what it does about gaps and late events."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from gemel.base.clock import parse_duration
from gemel.base.errors import InvalidInput
from gemel.core.stream.events import MAX_BYTES

_FREQUENCY = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*(k?)hz\s*$")
# Neighbours further apart than so many periods have lost a sample between them: jitter stays below half a period.
_GAP_PERIODS = 1.5
_NUMBER_BYTES = 20  # a float64 in JSON: up to 17 digits, sign, point, exponent, comma; most are shorter


@dataclass(frozen=True)
class StreamRule:
    """One of the streams of a window.

    Attributes:
        name: Its name in the window; values are called ``name.field``.
        fields: Which values of its events.
        period: Time between its samples, like ``10 min``, or a frequency, like ``16 kHz``; None when it has no rate.
            Samples further apart than one and a half periods have a gap between them. Without a period, those
            further apart than the window is long.
    """

    name: str
    fields: tuple[str, ...]
    period: str | None = None

    @cached_property
    def nanoseconds(self) -> float | None:
        """Time between samples in nanoseconds, None when the stream has no rate."""
        return None if self.period is None else nanoseconds(self.period)


@dataclass(frozen=True)
class WindowSpec:
    """Windows over streams. They are counted from 1970-01-01T00:00Z, so that ``1 h`` means each full hour.

    Attributes:
        name: Its name.
        streams: Its streams.
        length: How long a window is; it has its begin and not its end.
        every: How far apart windows begin; the length for tumbling windows (default), less for sliding ones.
        lateness: How much later than newer ones of its stream an event may come. The watermark, up to which all is
            taken to be known, is the newest time of the slowest stream less this.
        gap: What stands in a gap of an aligned window: "null" (NaN), "hold" (the value before, everywhere, for at
            most a window's length), "linear" (a straight line across gaps of at most a window's length), or "drop"
            (instants at which a value is missing are left out). Outside gaps, values between samples are linear,
            but with "hold". Without alignment: "null", or "drop" for samples in which a value is null.
        align: Period of the grid on which the values of all streams stand, as in `StreamRule.period`; None to keep
            each stream's own instants.
        most: Most samples of one stream that are held; one that is further ahead than that is held back.
        idle: A stream from which nothing came for so long, by our clock, holds the watermark back no longer; None
            for a watermark that waits.
        late: What becomes of samples whose windows all end at the watermark or before: "drop" (they are counted), or
            "tell" (they are counted, and handed out by `Windows.take_late`).
        told: Whether the event of a result holds the values, at most `MAX_BYTES` of them; else counts and gaps only.

    Raises:
        InvalidInput: Lengths do not fit together, `most` is less than a window needs, or a result is too large to
            be told.
    """

    name: str
    streams: tuple[StreamRule, ...]
    length: str
    every: str | None = None
    lateness: str = "0 s"
    gap: Literal["null", "hold", "linear", "drop"] = "null"
    align: str | None = None
    most: int = 2_000_000
    idle: str | None = None
    late: Literal["drop", "tell"] = "drop"
    told: bool = True

    def __post_init__(self) -> None:
        """Refuse what could never work, before the first event."""
        names = [rule.name for rule in self.streams]
        if not names or len(set(names)) < len(names) or not all(rule.fields for rule in self.streams):
            raise self._wrong("needs streams of different names, each with a field")
        if not 0 < self.step <= self.span:
            raise self._wrong("has a length that is not positive, or begins further apart than it is long")
        if self.gap not in ("null", "hold", "linear", "drop") or self.late not in ("drop", "tell"):
            raise self._wrong("has gap one of null, hold, linear, drop, and late one of drop, tell")
        if self.align is None and self.gap in ("hold", "linear"):
            raise self._wrong(f"fills gaps ('{self.gap}') on no grid", "Say align = the period of the grid.")
        if self.align is not None and abs(self.points * nanoseconds(self.align) - self.span) > 1e-6 * self.span:
            raise self._wrong(f"is no whole number of '{self.align}' long")
        self._check_sizes()

    @cached_property
    def span(self) -> int:
        """Length in nanoseconds."""
        return round(nanoseconds(self.length))

    @cached_property
    def step(self) -> int:
        """Time between two begins in nanoseconds."""
        return self.span if self.every is None else round(nanoseconds(self.every))

    @cached_property
    def delay(self) -> int:
        """Lateness in nanoseconds."""
        return round(parse_duration(self.lateness).total_seconds() * 1e9)

    @cached_property
    def points(self) -> int:
        """How many instants the grid has in a window, 0 without one."""
        return 0 if self.align is None else max(1, round(self.span / nanoseconds(self.align)))

    @cached_property
    def idle_seconds(self) -> float:
        """Seconds of silence after which a stream is idle."""
        return math.inf if self.idle is None else parse_duration(self.idle).total_seconds()

    def apart(self, rule: StreamRule) -> int:
        """Return how far apart samples of a stream may be without a gap between them, in nanoseconds."""
        return self.span if rule.nanoseconds is None else round(_GAP_PERIODS * rule.nanoseconds)

    def bridge(self, rule: StreamRule) -> int:
        """Return how far a value may reach across a gap, in nanoseconds."""
        across = max(self.apart(rule), self.span)
        return across if self.gap in ("hold", "linear") else self.apart(rule)

    def before(self, rule: StreamRule) -> int:
        """Return how much of what comes before its begin a window needs, in nanoseconds."""
        return 0 if self.align is None else self.bridge(rule)

    def behind(self, rule: StreamRule) -> int:
        """Return how far beyond its last instant a window may need to look, in nanoseconds."""
        return 0 if self.align is None or self.gap == "hold" else self.bridge(rule)

    def _check_sizes(self) -> None:
        values = 0.0
        for rule in self.streams:
            rate = 0.0 if rule.nanoseconds is None else 1 / rule.nanoseconds
            needed = rate * (self.span + self.delay + self.before(rule) + self.behind(rule))
            if self.most < max(1.0, needed):
                hint = f"At least {math.ceil(needed) + 1:,} are needed."
                raise self._wrong(f"may hold {self.most:,} samples of '{rule.name}', which are too few", hint)
            values += len(rule.fields) * (self.points or rate * self.span)
        if self.told and values * _NUMBER_BYTES > MAX_BYTES:
            hint = "Make the window shorter or the grid coarser, or say told = false to keep the values out of events."
            raise self._wrong(f"has {values:,.0f} values, more than an event can tell ({MAX_BYTES:,} bytes)", hint)

    def _wrong(self, what: str, hint: str | None = None) -> InvalidInput:
        return InvalidInput(f"Window '{self.name}' {what}.", hint=hint, window=self.name)


def nanoseconds(text: str) -> float:
    """Return a period in nanoseconds, from a duration or a frequency.

    >>> nanoseconds("16 kHz"), nanoseconds("10 min")
    (62500.0, 600000000000.0)
    """
    match = _FREQUENCY.match(text.lower())
    if match is None:
        period = parse_duration(text).total_seconds() * 1e9
    else:
        frequency = float(match.group(1)) * (1000.0 if match.group(2) else 1.0)
        period = 1e9 / frequency if frequency else 0.0
    if not period > 0:
        raise InvalidInput(f"'{text}' is not a period.", hint="Write a duration like '10 min', or '16 kHz'.")
    return period
