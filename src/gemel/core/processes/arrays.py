"""Arrays: lists, and arrays whose elements carry labels (openEO process specification, group `arrays`).

An array with labels is a one-dimensional `xarray.DataArray`; the arrays of all cells of a cube are an `Along`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import ProcessRefused
from gemel.core.cubes import Along, CellByCell, arrays_of, is_cells, labeled, numbers_of, position_of
from gemel.core.processes._nodata import elements, is_number
from gemel.core.processes._standard import standard
from gemel.core.processes.comparison import eq


def labels_of(data: Any) -> list[Any] | None:
    """Return the labels of an array, or None for one without."""
    if isinstance(data, Along):
        return data.labels
    if isinstance(data, xr.DataArray) and data.ndim == 1 and data.dims[0] in data.coords:
        return list(data[data.dims[0]].values.tolist())
    return None


@standard(on="arrays")
def array_create(data: Any = (), repeat: int = 1) -> list[Any]:
    """A new array, its content repeated.

    Args:
        data: One value, or an array of values.
        repeat: How often.
    """
    whole = arrays_of([data] if is_cells(data) else data)
    if whole is not None:
        return whole.other(np.concatenate([whole.data.values] * repeat, axis=whole.axis))  # type: ignore[return-value]
    return (elements(data) if isinstance(data, (list, tuple, xr.DataArray)) else [data]) * repeat


@standard(on="arrays")
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
    whole = arrays_of(data)
    if whole is not None:
        return whole.other(whole.data.values, list(labels))
    return labeled(elements(data), list(labels))


@standard(on="arrays")
def array_labels(data: list[Any]) -> list[Any]:
    """The labels of an array; the positions where it has none.

    Args:
        data: The array.
    """
    labels = labels_of(data)
    return labels if labels is not None else list(range(len(data)))


@standard(on="arrays", wider=("index",))
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
    whole, labels = arrays_of(data), labels_of(data)
    if label is not None and labels is None:
        raise ProcessRefused("The array has no labels.", exception="ArrayNotLabeled")
    position = index if label is None else position_of(labels or [], label)
    if position is not None and 0 <= position < len(data):
        return elements(data)[position] if whole is None else whole.element(position)
    if return_nodata:
        return None
    wanted = f"index {index}" if label is None else f"label '{label}'"
    hint = f"Its labels: {', '.join(map(str, labels[:12]))}." if labels else f"It has {len(data)} elements."
    message = f"The array has no element with {wanted}."
    raise ProcessRefused(message, exception="ArrayElementNotAvailable", hint=hint)


@standard(on="arrays")
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
    if labels is None and label is not None:
        raise ProcessRefused("A label was given for an array without labels.", exception="ArrayNotLabeled")
    if labels is not None:
        label = len(labels) if label is None else label
        if label in labels:
            raise ProcessRefused(f"The label '{label}' is there already.", exception="LabelExists")
    if isinstance(data, Along) or is_cells(value):
        return _joined(data, [value], None if labels is None else [*labels, label])
    if labels is None:
        return [*elements(data), value]
    return labeled([*elements(data), value], [*labels, label])  # type: ignore[return-value]


@standard(on="arrays")
def array_concat(array1: list[Any], array2: list[Any]) -> list[Any]:
    """Two arrays, one after the other; labels are kept when both carry them.

    Args:
        array1: The first array.
        array2: The second array.

    Raises:
        ProcessRefused: `ArrayLabelConflict`.
    """
    first, second = labels_of(array1), labels_of(array2)
    both = first is not None and second is not None
    if both and set(first or ()) & set(second or ()):
        raise ProcessRefused("Both arrays carry the same label.", exception="ArrayLabelConflict")
    names = [*(first or ()), *(second or ())] if both else None
    if arrays_of(array1) is not None or arrays_of(array2) is not None:
        return _joined(array1, array2, names)
    values = [*elements(array1), *elements(array2)]
    return values if names is None else labeled(values, names)  # type: ignore[return-value]


@standard(on="arrays")
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
    if index > len(data):
        raise ProcessRefused(f"The array has no element with index {index}.", exception="ArrayElementNotAvailable")
    whole = arrays_of(data)
    if whole is not None:
        places = list(range(len(whole)))
        head = _joined(whole.chosen(places[:index]), values, None)
        return _joined(head, whole.chosen(places[index + length :]), None)
    if arrays_of(values) is not None:
        raise CellByCell
    content = elements(data)
    return [*content[:index], *elements(values), *content[index + length :]]


@standard(on="arrays")
def array_contains(data: list[Any], value: Any) -> bool:
    """Whether an array holds a value: a text, number or boolean, not NaN or null.

    Args:
        data: The array.
        value: What is looked for.
    """
    found = array_find.function(data, value)
    return found.notnull() if is_cells(found) else found is not None  # type: ignore[return-value]


@standard(on="arrays")
def array_find(data: list[Any], value: Any, reverse: bool = False) -> int | None:
    """Position of the first element that equals a value; null for none.

    Args:
        data: The array.
        value: What is looked for.
        reverse: Look from the end.
    """
    whole = arrays_of(data)
    if whole is not None:
        return _found(whole, value, reverse)
    content = elements(data)
    positions = reversed(range(len(content))) if reverse else range(len(content))
    return next((position for position in positions if eq.function(content[position], value) is True), None)


@standard(on="arrays")
def array_find_label(data: list[Any], label: Any) -> int | None:
    """Position of a label; null for none.

    Args:
        data: The array.
        label: What is looked for.
    """
    return position_of(labels_of(data) or [], label)


def _found(whole: Along, value: Any, reverse: bool) -> Any:
    if not is_number(value) or numbers_of(whole.data).dtype.kind == "b":
        raise CellByCell
    equal = numbers_of(whole.data) == value
    if not len(whole):
        return None
    first = np.argmax(np.flip(equal, whole.axis) if reverse else equal, axis=whole.axis)
    place = len(whole) - 1 - first if reverse else first
    return whole.cells(np.where(equal.any(axis=whole.axis), place, np.nan))


def _joined(one: Any, other: Any, labels: list[Any] | None) -> Any:
    """Return two arrays one after the other, of which at least one holds the values of all cells."""
    parts = [arrays_of(part) for part in (one, other)]
    model = next(part for part in parts if part is not None)
    blocks = [_block(part, whole, model) for part, whole in zip((one, other), parts, strict=True)]
    return model.other(np.concatenate(blocks, axis=model.axis), labels)


def _block(part: Any, whole: Along | None, model: Along) -> np.ndarray[Any, Any]:
    sizes = dict(model.data.sizes)
    if whole is None:
        values = np.array([np.nan if item is None else item for item in elements(part)])
        row = xr.DataArray(values, dims=(model.dim,))
        sizes[model.dim] = len(values)
    else:
        row = whole.data.drop_vars(whole.dim, errors="ignore").rename({whole.dim: model.dim})
        sizes[model.dim] = len(whole)
    bare = row.reset_coords(drop=True).drop_vars(list(row.coords), errors="ignore")
    return np.asarray(bare.expand_dims({d: n for d, n in sizes.items() if d not in bare.dims}).transpose(*sizes))
