"""The samples of one stream that windows still need: arrays that are used again and again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from gemel.base.errors import InvalidInput
from gemel.core.stream.events import Event

Array = np.ndarray[Any, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_AT_FIRST = 256
_YEARS = (1678, 2261)  # what int64 nanoseconds hold in whole years
_LONGEST = 1e9  # seconds that a block may cover


class Part(NamedTuple):
    """Samples of one stream, in the order in which they came.

    Attributes:
        times: Nanoseconds since 1970-01-01 UTC, int64, shape (n,).
        positions: Log position of the event of each, int64, shape (n,).
        values: One row per field, float64, NaN where there is none, shape (fields, n).
    """

    times: Array
    positions: Array
    values: Array

    def where(self, mask: Array) -> Part:
        """Return those for which the mask is true."""
        return Part(self.times[mask], self.positions[mask], self.values[:, mask])


class Samples:
    """Samples of one stream, sorted by time when asked for; one per instant, the later event's values winning.

    Args:
        fields: How many values a sample has.
        most: How many samples are held at most.
    """

    def __init__(self, fields: int, most: int) -> None:
        self._most = most
        self._first = self._end = 0
        self._make(fields, min(_AT_FIRST, most))
        self._sorted = True
        self.newest: int | None = None
        self.position = 0

    def __len__(self) -> int:
        return self._end - self._first

    def room(self) -> int:
        """Return how many samples more may be held."""
        return self._most - len(self)

    def add(self, part: Part) -> None:
        """Hold more samples, no more than there is room for."""
        count = len(part.times)
        if not count:
            return
        if self._end + count > len(self._times):
            self._move(len(self) + count)
        new = slice(self._end, self._end + count)
        last = self._times[self._end - 1] if len(self) else part.times[0] - 1
        ordered = part.times[0] > last and bool((part.times[1:] > part.times[:-1]).all())
        self._sorted = self._sorted and ordered
        self._times[new], self._positions[new], self._values[:, new] = part
        self._end += count
        self.newest = max(int(part.times.max()), self.newest if self.newest is not None else int(part.times[0]))
        self.position = max(self.position, int(part.positions.max()))

    def sort(self) -> None:
        """Bring the samples into the order of time, and those of one instant together."""
        if self._sorted:
            return
        held = self.between(None, None)
        order = np.argsort(held.times, kind="stable")
        times, positions, values = held.times[order], held.positions[order], held.values[:, order]
        starts = np.flatnonzero(np.concatenate([[True], times[1:] > times[:-1]]))
        self._first, self._end = 0, len(starts)
        self._times[: self._end] = times[starts]
        # The earliest event must be read again after a restart, whichever value won.
        self._positions[: self._end] = np.minimum.reduceat(positions, starts)
        for row, field in zip(self._values, values, strict=True):
            last = np.maximum.reduceat(np.where(np.isfinite(field), np.arange(len(field)), -1), starts)
            row[: self._end] = np.where(last >= 0, field[last], np.nan)
        self._sorted = True

    def between(self, begin: int | None, end: int | None) -> Part:
        """Return a view of the samples in [begin, end), which are sorted; None for an open side."""
        times = self._times[self._first : self._end]
        low = 0 if begin is None else int(np.searchsorted(times, begin))
        high = len(times) if end is None else int(np.searchsorted(times, end))
        held = slice(self._first + low, self._first + high)
        return Part(self._times[held], self._positions[held], self._values[:, held])

    def oldest(self) -> int | None:
        """Return the earliest time that is held, None when nothing is."""
        return int(self._times[self._first : self._end].min()) if len(self) else None

    def forget(self, before: int) -> None:
        """Let go of what is earlier."""
        self.sort()
        self._first += int(np.searchsorted(self._times[self._first : self._end], before))

    def needed_after(self) -> int:
        """Return the log position after which to read again, to have all that is held."""
        return int(self._positions[self._first : self._end].min()) - 1 if len(self) else self.position

    def _make(self, fields: int, size: int) -> None:
        self._times, self._positions = np.empty(size, np.int64), np.empty(size, np.int64)
        self._values = np.empty((fields, size))

    def _move(self, needed: int) -> None:
        held = Part(*(array[..., self._first : self._end] for array in (self._times, self._positions, self._values)))
        if needed > len(self._times) * 3 // 4:
            self._make(len(self._values), max(needed, min(2 * needed, self._most)))
        else:
            held = Part(*(array.copy() for array in held))  # it moves onto itself
        count = len(held.times)
        self._times[:count], self._positions[:count], self._values[:, :count] = held
        self._first, self._end = 0, count


def read_events(events: Sequence[Event], fields: Sequence[str]) -> tuple[Part, Array]:
    """Return the samples in events, and for each sample the index of its event.

    An event has one sample, its data the values by name; or a block of them: ``{"samples": {name: [...]}, "period":
    seconds}``, the first at the event's time.

    Raises:
        InvalidInput: A value is no number, a block's fields have different lengths, or it has no period.
    """
    if not any("samples" in event.data for event in events):
        return _scalars(events, fields), np.arange(len(events))
    parts = [_block(event, fields) if "samples" in event.data else _scalars([event], fields) for event in events]
    index = np.repeat(np.arange(len(events)), [len(part.times) for part in parts])
    times, positions = (np.concatenate([part[number] for part in parts]) for number in (0, 1))
    return Part(times, positions, np.concatenate([part.values for part in parts], axis=1)), index


def instant_ns(time: datetime) -> int:
    """Return an instant as nanoseconds since 1970-01-01 UTC.

    Raises:
        InvalidInput: 64 bits do not hold it; they reach from 1677 to 2262.
    """
    if not _YEARS[0] <= time.year <= _YEARS[1]:
        raise InvalidInput(f"The year {time.year} is too far away for windows.", hint="Is the event's time right?")
    return (time - _EPOCH) // _MICROSECOND * 1000


def _scalars(events: Sequence[Event], fields: Sequence[str]) -> Part:
    times = np.array([instant_ns(event.time) for event in events], np.int64)
    positions = np.array([event.position for event in events], np.int64)
    values = _floats([[event.data.get(name) for event in events] for name in fields], events)
    return Part(times, positions, values.reshape(len(fields), len(events)))


def _block(event: Event, fields: Sequence[str]) -> Part:
    samples = event.data["samples"]
    rows = [samples.get(name) for name in fields] if isinstance(samples, dict) else []
    lengths = {len(row) for row in rows if isinstance(row, (list, tuple, np.ndarray))}
    if len(lengths) != 1 or any(row is not None and not hasattr(row, "__len__") for row in rows):
        raise InvalidInput(
            f"The block of samples in event '{event.id}' has none of {', '.join(fields)}, or fields of different lengths.",
            hint='Write {"samples": {"level": [1.0, null]}, "period": 0.5}.',
        )
    (count,) = lengths
    period = event.data.get("period")
    if count > 1 and not (isinstance(period, (int, float)) and 0 < period * count < _LONGEST):
        raise InvalidInput(f"The block of samples in event '{event.id}' has no period in seconds that makes sense.")
    steps = np.rint(np.arange(count) * (float(period or 0) * 1e9)).astype(np.int64)
    values = np.full((len(fields), count), np.nan)
    for number, row in enumerate(rows):
        if row is not None:
            values[number] = _floats(row, [event])
    return Part(instant_ns(event.time) + steps, np.full(count, event.position, np.int64), values)


def _floats(values: Any, events: Sequence[Event]) -> Array:
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"Event '{events[0].id}' has values that are no numbers: {error}.") from error
    # Infinity is as little a measurement as null.
    return array if np.isfinite(array).all() else np.where(np.isfinite(array), array, np.nan)
