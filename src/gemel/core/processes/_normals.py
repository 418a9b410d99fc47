"""Which normal each time counts for, and what the normals are called."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.core.cubes import of_the_year, period_labels, running_numbers

_SEASONS = {"season": (["djf", "mam", "jja", "son"], 3), "tropical-season": (["ndjfma", "mjjaso"], 6)}


def codes_of(times: xr.DataArray, period: str, climatology_period: Any) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Return the normal that each time counts for, negative for none, and the labels of the normals.

    Raises:
        InvalidInput: The times do not reach over the climatology.
    """
    first, last = _years(climatology_period)
    years = np.asarray(times.dt.year.values)
    _require_years(years, first, last)
    if period == "climatology-period":
        return np.where((years >= first) & (years <= last), 0, -1), [period]
    return _codes(times, period, first, last)


def _years(period: Any) -> tuple[int, int]:
    try:
        first, last = map(int, period)
    except (TypeError, ValueError) as error:
        message = f"The climatology is a first and a last year, not {period!r}."
        raise InvalidInput(message, hint="Write it like [1981, 2010].") from error
    return first, last


def _require_years(years: np.ndarray[Any, Any], first: int, last: int) -> None:
    if first > last:
        raise InvalidInput(f"The climatology ends in {last}, before it begins in {first}.")
    if years.size == 0 or years.min() > first or years.max() < last:
        held = f"{years.min()} to {years.max()}" if years.size else "no time"
        message = f"The climatology is from {first} to {last}, and the cube holds {held}."
        raise InvalidInput(message, hint="Give a climatology period that the cube covers.")


def _codes(times: xr.DataArray, period: str, first: int, last: int) -> tuple[np.ndarray[Any, Any], list[str]]:
    years = np.asarray(times.dt.year.values)
    numbers = running_numbers(times, period)
    inside = (years >= first) & (years <= last)
    if period in _SEASONS:
        labels, months = _SEASONS[period]
        inside = _whole_seasons(times, numbers, (first, last), months)
    recurring = np.array(of_the_year(period_labels(numbers, period), period), dtype=object)
    if period not in _SEASONS:
        labels = [f"{day:03d}" for day in range(1, 367)] if period == "day" else [f"{m:02d}" for m in range(1, 13)]
        # Without a leap year in the climatology there is no day 366.
        labels = labels if period != "day" or "366" in recurring[inside] else labels[:365]
    known = {label: code for code, label in enumerate(labels)}
    return np.array([known[label] if held else -1 for label, held in zip(recurring, inside, strict=True)]), labels


def _whole_seasons(times: xr.DataArray, numbers: Any, climatology: tuple[int, int], months: int) -> Any:
    """Return which times belong to a season that ends within the climatology, and does not begin before it in part."""
    first, last = climatology
    years, month = np.asarray(times.dt.year.values), np.asarray(times.dt.month.values)
    # The season that runs over the new year counts to the year it ends in.
    runs_over = numbers % 4 == 0 if months == 3 else numbers % 2 == 1
    ends = np.where(runs_over, numbers // 4 if months == 3 else numbers // 2 + 1, years)
    before = runs_over & (ends == first)
    whole = len(np.unique(month[before])) == months
    return (ends >= first) & (ends <= last) & (~before | whole)
