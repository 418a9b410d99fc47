"""Child processes for each element of an array, and gaps filled between elements (group `arrays`)."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gemel.core.cubes import (
    Along,
    Callback,
    CellByCell,
    arrays_of,
    callback,
    fill_along,
    instant_or_none,
    is_cells,
    labeled,
    numbers_of,
)
from gemel.core.processes._nodata import elements, is_nan_number
from gemel.core.processes._standard import standard
from gemel.core.processes.arrays import labels_of


@standard(on="arrays")
def array_apply(data: list[Any], process: Any, context: Any = None) -> list[Any]:
    """The array with a child process applied to each element.

    Args:
        data: The array.
        process: Gets `x`, `index`, `label` and `context`.
        context: Handed on.
    """
    whole = arrays_of(data)
    child, labels = callback(process), labels_of(data)
    if whole is not None:
        return _stacked(whole, _in_turn(whole, child, context))  # type: ignore[return-value]
    results = [
        child(x=value, index=index, label=None if labels is None else labels[index], context=context)
        for index, value in enumerate(elements(data))
    ]
    return results if labels is None else labeled(results, labels)  # type: ignore[return-value]


@standard(on="arrays")
def array_filter(data: list[Any], condition: Any, context: Any = None) -> list[Any]:
    """The elements for which a child process answers true.

    Args:
        data: The array.
        condition: Gets `x`, `index`, `label` and `context`.
        context: Handed on.
    """
    whole = arrays_of(data)
    child, labels = callback(condition), labels_of(data)
    if whole is not None:
        answers = _in_turn(whole, child, context)
        if any(map(is_cells, answers)):
            # Each cell keeps other elements: they have no shape in common.
            raise CellByCell
        return whole.chosen([index for index, answer in enumerate(answers) if answer is True])  # type: ignore[return-value]
    values = elements(data)
    kept = [
        index
        for index, value in enumerate(values)
        if child(x=value, index=index, label=None if labels is None else labels[index], context=context) is True
    ]
    chosen = [values[index] for index in kept]
    return chosen if labels is None else labeled(chosen, [labels[index] for index in kept])  # type: ignore[return-value]


@standard(on="arrays")
def array_interpolate_linear(data: list[Any]) -> list[Any]:
    """The array with gaps between numbers filled by straight lines; at its ends they stay.

    Args:
        data: Numbers, nulls and NaN; labels that are numbers or instants say how far apart the elements lie.
    """
    whole, labels = arrays_of(data), labels_of(data)
    places = _places(labels, len(data))
    if whole is not None:
        return whole.same(fill_along(numbers_of(whole.data), whole.axis, np.asarray(places)))  # type: ignore[return-value]
    values = elements(data)
    known = [index for index, value in enumerate(values) if value is not None and not is_nan_number(value)]
    filled = list(values)
    for left, right in itertools.pairwise(known):
        for index in range(left + 1, right):
            share = (places[index] - places[left]) / (places[right] - places[left])
            filled[index] = values[left] * (1 - share) + values[right] * share
    return filled if labels is None else labeled(filled, labels)  # type: ignore[return-value]


def _places(labels: list[Any] | None, size: int) -> list[float]:
    if labels and all(isinstance(label, (int, float)) for label in labels):
        return [float(label) for label in labels]
    moments = [instant_or_none(label) if isinstance(label, str) else None for label in labels or ()]
    found = [moment.timestamp() for moment in moments if moment is not None]
    return found if labels and len(found) == len(labels) else [float(index) for index in range(size)]


def _in_turn(whole: Along, child: Callback, context: Any) -> list[Any]:
    # Labels and positions are plain values this way, so that a child may compare dates or texts.
    labels = whole.labels
    return [
        child(x=whole.element(index), index=index, label=None if labels is None else labels[index], context=context)
        for index in range(len(whole))
    ]


def _stacked(whole: Along, results: list[Any]) -> Along:
    if any(isinstance(result, (str, list, dict, Along)) for result in results):
        raise CellByCell
    if not results:
        return whole
    shape = whole.element(0)
    parts = [
        result.broadcast_like(shape).transpose(*shape.dims).values
        if is_cells(result)
        else np.full(shape.shape, np.nan if result is None else result)
        for result in results
    ]
    return whole.same(np.stack(parts, axis=whole.axis))
