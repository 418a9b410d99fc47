"""Running sums, products and extremes (openEO process specification, group `math > cumulative`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gemel.core.cubes import Along, arrays_of, numbers_of
from gemel.core.processes._nodata import elements
from gemel.core.processes._standard import standard


@standard(on="arrays")
def cumsum(data: list[Any], ignore_nodata: bool = True) -> list[Any]:
    """Running sum.

    Args:
        data: Numbers.
        ignore_nodata: Nulls stay where they are; otherwise everything after a null is null.
    """
    return _running(data, ignore_nodata, lambda a, b: a + b, np.add, 0)


@standard(on="arrays")
def cumproduct(data: list[Any], ignore_nodata: bool = True) -> list[Any]:
    """Running product.

    Args:
        data: Numbers.
        ignore_nodata: Nulls stay where they are; otherwise everything after a null is null.
    """
    return _running(data, ignore_nodata, lambda a, b: a * b, np.multiply, 1)


@standard(on="arrays")
def cummin(data: list[Any], ignore_nodata: bool = True) -> list[Any]:
    """Running minimum.

    Args:
        data: Numbers.
        ignore_nodata: Nulls stay where they are; otherwise everything after a null is null.
    """
    return _running(data, ignore_nodata, lambda a, b: a if math.isnan(a) else min(a, b), np.minimum, math.inf)


@standard(on="arrays")
def cummax(data: list[Any], ignore_nodata: bool = True) -> list[Any]:
    """Running maximum.

    Args:
        data: Numbers.
        ignore_nodata: Nulls stay where they are; otherwise everything after a null is null.
    """
    return _running(data, ignore_nodata, lambda a, b: a if math.isnan(a) else max(a, b), np.maximum, -math.inf)


def _running(
    data: Any, ignore_nodata: bool, combine: Callable[[Any, Any], Any], ufunc: np.ufunc, neutral: float
) -> Any:
    whole = arrays_of(data)
    if whole is not None:
        return _accumulated(whole, ignore_nodata, ufunc, neutral)
    results: list[Any] = []
    so_far: Any = None
    for value in elements(data):
        if value is None and not ignore_nodata:
            return results + [None] * (len(elements(data)) - len(results))
        if value is not None:
            so_far = value if so_far is None else combine(so_far, value)
        results.append(None if value is None else so_far)
    return results


def _accumulated(whole: Along, ignore_nodata: bool, ufunc: np.ufunc, neutral: float) -> Along:
    values = numbers_of(whole.data)
    if values.dtype.kind != "f":
        return whole.same(ufunc.accumulate(values.astype(np.int64), axis=whole.axis))
    missing = np.isnan(values)
    held = np.where(missing, np.asarray(neutral, dtype=values.dtype), values) if ignore_nodata else values
    with np.errstate(all="ignore"):
        # Sums of many float32 are kept in float64 until the end.
        found = ufunc.accumulate(held, axis=whole.axis, dtype=np.float64).astype(values.dtype)
    return whole.same(np.where(missing, np.nan, found).astype(values.dtype))
