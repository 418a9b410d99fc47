"""Cubes brought to other grids and other times (openEO process specification, group `reproject`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput, ProcessRefused
from gemel.core.cubes import (
    Grid,
    axis_of,
    crs_from,
    crs_of,
    dimensions_of,
    grid_of,
    monotonic,
    require_crs,
    require_dimension,
    same_crs,
    spatial_dims,
    temporal_dim,
    with_crs,
)
from gemel.core.graph import Field
from gemel.core.processes._standard import standard
from gemel.core.processes._warp import resampled, target_grid

Method = Literal[
    "average",
    "bilinear",
    "cubic",
    "cubicspline",
    "lanczos",
    "max",
    "med",
    "min",
    "mode",
    "near",
    "q1",
    "q3",
    "rms",
    "sum",
]
Corner = Literal["lower-left", "upper-left", "lower-right", "upper-right"]


@standard(on="cubes")
def resample_spatial(
    data: Field, resolution: Any = 0, projection: Any = None, method: Method = "near", align: Corner = "upper-left"
) -> Field:
    """The cube on a grid of another resolution, in another projection, or both.

    Args:
        data: A raster cube with even steps.
        resolution: Size of the new pixels in units of the projection, one number or one for x and one for y; 0 keeps it.
        projection: EPSG code or WKT2; null keeps it.
        method: How values of the new pixels come from the old ones (as in gdalwarp).
        align: The corner of the extent at which the new grid begins.

    Raises:
        InvalidInput: The steps are not even, or the cube's reference system is unknown and another one is wanted.
    """
    grid = grid_of(data)
    crs = grid.crs if projection is None else crs_from(projection)
    if projection is not None:
        require_crs(data, "a projection")
    pair = resolution if isinstance(resolution, Sequence) else (resolution, resolution)
    wanted = target_grid(grid, crs, (float(pair[0]), float(pair[1])), align)
    return on_grid(data, wanted, method)


@standard(on="cubes")
def resample_cube_spatial(data: Field, target: Field, method: Method = "near") -> Field:
    """The cube on the horizontal grid of another one.

    Args:
        data: A raster cube.
        target: The cube whose pixels it gets.
        method: How values of the new pixels come from the old ones (as in gdalwarp).
    """
    return aligned(data, target, method)


@standard(on="cubes")
def resample_cube_temporal(
    data: Field, target: Field, dimension: str | None = None, valid_within: float | None = None
) -> Field:
    """The cube at the times of another one, each taken from the nearest; of two as near, from the earlier.

    Args:
        data: A cube with temporal dimensions.
        target: The cube whose times it gets.
        dimension: Name of the temporal dimension in both; all that both have by default.
        valid_within: Days before and after a time in which the nearest valid value is looked for; null takes the
            nearest time whatever its value is.

    Raises:
        ProcessRefused: `DimensionNotAvailable`, `DimensionMismatch`.
    """
    for name in _shared_times(data, target, dimension):
        data = _at_times(data, target.coords[name], name, valid_within)
    return data


def aligned(data: xr.DataArray, target: xr.DataArray, method: str) -> xr.DataArray:
    """Return a raster cube on the horizontal grid of another one, with that one's labels."""
    wanted, (x, y) = grid_of(target), spatial_dims(target)
    found = on_grid(data, wanted, method)
    own = spatial_dims(found)
    # The very labels, so that nothing that follows finds a difference in the last digit.
    labels = (
        {own.x: (own.x, target.coords[x].values), own.y: (own.y, target.coords[y].values)} if x in target.coords else {}
    )
    return found.assign_coords({name: (name, held[1], found.coords[name].attrs) for name, held in labels.items()})


def on_grid(data: xr.DataArray, wanted: Grid, method: str) -> xr.DataArray:
    """Return a raster cube on another grid; its horizontal dimensions keep their names and places."""
    grid, (x, y) = grid_of(data), spatial_dims(data)
    if grid.same(wanted) and same_crs(grid.crs, wanted.crs):
        return data
    if 0 in grid.shape:
        raise InvalidInput("The cube has no pixels to resample.", hint="Its spatial extent is empty.")
    block = data.transpose(..., y, x).values
    found = resampled(block, grid, wanted, method)
    left = data.drop_vars([name for name, item in data.coords.items() if {x, y} & set(item.dims)])
    order = [dim for dim in data.dims if dim not in (x, y)]
    made = xr.DataArray(found, {name: left.coords[name] for name in left.coords}, [*order, y, x], data.name, data.attrs)
    labels = {x: _labels(data, x, wanted.x), y: _labels(data, y, wanted.y)}
    made = made.assign_coords(labels).transpose(*data.dims)
    known = crs_of(data)
    return (
        made
        if wanted.crs is None or (known is not None and same_crs(known, wanted.crs))
        else with_crs(made, wanted.crs)
    )


def _labels(data: xr.DataArray, dim: str, centres: Any) -> xr.DataArray:
    kept = dict(data.coords[dim].attrs) if dim in data.coords else {}
    kept = {name: value for name, value in kept.items() if name not in ("units", "standard_name", "long_name")}
    return xr.DataArray(centres, dims=(dim,), attrs={"axis": str(axis_of(data, dim)).upper()} | kept)


def _shared_times(data: xr.DataArray, target: xr.DataArray, dimension: str | None) -> list[str]:
    if dimension is not None:
        for cube in (data, target):
            temporal_dim(cube, require_dimension(cube, dimension))
        return [dimension]
    shared = [name for name in dimensions_of(data, "temporal") if name in dimensions_of(target, "temporal")]
    if not shared:
        message = "The cubes have no temporal dimension of the same name."
        raise ProcessRefused(message, exception="DimensionMismatch", hint="Rename one with rename_dimension.")
    return shared


def _at_times(data: xr.DataArray, times: xr.DataArray, name: str, valid_within: float | None) -> xr.DataArray:
    own = data.coords[name]
    if own.size == 0:
        raise InvalidInput(f"The cube has no times along '{name}' to choose from.")
    if own.dtype.kind != times.dtype.kind:
        named = any(part.size and isinstance(part.values.flat[0], str) for part in (own, times))
        message = (
            "One of the cubes names periods, the other has instants." if named else "The calendars of the two differ."
        )
        hint = "Aggregate both to the same periods." if named else "Bring both to one with harmonise."
        raise ProcessRefused(message, exception="DimensionMismatch", hint=hint)
    monotonic(data, name)
    # Ties go to the earlier time because the distances are looked at in the order of time.
    order = np.argsort(own.values, kind="stable")
    distance = np.abs(own.values[order][None, :] - times.values[:, None])
    days = distance / np.timedelta64(1, "D") if own.dtype.kind == "M" else _days(distance)
    if valid_within is None:
        return data.isel({name: order[np.argmin(days, axis=1)]}).assign_coords({name: times})
    held = data.transpose(name, ...)
    found = [_nearest_valid(held, order, row, valid_within) for row in days]
    made = held.isel({name: np.zeros(len(found), dtype=int)}).astype(_floating(held.dtype))
    made = made.copy(data=np.stack(found) if found else np.empty((0, *held.shape[1:]), dtype=made.dtype))
    return made.assign_coords({name: times}).transpose(*data.dims)


def _nearest_valid(held: xr.DataArray, order: Any, days: Any, valid_within: float) -> np.ndarray[Any, Any]:
    result = np.full(held.shape[1:], np.nan, dtype=_floating(held.dtype))
    for place in np.argsort(days, kind="stable"):
        # Both ends are open: the specification says after and before.
        if days[place] >= valid_within and days[place] > 0:
            break
        open_cells = ~np.isfinite(result)
        if not open_cells.any():
            break
        candidate = held.values[order[place]]
        result[open_cells] = np.where(np.isfinite(candidate), candidate, np.nan)[open_cells]
    return result


def _days(distance: Any) -> np.ndarray[Any, Any]:
    return np.array([[item.total_seconds() / 86400.0 for item in row] for row in distance])


def _floating(kind: np.dtype[Any]) -> np.dtype[Any]:
    return kind if kind.kind == "f" else np.dtype(np.float64)
