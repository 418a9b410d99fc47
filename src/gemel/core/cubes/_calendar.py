"""Calendar periods: which one an instant falls into, and what it is called (openEO processes 2.0, `aggregate_temporal_period`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput

Numbers = np.ndarray[Any, np.dtype[np.int64]]

PERIODS = ("hour", "day", "week", "dekad", "month", "season", "tropical-season", "year", "decade", "decade-ad")
SEASONS = ("djf", "mam", "jja", "son")
TROPICAL = ("mjjaso", "ndjfma")
_EPOCH = np.datetime64("1970-01-01", "D")


def running_numbers(times: xr.DataArray, period: str) -> Numbers:
    """Return for each instant the number of its period, counted without gaps from some far one.

    Args:
        times: A temporal coordinate (datetime64, or cftime where the period is not tied to weeks, days or hours).
        period: One of `PERIODS`.

    Raises:
        InvalidInput: The calendar of the coordinate has no such period.
    """
    year, month = _part(times, "year"), _part(times, "month")
    simple: dict[str, Callable[[], Numbers]] = {
        "month": lambda: year * 12 + month - 1,
        # December counts to the season of the year after; the season's number is that of its first month.
        "season": lambda: (year * 12 + month) // 3,
        # Half years that start in May and in November.
        "tropical-season": lambda: (year * 12 + month - 5) // 6,
        "dekad": lambda: (year * 12 + month - 1) * 3 + np.minimum((_part(times, "day") - 1) // 10, 2),
        "year": lambda: year,
        "decade": lambda: year // 10,
        "decade-ad": lambda: (year - 1) // 10,
    }
    if period in simple:
        return simple[period]()
    return _clock_numbers(times, period)


def _clock_numbers(times: xr.DataArray, period: str) -> Numbers:
    if not np.issubdtype(times.dtype, np.datetime64):
        message = f"A calendar of the kind '{times.dt.calendar}' is not cut into the period '{period}' here."
        raise InvalidInput(message, hint="Convert the time axis to the standard calendar first.")
    if period == "hour":
        return times.values.astype("datetime64[h]").astype(np.int64)
    days = times.values.astype("datetime64[D]").astype(np.int64)
    # 1970-01-01 was a Thursday: three days after the Monday that began its ISO week.
    return days if period == "day" else (days + 3) // 7


def period_labels(numbers: Numbers, period: str) -> list[str]:
    """Return what the periods with the given running numbers are called.

    >>> period_labels(np.array([2023 * 4 + 4]), "season")
    ['2023-djf']
    """
    if period in ("hour", "day", "week"):
        return [_clock_label(int(number), period) for number in numbers]
    return [_label(int(number), period) for number in numbers]


def _label(number: int, period: str) -> str:
    if period == "month":
        return f"{number // 12:04d}-{number % 12 + 1:02d}"
    if period == "dekad":
        return f"{number // 36:04d}-{number % 36 + 1:02d}"
    if period == "season":
        # The season from December on is named by the year of its December.
        return f"{number // 4 - (number % 4 == 0):04d}-{SEASONS[number % 4]}"
    if period == "tropical-season":
        return f"{number // 2:04d}-{TROPICAL[number % 2]}"
    return f"{ {'year': number, 'decade': number * 10, 'decade-ad': number * 10 + 1}[period]:04d}"


def _clock_label(number: int, period: str) -> str:
    if period == "hour":
        day, hour = divmod(number, 24)
        return f"{_EPOCH + day}-{hour:02d}"
    if period == "day":
        moment = (_EPOCH + number).item()
        return f"{moment.year:04d}-{moment.timetuple().tm_yday:03d}"
    year, week, _ = (_EPOCH + (number * 7 - 3)).item().isocalendar()
    return f"{year:04d}-{week:02d}"


def of_the_year(labels: list[str], period: str) -> list[str]:
    """Return what recurs each year of the names of periods: the part after the year, or the whole name of longer ones.

    >>> of_the_year(["2020-06", "2021-djf"], "month")
    ['06', 'djf']
    """
    if period in ("year", "decade", "decade-ad"):
        return list(labels)
    return [label.rsplit("-", 1)[-1] for label in labels]


def _part(times: xr.DataArray, name: str) -> Numbers:
    return np.asarray(getattr(times.dt, name).values, dtype=np.int64)
