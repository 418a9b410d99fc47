"""How missing values behave: null in plain values, NaN in the values of cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from gemel.core.cubes import CellByCell, is_cells


def is_nan_number(value: Any) -> bool:
    """Return whether a plain value is a number that is NaN."""
    return isinstance(value, float) and math.isnan(value)


def is_number(value: Any) -> bool:
    """Return whether a plain value is a number (booleans are none)."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, np.bool_))


def is_array(value: Any) -> bool:
    """Return whether a value stands for the values of many cells, which are worked on as a whole."""
    return is_cells(value) or isinstance(value, (np.ndarray, xr.Dataset))


def elements(data: Any) -> list[Any]:
    """Return the elements of a list or labelled array as plain values; NaN of a float array stays NaN."""
    if isinstance(data, (xr.DataArray, np.ndarray)):
        return list(np.asarray(data).tolist())
    return list(data)


def present(data: Sequence[Any], ignore_nodata: bool) -> list[Any] | None:
    """Return the elements to work on: without nulls when they are ignored; None when a null decides the result."""
    if ignore_nodata:
        return [item for item in data if item is not None]
    return None if any(item is None for item in data) else list(data)


def numeric(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return `function` of numbers or of cells: null for a null, NaN for what is undefined, plain numbers from plain ones."""
    if any(argument is None for argument in arguments):
        return None
    with np.errstate(all="ignore"):
        result = function(*(widened(argument) if is_cells(argument) else argument for argument in arguments))
    return result.item() if isinstance(result, np.generic) else result


def widened(cells: xr.DataArray) -> xr.DataArray:
    """Return cells in a type that arithmetic does not run over: 64-bit integers, floats of at least 32 bits.

    Raises:
        CellByCell: They are no numbers.
    """
    kind = cells.dtype
    if kind.kind not in "biuf":
        raise CellByCell
    if kind.kind == "f":
        return cells if kind.itemsize >= 4 else cells.astype(np.float32)
    if kind == np.uint64:
        return cells.astype(np.float64)
    return cells if kind == np.int64 else cells.astype(np.int64)


def truth(value: Any) -> tuple[Any, Any]:
    """Return whether each cell (or the plain value) is true, and whether it is null."""
    if is_cells(value):
        if value.dtype.kind == "b":
            return value, xr.zeros_like(value)
        null = value.isnull()
        return (value != 0) & ~null, null
    return value is True or (is_number(value) and value != 0 and value == value), value is None


def three_valued(true: Any, null: Any, certain: bool) -> Any:
    """Return booleans of cells as they are kept: as such when all are known for `certain`, else 1, 0 and NaN in float32."""
    return true if certain else true.astype(np.float32).where(~null)


def knows_all(*values: Any) -> bool:
    """Return whether values can hold no null by their type: whole numbers, booleans, plain ones."""
    return all(value.dtype.kind in "biu" if is_cells(value) else value is not None for value in values)
