"""Reducers: one number from many (openEO process specification, groups `reducer` and `math > statistics`)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gemel.base.errors import ProcessRefused
from gemel.core.cubes import Along, Callback, Groups, arrays_of, callback, is_cells, numbers_of, quantiles_along
from gemel.core.processes._nodata import elements, present, truth
from gemel.core.processes._standard import standard


def _reduced(data: Any, name: str, ignore_nodata: bool, function: Callable[[Any], Any]) -> Any:
    whole = _whole(data)
    if whole is not None:
        return whole.reduced(name, ignore_nodata)
    values = present(elements(data), ignore_nodata)
    if not values:
        return None
    with np.errstate(all="ignore"):
        result = function(np.asarray(values, dtype=float))
    return _tidy(result, values)


def _whole(data: Any) -> Along | Groups | None:
    return data if isinstance(data, Groups) else arrays_of(data)


def _tidy(result: Any, values: list[Any]) -> Any:
    # Whole numbers in, whole number out, where the result is one.
    whole = all(isinstance(value, int) for value in values)
    return int(result) if whole and math.isfinite(result) and float(result).is_integer() else float(result)


@standard(id="sum", on="groups")
def sum_(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Sum of all numbers; null for none.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _reduced(data, "sum", ignore_nodata, np.sum)


@standard(on="groups")
def product(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Product of all numbers; null for none.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _reduced(data, "product", ignore_nodata, np.prod)


@standard(on="groups")
def mean(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Arithmetic mean; null for no numbers.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _reduced(data, "mean", ignore_nodata, np.mean)


@standard(on="groups")
def median(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Middle number of the sorted ones, or the mean of the two in the middle.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _reduced(data, "median", ignore_nodata, np.median)


@standard(id="min", on="groups")
def min_(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Least number.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _reduced(data, "min", ignore_nodata, np.min)


@standard(id="max", on="groups")
def max_(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Greatest number.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _reduced(data, "max", ignore_nodata, np.max)


@standard(on="groups")
def variance(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Sample variance (divisor n - 1); null for fewer than two numbers.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _spread(data, "variance", ignore_nodata, np.var)


@standard(on="groups")
def sd(data: list[Any], ignore_nodata: bool = True) -> float | None:
    """Sample standard deviation (divisor n - 1); null for fewer than two numbers.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes the result null.
    """
    return _spread(data, "sd", ignore_nodata, np.std)


def _spread(data: Any, name: str, ignore_nodata: bool, function: Callable[..., Any]) -> Any:
    whole = _whole(data)
    if whole is not None:
        return whole.reduced(name, ignore_nodata)
    values = present(elements(data), ignore_nodata)
    if not values or len(values) < 2:
        return None
    with np.errstate(all="ignore"):
        return float(function(np.asarray(values, dtype=float), ddof=1))


@standard(on="arrays")
def extrema(data: list[Any], ignore_nodata: bool = True) -> list[Any]:
    """Least and greatest number.

    Args:
        data: Numbers.
        ignore_nodata: Leave nulls out; otherwise one null makes both null.
    """
    whole = arrays_of(data)
    if whole is not None:
        ends = [whole.reduced(name, ignore_nodata).values for name in ("min", "max")]
        return whole.other(np.stack(ends, axis=whole.axis))  # type: ignore[return-value]
    return [min_.function(data, ignore_nodata), max_.function(data, ignore_nodata)]


@standard(on="arrays")
def quantiles(
    data: list[Any], probabilities: Any = None, q: int | None = None, ignore_nodata: bool = True
) -> list[Any]:
    """Quantiles by linear interpolation between order statistics (Hyndman & Fan 1996, type 7).

    Args:
        data: Numbers.
        probabilities: Probabilities in rising order, or the number of equal intervals.
        q: The number of equal intervals, as older graphs give it.
        ignore_nodata: Leave nulls out; otherwise one null makes all null.

    Raises:
        ProcessRefused: `QuantilesParameterMissing`, `QuantilesParameterConflict`, `AscendingProbabilitiesRequired`.
    """
    wanted = _probabilities(probabilities, q)
    whole = arrays_of(data)
    if whole is not None:
        found = quantiles_along(numbers_of(whole.data), whole.axis, wanted, ignore_nodata)
        return whole.other(found)  # type: ignore[return-value]
    values = present(elements(data), ignore_nodata)
    if not values:
        return [None] * len(wanted)
    ordered = np.sort(np.asarray(values, dtype=float))
    if np.isnan(ordered).any():
        return [math.nan] * len(wanted)
    return [_quantile(ordered, probability) for probability in wanted]


def _probabilities(probabilities: Any, intervals: Any) -> list[float]:
    if (probabilities is None) == (intervals is None):
        name = "QuantilesParameterMissing" if intervals is None else "QuantilesParameterConflict"
        raise ProcessRefused("Give either the probabilities or a number of intervals.", exception=name)
    given: Any = intervals if probabilities is None else probabilities
    if isinstance(given, int):
        return [part / given for part in range(1, given)]
    if any(later < earlier for earlier, later in itertools.pairwise(given)):
        raise ProcessRefused("The probabilities do not rise.", exception="AscendingProbabilitiesRequired")
    return list(given)


def _quantile(ordered: Any, probability: float) -> float:
    position = probability * (len(ordered) - 1)
    low = math.floor(position)
    share = position - low
    # Without a share of the upper one its infinity must not turn the result into NaN.
    return float(ordered[low]) if share == 0 else float(ordered[low] * (1 - share) + ordered[low + 1] * share)


@standard(on="groups")
def count(data: list[Any], condition: Any = None, context: Any = None) -> int:
    """How many elements are valid, or meet a condition.

    Args:
        data: Elements.
        condition: Null for valid ones, true for all, or a child process that answers for each element.
        context: Handed on to the child process.
    """
    whole = _whole(data)
    if whole is not None:
        return _counted(whole, condition, context)
    values = elements(data)
    if condition is True:
        return len(values)
    if condition is None:
        return sum(
            value is not None and not (isinstance(value, float) and not math.isfinite(value)) for value in values
        )
    child: Callback = callback(condition)
    return sum(child(x=value, context=context) is True for value in values)


def _counted(whole: Along | Groups, condition: Any, context: Any) -> Any:
    along = whole.along if isinstance(whole, Groups) else whole
    if condition is None:
        chosen = np.isfinite(numbers_of(along.data))
    elif condition is True:
        chosen = np.ones(along.data.shape, dtype=bool)
    else:
        answer = callback(condition)(x=along.data, context=context)
        held = answer.broadcast_like(along.data).transpose(*along.data.dims) if is_cells(answer) else answer
        chosen = np.broadcast_to(np.asarray(truth(held)[0]), along.data.shape)
    part = along.same(np.where(chosen, np.float32(1), np.float32(np.nan)))
    return (Groups(part, whole.codes, whole.count) if isinstance(whole, Groups) else part).reduced("count")


@standard(on="groups")
def first(data: list[Any], ignore_nodata: bool = True) -> Any:
    """First element; null for none.

    Args:
        data: Elements.
        ignore_nodata: Skip nulls.
    """
    return _end(data, "first", 0, ignore_nodata)


@standard(on="groups")
def last(data: list[Any], ignore_nodata: bool = True) -> Any:
    """Last element; null for none.

    Args:
        data: Elements.
        ignore_nodata: Skip nulls.
    """
    return _end(data, "last", -1, ignore_nodata)


def _end(data: Any, name: str, position: int, ignore_nodata: bool) -> Any:
    whole = _whole(data)
    if whole is not None:
        found = whole.reduced(name, ignore_nodata)
        along = whole.along if isinstance(whole, Groups) else whole
        return found if along.data.dtype.kind != "b" or found.dtype.kind == "f" else found.astype(bool)
    values = present(elements(data), True) if ignore_nodata else elements(data)
    return values[position] if values else None
