"""A source that plays a stored record as if it were being observed now, at a chosen speed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from gemel.base.clock import iso, parse_duration, parse_instant
from gemel.base.errors import InvalidInput, did_you_mean
from gemel.core.stream._event import Event
from gemel.core.stream._source import SourceContext

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
        self._pace = _pace(str(context.options.get("speed", "1 d/s")))

    def events(self, after: datetime | None) -> Iterator[Event]:
        """Yield one observation per instant of the record, paced; NaN becomes null."""
        options = self._context.options
        record = self._context.read(str(options["reader"]), str(options["dataset"]))
        start, end = (parse_instant(str(options[name])) if name in options else None for name in ("start", "end"))
        left = int(options.get("count", len(record["time"])))
        previous: datetime | None = None
        for index, stamp in enumerate(record["time"].values):
            instant = datetime.fromtimestamp(stamp.astype("datetime64[s]").astype(int), UTC)
            if (start and instant < start) or (after and instant <= after):
                continue
            left -= 1
            if left < 0 or (end and instant > end) or self._context.stop.wait(self._delay(previous, instant)):
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
    if not slash:
        raise InvalidInput(f"'{text}' is not a speed.", hint="Write time per time, like '1 d/s', or 'max'.")
    second = parse_duration(per if per.strip()[0].isdigit() else f"1 {per}")
    return parse_duration(amount) / second.total_seconds()


def _plain(value: np.ndarray[Any, Any]) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
