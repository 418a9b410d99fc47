"""The same unit, calendar and times on both sides, before anything is compared or merged."""

from __future__ import annotations

from typing import Any, Literal

import cftime
import numpy as np
import xarray as xr

from gemel.base import units
from gemel.base.clock import parse_duration
from gemel.base.errors import InvalidInput
from gemel.core.cubes import temporal_dim

Align = Literal["nearest", "linear", "exact"]


def in_unit(cube: xr.DataArray, unit: str | None) -> xr.DataArray:
    """Return the cube in `unit`; one without units is taken to be in it already.

    Raises:
        UnitMismatch: The two measure different things.
    """
    found = cube.attrs.get("units")
    if unit is None or found == unit:
        return cube
    if found is None or units.equivalent(str(found), unit):
        return cube.assign_attrs(units=unit)
    errors = str(cube.attrs.get("standard_name", "")).endswith("standard_error")
    # An error is a difference: from 'degC' to 'K' only the factor counts, never the offset.
    change = units.convert_difference if errors else units.convert
    values = change(cube.data, str(found), unit)
    return cube.copy(data=values).assign_attrs(units=unit)


def in_calendar(cube: xr.DataArray, calendar: str = "standard", align_on: str = "date") -> xr.DataArray:
    """Return the cube with times of another calendar (CF conventions 1.11, section 4.4.1).

    Dates that the other calendar lacks are left out; days that only it has are missing.

    Args:
        cube: A cube with one temporal dimension.
        calendar: `standard`, `noleap`, `360_day`, `julian` and the other names of CF.
        align_on: Where a year has 360 days: `date` keeps dates, `year` keeps the place within the year.

    Raises:
        InvalidInput: There is no such calendar.
    """
    name = temporal_dim(cube)
    # What numpy's instants hold is the proleptic Gregorian calendar, which is standard for all times of interest.
    numpy_times = calendar in ("standard", "gregorian", "proleptic_gregorian")
    try:
        return cube.convert_calendar(
            "standard" if numpy_times else calendar,
            dim=name,
            align_on=align_on if "360_day" in (calendar, _calendar_of(cube, name)) else None,
            use_cftime=not numpy_times,
        )
    except (ValueError, KeyError) as error:
        raise InvalidInput(f"The times cannot be put into the calendar '{calendar}': {error}.") from error


def _calendar_of(cube: xr.DataArray, name: str) -> str:
    first = cube[name].values.flat[0] if cube.sizes[name] else None
    return str(first.calendar) if isinstance(first, cftime.datetime) else "standard"


def at_times(
    cube: xr.DataArray, times: xr.DataArray, how: Align = "nearest", tolerance: str | None = None
) -> xr.DataArray:
    """Return the cube at other times.

    Args:
        cube: A cube with one temporal dimension.
        times: The times wanted.
        how: `nearest` (within `tolerance`), `linear` in between (never beyond the ends), or `exact`.
        tolerance: The farthest that the nearest may be away, such as `3 h`; default half the cube's usual step.

    Raises:
        InvalidInput: The cube's times are not in order, or one of them is there twice.
    """
    name = require_series(cube)
    index = cube.indexes[name]
    wanted = times.rename({times.dims[0]: name}) if times.dims else times
    if how == "linear":
        return cube.interp({name: wanted}, method="linear")
    if how == "exact":
        return cube.reindex({name: wanted})
    return cube.reindex({name: wanted}, method="nearest", tolerance=_tolerance(index, tolerance))  # type: ignore[arg-type]


def require_series(cube: xr.DataArray) -> str:
    """Return the name of the temporal dimension, whose times follow one another.

    Raises:
        InvalidInput: The times are not in order, or one of them is there twice.
    """
    name = temporal_dim(cube)
    index = cube.indexes[name]
    if not index.is_monotonic_increasing or index.has_duplicates:
        what = "is there twice" if index.has_duplicates else "comes before one that it should follow"
        raise InvalidInput(
            f"The times along '{name}' are no series: one {what}.", hint="Sort them and keep one of each."
        )
    return name


def _tolerance(index: Any, tolerance: str | None) -> np.timedelta64:
    if tolerance is not None:
        return np.timedelta64(parse_duration(tolerance), "ns")
    if len(index) < 2:
        return np.timedelta64(0, "ns")
    return np.timedelta64(int(np.median(np.diff(index.values).astype("timedelta64[ns]").astype(np.int64)) // 2), "ns")
