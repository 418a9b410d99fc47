"""Reducers: one number from many (openEO process specification, groups `reducer` and `math`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gemel.core.graph import process
from gemel.core.processes._callback import Callback, callback
from gemel.core.processes._nodata import elements, present

_REDUCER = ("reducer", "math")


def _reduced(data: Any, ignore_nodata: bool, function: Callable[[Any], Any]) -> Any:
    values = present(elements(data), ignore_nodata)
    if not values:
        return None
    with np.errstate(all="ignore"):
        result = function(np.asarray(values, dtype=float))
    return _tidy(result, values)


def _tidy(result: Any, values: list[Any]) -> Any:
    # Whole numbers in, whole number out, where the result is one.
    whole = all(isinstance(value, int) for value in values)
    return int(result) if whole and math.isfinite(result) and float(result).is_integer() else float(result)


@process(id="sum", categories=_REDUCER)
def sum_(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Sum of all numbers; null for none.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _reduced(data, ignore_nodata, np.sum)


@process(categories=_REDUCER)
def product(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Product of all numbers; null for none.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _reduced(data, ignore_nodata, np.prod)


@process(categories=_REDUCER)
def mean(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Arithmetic mean; null for no numbers.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _reduced(data, ignore_nodata, np.mean)


@process(categories=_REDUCER)
def median(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Middle number of the sorted ones, or the mean of the two in the middle.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _reduced(data, ignore_nodata, np.median)


@process(id="min", categories=_REDUCER)
def min_(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Least number.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _reduced(data, ignore_nodata, np.min)


@process(id="max", categories=_REDUCER)
def max_(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Greatest number.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _reduced(data, ignore_nodata, np.max)


@process(categories=_REDUCER)
def variance(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Sample variance (divisor n - 1); null for fewer than two numbers.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _spread(data, ignore_nodata, np.var)


@process(categories=_REDUCER)
def sd(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Sample standard deviation (divisor n - 1); null for fewer than two numbers.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _spread(data, ignore_nodata, np.std)


def _spread(data: Any, ignore_nodata: bool, function: Callable[..., Any]) -> float | None:
    values = present(elements(data), ignore_nodata)
    if not values or len(values) < 2:
        return None
    with np.errstate(all="ignore"):
        return float(function(np.asarray(values, dtype=float), ddof=1))


@process(categories=_REDUCER)
def extrema(data: list[Any], ignore_nodata: bool = True) -> list[Any]:
    """Least and greatest number.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes both null.
    """
    return [min_.function(data, ignore_nodata), max_.function(data, ignore_nodata)]


@process(categories=_REDUCER)
def quantiles(data: list[Any], probabilities: list[float] | int, ignore_nodata: bool = True) -> list[Any]:
    """Quantiles by linear interpolation between order statistics (Hyndman & Fan 1996, type 7).

    Args:
        data: Numbers.
        probabilities: Probabilities, or the number of equal intervals.
        ignore_nodata: Leave nulls out; otherwise one null makes all null.
    """
    wanted = _probabilities(probabilities)
    values = present(elements(data), ignore_nodata)
    if not values:
        return [None] * len(wanted)
    ordered = np.sort(np.asarray(values, dtype=float))
    if np.isnan(ordered).any():
        return [math.nan] * len(wanted)
    return [_quantile(ordered, probability) for probability in wanted]


def _probabilities(given: Any) -> list[float]:
    return [part / given for part in range(1, given)] if isinstance(given, int) else list(given)


def _quantile(ordered: Any, probability: float) -> float:
    position = probability * (len(ordered) - 1)
    low = math.floor(position)
    share = position - low
    # Without a share of the upper one its infinity must not turn the result into NaN.
    return float(ordered[low]) if share == 0 else float(ordered[low] * (1 - share) + ordered[low + 1] * share)


@process(categories=_REDUCER)
def count(data: list[Any], condition: Any = None, context: Any = None) -> int:
    """How many elements are valid, or meet a condition.

    Args:
        data: Elements.
        condition: Null for valid ones, true for all, or a child process that answers for each element.
        context: Handed on to the child process.
    """
    values = elements(data)
    if condition is True:
        return len(values)
    if condition is None:
        return sum(
            value is not None and not (isinstance(value, float) and not math.isfinite(value)) for value in values
        )
    child: Callback = callback(condition)
    return sum(child(x=value, context=context) is True for value in values)


@process(categories=("reducer", "arrays"))
def first(data: list[Any], ignore_nodata: bool = True) -> Any:
    """First element; null for none.

    Args:
        data: Elements.
        ignore_nodata: Skip nulls.
    """
    values = present(elements(data), True) if ignore_nodata else elements(data)
    return values[0] if values else None


@process(categories=("reducer", "arrays"))
def last(data: list[Any], ignore_nodata: bool = True) -> Any:
    """Last element; null for none.

    Args:
        data: Elements.
        ignore_nodata: Skip nulls.
    """
    values = present(elements(data), True) if ignore_nodata else elements(data)
    return values[-1] if values else None


@process(categories=("math > cumulative",))
def cumsum(data: list[Any], ignore_nodata: bool = True) -> list[Any]:
    """Running sum.

    Args:
        data: Numbers.
        ignore_nodata: Nulls stay where they are; otherwise everything after a null is null.
    """
    return _running(data, ignore_nodata, lambda a, b: a + b)


@process(categories=("math > cumulative",))
def cumproduct(data: list[Any], ignore_nodata: bool = True) -> list[Any]:
    """Running product.

    Args:
        data: Numbers.
        ignore_nodata: Nulls stay where they are; otherwise everything after a null is null.
    """
    return _running(data, ignore_nodata, lambda a, b: a * b)


@process(categories=("math > cumulative",))
def cummin(data: list[Any], ignore_nodata: bool = True) -> list[Any]:
    """Running minimum.

    Args:
        data: Numbers.
        ignore_nodata: Nulls stay where they are; otherwise everything after a null is null.
    """
    return _running(data, ignore_nodata, lambda a, b: a if math.isnan(a) else min(a, b))


@process(categories=("math > cumulative",))
def cummax(data: list[Any], ignore_nodata: bool = True) -> list[Any]:
    """Running maximum.

    Args:
        data: Numbers.
        ignore_nodata: Nulls stay where they are; otherwise everything after a null is null.
    """
    return _running(data, ignore_nodata, lambda a, b: a if math.isnan(a) else max(a, b))


def _running(data: Any, ignore_nodata: bool, combine: Callable[[Any, Any], Any]) -> list[Any]:
    results: list[Any] = []
    so_far: Any = None
    for value in elements(data):
        if value is None and not ignore_nodata:
            return results + [None] * (len(elements(data)) - len(results))
        if value is not None:
            so_far = value if so_far is None else combine(so_far, value)
        results.append(None if value is None else so_far)
    return results
