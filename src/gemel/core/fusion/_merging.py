"""Several sources of one quantity as one, in a stated order; and what to do where none has a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

from gemel.base.errors import InvalidInput
from gemel.core.cubes import dimensions_of, fill_along, temporal_dim
from gemel.core.fusion._harmony import in_unit, require_series
from gemel.core.fusion._mesh import mesh_of

GapMethod = Literal["linear", "previous", "climatology", "neighbours"]
_NEIGHBOURS = 8


def merge_sources(sources: Sequence[xr.DataArray], names: Sequence[str] | None = None) -> xr.Dataset:
    """Return one cube from several: at each place the value of the first that has one, and which one that is.

    Args:
        sources: Cubes of one quantity on one grid, the most trusted first; times may differ.
        names: What they are called; default their own names.

    Returns:
        `value` in the first one's unit, and `source`: the position in `names` of where it is from, -1 for nowhere
        (CF flag variable).

    Raises:
        InvalidInput: There is no source, or their grids differ.
        UnitMismatch: They measure different things.
    """
    if not sources:
        raise InvalidInput("There is nothing to merge.", hint="Give at least one cube.")
    strange = [cube.dims for cube in sources if set(cube.dims) != set(sources[0].dims)]
    if strange:
        shown = " and ".join(", ".join(map(str, dims)) for dims in (sources[0].dims, strange[0]))
        raise InvalidInput(f"The sources do not lie on one grid: {shown}.", hint="regrid them first.")
    converted = [in_unit(cube, sources[0].attrs.get("units")) for cube in sources]
    try:
        # Times may differ, places may not.
        alike = xr.align(*converted, join="exact", exclude=_temporal(sources))
        spread = xr.broadcast(*xr.align(*alike, join="outer"))
    except (ValueError, xr.AlignmentError) as error:
        raise InvalidInput(f"The sources do not lie on one grid: {error}.", hint="regrid them first.") from error
    stacked = np.stack([np.asarray(cube.values, float) for cube in spread])
    there = ~np.isnan(stacked)
    first = np.where(there.any(0), there.argmax(0), -1)
    values = np.take_along_axis(stacked, np.maximum(first, 0)[None], 0)[0]
    template = spread[0]
    called = list(names or [str(cube.name or f"source{number}") for number, cube in enumerate(sources)])
    flags = {"flag_values": list(range(-1, len(called))), "flag_meanings": " ".join(["none", *called])}
    value = template.copy(data=values.astype(np.result_type(*(cube.dtype for cube in sources), np.float32)))
    return xr.Dataset({"value": value.assign_attrs(sources[0].attrs), "source": (template.dims, first, flags)})


def fill_gaps(cube: xr.DataArray, method: GapMethod = "linear", limit: int | None = None) -> xr.DataArray:
    """Return the cube with missing values filled; coordinate `filled` tells which were.

    Args:
        cube: The cube.
        method: `linear` or `previous` in time, `climatology` (the mean of the same month in other years), or `neighbours`
            (the mean of the nearest cells with a value, weighted by inverse distance).
        limit: Gaps of more steps in time than this stay; default all are filled that have an end on either side.

    Raises:
        InvalidInput: The method is unknown.
    """
    values = np.asarray(cube.values)
    missing = np.isnan(values)
    methods: dict[str, Any] = {
        "linear": _by_lines,
        "previous": _by_previous,
        "climatology": _by_months,
        "neighbours": _by_neighbours,
    }
    if method not in methods:
        raise InvalidInput(f"There is no way '{method}' to fill gaps.", hint=f"One of: {', '.join(methods)}.")
    if limit is not None and limit < 1:
        raise InvalidInput(f"Gaps of at most {limit} steps are none.", hint="Give a limit of 1 or more.")
    if method in ("linear", "previous"):
        require_series(cube)
    filled = methods[method](cube)
    if limit is not None and method != "neighbours":
        axis = int(cube.get_axis_num(temporal_dim(cube)))
        filled = np.where(missing & (_gap_lengths(missing, axis) > limit), np.nan, filled)
    made = cube.copy(data=np.where(missing, filled, values).astype(values.dtype))
    return made.assign_coords(filled=(cube.dims, missing & ~np.isnan(made.values)))


def _temporal(sources: Sequence[xr.DataArray]) -> set[str]:
    return {name for cube in sources for name in dimensions_of(cube, "temporal")}


def _by_lines(cube: xr.DataArray) -> Any:
    name = temporal_dim(cube)
    return fill_along(np.asarray(cube.values), int(cube.get_axis_num(name)), _places(cube[name].values))


def _by_previous(cube: xr.DataArray) -> Any:
    axis = int(cube.get_axis_num(temporal_dim(cube)))
    values = np.moveaxis(np.asarray(cube.values), axis, -1)
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(values.shape[-1])), axis=-1)
    found = np.take_along_axis(values, np.maximum(last, 0), axis=-1)
    return np.moveaxis(np.where(last < 0, np.nan, found), -1, axis)


def _by_months(cube: xr.DataArray) -> Any:
    name = temporal_dim(cube)
    months = cube[name].dt.month
    return cube.groupby(months).mean().sel(month=months).drop_vars("month").transpose(*cube.dims).values


def _by_neighbours(cube: xr.DataArray) -> Any:
    mesh = mesh_of(cube)
    others = [name for name in cube.dims if name not in mesh.dims]
    flat = cube.transpose(*others, *mesh.dims)
    rows = flat.values.reshape(-1, mesh.size).astype(float)
    for row in rows:
        known = np.flatnonzero(~np.isnan(row))
        gaps = np.flatnonzero(np.isnan(row))
        if known.size and gaps.size:
            distance, near = cKDTree(mesh.vectors[known]).query(mesh.vectors[gaps], k=min(_NEIGHBOURS, known.size))
            weight = 1 / np.maximum(distance.reshape(gaps.size, -1), 1e-12)
            row[gaps] = (row[known][near.reshape(gaps.size, -1)] * weight).sum(1) / weight.sum(1)
    return flat.copy(data=rows.reshape(flat.shape)).transpose(*cube.dims).values


def _places(times: Any) -> Any:
    """Return times as numbers that grow evenly with them."""
    if times.dtype.kind == "M" or not times.size:
        return times.astype("datetime64[ns]").astype(np.int64).astype(float)
    return np.array([(time - times[0]).total_seconds() for time in times])  # a calendar of cftime


def _gap_lengths(missing: Any, axis: int) -> Any:
    """Return for each cell how many missing ones in a row it is part of, along one axis."""
    moved = np.moveaxis(missing, axis, -1)
    starts = moved & ~np.concatenate([np.zeros_like(moved[..., :1]), moved[..., :-1]], -1)
    flat, number = moved.reshape(-1), np.cumsum(starts.reshape(-1))
    lengths = np.bincount(number[flat], minlength=int(number[-1]) + 1 if number.size else 1)
    return np.moveaxis(np.where(flat, lengths[number], 0).reshape(moved.shape), -1, axis)
