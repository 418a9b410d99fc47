"""Normals and departures from them (openEO process specification, group `climatology`)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from gemel.base import units
from gemel.base.errors import ProcessRefused
from gemel.core.cubes import (
    dimensions_of,
    labels_of,
    of_the_year,
    period_labels,
    reduce_groups,
    running_numbers,
    subtract_groups,
    temporal_dim,
)
from gemel.core.graph import Field
from gemel.core.processes._fused import means_at_once
from gemel.core.processes._normals import codes_of
from gemel.core.processes._standard import standard
from gemel.core.processes.aggregation import instants_along, named_periods

NormalPeriod = Literal["day", "month", "season", "tropical-season", "climatology-period"]
AnomalyPeriod = Literal[
    "hour", "day", "week", "dekad", "month", "season", "tropical-season", "year", "decade", "decade-ad",
    "climatology-period", "single-period",
]  # fmt: skip
_WHOLE = ("climatology-period", "single-period")


@standard(on="cubes")
def climatological_normal(data: Field, period: NormalPeriod, climatology_period: list[int] = (1981, 2010)) -> Field:  # type: ignore[assignment]
    """The mean of each calendar period over the years of a climatology.

    A season that begins before the first year counts where all of its months are there; one that ends after the last
    year does not.

    Args:
        data: A cube with one temporal dimension.
        period: The calendar period.
        climatology_period: The first and the last year, both included.

    Raises:
        InvalidInput: The cube does not reach over the climatology.
    """
    name = temporal_dim(data)
    times = instants_along(data, name)
    codes, labels = codes_of(times, period, climatology_period)
    axis = int(data.get_axis_num(name))
    found = reduce_groups("mean", data.values, axis, codes, len(labels))
    return _with_times(data, name, found, labels)


@standard(on="cubes", fuse=means_at_once)
def anomaly(data: Field, normals: Field, period: AnomalyPeriod) -> Field:
    """The cube minus the normal of the calendar period that each of its times falls into.

    Args:
        data: A cube with one temporal dimension, of instants or of names of periods (`2020-06`).
        normals: A cube with the normals, whose temporal labels are what recurs each year of such names (`06`).
        period: The calendar period of the normals.

    Raises:
        ProcessRefused: `DimensionMismatch`.
        UnitMismatch: The two measure different things.
    """
    name, other = temporal_dim(data), temporal_dim(normals)
    codes = _normal_codes(data, name, normals, other, period)
    fitted = _fitted(normals, other, data, name)
    axis = int(data.get_axis_num(name))
    return data.copy(data=subtract_groups(data.values, axis, codes, fitted))


def _with_times(data: xr.DataArray, name: str, values: Any, labels: list[str]) -> xr.DataArray:
    left = data.drop_vars([key for key, item in data.coords.items() if name in item.dims])
    made = xr.DataArray(values, {key: left.coords[key] for key in left.coords}, data.dims, data.name, data.attrs)
    return made.assign_coords({name: named_periods(name, labels)})


def _normal_codes(data: xr.DataArray, name: str, normals: xr.DataArray, other: str, period: str) -> Any:
    if period in _WHOLE:
        if normals.sizes[other] != 1:
            message = f"The normals have {normals.sizes[other]} labels along '{other}', where one is wanted."
            raise ProcessRefused(message, exception="DimensionMismatch")
        return np.zeros(data.sizes[name], dtype=np.int64)
    known = {str(label): code for code, label in enumerate(labels_of(normals, other))}
    recurring = of_the_year(_named(data, name, period), period)
    missing = next((label for label in recurring if label not in known), None)
    if missing is not None:
        message = f"The normals have no '{missing}' along '{other}'."
        hint = f"They have: {', '.join(list(known)[:12])}."
        raise ProcessRefused(message, exception="DimensionMismatch", hint=hint)
    return np.array([known[label] for label in recurring], dtype=np.int64)


def _named(data: xr.DataArray, name: str, period: str) -> list[str]:
    times = data.coords[name]
    if times.size and isinstance(times.values.flat[0], str):
        return [str(label) for label in times.values]
    return period_labels(running_numbers(instants_along(data, name), period), period)


def _fitted(normals: xr.DataArray, other: str, data: xr.DataArray, name: str) -> np.ndarray[Any, Any]:
    found, wanted = normals.attrs.get("units"), data.attrs.get("units")
    if found is not None and wanted is not None and not dimensions_of(data, "bands"):
        normals = normals.copy(data=units.convert(normals.values, str(found), str(wanted)))
    renamed = normals.rename({other: name}) if other != name else normals
    for dim in map(str, data.dims):
        if dim != name and dim in renamed.dims and labels_of(renamed, dim) != labels_of(data, dim):
            message = f"The labels of '{dim}' differ between the cube and the normals."
            raise ProcessRefused(message, exception="DimensionMismatch")
    if set(renamed.dims) - set(data.dims):
        message = f"The normals have dimensions that the cube has not: {sorted(map(str, set(renamed.dims) - set(data.dims)))}."
        raise ProcessRefused(message, exception="DimensionMismatch")
    bare = renamed.drop_vars(list(renamed.coords))
    missing = {dim: data.sizes[dim] for dim in data.dims if dim not in bare.dims}
    return np.ascontiguousarray(bare.expand_dims(missing).transpose(*data.dims).values)
