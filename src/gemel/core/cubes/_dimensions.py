"""What the dimensions of a cube are: temporal, spatial, bands, geometry or other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import cftime
import numpy as np
import shapely
import xarray as xr

from gemel.base.errors import ProcessRefused, did_you_mean
from gemel.core.cubes._instants import instant_or_none, instants64, is_time
from gemel.infra.lake.dimensions import BANDS, KIND, axis_named, axis_told, is_geometry, is_temporal

KINDS = ("temporal", "spatial", "bands", "geometry", "other")


class Horizontal(NamedTuple):
    """The names of the horizontal spatial dimensions of a cube."""

    x: str
    y: str


def dimension_kind(cube: xr.DataArray, dim: Hashable) -> str:
    """Return the kind of a dimension, one of `KINDS`.

    >>> cube = xr.DataArray([[1.0, 2.0]], dims=("bands", "x"))
    >>> dimension_kind(cube, "bands"), dimension_kind(cube, "x")
    ('bands', 'spatial')
    """
    coordinate = cube.coords.get(dim)
    told = coordinate.attrs.get(KIND) if coordinate is not None else None
    if told in KINDS:
        return str(told)
    if coordinate is not None and is_temporal(coordinate):
        return "temporal"
    if is_geometry(cube, dim):
        return "geometry"
    if axis_of(cube, dim) is not None:
        return "spatial"
    return "bands" if str(dim).lower() in BANDS else "other"


def axis_of(cube: xr.DataArray, dim: Hashable) -> str | None:
    """Return the spatial axis `x`, `y` or `z` that a dimension is, or None."""
    attributes = cube.coords[dim].attrs if dim in cube.coords else {}
    if attributes.get(KIND, "spatial") != "spatial" or str(attributes.get("axis", "")).lower() == "t":
        return None
    return axis_told(attributes) or axis_named(dim)


def dimensions_of(cube: xr.DataArray, kind: str) -> list[str]:
    """Return the names of all dimensions of one kind, in the cube's order."""
    return [str(dim) for dim in cube.dims if dimension_kind(cube, dim) == kind]


def require_dimension(cube: xr.DataArray, name: str, exception: str = "DimensionNotAvailable") -> str:
    """Return `name`, which the cube has as a dimension.

    Raises:
        ProcessRefused: It has not (`exception`); the hint names the nearest, or all.
    """
    if name in cube.dims:
        return name
    known = [str(dim) for dim in cube.dims]
    hint = did_you_mean(name, known) or f"It has: {', '.join(known) or 'none'}."
    raise ProcessRefused(f"The cube has no dimension '{name}'.", exception=exception, hint=hint)


def spatial_dims(cube: xr.DataArray) -> Horizontal:
    """Return the names of the horizontal spatial dimensions, as ``(x, y)``.

    Raises:
        ProcessRefused: `DimensionMissing`, or `DimensionAmbiguous` where an axis is there twice.
    """
    found: dict[str, list[str]] = {"x": [], "y": []}
    for dim in dimensions_of(cube, "spatial"):
        axis = axis_of(cube, dim)
        if axis in found:
            found[axis].append(dim)
    for axis, names in found.items():
        if len(names) != 1:
            name = "DimensionAmbiguous" if names else "DimensionMissing"
            number = f"{len(names)} dimensions" if names else "no dimension"
            message = f"The cube has {number} for the axis {axis}."
            raise ProcessRefused(message, exception=name, hint=f"Its dimensions: {', '.join(map(str, cube.dims))}.")
    return Horizontal(found["x"][0], found["y"][0])


def has_spatial_dims(cube: xr.DataArray) -> bool:
    """Return whether the cube has both horizontal dimensions."""
    return {"x", "y"} <= {axis_of(cube, dim) for dim in dimensions_of(cube, "spatial")}


def temporal_dim(cube: xr.DataArray, name: str | None = None) -> str:
    """Return the name of the temporal dimension: the only one, or the one called `name`.

    Raises:
        ProcessRefused: `TooManyDimensions`, `DimensionNotAvailable`, or `DimensionMismatch` where `name` is not temporal.
    """
    if name is not None:
        if dimension_kind(cube, require_dimension(cube, name)) != "temporal":
            raise ProcessRefused(f"The dimension '{name}' is not temporal.", exception="DimensionMismatch")
        return name
    found = dimensions_of(cube, "temporal")
    if not found:
        hint = f"Its dimensions: {', '.join(map(str, cube.dims)) or 'none'}."
        raise ProcessRefused("The cube has no temporal dimension.", exception="DimensionNotAvailable", hint=hint)
    if len(found) > 1:
        message = f"The cube has {len(found)} temporal dimensions: {', '.join(found)}."
        raise ProcessRefused(message, exception="TooManyDimensions", hint="Say which one with 'dimension'.")
    return found[0]


def bands_dim(cube: xr.DataArray, exception: str = "DimensionMissing") -> str:
    """Return the name of the only dimension of kind `bands`.

    Raises:
        ProcessRefused: There is none, or more than one (`exception`).
    """
    found = dimensions_of(cube, "bands")
    if len(found) != 1:
        hint = f"Its dimensions: {', '.join(map(str, cube.dims)) or 'none'}."
        number = f"{len(found)} dimensions" if found else "no dimension"
        raise ProcessRefused(f"The cube has {number} of kind bands.", exception=exception, hint=hint)
    return found[0]


def coordinate(name: str, labels: Sequence[Any], kind: str, axis: str | None = None) -> xr.DataArray:
    """Return the coordinate that makes `name` a dimension of `kind` with `labels`; texts that are instants become such.

    >>> coordinate("t", ["2020-01-01"], "temporal").dtype.kind, coordinate("t", ["W01"], "temporal").dtype.kind
    ('M', 'O')
    """
    values = _values(labels, kind)
    attributes: dict[str, Any] = {"axis": axis.upper()} if axis else {}
    # A kind that the values or the name tell already needs no word.
    bare = xr.DataArray(values, dims=(name,), attrs=attributes)
    if dimension_kind(bare.assign_coords({name: bare}), name) != kind:
        attributes[KIND] = kind
    return xr.DataArray(values, dims=(name,), attrs=attributes)


def _values(labels: Sequence[Any], kind: str) -> np.ndarray[Any, Any]:
    plain = list(labels)
    texts = [item for item in plain if isinstance(item, str)]
    if kind == "temporal" and len(texts) == len(plain):
        if texts and all(not is_time(text) and instant_or_none(text) for text in texts):
            return instants64(texts)
        if not texts:
            return np.array([], dtype="datetime64[ns]")
    if texts or any(isinstance(item, (cftime.datetime, shapely.Geometry)) for item in plain):
        values = np.empty(len(plain), dtype=object)
        values[:] = plain
        return values
    return np.asarray(plain)
