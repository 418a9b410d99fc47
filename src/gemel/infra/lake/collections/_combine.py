"""Several files as one value: instants after each other, bands side by side, features and rows below each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.base.plugins import require
from gemel.infra.lake._axes import bands_dim, crs_of, geometry_dim, same_crs, time_dim
from gemel.infra.lake._lazy import joined


def one_value(parts: Sequence[Any]) -> Any:
    """Return what several files hold together; the value of a single one as it is.

    Raises:
        InvalidInput: They hold different kinds of values, or do not fit together.
    """
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, pd.DataFrame) for part in parts):
        return pd.concat(list(parts), ignore_index=True)
    if all(isinstance(part, xr.DataArray) for part in parts):
        vectors = [geometry_dim(part) is not None for part in parts]
        if all(vectors):
            return _features(parts)
        if not any(vectors):
            return one_cube(parts)
    kinds = ", ".join(sorted({type(part).__name__ for part in parts}))
    raise InvalidInput(f"The files hold different kinds of values ({kinds}).", hint="Load them one by one.")


def one_cube(cubes: Sequence[xr.DataArray]) -> xr.DataArray:
    """Return raster cubes as one: along time where their instants differ, else along bands where those differ.

    Raises:
        InvalidInput: Neither is the case, or they differ in more.
    """
    first = cubes[0]
    if any(not same_crs(crs_of(cube), crs_of(first)) for cube in cubes):
        raise InvalidInput("The files are in different reference systems.", hint="Load them one by one and resample.")
    for dim in (time_dim(first), bands_dim(first)):
        if dim is not None and all(dim in cube.coords for cube in cubes) and _distinct(cubes, dim):
            ordered = sorted(cubes, key=lambda cube: cube[dim].values[0]) if dim == time_dim(first) else cubes
            return joined(ordered, dim)
    raise InvalidInput("The files differ neither in their instants nor in their bands.", hint="Load them one by one.")


def _distinct(cubes: Sequence[xr.DataArray], dim: str) -> bool:
    labels = [label for cube in cubes for label in cube[dim].values.tolist()]
    return len(set(labels)) == len(labels)


def _features(cubes: Sequence[xr.DataArray]) -> xr.DataArray:
    dim, crs = geometry_dim(cubes[0]), crs_of(cubes[0])
    if any(geometry_dim(cube) != dim or not same_crs(crs_of(cube), crs) for cube in cubes):
        raise InvalidInput("The files' features are in different reference systems.", hint="Load them one by one.")
    assert dim is not None
    shapes = np.concatenate([cube[dim].values for cube in cubes])
    require("xvec", extra="data")
    bare = [cube.drop_vars(dim) for cube in cubes]
    whole = xr.concat(bare, dim, join="exact", coords="minimal", compat="override")
    indexed: xr.DataArray = whole.assign_coords({dim: (dim, shapes)}).xvec.set_geom_indexes(dim, crs=crs)
    return indexed
