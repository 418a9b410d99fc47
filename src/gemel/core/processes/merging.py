"""Two cubes made into one (openEO process specification, group `cubes`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from gemel.base import units
from gemel.base.errors import ProcessRefused
from gemel.core.cubes import (
    SPATIAL_REF,
    applied,
    axis_of,
    callback,
    coordinate,
    crs_of,
    dimension_kind,
    dimensions_of,
    geometries_of,
    geometry_dim,
    grid_of,
    has_spatial_dims,
    labels_of,
    position_of,
    same_crs,
    spatial_dims,
    vector_cube,
)
from gemel.core.graph import Field
from gemel.core.processes._standard import standard
from gemel.core.processes.resampling import aligned

_BASE = {"MultiPoint": "Point", "MultiLineString": "LineString", "LinearRing": "LineString", "MultiPolygon": "Polygon"}


@standard(on="cubes")
def merge_cubes(cube1: Field, cube2: Field, overlap_resolver: Any = None, context: Any = None) -> Field:
    """Two cubes made into one, with the labels of both; where both have values, a child process combines them.

    Args:
        cube1: The base cube.
        cube2: The other one; its pixels are aligned to those of `cube1` where the grids do not fall together.
            Where it has fewer dimensions (or more) the smaller cube counts for every label of the others.
        overlap_resolver: Gets the values as `x` and `y`, and `context`.
        context: Handed on.

    Raises:
        ProcessRefused: `OverlapResolverMissing`, `IncompatibleGeometryTypes`, `DimensionMismatch`.
        UnitMismatch: The units of the two measure different things.
    """
    _refuse_unlike(cube1, cube2)
    second = _in_the_unit(_in_the_system(_on_the_grid(cube2, cube1), cube1), cube1)
    first, second = _with_all_dimensions(cube1, second)
    labels = {dim: _merged(first, second, dim) for dim in map(str, first.dims)}
    places = [[_places(cube, dim, labels[dim]) for dim in map(str, first.dims)] for cube in (first, second)]
    shared = [sorted(set(one) & set(other)) for one, other in zip(*places, strict=True)]
    overlap = all(shared) and first.size and second.size
    if overlap and overlap_resolver is None:
        message = "The cubes have values for the same labels, and nothing says how to combine them."
        hint = "Give an overlap resolver, or let the labels of one dimension differ."
        raise ProcessRefused(message, exception="OverlapResolverMissing", hint=hint)
    block = _joined(first, second, places, [len(labels[dim]) for dim in map(str, first.dims)])
    if overlap:
        parts = [_part(cube, own, shared) for cube, own in zip((first, second), places, strict=True)]
        solved = applied(parts[0], callback(overlap_resolver), context, y=parts[1]).values
        block = block.astype(np.result_type(block.dtype, solved.dtype), copy=False)
        block[np.ix_(*shared)] = solved
    return _described(block, first, second, labels)


def _refuse_unlike(cube1: xr.DataArray, cube2: xr.DataArray) -> None:
    for dim in set(dimensions_of(cube1, "temporal")) & set(dimensions_of(cube2, "temporal")):
        stored = {cube.coords[dim].dtype.kind for cube in (cube1, cube2) if cube.sizes[dim]}
        if stored == {"M", "O"} and any(
            hasattr(cube.coords[dim].values.flat[0], "calendar") for cube in (cube1, cube2)
        ):
            message = f"The times along '{dim}' are of different calendars."
            raise ProcessRefused(message, exception="DimensionMismatch", hint="Bring both to one with harmonise.")
    vector = [bool(dimensions_of(cube, "geometry")) for cube in (cube1, cube2)]
    if vector[0] != vector[1] and any(has_spatial_dims(cube) for cube in (cube1, cube2)):
        raise ProcessRefused("A raster and a vector cube cannot be merged.", exception="DimensionMismatch")
    if all(vector):
        kinds = [
            {_BASE.get(shape.geom_type, shape.geom_type) for shape in geometries_of(c).shapes} for c in (cube1, cube2)
        ]
        if len(kinds[0] | kinds[1]) > 1:
            message = f"Geometries of the kinds {' and '.join(sorted(kinds[0] | kinds[1]))} cannot be merged."
            raise ProcessRefused(message, exception="IncompatibleGeometryTypes")


def _in_the_unit(cube: xr.DataArray, base: xr.DataArray) -> xr.DataArray:
    found, wanted = cube.attrs.get("units"), base.attrs.get("units")
    # Cubes of bands carry the unit of no band in particular.
    if found is None or wanted is None or found == wanted or dimensions_of(cube, "bands"):
        return cube
    return cube.copy(data=units.convert(cube.values, str(found), str(wanted))).assign_attrs(units=wanted)


def _in_the_system(cube: xr.DataArray, base: xr.DataArray) -> xr.DataArray:
    if (
        not dimensions_of(cube, "geometry")
        or not dimensions_of(base, "geometry")
        or same_crs(crs_of(cube), crs_of(base))
    ):
        return cube
    return vector_cube(cube, geometries_of(cube).to(crs_of(base)))


def _on_the_grid(cube: xr.DataArray, base: xr.DataArray) -> xr.DataArray:
    if not (has_spatial_dims(cube) and has_spatial_dims(base)):
        return cube
    own, wanted = grid_of(cube), grid_of(base)
    if same_crs(own.crs, wanted.crs) and _fall_together(own.x, wanted.x) and _fall_together(own.y, wanted.y):
        return _snapped(cube, base)
    return aligned(cube, base, "near")


def _fall_together(own: Any, wanted: Any) -> bool:
    """Return whether the pixels of two axes lie on one grid, so that both can be kept as they are."""
    if len(own) == 0 or len(wanted) == 0:
        return True
    steps = [abs(axis[-1] - axis[0]) / (len(axis) - 1) for axis in (own, wanted) if len(axis) > 1]
    step = steps[0] if steps else 1.0
    if any(not math.isclose(other, step, rel_tol=1e-3) for other in steps):
        return False
    shift = (own[0] - wanted[0]) / step
    return bool(abs(shift - round(shift)) < 1e-3)


def _snapped(cube: xr.DataArray, base: xr.DataArray) -> xr.DataArray:
    for own, wanted in zip(spatial_dims(cube), spatial_dims(base), strict=True):
        if own not in cube.coords or wanted not in base.coords or base.sizes[wanted] < 2 or not cube.sizes[own]:
            continue
        target, held = base.coords[wanted].values, cube.coords[own].values.copy()
        near = np.abs(held[:, None] - target[None, :]).argmin(axis=1)
        close = np.abs(held - target[near]) < 1e-3 * abs(target[1] - target[0])
        cube = cube.assign_coords({own: (own, np.where(close, target[near], held), cube.coords[own].attrs)})
    return cube


def _with_all_dimensions(cube1: xr.DataArray, cube2: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    more, fewer = (cube1, cube2) if set(cube1.dims) >= set(cube2.dims) else (cube2, cube1)
    if not set(more.dims) >= set(fewer.dims):
        message = (
            f"Each cube has a dimension that the other has not: {sorted(map(str, set(more.dims) ^ set(fewer.dims)))}."
        )
        hint = "Add it to the other cube with add_dimension, or reduce it."
        raise ProcessRefused(message, exception="DimensionMismatch", hint=hint)
    for dim in map(str, fewer.dims):
        kinds = [dimension_kind(cube, dim) for cube in (more, fewer)]
        if kinds[0] != kinds[1]:
            message = f"The dimension '{dim}' is {kinds[0]} in one cube and {kinds[1]} in the other."
            raise ProcessRefused(message, exception="DimensionMismatch")
    missing = {dim: more.sizes[dim] for dim in more.dims if dim not in fewer.dims}
    bare = fewer.drop_vars([name for name in missing if name in fewer.coords])
    grown = bare.expand_dims(missing).assign_coords({dim: more.coords[dim] for dim in missing if dim in more.coords})
    grown = grown.transpose(*more.dims)
    return (more, grown) if more is cube1 else (grown, more)


def _merged(first: xr.DataArray, second: xr.DataArray, dim: str) -> list[Any]:
    own, more = labels_of(first, dim), labels_of(second, dim)
    joined = own + [label for label in more if position_of(own, label) is None]
    if dimension_kind(first, dim) in ("spatial", "temporal") and len(joined) > len(own):
        downward = len(own) > 1 and own[0] > own[-1]
        return sorted(joined, reverse=downward)
    return joined


def _places(cube: xr.DataArray, dim: str, labels: list[Any]) -> list[int]:
    # Labels are unique; a dictionary finds what `position_of` would look for one by one.
    known = {label: place for place, label in enumerate(labels)}
    found = [known.get(label, -1) for label in labels_of(cube, dim)]
    return [
        place if place >= 0 else position_of(labels, label) or 0
        for place, label in zip(found, labels_of(cube, dim), strict=True)
    ]


def _joined(first: xr.DataArray, second: xr.DataArray, places: list[list[list[int]]], shape: list[int]) -> Any:
    kind = (
        np.result_type(first.dtype, second.dtype)
        if first.dtype != object and second.dtype != object
        else np.dtype(object)
    )
    covered = np.zeros(shape, dtype=bool)
    for own in places:
        covered[np.ix_(*own)] = True
    if not covered.all() and kind.kind in "biu":
        kind = np.dtype(np.float64)
    block = np.full(shape, np.nan if kind.kind in "fO" else 0, dtype=kind)
    for cube, own in ((second, places[1]), (first, places[0])):
        block[np.ix_(*own)] = cube.values
    return block


def _part(cube: xr.DataArray, own: list[list[int]], shared: list[list[int]]) -> xr.DataArray:
    picks = [[column.index(place) for place in wanted] for column, wanted in zip(own, shared, strict=True)]
    bare = cube.drop_vars(list(cube.coords))
    return bare.isel(dict(zip(cube.dims, picks, strict=True)))


def _described(block: Any, first: xr.DataArray, second: xr.DataArray, labels: dict[str, list[Any]]) -> xr.DataArray:
    coords: dict[str, Any] = {}
    for dim, names in labels.items():
        if names == labels_of(first, dim) and dim in first.coords:
            coords[dim] = first.coords[dim]
        elif dimension_kind(first, dim) != "geometry" and (dim in first.coords or dim in second.coords):
            attributes = first.coords[dim].attrs if dim in first.coords else {}
            made = coordinate(dim, names, dimension_kind(first, dim), axis_of(first, dim))
            coords[dim] = made.assign_attrs(attributes | made.attrs)
    for cube in (second, first):
        if SPATIAL_REF in cube.coords:
            coords[SPATIAL_REF] = cube.coords[SPATIAL_REF]
    merged = xr.DataArray(block, coords, first.dims, first.name, first.attrs)
    return _with_geometries(merged, first, second)


def _with_geometries(merged: xr.DataArray, first: xr.DataArray, second: xr.DataArray) -> xr.DataArray:
    if not dimensions_of(first, "geometry"):
        return merged
    dim, one, other = geometry_dim(first), geometries_of(first), geometries_of(second)
    known = [shape.wkt for shape in one.shapes]
    more = [shape for shape in other.to(one.crs).shapes if shape.wkt not in known]
    shapes = np.empty(len(one) + len(more), dtype=object)
    shapes[:] = [*one.shapes, *more]
    return vector_cube(merged, type(one)(shapes, one.crs, {}, dim))
