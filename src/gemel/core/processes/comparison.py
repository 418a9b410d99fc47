"""Comparison: of numbers and texts (openEO process specification, group `comparison`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from gemel.core.cubes import CellByCell
from gemel.core.processes._nodata import is_array, is_nan_number, is_number, knows_all, three_valued, widened
from gemel.core.processes._standard import standard
from gemel.core.processes.logic import and_, not_


@standard(on="cells")
def eq(x: Any, y: Any, delta: float | None = None, case_sensitive: bool = True) -> bool | None:
    """Whether two values are equal; values of different kinds are not, and null makes it unknown.

    Args:
        x: The first value.
        y: The second value.
        delta: Numbers no farther apart than this are equal.
        case_sensitive: Whether texts that differ in case alone differ.
    """
    if x is None or y is None:
        return None
    if is_array(x) or is_array(y):
        return _cells(lambda a, b: abs(a - b) <= delta if delta is not None else a == b, x, y)
    return _equal(x, y, delta, case_sensitive)


@standard(on="cells")
def neq(x: Any, y: Any, delta: float | None = None, case_sensitive: bool = True) -> bool | None:
    """Whether two values differ; null makes it unknown.

    Args:
        x: The first value.
        y: The second value.
        delta: Numbers no farther apart than this are equal.
        case_sensitive: Whether texts that differ in case alone differ.
    """
    equal = eq.function(x, y, delta, case_sensitive)
    return not_.function(equal)


@standard(on="cells")
def gt(x: Any, y: Any) -> bool | None:
    """Whether x is greater than y; false for values that have no order, null when one is null.

    Args:
        x: The first value.
        y: The second value.
    """
    return _ordered(x, y, lambda a, b: a > b)


@standard(on="cells")
def gte(x: Any, y: Any) -> bool | None:
    """Whether x is greater than or equal to y.

    Args:
        x: The first value.
        y: The second value.
    """
    return _ordered(x, y, lambda a, b: a >= b)


@standard(on="cells")
def lt(x: Any, y: Any) -> bool | None:
    """Whether x is less than y.

    Args:
        x: The first value.
        y: The second value.
    """
    return _ordered(x, y, lambda a, b: a < b)


@standard(on="cells")
def lte(x: Any, y: Any) -> bool | None:
    """Whether x is less than or equal to y.

    Args:
        x: The first value.
        y: The second value.
    """
    return _ordered(x, y, lambda a, b: a <= b)


@standard(on="cells")
def between(x: Any, min: Any, max: Any, exclude_max: bool = False) -> bool | None:
    """Whether a value lies between two bounds, the lower one included.

    Args:
        x: The value.
        min: Lower bound, included.
        max: Upper bound, included unless told otherwise.
        exclude_max: Whether the upper bound itself lies outside.
    """
    above = gte.function(x, min)
    below = (lt if exclude_max else lte).function(x, max)
    return None if above is None or below is None else and_.function(above, below)


@standard(on="cells")
def is_nan(x: Any) -> bool:
    """Whether a value is the number NaN; in a cube also where there is no data, which NaN stands for.

    Args:
        x: The value.
    """
    if is_array(x):
        return _held(x).isnull()
    return is_nan_number(x)


@standard(on="cells")
def is_nodata(x: Any) -> bool:
    """Whether a value is the no-data value.

    Args:
        x: The value.
    """
    return _held(x).isnull() if is_array(x) else x is None


@standard(on="cells")
def is_valid(x: Any) -> bool:
    """Whether a value can be worked with: neither null, NaN nor infinite.

    Args:
        x: The value.
    """
    if is_array(x):
        return np.isfinite(_held(x))
    return x is not None and not (isinstance(x, float) and not math.isfinite(x))


@standard(on="cells")
def is_infinite(x: Any) -> bool:
    """Whether a value is an infinite number.

    Args:
        x: The value.
    """
    if is_array(x):
        return np.isinf(_held(x))
    return isinstance(x, float) and math.isinf(x)


def _equal(x: Any, y: Any, delta: float | None, case_sensitive: bool) -> bool:
    if is_number(x) and is_number(y):
        return bool(abs(x - y) <= delta) if delta is not None else bool(x == y)
    if isinstance(x, bool) or isinstance(y, bool):
        return x is y
    if isinstance(x, str) and isinstance(y, str):
        return x == y if case_sensitive else x.casefold() == y.casefold()
    return False


def _ordered(x: Any, y: Any, holds: Callable[[Any, Any], Any]) -> Any:
    if x is None or y is None:
        return None
    if is_array(x) or is_array(y):
        return _cells(holds, x, y)
    if is_number(x) and is_number(y):
        return bool(holds(x, y))
    return False


def _cells(holds: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    values = [widened(value) if is_array(value) else value for value in (x, y)]
    if any(not is_array(value) and not is_number(value) for value in values):
        # Texts and booleans are compared by rules of their own, value by value.
        raise CellByCell
    if is_array(x) and is_array(y) and (x.dtype.kind == "b") != (y.dtype.kind == "b"):
        raise CellByCell
    null = sum((value.isnull() for value in values if is_array(value)), xr.DataArray(False))
    return three_valued(holds(*values), null.astype(bool), knows_all(*values))


def _held(cells: Any) -> Any:
    if cells.dtype.kind not in "biuf":
        raise CellByCell
    return cells
