"""Arrays: lists, and arrays whose elements carry labels (openEO process specification, group `arrays`).

An array with labels is a one-dimensional `xarray.DataArray` whose coordinate holds the labels.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import ProcessRefused
from gemel.core.graph import process
from gemel.core.processes._callback import callback
from gemel.core.processes._nodata import elements
from gemel.core.processes.comparison import eq

_ARRAYS = ("arrays",)
_DIM = "label"


def labels_of(data: Any) -> list[Any] | None:
    """Return the labels of an array, or None for one without."""
    if isinstance(data, xr.DataArray) and data.ndim == 1 and data.dims[0] in data.coords:
        return list(data[data.dims[0]].values.tolist())
    return None


def labeled(values: list[Any], labels: list[Any]) -> xr.DataArray:
    """Return the array that carries `labels`; values keep their kind, null included."""
    content = np.empty(len(values), dtype=object)
    content[:] = values
    names = np.empty(len(labels), dtype=object)
    names[:] = labels
    return xr.DataArray(content, {_DIM: names}, (_DIM,))


@process(categories=_ARRAYS)
def array_create(data: Any = (), repeat: int = 1) -> list[Any]:
    """A new array, its content repeated.

    Args:
        data: One value, or an array of values.
        repeat: How often.
    """
    return (elements(data) if isinstance(data, (list, tuple, xr.DataArray)) else [data]) * repeat


@process(categories=_ARRAYS)
def array_create_labeled(data: list[Any], labels: list[Any]) -> Any:
    """An array whose elements carry labels.

    Args:
        data: Values.
        labels: As many labels.

    Raises:
        ProcessRefused: `ArrayLengthMismatch`.
    """
    if len(data) != len(labels):
        message = f"There are {len(data)} values and {len(labels)} labels."
        raise ProcessRefused(message, exception="ArrayLengthMismatch")
    return labeled(elements(data), list(labels))


@process(categories=_ARRAYS)
def array_labels(data: list[Any]) -> list[Any]:
    """The labels of an array; the positions where it has none.

    Args:
        data: The array.
    """
    labels = labels_of(data)
    return labels if labels is not None else list(range(len(data)))


@process(categories=_ARRAYS)
def array_element(data: list[Any], index: int | None = None, label: Any = None, return_nodata: bool = False) -> Any:
    """One element of an array, by position or by label.

    Args:
        data: The array.
        index: Position, from zero.
        label: Label.
        return_nodata: Return null instead of refusing when there is no such element.

    Raises:
        ProcessRefused: `ArrayElementParameterMissing`, `ArrayElementParameterConflict`, `ArrayNotLabeled`,
            `ArrayElementNotAvailable`.
    """
    if (index is None) == (label is None):
        name = "ArrayElementParameterMissing" if index is None else "ArrayElementParameterConflict"
        raise ProcessRefused("Give either an index or a label.", exception=name)
    values, labels = elements(data), labels_of(data)
    if label is not None and labels is None:
        raise ProcessRefused("The array has no labels.", exception="ArrayNotLabeled")
    position = index if label is None else (labels or []).index(label) if label in (labels or []) else -1
    if position is not None and 0 <= position < len(values):
        return values[position]
    if return_nodata:
        return None
    wanted = f"index {index}" if label is None else f"label '{label}'"
    raise ProcessRefused(f"The array has no element with {wanted}.", exception="ArrayElementNotAvailable")


@process(categories=_ARRAYS)
def array_append(data: list[Any], value: Any, label: Any = None) -> list[Any]:
    """The array with one more element at its end.

    Args:
        data: The array.
        value: What is appended.
        label: Its label, for an array that carries labels; default its position.

    Raises:
        ProcessRefused: `LabelExists`, `ArrayNotLabeled`.
    """
    labels = labels_of(data)
    if labels is None:
        if label is not None:
            raise ProcessRefused("A label was given for an array without labels.", exception="ArrayNotLabeled")
        return [*elements(data), value]
    name = len(labels) if label is None else label
    if name in labels:
        raise ProcessRefused(f"The label '{name}' is there already.", exception="LabelExists")
    return labeled([*elements(data), value], [*labels, name])  # type: ignore[return-value]


@process(categories=_ARRAYS)
def array_concat(array1: list[Any], array2: list[Any]) -> list[Any]:
    """Two arrays, one after the other; labels are kept when both carry them.

    Args:
        array1: The first array.
        array2: The second array.

    Raises:
        ProcessRefused: `ArrayLabelConflict`.
    """
    first, second = labels_of(array1), labels_of(array2)
    values = [*elements(array1), *elements(array2)]
    if first is None or second is None:
        return values
    if set(first) & set(second):
        raise ProcessRefused("Both arrays carry the same label.", exception="ArrayLabelConflict")
    return labeled(values, [*first, *second])  # type: ignore[return-value]


@process(categories=_ARRAYS)
def array_modify(data: list[Any], values: list[Any], index: int, length: int = 0) -> list[Any]:
    """The array with some of its elements replaced by others.

    Args:
        data: The array.
        values: What comes in.
        index: Where, from zero.
        length: How many elements go.

    Raises:
        ProcessRefused: `ArrayElementNotAvailable`.
    """
    content = elements(data)
    if index > len(content):
        raise ProcessRefused(f"The array has no element with index {index}.", exception="ArrayElementNotAvailable")
    return [*content[:index], *elements(values), *content[index + length :]]


@process(categories=_ARRAYS)
def array_contains(data: list[Any], value: Any) -> bool:
    """Whether an array holds a value: a text, number or boolean, not NaN or null.

    Args:
        data: The array.
        value: What is looked for.
    """
    return array_find.function(data, value) is not None


@process(categories=_ARRAYS)
def array_find(data: list[Any], value: Any, reverse: bool = False) -> int | None:
    """Position of the first element that equals a value; null for none.

    Args:
        data: The array.
        value: What is looked for.
        reverse: Look from the end.
    """
    content = elements(data)
    positions = reversed(range(len(content))) if reverse else range(len(content))
    return next((position for position in positions if eq.function(content[position], value) is True), None)


@process(categories=_ARRAYS)
def array_find_label(data: list[Any], label: Any) -> int | None:
    """Position of a label; null for none.

    Args:
        data: The array.
        label: What is looked for.
    """
    labels = labels_of(data) or []
    return labels.index(label) if label in labels else None


@process(categories=_ARRAYS)
def array_apply(data: list[Any], process: Any, context: Any = None) -> list[Any]:
    """The array with a child process applied to each element.

    Args:
        data: The array.
        process: Gets `x`, `index`, `label` and `context`.
        context: Handed on.
    """
    child, labels, values = callback(process), labels_of(data), elements(data)
    results = [
        child(x=value, index=index, label=None if labels is None else labels[index], context=context)
        for index, value in enumerate(values)
    ]
    return results if labels is None else labeled(results, labels)  # type: ignore[return-value]


@process(categories=_ARRAYS)
def array_filter(data: list[Any], condition: Any, context: Any = None) -> list[Any]:
    """The elements for which a child process answers true.

    Args:
        data: The array.
        condition: Gets `x`, `index`, `label` and `context`.
        context: Handed on.
    """
    child, labels, values = callback(condition), labels_of(data), elements(data)
    kept = [
        index
        for index, value in enumerate(values)
        if child(x=value, index=index, label=None if labels is None else labels[index], context=context) is True
    ]
    chosen = [values[index] for index in kept]
    return chosen if labels is None else labeled(chosen, [labels[index] for index in kept])  # type: ignore[return-value]


@process(categories=_ARRAYS)
def array_interpolate_linear(data: list[Any]) -> list[Any]:
    """The array with gaps between numbers filled by straight lines; at its ends they stay.

    Args:
        data: Numbers, nulls and NaN; labels that are numbers say how far apart the elements lie.
    """
    values, labels = elements(data), labels_of(data)
    numbered = labels is not None and all(isinstance(label, (int, float)) for label in labels)
    places = labels if labels is not None and numbered else range(len(values))
    known = [index for index, value in enumerate(values) if _there(value)]
    filled = list(values)
    for left, right in itertools.pairwise(known):
        for index in range(left + 1, right):
            share = (places[index] - places[left]) / (places[right] - places[left])
            filled[index] = values[left] * (1 - share) + values[right] * share
    return filled if labels is None else labeled(filled, labels)  # type: ignore[return-value]


@process(categories=("arrays", "sorting"))
def order(data: list[Any], asc: bool = True, nodata: bool | None = None) -> list[int]:
    """Positions of the elements in sorted order; equal ones stay in their order.

    Args:
        data: Numbers or texts, and nulls.
        asc: From least to greatest.
        nodata: Null leaves nulls out, true puts them last, false first.
    """
    values = elements(data)
    present = [index for index, value in enumerate(values) if _there(value)]
    present.sort(key=lambda index: values[index], reverse=not asc)
    missing = [index for index, value in enumerate(values) if not _there(value)]
    if nodata is None:
        return present
    return present + missing if nodata else missing + present


@process(categories=("arrays", "sorting"))
def sort(data: list[Any], asc: bool = True, nodata: bool | None = None) -> list[Any]:
    """The elements in sorted order.

    Args:
        data: Numbers or texts, and nulls.
        asc: From least to greatest.
        nodata: Null leaves nulls out, true puts them last, false first.
    """
    values = elements(data)
    return [values[index] for index in order.function(data, asc, nodata)]


@process(categories=("arrays", "sorting"))
def rearrange(data: list[Any], order: list[int]) -> list[Any]:
    """The elements at the given positions, in the given order.

    Args:
        data: The array.
        order: Positions.
    """
    values = elements(data)
    return [values[index] for index in order]


def _there(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))
