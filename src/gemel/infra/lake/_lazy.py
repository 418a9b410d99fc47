"""Cubes that are read when they are asked for: parts put together, and functions applied, block by block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from gemel.base.errors import InvalidInput

Window = tuple[slice, ...]


class LazyArray(BackendArray):
    """An array known by shape and type whose blocks a function reads.

    Args:
        shape: Cells along each dimension.
        dtype: Type of the cells.
        read: Returns the block of a window, given as one slice of step 1 per dimension.
    """

    def __init__(self, shape: Sequence[int], dtype: Any, read: Callable[[Window], np.ndarray[Any, Any]]) -> None:
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self._read = read

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return the cells of a basic, outer or vectorised index."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._basic)

    def _basic(self, key: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        window: list[slice] = []
        after: list[Any] = []
        for item, size in zip(key, self.shape, strict=True):
            if isinstance(item, slice):
                covered, kept = _forward(item, size)
            else:
                position = int(item) + (size if item < 0 else 0)
                covered, kept = slice(position, position + 1), 0
            window.append(covered)
            after.append(kept)
        if any(part.stop <= part.start for part in window):
            block = np.empty([part.stop - part.start for part in window], self.dtype)
        else:
            block = np.asarray(self._read(tuple(window)), self.dtype)
        found: np.ndarray[Any, Any] = block[tuple(after)]
        return found


def lazy_variable(
    dims: Sequence[str],
    shape: Sequence[int],
    dtype: Any,
    read: Callable[[Window], np.ndarray[Any, Any]],
    *,
    attrs: Mapping[str, Any] | None = None,
    chunks: Mapping[str, int] | None = None,
) -> xr.Variable:
    """Return a variable whose blocks `read` gives when they are asked for."""
    data = indexing.LazilyIndexedArray(LazyArray(shape, dtype, read))
    encoding = {"preferred_chunks": dict(chunks)} if chunks else None
    return xr.Variable(tuple(dims), data, dict(attrs or {}), encoding)


def lazy_cube(variable: xr.Variable, coords: Any, name: Any = None) -> xr.DataArray:
    """Return a lazily read variable as a cube that remembers its chunks."""
    cube = xr.DataArray(variable, coords, name=name)
    cube.encoding = dict(variable.encoding)
    return cube


def stacked(cubes: Sequence[xr.DataArray], dim: str, labels: Sequence[Any], position: int = 0) -> xr.DataArray:
    """Return cubes of the same dimensions as one cube with a new dimension, read when asked for.

    Raises:
        InvalidInput: Their dimensions or sizes differ.
    """
    first = cubes[0]
    _same(cubes, None)
    dims = [*map(str, first.dims)]
    dims.insert(position, dim)
    shape = [*first.shape]
    shape.insert(position, len(cubes))

    def read(window: Window) -> np.ndarray[Any, Any]:
        inner = dict(zip(first.dims, (*window[:position], *window[position + 1 :]), strict=True))
        parts = [cube.isel(inner).values for cube in cubes[window[position]]]
        return np.stack(parts, axis=position)

    dtype = np.result_type(*(cube.dtype for cube in cubes))
    chunks = {dim: 1} | (first.encoding.get("preferred_chunks") or {})
    variable = lazy_variable(dims, shape, dtype, read, attrs=_shared_attrs(cubes), chunks=chunks)
    coords = _shared_coords(cubes)
    return lazy_cube(variable, coords | {dim: (dim, np.asarray(labels))})


def joined(cubes: Sequence[xr.DataArray], dim: str) -> xr.DataArray:
    """Return cubes that differ in their labels along `dim` as one cube, in the order given, read when asked for.

    Raises:
        InvalidInput: They differ in more than that.
    """
    first = cubes[0]
    if len(cubes) == 1:
        return first
    _same(cubes, dim)
    axis = first.get_axis_num(dim)
    assert isinstance(axis, int)
    ends = np.cumsum([cube.sizes[dim] for cube in cubes])

    def read(window: Window) -> np.ndarray[Any, Any]:
        wanted, parts = window[axis], []
        for cube, end in zip(cubes, ends, strict=True):
            begin = end - cube.sizes[dim]
            low, high = max(wanted.start, begin) - begin, min(wanted.stop, end) - begin
            if low < high:
                part = tuple(slice(low, high) if i == axis else item for i, item in enumerate(window))
                parts.append(cube.isel(dict(zip(first.dims, part, strict=True))).values)
        return np.concatenate(parts, axis=axis)

    shape = [int(ends[-1]) if i == axis else size for i, size in enumerate(first.shape)]
    dtype = np.result_type(*(cube.dtype for cube in cubes))
    chunks = first.encoding.get("preferred_chunks")
    variable = lazy_variable([*map(str, first.dims)], shape, dtype, read, attrs=_shared_attrs(cubes), chunks=chunks)
    along = xr.concat([cube[dim].drop_vars([n for n in cube[dim].coords if n != dim]) for cube in cubes], dim)
    coords = {name: item for name, item in _shared_coords(cubes).items() if dim not in item.dims}
    return lazy_cube(variable, coords | {dim: along.assign_attrs(first[dim].attrs)}, first.name)


def mapped(
    cube: xr.DataArray, function: Callable[[np.ndarray[Any, Any], Window], np.ndarray[Any, Any]], dtype: Any
) -> xr.DataArray:
    """Return the cube with `function` (of a block and its window) applied whenever a block is read."""

    def read(window: Window) -> np.ndarray[Any, Any]:
        return function(cube.isel(dict(zip(cube.dims, window, strict=True))).values, window)

    chunks = cube.encoding.get("preferred_chunks")
    variable = lazy_variable([*map(str, cube.dims)], cube.shape, dtype, read, attrs=cube.attrs, chunks=chunks)
    return lazy_cube(variable, cube.coords, cube.name)


def promoted(dtype: Any) -> np.dtype[Any]:
    """Return the type that holds the values of `dtype` and NaN for what is missing.

    >>> promoted("int16"), promoted("int32"), promoted("float64")
    (dtype('float32'), dtype('float64'), dtype('float64'))
    """
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind.kind in "fcmMO":
        return kind
    return np.dtype("float32") if kind.itemsize <= 2 else np.dtype("float64")


def _forward(part: slice, size: int) -> tuple[slice, Any]:
    """Return the slice of step 1 that covers `part`, and what then picks the wanted cells from it."""
    start, stop, step = part.indices(size)
    count = len(range(start, stop, step))
    if count == 0:
        return slice(0, 0), slice(None)
    last = start + (count - 1) * step
    return slice(min(start, last), max(start, last) + 1), slice(None, None, step)


def _same(cubes: Sequence[xr.DataArray], but: str | None) -> None:
    first = cubes[0]
    for cube in cubes[1:]:
        if cube.dims != first.dims or any(cube.sizes[dim] != first.sizes[dim] for dim in first.dims if dim != but):
            raise InvalidInput(
                f"Parts of {dict(first.sizes)} and {dict(cube.sizes)} cells do not make one cube.",
                hint="Load them one by one and resample them to one grid.",
            )
        for dim in first.dims:
            if dim != but and dim in first.coords and not _equal_labels(first[dim], cube[dim]):
                raise InvalidInput(f"Parts with different labels along '{dim}' do not make one cube.")


def _equal_labels(one: xr.DataArray, other: xr.DataArray) -> bool:
    if one.dtype.kind == "f" and other.dtype.kind == "f":
        return bool(np.allclose(one.values, other.values, rtol=1e-9, atol=0))
    return bool(np.array_equal(one.values, other.values))


def _shared_attrs(cubes: Sequence[xr.DataArray]) -> dict[str, Any]:
    first = cubes[0].attrs
    return {
        name: value
        for name, value in first.items()
        if all(np.array_equal(np.asarray(cube.attrs.get(name)), np.asarray(value)) for cube in cubes)
    }


def _shared_coords(cubes: Sequence[xr.DataArray]) -> dict[Any, xr.DataArray]:
    return {name: item for name, item in cubes[0].coords.items() if all(name in cube.coords for cube in cubes)}
