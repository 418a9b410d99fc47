"""How a cube is handed to a child process: as single values, as arrays along one dimension, or as groups of such arrays.

A child process of `apply` or `reduce_dimension` speaks of one value or one array. Here it gets them all at once: the
single values of all cells are a `DataArray`, the arrays of all cells are an `Along`, and where a dimension is reduced in
parts (the months of a series, the pixels of polygons) they are `Groups`. Which of them a process can work on, it says with
`works_on`; where one cannot, the evaluation stops with `CellByCell` and is done anew in the next simpler way.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard, TypeVar

import numpy as np
import xarray as xr

from gemel.core.cubes._groups import reduce_groups
from gemel.core.cubes._labels import labels_of

#: Name of the dimension of a plain array with labels; what has it is one array, not the values of many cells.
LABELED = "gemel_label"
_MARK = "gemel_works_on"
Reach = Literal["cells", "arrays", "groups", "cubes"]
_F = TypeVar("_F", bound=Callable[..., Any])


class CellByCell(Exception):
    """A child process cannot work on whole arrays; it is done again in a simpler way. Never leaves the library."""


@dataclass(frozen=True)
class Along:
    """The arrays of all cells of a cube along one dimension.

    Attributes:
        data: The cube; NaN is null.
        dim: The dimension that is one array in each cell.
        labeled: Whether the array carries labels.
    """

    data: xr.DataArray
    dim: str
    labeled: bool = True

    def __len__(self) -> int:
        """Return how many elements each array has."""
        return int(self.data.sizes[self.dim])

    @functools.cached_property
    def labels(self) -> list[Any] | None:
        """Return the labels as plain values, or None for arrays without."""
        return labels_of(self.data, self.dim) if self.labeled else None

    @property
    def axis(self) -> int:
        """Return the position of the dimension."""
        return int(self.data.get_axis_num(self.dim))

    def element(self, position: int) -> xr.DataArray:
        """Return the elements at one position, one for each cell."""
        return self.data.isel({self.dim: position}, drop=True)

    def chosen(self, positions: Sequence[int]) -> Along:
        """Return the arrays made of the elements at some positions."""
        return Along(self.data.isel({self.dim: list(positions)}), self.dim, self.labeled)

    def reduced(self, name: str, ignore_nodata: bool = True) -> xr.DataArray:
        """Return one value for each cell; `name` is one of those of `reduce_groups`."""
        codes = np.zeros(len(self), dtype=np.int64)
        found = reduce_groups(name, numbers_of(self.data), self.axis, codes, 1, ignore_nodata)
        return self.cells(found.squeeze(self.axis))

    def cells(self, values: Any) -> xr.DataArray:
        """Return `values`, one for each cell, on the dimensions that are left without this one."""
        left = self.data.drop_vars([name for name, item in self.data.coords.items() if self.dim in item.dims])
        dims = [dim for dim in self.data.dims if dim != self.dim]
        return xr.DataArray(values, {name: left.coords[name] for name in left.coords}, dims)

    def same(self, values: Any) -> Along:
        """Return `values`, of the same shape as the cube, as arrays with the same labels."""
        return Along(self.data.copy(data=values), self.dim, self.labeled)

    def other(self, values: Any, labels: Sequence[Any] | None = None) -> Along:
        """Return `values`, whose arrays have another length, as arrays with other labels or none."""
        empty = self.cells(np.empty([n for dim, n in self.data.sizes.items() if dim != self.dim], dtype=bool))
        made = xr.DataArray(values, empty.coords, self.data.dims)
        if labels is None:
            return Along(made, self.dim, False)
        names = np.empty(len(labels), dtype=object)
        names[:] = list(labels)
        return Along(made.assign_coords({self.dim: names}), self.dim, True)


@dataclass(frozen=True)
class Groups:
    """Arrays along one dimension, cut into groups of elements.

    Attributes:
        along: The arrays as a whole.
        codes: Group of each element, negative for none.
        count: How many groups there are.
    """

    along: Along
    codes: np.ndarray[Any, Any]
    count: int

    def reduced(self, name: str, ignore_nodata: bool = True) -> xr.DataArray:
        """Return one value for each cell and group; the groups lie where the dimension was."""
        values = numbers_of(self.along.data)
        found = reduce_groups(name, values, self.along.axis, self.codes, self.count, ignore_nodata)
        return self.along.other(found).data

    def each(self) -> list[Along]:
        """Return the arrays of each group."""
        places = np.argsort(self.codes, kind="stable")
        bounds = np.searchsorted(self.codes[places], np.arange(self.count + 1))
        return [self.along.chosen(places[low:high].tolist()) for low, high in itertools.pairwise(bounds)]


def works_on(reach: Reach) -> Callable[[_F], _F]:
    """Return a decorator which says of a function what it works on beside plain values.

    Args:
        reach: `cells`: single values of many cells at once (`DataArray`). `arrays`: also whole arrays (`Along`).
            `groups`: also `Groups`. `cubes`: data cubes, as a process that takes a cube does.
    """

    def mark(function: _F) -> _F:
        setattr(function, _MARK, reach)
        return function

    return mark


def reach_of(function: Callable[..., Any]) -> Reach | None:
    """Return what a function says it works on, or None for plain values alone."""
    return getattr(function, _MARK, None)


def suits(reach: Reach | None, values: Mapping[str, Any]) -> bool:
    """Return whether a function of that reach works on the arguments `values`."""
    kinds = {kind for value in values.values() for kind in _kinds(value)}
    able = {"cells": {"cells"}, "cubes": {"cells", "arrays"}, "arrays": {"cells", "arrays"}}
    able["groups"] = {"cells", "arrays", "groups"}
    return not kinds or (reach is not None and kinds <= able[reach])


def is_cells(value: Any) -> TypeGuard[xr.DataArray]:
    """Return whether a value stands for the single values of many cells."""
    return isinstance(value, xr.DataArray) and value.dims != (LABELED,)


def arrays_of(data: Any) -> Along | None:
    """Return `data` as arrays of all cells, also a list in which values of all cells stand; None for a plain array."""
    if isinstance(data, Along):
        return data
    if not isinstance(data, (list, tuple)) or not any(is_cells(item) for item in data):
        return None
    parts = [item if is_cells(item) else xr.DataArray(np.nan if item is None else item) for item in data]
    whole = xr.concat(xr.broadcast(*parts), dim=LABELED + "s", coords="minimal", compat="override", join="exact")
    return Along(whole, LABELED + "s", False)


def numbers_of(data: xr.DataArray) -> np.ndarray[Any, Any]:
    """Return the values of cells as numbers or booleans.

    Raises:
        CellByCell: They are neither; texts are worked on one by one.
    """
    values = data.values
    if values.dtype.kind not in "biuf":
        raise CellByCell
    return values


def _kinds(value: Any) -> set[str]:
    if isinstance(value, Along):
        return {"arrays"}
    if isinstance(value, Groups):
        return {"groups"}
    if isinstance(value, (list, tuple)):
        return {kind for item in value for kind in _kinds(item)}
    return {"cells"} if is_cells(value) else set()
