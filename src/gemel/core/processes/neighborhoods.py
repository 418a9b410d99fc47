"""Focal operations: kernels, windows and polygons (openEO process specification, groups `cubes` and `math > image filter`)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy import ndimage

from gemel.base.errors import InvalidInput, ProcessRefused
from gemel.core.cubes import (
    Along,
    Callback,
    CellByCell,
    callback,
    described,
    dimension_kind,
    geometries_of,
    grid_of,
    pixels_of,
    polygonal,
    require_dimension,
    spatial_dims,
)
from gemel.core.graph import Field
from gemel.core.processes._standard import standard
from gemel.core.processes.masks import replaced

# What scipy calls the ways in which an image goes on beyond its border.
_BORDERS = {"replicate": "nearest", "reflect": "reflect", "reflect_pixel": "mirror", "wrap": "wrap"}
_DURATION = re.compile(
    r"^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$"
)


@standard(on="cubes")
def apply_kernel(
    data: Field, kernel: list[list[float]], factor: float = 1, border: Any = 0, replace_invalid: float = 0
) -> Field:
    """The cube with each pixel made the weighted sum of its neighbours.

    The weights lie on the neighbours as they are written: the outer level along y, the inner one along x.

    Args:
        data: A raster cube.
        kernel: Weights, with an odd number of rows and columns.
        factor: What each sum is multiplied by.
        border: How the image goes on beyond its border: a number, or `replicate`, `reflect`, `reflect_pixel`, `wrap`.
        replace_invalid: What stands for values that are no finite numbers.

    Raises:
        ProcessRefused: `KernelDimensionsUneven`.
    """
    weights = _weights(kernel)
    y, x = (data.get_axis_num(dim) for dim in reversed(spatial_dims(data)))
    values = data.values
    floats = values if values.dtype.kind == "f" else values.astype(np.float64)
    floats = np.where(np.isfinite(floats), floats, np.asarray(replace_invalid, dtype=floats.dtype))
    shape = [1] * values.ndim
    shape[y], shape[x] = weights.shape
    laid = weights if y < x else weights.T
    mode = "constant" if not isinstance(border, str) else _BORDERS[border]
    fill = 0.0 if isinstance(border, str) else float(border)
    sums = ndimage.correlate(floats, laid.reshape(shape), mode=mode, cval=fill)
    return data.copy(data=sums * floats.dtype.type(factor))


@standard(on="cubes")
def apply_neighborhood(
    data: Field, process: Any, size: list[Any], overlap: list[Any] | None = None, context: Any = None
) -> Field:
    """The cube with a child process applied to windows of it.

    Args:
        data: A raster cube.
        process: Gets a window with its overlap as cube `data` (as array where one dimension is left), and `context`;
            gives back one of the same shape. What it makes of the overlap is thrown away.
        size: Sizes of the windows along dimensions, in pixels (`px`), in units of the dimension, or as a duration.
            Along dimensions that are not named, a window holds everything.
        overlap: What a window sees beyond its borders, on each side; beyond the cube there is no data.
        context: Handed on.

    Raises:
        ProcessRefused: `DimensionNotAvailable`, `DataCubePropertiesImmutable`.
    """
    spatial_dims(data)
    child = callback(process)
    wanted = {require_dimension(data, item["dimension"]): item for item in size}
    margins = {require_dimension(data, item["dimension"]): item for item in overlap or ()}
    windows = [list(_windows(data, dim, wanted.get(dim), margins.get(dim))) for dim in map(str, data.dims)]
    parts = [(cores, _window(data, cores, child, context)) for cores in itertools.product(*windows)]
    kind = np.result_type(data.dtype, *[block.dtype for _, block in parts]) if parts else data.dtype
    result = np.empty(data.shape, dtype=parts[0][1].dtype if len({b.dtype for _, b in parts}) == 1 else kind)
    for cores, block in parts:
        result[tuple(slice(low, high) for low, high, _ in cores)] = block
    return described(data.copy(data=result), data, child)


@standard(on="cubes")
def apply_polygon(data: Field, geometries: Any, process: Any, mask_value: Any = None, context: Any = None) -> Field:
    """The cube with a child process applied to the part that each polygon takes; pixels outside of all keep their values.

    Args:
        data: A raster cube.
        geometries: Polygons that share no pixel.
        process: Gets the part around a polygon as cube `data`, and `context`; gives back one of the same shape.
        mask_value: What a part holds outside of its polygon; null for no data.
        context: Handed on.

    Raises:
        ProcessRefused: `GeometriesOverlap`, `DataCubePropertiesImmutable`.
    """
    grid, (x, y), child = grid_of(data), spatial_dims(data), callback(process)
    taken = np.zeros(grid.shape, dtype=bool)
    result = data.transpose(..., y, x).copy(deep=True)
    for shape in polygonal(geometries_of(geometries)).to(grid.crs).shapes:
        pixels = pixels_of(shape, grid)
        if pixels.empty:
            continue
        if (taken[pixels.rows, pixels.columns] & pixels.inside).any():
            raise ProcessRefused("Two polygons share a pixel.", exception="GeometriesOverlap")
        taken[pixels.rows, pixels.columns] |= pixels.inside
        part = data.isel({x: pixels.columns, y: pixels.rows})
        inside = xr.DataArray(pixels.inside, dims=(y, x))
        changed = _same_shape(child(data=replaced(part, ~inside, mask_value), context=context), part)
        result = _written(result, changed.transpose(..., y, x).values, pixels)
    return described(result.transpose(*data.dims), data, child)


def _weights(kernel: Any) -> np.ndarray[Any, Any]:
    if len({len(row) for row in kernel}) != 1:
        raise InvalidInput("The rows of the kernel differ in length.", hint="Give as many weights in each row.")
    weights = np.asarray(kernel, dtype=np.float64)
    if not np.isfinite(weights).all():
        raise InvalidInput("A weight of the kernel is not a finite number.")
    if any(side % 2 == 0 for side in weights.shape):
        message = f"The kernel has {weights.shape[0]} rows and {weights.shape[1]} columns; both must be odd."
        raise ProcessRefused(message, exception="KernelDimensionsUneven")
    return weights


Core = tuple[int, int, int]  # first and last place of a window along a dimension, and its overlap


def _windows(
    data: xr.DataArray, dim: str, size: Mapping[str, Any] | None, overlap: Mapping[str, Any] | None
) -> Iterator[Core]:
    length = data.sizes[dim]
    margin = 0 if overlap is None or overlap.get("value") in (None, 0) else _pixels(data, dim, overlap)
    if size is None or size.get("value") is None:
        yield 0, length, margin
        return
    if isinstance(size["value"], str) and dimension_kind(data, dim) == "temporal":
        for low, high in _spans(data.coords[dim].values, size["value"]):
            yield low, high, margin
        return
    step = _pixels(data, dim, size)
    for low in range(0, length, step):
        yield low, min(low + step, length), margin


def _pixels(data: xr.DataArray, dim: str, extent: Mapping[str, Any]) -> int:
    value, unit = extent["value"], extent.get("unit")
    if isinstance(value, str):
        times = data.coords[dim].values
        step = np.median(np.diff(times)) if len(times) > 1 else np.timedelta64(1, "D")
        return max(1, round(_duration(value) / step))
    if unit == "px" or dimension_kind(data, dim) != "spatial":
        return max(1, int(value))
    x, _ = spatial_dims(data)
    step = abs(grid_of(data).steps[0 if dim == x else 1])
    return max(1, round(value / step))


def _spans(times: np.ndarray[Any, Any], duration: str) -> Iterator[tuple[int, int]]:
    if not len(times):
        return
    numbers = (times - times[0]) // _duration(duration)
    bounds = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(times)]
    yield from itertools.pairwise(bounds)


def _duration(text: str) -> np.timedelta64:
    found = _DURATION.match(text)
    if found is None or not any(found.groups()):
        raise InvalidInput(f"'{text}' is not a duration.", hint="Write it like P10D or PT6H.")
    years, months, weeks, days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    # Mean Gregorian years and months: a window has the same length everywhere.
    total = (years * 365.2425 + months * 30.436875 + weeks * 7 + days) * 86400 + hours * 3600 + minutes * 60 + seconds
    return np.timedelta64(round(total * 1e6), "us").astype("timedelta64[ns]")


def _window(data: xr.DataArray, cores: tuple[Core, ...], child: Callback, context: Any) -> np.ndarray[Any, Any]:
    spans, pads, kept = {}, {}, []
    for dim, (low, high, margin) in zip(map(str, data.dims), cores, strict=True):
        start, stop = max(0, low - margin), min(data.sizes[dim], high + margin)
        spans[dim] = slice(start, stop)
        if margin:
            pads[dim] = (start - (low - margin), high + margin - stop)
        kept.append(slice(margin, margin + high - low))
    part = data.isel(spans)
    if any(any(pair) for pair in pads.values()):
        part = _padded(part, pads)
    long = [dim for dim in part.dims if part.sizes[dim] > 1]
    given: Any = Along(part, str(part.dims[0])) if part.ndim == 1 and long == [part.dims[0]] else part
    try:
        found = child(data=given, context=context)
    except CellByCell as error:
        raise InvalidInput(
            f"'{error}' does not work on windows of a cube.", hint="Use apply or apply_dimension."
        ) from error
    return _same_shape(found.data if isinstance(found, Along) else found, part).values[tuple(kept)]


def _padded(part: xr.DataArray, pads: Mapping[str, tuple[int, int]]) -> xr.DataArray:
    grown = part.pad(pads, mode="constant", constant_values=np.nan)
    for dim, (before, after) in pads.items():
        values = part.coords[dim].values if dim in part.coords else None
        if values is not None and len(values) > 1 and values.dtype.kind in "iufM":
            # The labels go on in even steps, as pixels beyond the border would.
            first, last = values[1] - values[0], values[-1] - values[-2]
            head = [values[0] - first * (before - place) for place in range(before)]
            tail = [values[-1] + last * (place + 1) for place in range(after)]
            grown = grown.assign_coords({dim: (dim, np.array([*head, *values, *tail]), part.coords[dim].attrs)})
    return grown


def _same_shape(found: Any, part: xr.DataArray) -> xr.DataArray:
    if not isinstance(found, xr.DataArray):
        found = part.copy(data=np.asarray(found).reshape(part.shape)) if np.size(found) == part.size else found
    if (
        not isinstance(found, xr.DataArray)
        or set(found.dims) != set(part.dims)
        or dict(found.sizes) != dict(part.sizes)
    ):
        shown = f"{dict(found.sizes)}" if isinstance(found, xr.DataArray) else f"a {type(found).__name__}"
        message = f"The child process gives back {shown}, where {dict(part.sizes)} went in."
        raise ProcessRefused(message, exception="DataCubePropertiesImmutable")
    return found.transpose(*part.dims)


def _written(result: xr.DataArray, block: np.ndarray[Any, Any], pixels: Any) -> xr.DataArray:
    kind = np.result_type(result.dtype, block.dtype)
    if kind != result.dtype:
        result = result.astype(kind)
    window = result.values[..., pixels.rows, pixels.columns]
    window[..., pixels.inside] = block[..., pixels.inside]
    return result
