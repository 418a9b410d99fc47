"""Child processes evaluated on cubes: all cells at once where its processes can, cell by cell where one cannot."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import ProcessRefused
from gemel.core.cubes._along import LABELED, Along, CellByCell, Groups, arrays_of, is_cells
from gemel.core.cubes._child import Callback, keeps_unit
from gemel.core.cubes._crs import SPATIAL_REF

# What describes the quantity, and goes when a child process makes another one of it.
_OF_THE_QUANTITY = ("units", "standard_name", "long_name", "cell_methods", "valid_range", "valid_min", "valid_max")


def applied(cube: xr.DataArray, child: Callback, context: Any = None, **more: Any) -> xr.DataArray:
    """Return the cube with `child` applied to each value (as `x`).

    Args:
        cube: The cube.
        child: Evaluated once with all values where it can be, else for each.
        context: Handed on.
        **more: Further parameters of the child that are cubes of the same shape (`y` of an overlap resolver).
    """
    bare = _bare(cube)
    try:
        result = child(x=bare, context=context, **more)
        found = (
            _as_many(result, bare) if is_cells(result) else xr.full_like(bare, _number(result), dtype=_kind_of(result))
        )
    except CellByCell:
        columns = [_plain(array.broadcast_like(bare).transpose(*bare.dims)) for array in more.values()]
        rows = zip(_plain(bare), *columns, strict=True)
        values = [child(**dict(zip(("x", *more), row, strict=True)), context=context) for row in rows]
        found = bare.copy(data=assembled(values).reshape(bare.shape))
    return described(found.transpose(*[dim for dim in cube.dims if dim in found.dims], ...), cube, child)


def _as_many(result: xr.DataArray, cube: xr.DataArray) -> xr.DataArray:
    if dict(result.sizes) == dict(cube.sizes):
        return result
    shapes = [" × ".join(f"{name} {size}" for name, size in item.sizes.items()) for item in (result, cube)]
    message = f"The child process gave back {shapes[0] or 'a single value'} for the values of {shapes[1]}."
    raise ProcessRefused(message, exception="DataCubePropertiesImmutable", hint="Reduce with reduce_dimension instead.")


def reduced(cube: xr.DataArray, dim: str, child: Callback, context: Any = None) -> xr.DataArray:
    """Return the cube with its dimension `dim` reduced by `child`, which gets the array of each cell as `data`."""
    along = Along(_bare(cube), dim)
    try:
        found = _one_each(along, child(data=along, context=context))
    except CellByCell:
        found = along.cells(_by_lines(along, child, context, single=True))
    return described(found, cube, child)


def reduced_groups(
    cube: xr.DataArray, dim: str, groups: tuple[np.ndarray[Any, Any], int], child: Callback, context: Any = None
) -> xr.DataArray:
    """Return the cube with `dim` reduced in groups: as many places along it as there are groups, without labels.

    Args:
        cube: The cube.
        dim: The dimension that is reduced.
        groups: Group of each element along it (negative for none), and how many groups there are.
        child: The reducer; gets the array of each cell and group as `data`.
        context: Handed on.
    """
    whole = Groups(Along(_bare(cube), dim), np.asarray(groups[0], dtype=np.int64), groups[1])
    try:
        found = child(data=whole, context=context)
        if not (is_cells(found) and dim in found.dims):
            raise CellByCell
    except CellByCell:
        parts = [reduced(part.data, dim, child, context) for part in whole.each()]
        shell = whole.along.cells(np.empty([n for name, n in cube.sizes.items() if name != dim]))
        found = xr.concat(parts, dim=dim, coords="minimal", compat="override", join="override") if parts else None
        found = shell.expand_dims({dim: 0}) if found is None else found
    return described(found.drop_vars(dim, errors="ignore").transpose(*cube.dims), cube, child)


def applied_along(cube: xr.DataArray, dim: str, child: Callback, context: Any = None) -> Along:
    """Return what `child` makes of the array of each cell along `dim`: arrays, of the same or another length."""
    along = Along(_bare(cube), dim)
    try:
        found = _arrays(along, child(data=along, context=context))
    except CellByCell:
        values = _by_lines(along, child, context, single=False)
        found = along.other(np.moveaxis(values, -1, along.axis))
    return Along(described(found.data.transpose(*cube.dims), cube, child), dim, found.labeled)


def described(found: xr.DataArray, cube: xr.DataArray, child: Callback) -> xr.DataArray:
    """Return a result with the name and attributes of the cube it was made from, as far as they still hold."""
    kept = cube.attrs if keeps_unit(child) else without_quantity(cube.attrs)
    lost = {name: cube.coords[name] for name in (SPATIAL_REF,) if name in cube.coords and name not in found.coords}
    result = found.assign_coords(lost).rename(cube.name)
    result.attrs = dict(kept)
    return result


def without_quantity(attributes: dict[Any, Any]) -> dict[Any, Any]:
    """Return attributes without those that describe the quantity (units, names, ranges)."""
    return {name: value for name, value in attributes.items() if name not in _OF_THE_QUANTITY}


def labeled(values: Iterable[Any], labels: Iterable[Any]) -> xr.DataArray:
    """Return the plain array that carries `labels`; values keep their kind, null included."""
    content, names = list(values), list(labels)
    holders = [np.empty(len(items), dtype=object) for items in (content, names)]
    holders[0][:], holders[1][:] = content, names
    return xr.DataArray(holders[0], {LABELED: holders[1]}, (LABELED,))


def assembled(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Return plain values as an array: null becomes NaN among numbers and booleans, texts stay objects.

    >>> assembled([1, None]), assembled([True, False])
    (array([ 1., nan]), array([ True, False]))
    """
    if any(isinstance(value, (str, dict, list)) for value in values):
        content = np.empty(len(values), dtype=object)
        content[:] = list(values)
        return content
    return np.array([math.nan if value is None else value for value in values]) if values else np.empty(0)


def _bare(cube: xr.DataArray) -> xr.DataArray:
    # Attributes would be merged by every operation in between; they come back at the end.
    bare = cube.copy(deep=False)
    bare.attrs, bare.name = {}, None
    return bare.load() if not isinstance(bare.variable._data, np.ndarray) else bare


def _one_each(along: Along, result: Any) -> xr.DataArray:
    if (
        isinstance(result, Along)
        or (is_cells(result) and along.dim in result.dims)
        or isinstance(result, (list, tuple))
    ):
        raise ProcessRefused(
            "The reducer gives back an array, where one value is wanted.",
            exception="ReducerNotReducing",
            hint="Use apply_dimension, or end with a reducer like mean.",
        )
    shape = along.cells(np.empty([n for dim, n in along.data.sizes.items() if dim != along.dim], dtype=bool))
    if is_cells(result):
        return result.broadcast_like(shape).transpose(*shape.dims)
    full: xr.DataArray = xr.full_like(shape, _number(result), dtype=_kind_of(result))
    return full


def _arrays(along: Along, result: Any) -> Along:
    found = result if isinstance(result, Along) else arrays_of(result)
    if found is None and is_cells(result):
        found = Along(result, along.dim) if along.dim in result.dims else arrays_of([result])
    if found is None:
        values = list(result.values) if isinstance(result, xr.DataArray) else result
        values = values if isinstance(values, (list, tuple)) else [values]
        sizes = {dim: n for dim, n in along.data.sizes.items() if dim != along.dim}
        content = assembled(values)
        return along.other(np.moveaxis(np.broadcast_to(content, (*sizes.values(), len(content))), -1, along.axis))
    if found.dim == along.dim:
        return found
    shape = along.cells(np.empty([n for dim, n in along.data.sizes.items() if dim != along.dim], dtype=bool))
    placed = found.data.rename({found.dim: along.dim}).broadcast_like(shape).transpose(*along.data.dims)
    return along.other(placed.values, found.labels)


def _by_lines(along: Along, child: Callback, context: Any, *, single: bool) -> np.ndarray[Any, Any]:
    moved = along.data.transpose(..., along.dim)
    lines = moved.values.reshape(-1, len(along)) if len(along) else np.empty((math.prod(moved.shape[:-1]), 0))
    results = []
    for line in lines:
        values = _nulled(line)
        data = values if along.labels is None else labeled(values, along.labels)
        results.append(_settled(child(data=data, context=context)))
    if single:
        if any(isinstance(result, list) for result in results):
            _one_each(along, [])
        return assembled(results).reshape(moved.shape[:-1])
    rows = [result if isinstance(result, list) else [result] for result in results]
    longest = max(map(len, rows), default=0)
    # Arrays of cells may differ in length where a process leaves elements out; nulls make them equal.
    padded = assembled([*itertools.chain.from_iterable([*row, *[None] * (longest - len(row))] for row in rows)])
    return padded.reshape(*moved.shape[:-1], longest)


def _settled(result: Any) -> Any:
    return (
        list(result.values)
        if isinstance(result, xr.DataArray)
        else list(result)
        if isinstance(result, tuple)
        else result
    )


def _plain(array: xr.DataArray) -> list[Any]:
    return _nulled(array.values.ravel())


def _nulled(values: np.ndarray[Any, Any]) -> list[Any]:
    if values.dtype.kind == "f":
        return [None if math.isnan(value) else value for value in values.tolist()]
    if values.dtype == object:
        return [None if isinstance(value, float) and math.isnan(value) else value for value in values.tolist()]
    return list(values.tolist())


def _number(result: Any) -> Any:
    return math.nan if result is None else result


def _kind_of(result: Any) -> Any:
    return object if isinstance(result, (str, dict)) else np.asarray(_number(result)).dtype
