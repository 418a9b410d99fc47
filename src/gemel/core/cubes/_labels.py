"""The labels of a dimension as plain values, and finding them again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import cftime
import numpy as np
import shapely
import xarray as xr

from gemel.core.cubes._instants import instant_or_none, written


def labels_of(cube: xr.DataArray, dim: Hashable) -> list[Any]:
    """Return the labels of a dimension: numbers, texts, instants as texts, geometries as WKT; positions without any.

    >>> labels_of(xr.DataArray([1.0, 2.0], dims=("t",)), "t")
    [0, 1]
    """
    if dim not in cube.coords:
        return list(range(cube.sizes[dim]))
    return [plain_label(value) for value in _items(cube.coords[dim].values)]


def plain_label(value: Any) -> Any:
    """Return one label as a plain value."""
    if isinstance(value, (np.datetime64, cftime.datetime)):
        return written(value)
    if isinstance(value, shapely.Geometry):
        return value.wkt
    return value.item() if isinstance(value, np.generic) else value


def position_of(labels: Sequence[Any], label: Any) -> int | None:
    """Return the position of `label` among plain labels, or None; instants are compared as such.

    >>> position_of(["2020-01-01T00:00:00Z"], "2020-01-01")
    0
    """
    for position, item in enumerate(labels):
        if type(item) is type(label) and item == label:
            return position
        if _number(item) and _number(label) and item == label:
            return position
    moment = instant_or_none(label) if isinstance(label, str) else None
    if moment is None:
        return None
    moments = [instant_or_none(item) if isinstance(item, str) else None for item in labels]
    return moments.index(moment) if moment in moments else None


def _items(values: np.ndarray[Any, Any]) -> list[Any]:
    # Iterating an array keeps datetime64; `tolist` would turn its nanoseconds into integers.
    return list(values) if values.dtype.kind in "MO" else list(values.tolist())


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def picked(cube: xr.DataArray, dim: str, chosen: Any) -> xr.DataArray:
    """Return the cube at some positions of a dimension, given as positions or as booleans; a slice where they are one.

    A slice keeps a cube that lies in a file where it is until somebody reads it.

    >>> picked(xr.DataArray([1, 2, 3], dims=("t",)), "t", [False, True, True]).values
    array([2, 3])
    """
    places = np.asarray(chosen)
    places = np.flatnonzero(places) if places.dtype == bool else places.astype(np.int64)
    if len(places) == 0:
        return cube.isel({dim: slice(0, 0)})
    step = int(places[1] - places[0]) if len(places) > 1 else 1
    if step > 0 and (np.diff(places) == step).all():
        return cube.isel({dim: slice(int(places[0]), int(places[-1]) + 1, step)})
    return cube.isel({dim: places})
