"""Child processes applied to the values of a cube, and along its dimensions (openEO process specification, group `cubes`)."""

from __future__ import annotations

from typing import Any

import xarray as xr

from gemel.base.errors import ProcessRefused
from gemel.core.cubes import (
    applied,
    applied_along,
    axis_of,
    callback,
    coordinate,
    dimension_kind,
    labels_of,
    reduced,
    require_dimension,
    spatial_dims,
)
from gemel.core.graph import Field
from gemel.core.processes._standard import standard

_PIXELS = "gemel_pixels"


@standard(on="cubes")
def apply(data: Field, process: Any, context: Any = None) -> Field:
    """The cube with a child process applied to each value.

    Booleans that may be unknown come back as 1, 0 and NaN.

    Args:
        data: The cube.
        process: Gets the value as `x`, and `context`.
        context: Handed on.
    """
    return applied(data, callback(process), context)


@standard(on="cubes")
def apply_dimension(
    data: Field, process: Any, dimension: str, target_dimension: str | None = None, context: Any = None
) -> Field:
    """The cube with a child process applied to the array of values along a dimension.

    Args:
        data: The cube.
        process: Gets the array as `data`, and `context`; gives back an array.
        dimension: Name of the dimension.
        target_dimension: Name of the dimension that takes its place; by default it stays. One that is there already
            must have a single label.
        context: Handed on.

    Raises:
        ProcessRefused: `DimensionNotAvailable`, `DimensionExists`.
    """
    require_dimension(data, dimension)
    target = dimension if target_dimension is None else target_dimension
    kind, axis = dimension_kind(data, dimension), axis_of(data, dimension)
    labels = labels_of(data, dimension)
    found = applied_along(data, dimension, callback(process), context).data
    if target == dimension and found.sizes[dimension] == len(labels):
        return found.assign_coords({dimension: data.coords[dimension]} if dimension in data.coords else {})
    bare = found.drop_vars(dimension, errors="ignore")
    if target != dimension:
        bare, kind, axis = _moved(bare, data, dimension, target)
    kind = "other" if kind == "geometry" else kind  # numbers are no geometries
    # The rest of what the dimension was is gone; what stays is its kind.
    return bare.assign_coords({target: coordinate(target, list(range(bare.sizes[target])), kind, axis)})


@standard(on="cubes")
def reduce_dimension(data: Field, reducer: Any, dimension: str, context: Any = None) -> Field:
    """The cube without a dimension, along which a reducer makes one value of each array.

    Args:
        data: The cube.
        reducer: Gets the array as `data`, and `context`; gives back one value.
        dimension: Name of the dimension.
        context: Handed on.

    Raises:
        ProcessRefused: `DimensionNotAvailable`.
    """
    return reduced(data, require_dimension(data, dimension), callback(reducer), context)


@standard(on="cubes")
def reduce_spatial(data: Field, reducer: Any, context: Any = None) -> Field:
    """The cube without its horizontal dimensions, over which a reducer makes one value of all pixels.

    Args:
        data: A raster cube.
        reducer: Gets the pixels as `data`, in no order, and `context`; gives back one value.
        context: Handed on.
    """
    return reduced(pixels_as_one(data), _PIXELS, callback(reducer), context)


def pixels_as_one(data: xr.DataArray) -> xr.DataArray:
    """Return a raster cube with its pixels along one dimension, the last, which carries no labels."""
    x, y = spatial_dims(data)
    bare = data.drop_vars([name for name, item in data.coords.items() if {x, y} & set(item.dims)])
    others = [dim for dim in data.dims if dim not in (x, y)]
    return bare.transpose(*others, y, x).stack({_PIXELS: (y, x)}, create_index=False)


def _moved(found: xr.DataArray, data: xr.DataArray, source: str, target: str) -> tuple[xr.DataArray, str, str | None]:
    if target not in found.dims:
        return found.drop_vars(target, errors="ignore").rename({source: target}), "other", None
    if found.sizes[target] != 1:
        message = f"The target dimension '{target}' has {found.sizes[target]} labels; it may have one."
        hint = "Reduce it first, or name a new dimension."
        raise ProcessRefused(message, exception="DimensionExists", hint=hint)
    kind, axis = dimension_kind(data, target), axis_of(data, target)
    return found.isel({target: 0}, drop=True).rename({source: target}), kind, axis
