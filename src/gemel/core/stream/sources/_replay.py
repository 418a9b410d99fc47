"""A source that plays a stored record as if it were being observed now, at a chosen speed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from gemel.base.clock import iso, parse_duration, parse_instant
from gemel.base.errors import InvalidInput, did_you_mean
from gemel.core.stream.events._event import Event
from gemel.core.stream.sources._source import SourceContext

_OPTIONS = ("dataset", "reader", "start", "end", "count", "speed")


class Replay:
    """Plays a dataset along its `time` dimension.

    Options:
        dataset: Reference to the data.
        reader: Process of the twin that opens it as a dataset with a `time` coordinate.
        start: First instant that is played (default: the first of the record).
        end: Last instant that is played (default: the last of the record).
        count: Greatest number of instants that are played (default: all).
        speed: Time of the physical twin per second of ours, like ``1 d/s`` (default), or ``max``.
    """

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        for option in context.options:
            if option not in _OPTIONS:
                hint = did_you_mean(option, _OPTIONS) or f"It takes: {', '.join(_OPTIONS)}."
                raise InvalidInput(f"Source '{context.name}' (replay) has no option '{option}'.", hint=hint)
        for option in ("dataset", "reader"):
            if option not in context.options:
                hint = f"Add {option} under [sources.{context.name}]."
                raise InvalidInput(f"Source '{context.name}' (replay) names no {option}.", hint=hint)
        count = context.options.get("count")
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 0):
            raise InvalidInput(f"Source '{context.name}' (replay): count = {count!r} is not a number of instants.")
        self._start, self._end = (_instant(context, name) for name in ("start", "end"))
        self._pace = _pace(str(context.options.get("speed", "1 d/s")))

    def events(self, after: datetime | None) -> Iterator[Event]:
        """Yield one observation per instant of the record, paced; NaN becomes null."""
        options = self._context.options
        record = self._context.read(str(options["reader"]), str(options["dataset"]))
        left = int(options.get("count", len(record["time"])))
        previous: datetime | None = None
        for index, stamp in enumerate(record["time"].values):
            instant = datetime.fromtimestamp(stamp.astype("datetime64[s]").astype(int), UTC)
            if (self._start and instant < self._start) or (after and instant <= after):
                continue
            left -= 1
            if left < 0 or (self._end and instant > self._end):
                return
            if self._context.stop.wait(self._delay(previous, instant)):
                return
            previous = instant
            yield self._event(record.isel(time=index), instant)

    def _delay(self, previous: datetime | None, instant: datetime) -> float:
        if previous is None or self._pace is None:
            return 0.0
        return (instant - previous) / self._pace

    def _event(self, row: Any, instant: datetime) -> Event:
        data = {str(name): _plain(variable.values) for name, variable in row.data_vars.items()}
        moment = iso(instant)
        return Event(f"{self._context.name}@{moment}", "gemel.observation", self._context.uri, instant, data)


def _pace(text: str) -> timedelta | None:
    if text == "max":
        return None
    amount, slash, per = text.partition("/")
    if not (slash and amount.strip() and per.strip()):
        raise InvalidInput(f"'{text}' is not a speed.", hint="Write time per time, like '1 d/s', or 'max'.")
    second = parse_duration(per if per.strip()[0].isdigit() else f"1 {per}")
    pace = parse_duration(amount) / second.total_seconds() if second else timedelta(0)
    if not pace:
        raise InvalidInput(f"'{text}' is not a speed: nothing would ever be played.", hint="Write 1 d/s, or max.")
    return pace


def _instant(context: SourceContext, name: str) -> datetime | None:
    return parse_instant(str(context.options[name])) if name in context.options else None


def _plain(value: np.ndarray[Any, Any]) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
