"""How missing values behave: null in plain values, NaN in arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr


def is_nan_number(value: Any) -> bool:
    """Return whether a plain value is a number that is NaN."""
    return isinstance(value, float) and math.isnan(value)


def is_number(value: Any) -> bool:
    """Return whether a plain value is a number (booleans are none)."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, np.bool_))


def is_array(value: Any) -> bool:
    """Return whether a value is an array that is worked on as a whole."""
    return isinstance(value, (xr.DataArray, np.ndarray))


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
    """Return `function` of numbers or arrays: null for a null, NaN for what is undefined, plain numbers from plain ones."""
    if any(argument is None for argument in arguments):
        return None
    with np.errstate(all="ignore"):
        result = function(*arguments)
    return result.item() if isinstance(result, np.generic) else result
