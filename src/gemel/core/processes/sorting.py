"""Sorted arrays (openEO process specification, group `sorting`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from gemel.core.cubes import Along, CellByCell, arrays_of, instant_or_none, numbers_of
from gemel.core.processes._nodata import elements, is_nan_number
from gemel.core.processes._standard import standard


@standard(on="arrays")
def order(data: list[Any], asc: bool = True, nodata: bool | None = None) -> list[int]:
    """Positions of the elements in sorted order; equal ones stay in their order.

    Args:
        data: Numbers or texts, and nulls.
        asc: From least to greatest.
        nodata: Null leaves nulls out, true puts them last, false first.
    """
    whole = arrays_of(data)
    if whole is not None:
        return whole.other(_positions(whole, asc, nodata))  # type: ignore[return-value]
    values = elements(data)
    there = [index for index, value in enumerate(values) if _there(value)]
    there.sort(key=lambda index: _rank(values[index]), reverse=not asc)
    missing = [index for index, value in enumerate(values) if not _there(value)]
    if nodata is None:
        return there
    return there + missing if nodata else missing + there


@standard(on="arrays")
def sort(data: list[Any], asc: bool = True, nodata: bool | None = None) -> list[Any]:
    """The elements in sorted order.

    Args:
        data: Numbers or texts, and nulls.
        asc: From least to greatest.
        nodata: Null leaves nulls out, true puts them last, false first.
    """
    whole = arrays_of(data)
    if whole is not None:
        found = np.take_along_axis(numbers_of(whole.data), _positions(whole, asc, nodata), axis=whole.axis)
        return whole.other(found)  # type: ignore[return-value]
    values = elements(data)
    return [values[index] for index in order.function(data, asc, nodata)]


@standard(on="arrays")
def rearrange(data: list[Any], order: list[int]) -> list[Any]:
    """The elements at the given positions, in the given order.

    Args:
        data: The array.
        order: Positions.
    """
    whole, places = arrays_of(data), arrays_of(order)
    if whole is None and places is None:
        values = elements(data)
        return [values[index] for index in order]
    if whole is None:
        raise CellByCell
    if places is None:
        chosen = whole.chosen([int(index) for index in order])
        return whole.other(chosen.data.values)  # type: ignore[return-value]
    wanted = np.moveaxis(places.data.values, places.axis, whole.axis).astype(np.int64)
    return whole.other(np.take_along_axis(whole.data.values, wanted, axis=whole.axis))  # type: ignore[return-value]


def _positions(whole: Along, asc: bool, nodata: bool | None) -> np.ndarray[Any, Any]:
    values, axis = numbers_of(whole.data), whole.axis
    missing = np.isnan(values)
    if nodata is None and missing.any():
        # Without its nulls each cell has an array of its own length.
        raise CellByCell
    # numpy sorts NaN last; ties of a descending order stay in their order by sorting the negative values.
    found = np.argsort(values if asc else -_signed(values), axis=axis, kind="stable")
    if nodata is not False:
        return found
    count, size = missing.sum(axis=axis, keepdims=True), values.shape[axis]
    turned = (np.arange(size).reshape([-1 if place == axis else 1 for place in range(values.ndim)]) - count) % size
    return np.take_along_axis(found, turned, axis=axis)


def _signed(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return values if values.dtype.kind == "f" else values.astype(np.int64)


def _there(value: Any) -> bool:
    return value is not None and not is_nan_number(value)


def _rank(value: Any) -> Any:
    # Texts that are instants are compared as such: time zones differ.
    return (instant_or_none(value) or value) if isinstance(value, str) else value
