"""Dimensions of data cubes and their labels (openEO process specification, group `cubes`)."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput, ProcessRefused
from gemel.core.cubes import (
    axis_of,
    coordinate,
    dimension_kind,
    labels_of,
    picked,
    position_of,
    require_dimension,
)
from gemel.core.graph import Field
from gemel.core.processes._standard import standard

_AXES = ("x", "y", "z")


@standard(on="cubes")
def create_data_cube() -> Field:
    """A cube without dimensions; they are added with `add_dimension`."""
    return xr.DataArray(np.nan)


@standard(on="cubes")
def add_dimension(data: Field, name: str, label: Any, type: str = "other") -> Field:
    """The cube with one more dimension, before the others, with a single label.

    Args:
        data: The cube.
        name: Name of the dimension.
        label: Its label.
        type: Its kind; a spatial one takes the first axis of x, y and z that is free.

    Raises:
        ProcessRefused: `DimensionExists`.
    """
    if name in data.dims:
        raise ProcessRefused(f"There is a dimension '{name}' already.", exception="DimensionExists")
    axis = _free_axis(data) if type == "spatial" else None
    bare = data.drop_vars(name, errors="ignore")
    return bare.expand_dims({name: 1}).assign_coords({name: coordinate(name, [label], type, axis)})


@standard(on="cubes")
def drop_dimension(data: Field, name: str) -> Field:
    """The cube without a dimension that has one label left.

    Args:
        data: The cube.
        name: Name of the dimension.

    Raises:
        ProcessRefused: `DimensionNotAvailable`, `DimensionLabelCountMismatch`.
    """
    number = data.sizes[require_dimension(data, name)]
    if number != 1:
        message = f"The dimension '{name}' has {number} labels, so it cannot be dropped."
        hint = "Reduce it with reduce_dimension, or keep one label with a filter."
        raise ProcessRefused(message, exception="DimensionLabelCountMismatch", hint=hint)
    return data.isel({name: 0}, drop=True)


@standard(on="cubes")
def rename_dimension(data: Field, source: str, target: str) -> Field:
    """The cube with another name for one of its dimensions.

    Args:
        data: The cube.
        source: The name it has.
        target: The name it gets.

    Raises:
        ProcessRefused: `DimensionNotAvailable`, `DimensionExists`.
    """
    require_dimension(data, source)
    if target in data.dims:
        raise ProcessRefused(f"There is a dimension '{target}' already.", exception="DimensionExists")
    kind, axis = dimension_kind(data, source), axis_of(data, source)
    renamed = data.drop_vars(target, errors="ignore").rename({source: target})
    if kind == "geometry":
        return renamed
    # The name may have been what told the kind; now the coordinate does.
    return renamed.assign_coords({target: _coordinate(data, source, target, kind, axis)})


@standard(on="cubes")
def dimension_labels(data: Field, dimension: str) -> list[Any]:
    """The labels of a dimension, in the cube's order.

    Args:
        data: The cube.
        dimension: Name of the dimension.

    Raises:
        ProcessRefused: `DimensionNotAvailable`.
    """
    return labels_of(data, require_dimension(data, dimension))


@standard(on="cubes")
def rename_labels(data: Field, dimension: str, target: list[Any], source: list[Any] = ()) -> Field:  # type: ignore[assignment]
    """The cube with other labels on one of its dimensions.

    Args:
        data: The cube.
        dimension: Name of the dimension.
        target: The new labels.
        source: The labels they replace; none where the old ones are 0, 1, 2 and so on.

    Raises:
        ProcessRefused: `DimensionNotAvailable`, `LabelsNotEnumerated`, `LabelMismatch`, `LabelNotAvailable`,
            `LabelExists`.
    """
    labels = labels_of(data, require_dimension(data, dimension))
    names = dict(zip(_positions(labels, list(source), list(target)), target, strict=True))
    kept = [label for place, label in enumerate(labels) if place not in names]
    twice = [label for label in target if position_of(kept, label) is not None]
    if twice:
        raise ProcessRefused(f"The label '{twice[0]}' is there already.", exception="LabelExists")
    renamed = [names.get(place, label) for place, label in enumerate(labels)]
    kind, axis = dimension_kind(data, dimension), axis_of(data, dimension)
    return data.assign_coords({dimension: coordinate(dimension, renamed, kind, axis)})


@standard(on="cubes")
def flatten_dimensions(data: Field, dimensions: list[str], target_dimension: str, label_separator: str = "~") -> Field:
    """The cube with several dimensions made into one, its labels joined.

    Args:
        data: The cube.
        dimensions: The dimensions, the one whose labels change slowest first.
        target_dimension: Name of the new dimension, of kind other; it stands where the first of them stood.
        label_separator: Stands between the joined labels.

    Raises:
        ProcessRefused: `DimensionNotAvailable`, `TargetDimensionExists`.
    """
    names = [require_dimension(data, name) for name in dimensions]
    _refuse_existing(data, [target_dimension], names)
    if not names:
        raise InvalidInput("There is no dimension to flatten.", hint="Give at least one.")
    joined = itertools.product(*(labels_of(data, name) for name in names))
    labels = [label_separator.join(map(str, parts)) for parts in joined]
    # Coordinates that lie along what is flattened have no place on the joined labels.
    bare = data.drop_vars([name for name, item in data.coords.items() if set(item.dims) & set(names)])
    order = [target_dimension if dim == names[0] else dim for dim in data.dims if dim == names[0] or dim not in names]
    stacked = bare.stack({target_dimension: names}, create_index=False).transpose(*order)
    return stacked.assign_coords({target_dimension: coordinate(target_dimension, labels, "other")})


@standard(on="cubes")
def unflatten_dimension(data: Field, dimension: str, target_dimensions: list[str], label_separator: str = "~") -> Field:
    """The cube with one dimension split into several by its labels.

    Args:
        data: The cube.
        dimension: Name of the dimension.
        target_dimensions: Names of the new dimensions, of kind other.
        label_separator: What its labels are split at.

    Raises:
        ProcessRefused: `DimensionNotAvailable`, `TargetDimensionExists`.
        InvalidInput: A label has not as many parts as there are new dimensions.
    """
    require_dimension(data, dimension)
    _refuse_existing(data, target_dimensions, [dimension])
    parts = [str(label).split(label_separator) for label in labels_of(data, dimension)]
    for part in parts:
        if len(part) != len(target_dimensions):
            message = f"The label '{label_separator.join(part)}' has {len(part)} parts, not {len(target_dimensions)}."
            raise InvalidInput(message, hint="Is the label separator the right one?")
    labels = [list(dict.fromkeys(column)) for column in zip(*parts, strict=True)] or [[] for _ in target_dimensions]
    return _split(data, dimension, list(target_dimensions), labels, parts)


@standard(on="cubes")
def trim_cube(data: Field) -> Field:
    """The cube without the labels that have no data at all.

    Along spatial and temporal dimensions they go at the ends alone, so that the steps stay even.

    Args:
        data: The cube.
    """
    there = data.notnull()
    for dim in map(str, data.dims):
        held = there.any([other for other in there.dims if other != dim]).values
        if dimension_kind(data, dim) in ("spatial", "temporal") and held.any():
            first, last = np.flatnonzero(held)[[0, -1]]
            held = (np.arange(len(held)) >= first) & (np.arange(len(held)) <= last)
        data, there = picked(data, dim, held), picked(there, dim, held)
    return data


def _free_axis(data: xr.DataArray) -> str:
    taken = {axis_of(data, dim) for dim in data.dims}
    free = next((axis for axis in _AXES if axis not in taken), None)
    if free is None:
        message = "The cube has dimensions for all of the axes x, y and z already."
        raise ProcessRefused(message, exception="DimensionExists")
    return free


def _coordinate(data: xr.DataArray, source: str, target: str, kind: str, axis: str | None) -> xr.DataArray:
    held = data.coords[source].values if source in data.coords else np.arange(data.sizes[source])
    marks = coordinate(target, [], kind, axis).attrs
    attributes = dict(data.coords[source].attrs) if source in data.coords else {}
    return xr.DataArray(held, dims=(target,), attrs=attributes | marks)


def _positions(labels: list[Any], source: list[Any], target: list[Any]) -> list[int]:
    if not source:
        if labels != list(range(len(labels))):
            message = "The labels are not 0, 1, 2 and so on, so the old ones must be named."
            raise ProcessRefused(message, exception="LabelsNotEnumerated", hint="Give 'source'.")
        if len(target) > len(labels):
            message = f"There are {len(target)} new labels for {len(labels)} old ones."
            raise ProcessRefused(message, exception="LabelMismatch")
        return list(range(len(target)))
    if len(source) != len(target):
        message = f"There are {len(target)} new labels for {len(source)} old ones."
        raise ProcessRefused(message, exception="LabelMismatch")
    found = [position_of(labels, label) for label in source]
    if None in found:
        message = f"The dimension has no label '{source[found.index(None)]}'."
        hint = f"Its labels: {', '.join(map(str, labels[:12]))}."
        raise ProcessRefused(message, exception="LabelNotAvailable", hint=hint)
    return [place for place in found if place is not None]


def _refuse_existing(data: xr.DataArray, targets: list[str], leaving: list[str]) -> None:
    for target in targets:
        if target in data.dims and target not in leaving:
            message = f"There is a dimension '{target}' already."
            raise ProcessRefused(message, exception="TargetDimensionExists")


def _split(
    data: xr.DataArray, dimension: str, targets: list[str], labels: list[list[str]], parts: list[list[str]]
) -> xr.DataArray:
    sizes = [len(column) for column in labels]
    places = [[column.index(name) for column, name in zip(labels, part, strict=True)] for part in parts]
    flat = [
        functools.reduce(lambda whole, pair: whole * pair[1] + pair[0], zip(p, sizes, strict=True), 0) for p in places
    ]
    axis = data.get_axis_num(dimension)
    moved = np.moveaxis(data.values, axis, 0)
    complete = sorted(flat) == list(range(int(np.prod(sizes))))
    kind = moved.dtype if complete else np.result_type(moved.dtype, np.float32)
    held = np.full((int(np.prod(sizes)), *moved.shape[1:]), 0 if complete else np.nan, dtype=kind)
    held[flat] = moved
    block = np.moveaxis(held.reshape(*sizes, *moved.shape[1:]), range(len(sizes)), range(axis, axis + len(sizes)))
    left = data.drop_vars([name for name, item in data.coords.items() if dimension in item.dims])
    dims = [*data.dims[:axis], *targets, *data.dims[axis + 1 :]]
    coords = {name: left.coords[name] for name in left.coords}
    coords |= {name: coordinate(name, column, "other") for name, column in zip(targets, labels, strict=True)}
    return xr.DataArray(block, coords, dims, data.name, data.attrs)
