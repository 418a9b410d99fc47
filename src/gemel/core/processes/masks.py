"""Values of a cube replaced where a mask or a polygon says so (openEO process specification, group `masks`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import ProcessRefused
from gemel.core.cubes import (
    dimensions_of,
    geometries_of,
    grid_of,
    has_spatial_dims,
    labels_of,
    polygonal,
    spatial_dims,
    union_of,
)
from gemel.core.graph import Field
from gemel.core.processes._standard import standard
from gemel.core.processes.resampling import aligned


@standard(on="cubes")
def mask(data: Field, mask: Field, replacement: Any = None) -> Field:
    """The cube with its values replaced where another cube is true or not zero; where that has no data, nothing changes.

    Args:
        data: A raster cube.
        mask: A cube with the same dimensions or some of them; its pixels are aligned to those of `data`.
        replacement: What takes the place of masked values; null for no data.

    Raises:
        ProcessRefused: `IncompatibleDataCubes`.
    """
    fitted = _fitted(data, mask)
    hidden = (fitted != 0) & fitted.notnull() if fitted.dtype.kind != "b" else fitted
    return replaced(data, hidden, replacement)


@standard(on="cubes")
def mask_polygon(data: Field, mask: Any, replacement: Any = None, inside: bool = False) -> Field:
    """The cube with its values replaced at the pixels whose centre lies outside of all polygons.

    Args:
        data: A raster cube.
        mask: Polygons, as GeoJSON or a vector cube.
        replacement: What takes the place of the values; null for no data. Cells without data keep having none.
        inside: Replace the pixels inside instead.
    """
    grid, (x, y) = grid_of(data), spatial_dims(data)
    held = union_of(polygonal(geometries_of(mask)).to(grid.crs).shapes, grid)
    hidden = xr.DataArray(held if inside else ~held, dims=(y, x))
    return replaced(data, hidden if replacement is None else hidden & data.notnull(), replacement)


def replaced(data: xr.DataArray, hidden: xr.DataArray, replacement: Any) -> xr.DataArray:
    """Return the cube with `replacement` (null: no data) where `hidden`, on some of its dimensions, is true."""
    bare = hidden.drop_vars(list(hidden.coords)).broadcast_like(data.drop_vars(list(data.coords)))
    where = bare.transpose(*data.dims).values
    values = data.values
    if replacement is None and values.dtype.kind in "biu":
        # Integers and booleans have no value for no data.
        values = values.astype(np.float32 if values.dtype.itemsize <= 2 else np.float64)
    if values.dtype.kind == "f":
        wanted: Any = values.dtype.type(np.nan if replacement is None else replacement)
    else:
        wanted = np.asarray(replacement, dtype=object if isinstance(replacement, str) or replacement is None else None)
    return data.copy(data=np.where(where, wanted, values))


def _fitted(data: xr.DataArray, mask: xr.DataArray) -> xr.DataArray:
    for dim in mask.dims:
        if dim not in data.dims:
            hint = f"Reduce it first; the cube has {', '.join(map(str, data.dims))}."
            message = f"The mask has a dimension '{dim}' that the cube has not."
            raise ProcessRefused(message, exception="IncompatibleDataCubes", hint=hint)
    fitted = aligned(mask, data, "near") if has_spatial_dims(mask) and has_spatial_dims(data) else mask
    for dim in map(str, fitted.dims):
        if dim not in dimensions_of(data, "spatial") and labels_of(fitted, dim) != labels_of(data, dim):
            message = f"The labels of '{dim}' differ between the cube and the mask."
            raise ProcessRefused(message, exception="IncompatibleDataCubes")
    return fitted
