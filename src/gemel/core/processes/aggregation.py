"""Values along time reduced in intervals and calendar periods (openEO process specification, group `aggregate`)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput, ProcessRefused
from gemel.core.cubes import (
    callback,
    coordinate,
    instant,
    is_time,
    like,
    period_labels,
    reduced,
    reduced_groups,
    running_numbers,
    temporal_dim,
)
from gemel.core.graph import Field
from gemel.core.processes._standard import standard

Period = Literal[
    "hour", "day", "week", "dekad", "month", "season", "tropical-season", "year", "decade", "decade-ad"
]  # fmt: skip


@standard(on="cubes")
def aggregate_temporal(
    data: Field,
    intervals: list[Any],
    reducer: Any,
    labels: list[Any] = (),  # type: ignore[assignment]
    dimension: str | None = None,
    context: Any = None,
) -> Field:
    """The cube with its values along time reduced to one for each interval.

    Args:
        data: A cube with a temporal dimension.
        intervals: Pairs of start (included) and end (excluded); they may overlap, and a null end is open. Times without
            a date recur every day, and may run over midnight.
        reducer: Gets the values of an interval as array `data`, and `context`; gives back one value.
        labels: Labels of the intervals; by default their starts. An interval without a start is called after its end.
        dimension: Name of the temporal dimension; the only one by default.
        context: Handed on.

    Raises:
        ProcessRefused: `TooManyDimensions`, `DimensionNotAvailable`, `TemporalExtentEmpty`,
            `DistinctDimensionLabelsRequired`.
    """
    name = temporal_dim(data, dimension)
    names = list(labels) or [_start_of(interval) for interval in intervals]
    for interval in intervals:
        _refuse_empty(interval)
    if len(names) != len(intervals):
        raise InvalidInput(f"There are {len(names)} labels for {len(intervals)} intervals.")
    if len(set(map(str, names))) != len(names):
        message = "Two intervals would carry the same label."
        raise ProcessRefused(message, exception="DistinctDimensionLabelsRequired", hint="Give labels.")
    inside = [_inside(data.coords[name], *interval) for interval in intervals]
    found = _reduced(data, name, inside, callback(reducer), context)
    return found.assign_coords({name: coordinate(name, names, "temporal")})


@standard(on="cubes")
def aggregate_temporal_period(
    data: Field, period: Period, reducer: Any, dimension: str | None = None, context: Any = None
) -> Field:
    """The cube with its values along time reduced to one for each calendar period, those without values included.

    Args:
        data: A cube with a temporal dimension.
        period: Length of the periods.
        reducer: Gets the values of a period as array `data`, and `context`; gives back one value.
        dimension: Name of the temporal dimension; the only one by default.
        context: Handed on.

    Raises:
        ProcessRefused: `TooManyDimensions`, `DimensionNotAvailable`.
    """
    name = temporal_dim(data, dimension)
    times = instants_along(data, name)
    if times.size == 0:
        empty = data.drop_vars([key for key, item in data.coords.items() if name in item.dims])
        return empty.assign_coords({name: coordinate(name, [], "temporal")})
    numbers = running_numbers(times, period)
    first, last = int(numbers.min()), int(numbers.max())
    found = reduced_groups(data, name, (numbers - first, last - first + 1), callback(reducer), context)
    labels = period_labels(np.arange(first, last + 1), period)
    return found.assign_coords({name: named_periods(name, labels)})


def named_periods(dim: str, labels: list[str]) -> xr.DataArray:
    """Return the coordinate of a temporal dimension whose labels name periods."""
    marks = coordinate(dim, ["a name"], "temporal").attrs
    names = np.empty(len(labels), dtype=object)
    names[:] = labels
    return xr.DataArray(names, dims=(dim,), attrs=marks)


def instants_along(data: xr.DataArray, dim: str) -> xr.DataArray:
    """Return the coordinate of a temporal dimension whose labels are instants.

    Raises:
        InvalidInput: They name periods, or one of them is no time.
    """
    times = data.coords[dim]
    if times.size and times.dtype.kind not in "M" and not hasattr(times.values.flat[0], "calendar"):
        hint = "They name periods already; aggregate from the original times."
        raise InvalidInput(f"The labels of '{dim}' are no instants, like {times.values.flat[0]!r}.", hint=hint)
    if times.dtype.kind == "M" and np.isnat(times.values).any():
        raise InvalidInput(f"A label of '{dim}' is no time (NaT).", hint="Drop it with filter_labels.")
    return times


def _start_of(interval: Any) -> str:
    start, end = interval
    # ISO 8601-2 writes an open start as two dots.
    return str(start) if start is not None else f"../{end}"


def _refuse_empty(interval: Any) -> None:
    start, end = interval
    if start is None and end is None:
        raise InvalidInput("Both ends of an interval are open.", hint="Give the start, the end, or both.")
    if start is None or end is None or (is_time(start) and is_time(end)):
        return
    if instant(start) >= instant(end):
        message = f"The interval from {start} to {end} is empty."
        raise ProcessRefused(message, exception="TemporalExtentEmpty", hint="The end must come after the start.")


def _inside(times: xr.DataArray, start: str | None, end: str | None) -> np.ndarray[Any, Any]:
    if any(text is not None and is_time(text) for text in (start, end)):
        return _inside_the_day(times, start, end)
    chosen = np.ones(times.size, dtype=bool)
    chosen &= True if start is None else times.values >= like(times, start)
    chosen &= True if end is None else times.values < like(times, end)
    return chosen


def _inside_the_day(times: xr.DataArray, start: str | None, end: str | None) -> np.ndarray[Any, Any]:
    seconds = (times.dt.hour * 3600 + times.dt.minute * 60 + times.dt.second).values
    low, high = _seconds(start, 0), _seconds(end, 86400)
    inside = (seconds >= low) & (seconds < high) if low < high else (seconds >= low) | (seconds < high)
    return np.asarray(inside)


def _seconds(text: str | None, default: int) -> int:
    if text is None:
        return default
    moment: datetime = instant(text)
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def _reduced(data: xr.DataArray, dim: str, inside: list[Any], child: Any, context: Any) -> xr.DataArray:
    table = np.array(inside, dtype=bool).reshape(len(inside), data.sizes[dim])
    if (table.sum(axis=0) <= 1).all():
        codes = np.where(table.any(axis=0), table.argmax(axis=0), -1) if len(inside) else np.full(data.sizes[dim], -1)
        return reduced_groups(data, dim, (codes, len(inside)), child, context)
    # Where intervals overlap, an instant counts in several groups: one after the other.
    parts = [reduced(data.isel({dim: np.flatnonzero(row)}), dim, child, context) for row in table]
    made = xr.concat(parts, dim=dim, coords="minimal", compat="override", join="override")
    return made.drop_vars(dim, errors="ignore").transpose(*data.dims)
