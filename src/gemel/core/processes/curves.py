"""Curves fitted to series, and predicted from what was fitted (openEO process specification, group `math`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput, ProcessRefused
from gemel.core.cubes import (
    Along,
    Callback,
    CellByCell,
    arrays_of,
    callback,
    coordinate,
    dimensions_of,
    instant,
    is_cells,
    numbers_of,
)
from gemel.core.graph import Field
from gemel.core.processes._least_squares import fitted
from gemel.core.processes._nodata import elements
from gemel.core.processes._standard import standard
from gemel.core.processes.arrays import labels_of as labels_of_array

_PLACE, _PARAMETER, _CELL = "gemel_place", "gemel_parameter", "gemel_cell"
# Numbers that a fit may hold at once: places times cells times parameters.
_AT_ONCE = 1 << 24


@standard(on="arrays")
def fit_curve(data: list[Any], parameters: list[float], function: Any, ignore_nodata: bool = True) -> list[Any]:
    """The parameters with which a model function comes nearest to the values of an array (least squares).

    Args:
        data: Values; their labels are the places on the curve, instants as seconds since 1970-01-01, positions where
            there are none.
        parameters: A first guess of each parameter.
        function: Gets a place as `x` and the `parameters` as array.
        ignore_nodata: Leave nulls out; otherwise one null makes all parameters null.
    """
    places = _places(labels_of_array(data), len(data))
    child, start = callback(function), np.asarray(parameters, dtype=np.float64)
    whole = arrays_of(data)
    if whole is None:
        values = np.array([np.nan if value is None else value for value in elements(data)], dtype=np.float64)
        found = _fit(child, places, values[:, None], start, ignore_nodata)[:, 0]
        return [None if np.isnan(value) else float(value) for value in found]
    moved = np.moveaxis(numbers_of(whole.data).astype(np.float64), whole.axis, 0)
    found = _fit(child, places, moved.reshape(len(places), -1), start, ignore_nodata)
    return whole.other(np.moveaxis(found.reshape(len(start), *moved.shape[1:]), 0, whole.axis))  # type: ignore[return-value]


@standard(on="cubes")
def predict_curve(parameters: Field, function: Any, dimension: str, labels: list[Any] | None = None) -> Field:
    """A cube with the values of a model function at given labels.

    Args:
        parameters: A cube with the parameters of each cell, along the dimension `dimension` or else along its only
            dimension of kind other (`fit_curve` in `apply_dimension` makes such cubes).
        function: Gets a label as `x` (instants as seconds since 1970-01-01) and the `parameters` as array.
        dimension: Name of the dimension of the predictions.
        labels: Their labels.

    Raises:
        InvalidInput: No labels are given: a cube of parameters holds no values whose gaps could be filled.
        ProcessRefused: `DimensionNotAvailable`.
    """
    if labels is None:
        message = "There are no labels to predict values for."
        raise InvalidInput(message, hint="Give 'labels'; a cube of parameters has no gaps to fill.")
    held = _parameter_dim(parameters, dimension)
    child, axis = callback(function), int(parameters.get_axis_num(held))
    moved = np.moveaxis(parameters.values.astype(np.float64), axis, 0)
    values = _modelled(child, _places(list(labels), len(labels)), moved.reshape(len(moved), -1))
    block = np.moveaxis(values.reshape(len(labels), *moved.shape[1:]), 0, axis)
    left = parameters.drop_vars([name for name, item in parameters.coords.items() if held in item.dims])
    dims = [dimension if dim == held else dim for dim in parameters.dims]
    made = xr.DataArray(block, {name: left.coords[name] for name in left.coords}, dims, parameters.name)
    kind = "temporal" if labels and all(isinstance(label, str) for label in labels) else "other"
    return made.assign_coords({dimension: coordinate(dimension, list(labels), kind)})


def _parameter_dim(cube: xr.DataArray, dimension: str) -> str:
    if dimension in cube.dims:
        return dimension
    others = dimensions_of(cube, "other")
    if len(others) == 1:
        return others[0]
    message = f"It cannot be told which dimension holds the parameters: {', '.join(map(str, cube.dims)) or 'none'}."
    hint = f"Name it '{dimension}', or let it be the only one of kind other."
    raise ProcessRefused(message, exception="DimensionNotAvailable", hint=hint)


def _places(labels: list[Any] | None, size: int) -> np.ndarray[Any, Any]:
    if labels is None:
        return np.arange(size, dtype=np.float64)
    if all(isinstance(label, (int, float)) for label in labels):
        return np.asarray(labels, dtype=np.float64)
    return np.array([instant(label).timestamp() for label in labels])


def _fit(child: Callback, places: Any, values: Any, start: Any, ignore_nodata: bool) -> np.ndarray[Any, Any]:
    result = np.empty((len(start), values.shape[1]))
    batch = max(1, _AT_ONCE // max(1, len(places) * (len(start) + 1)))
    for low in range(0, values.shape[1], batch):
        part = values[:, low : low + batch]
        found = fitted(lambda parameters: _modelled(child, places, parameters), part, start)
        if not ignore_nodata:
            found = np.where(np.isnan(part).any(axis=0), np.nan, found)
        result[:, low : low + batch] = found
    return result


def _modelled(child: Callback, places: Any, parameters: Any) -> np.ndarray[Any, Any]:
    """Return the values (places, cells) of the model for parameters (k, cells)."""
    along = Along(xr.DataArray(parameters, dims=(_PARAMETER, _CELL)), _PARAMETER, False)
    shape = (len(places), parameters.shape[1])
    try:
        with np.errstate(all="ignore"):
            found = child(x=xr.DataArray(places, dims=(_PLACE,)), parameters=along, context=None)
    except CellByCell:
        columns = [
            [child(x=float(place), parameters=list(column), context=None) for place in places]
            for column in parameters.T
        ]
        return np.array(columns, dtype=np.float64).T.reshape(shape)
    if not is_cells(found):
        return np.full(shape, np.nan if found is None else float(found))
    frame = xr.DataArray(np.empty(shape, dtype=bool), dims=(_PLACE, _CELL))
    return np.asarray(found.broadcast_like(frame).transpose(_PLACE, _CELL).values, dtype=np.float64)
