"""Parts of a lazily read cube: by area, interval and bands, without reading any cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput, did_you_mean
from gemel.base.plugins import require
from gemel.infra.lake._axes import bands_dim, crs_of, geometry_dim, is_temporal, x_dim, y_dim
from gemel.infra.lake._extent import Area, Interval
from gemel.infra.lake._grid import grid_of
from gemel.infra.lake._lazy import Window, mapped, promoted

Index = slice | np.ndarray[Any, Any]


def no_data(reason: str) -> InvalidInput:
    """Return the error for extents in which there is nothing."""
    message = f"There is no data available for the given extents: {reason}."
    return InvalidInput(message, hint="Compare them with the collection's own extents.", exception="NoDataAvailable")


def within_area(cube: xr.DataArray, area: Area | None) -> xr.DataArray:
    """Return the cells whose centres lie in the area; those of the box outside of its polygons are missing.

    Longitudes are understood on either side of the date line, from 0 to 360 as from -180 to 180.

    Raises:
        InvalidInput: No cell does (`context["exception"]` is `NoDataAvailable`), or the cube has no horizontal labels.
    """
    if area is None:
        return cube
    if geometry_dim(cube) is not None:
        return _features_within(cube, area)
    x, y = x_dim(cube), y_dim(cube)
    if x is None or y is None or x not in cube.coords or y not in cube.coords:
        raise _nowhere(cube)
    crs = crs_of(cube)
    west, south, east, north = area.bounds_in(crs)
    rows = span(cube[y].values, south, north)
    labels = cube[x].values.astype(np.float64)
    if crs is not None and crs.is_geographic:
        columns, turned = _around(labels, west, east)
    else:
        columns, turned = span(labels, west, east), None
    if _size(rows, cube.sizes[y]) == 0 or _size(columns, cube.sizes[x]) == 0:
        raise no_data("no cell centre lies in the spatial extent")
    part = cube.isel({y: rows, x: columns})
    if turned is not None:
        part = part.assign_coords({x: (x, turned, cube[x].attrs)})
    return part if area.shape is None else masked(part, area)


def _nowhere(cube: xr.DataArray) -> InvalidInput:
    if any(item.ndim == 2 and item.attrs.get("standard_name") == "longitude" for item in cube.coords.values()):
        message = "The data lies on a curvilinear grid, from which no box can be cut."
        return InvalidInput(message, hint="Leave spatial_extent out, and regrid to the region that is wanted.")
    return InvalidInput("The data has no horizontal dimensions to select from.", hint="Leave spatial_extent out.")


def masked(cube: xr.DataArray, area: Area) -> xr.DataArray:
    """Return the cube without the cells whose centres lie outside of the area's polygons, when they are read."""
    features, affine = require("rasterio.features", extra="data"), require("rasterio", extra="data").Affine
    grid, mirrored, upside_down = grid_of(cube)
    shape = area.shape_in(grid.crs)
    axis_x, axis_y = cube.dims.index(x_dim(cube)), cube.dims.index(y_dim(cube))
    dtype = promoted(cube.dtype)

    def cut(block: np.ndarray[Any, Any], window: Window) -> np.ndarray[Any, Any]:
        rows, columns = _facing(window[axis_y], grid.height, upside_down), _facing(window[axis_x], grid.width, mirrored)
        part = grid.part(rows, columns)
        outside = features.geometry_mask([shape], (part.height, part.width), affine(*part.transform))
        outside = outside[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
        outside = outside if axis_y < axis_x else outside.T
        spread = [block.shape[axis] if axis in (axis_x, axis_y) else 1 for axis in range(block.ndim)]
        return np.where(outside.reshape(spread), np.nan, block.astype(dtype, copy=False))

    return mapped(cube, cut, dtype)


def within_interval(cube: xr.DataArray, interval: Interval | None) -> xr.DataArray:
    """Return the labels of every temporal dimension that lie in the half-open interval.

    Raises:
        InvalidInput: None does (`context["exception"]` is `NoDataAvailable`).
    """
    if interval is None:
        return cube
    for dim in [dim for dim in cube.dims if dim in cube.coords and is_temporal(cube[dim])]:
        labels = cube[dim].values
        inside = np.ones(len(labels), dtype=bool)
        if interval.start is not None:
            inside &= labels >= _comparable(interval.start, labels)
        if interval.end is not None:
            inside &= labels < _comparable(interval.end, labels)
        if not inside.any():
            raise no_data("no instant lies in the temporal extent")
        cube = cube.isel({dim: as_slice(np.flatnonzero(inside))})
    return cube


def in_order(cube: xr.DataArray) -> xr.DataArray:
    """Return the cube with its instants one after the other, in whatever order the file has them."""
    for dim in [dim for dim in cube.dims if dim in cube.coords and is_temporal(cube[dim])]:
        labels = cube[dim].values
        if not bool(np.all(labels[1:] >= labels[:-1])):
            cube = cube.isel({dim: np.argsort(labels, kind="stable")})
    return cube


def with_bands(cube: xr.DataArray, wanted: Sequence[str] | None, common: Mapping[str, Sequence[str]]) -> xr.DataArray:
    """Return the bands that are wanted, in that order.

    Args:
        cube: The cube.
        wanted: Names or common names; None for all.
        common: Names of the bands by common name.

    Raises:
        InvalidInput: There is no such band.
    """
    if wanted is None:
        return cube
    dim = bands_dim(cube)
    known = [str(item) for item in cube[dim].values] if dim is not None else [str(cube.name or "")]
    names = chosen_bands(wanted, known, common)
    if dim is None:
        return cube
    return cube.isel({dim: as_slice(np.array([known.index(name) for name in names]))})


def chosen_bands(wanted: Sequence[str] | None, known: Sequence[str], common: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names of the bands that are wanted; a name comes before the same common name.

    Raises:
        InvalidInput: There is no such band.

    >>> chosen_bands(["red", "B8"], ["B4", "B8"], {"red": ["B4"]})
    ['B4', 'B8']
    """
    if wanted is None:
        return list(known)
    found: list[str] = []
    for name in wanted:
        matches = [name] if name in known else [item for item in known if item in common.get(name, ())]
        if not matches:
            hint = f"{did_you_mean(str(name), [*known, *common])} Known: {', '.join(known)}.".strip()
            raise InvalidInput(f"There is no band '{name}'.", hint=hint, band=name)
        found += [item for item in matches if item not in found]
    if not found:
        raise InvalidInput("The list of bands is empty.", hint="Use null for all bands.")
    return found


def as_slice(positions: np.ndarray[Any, Any]) -> Index:
    """Return positions as a slice where they follow each other evenly, else as they are."""
    if len(positions) == 1:
        return slice(int(positions[0]), int(positions[0]) + 1)
    steps = np.diff(positions)
    if len(positions) and steps[0] > 0 and bool(np.all(steps == steps[0])):
        return slice(int(positions[0]), int(positions[-1]) + 1, int(steps[0]))
    return positions


def span(labels: np.ndarray[Any, Any], low: float, high: float) -> Index:
    """Return where labels lie between two numbers, both included."""
    values = labels.astype(np.float64)
    # Cell centres are computed: one that is meant to lie on the edge may miss it by rounding.
    slack = 1e-9 * max(1.0, abs(low), abs(high))
    return as_slice(np.flatnonzero((values >= low - slack) & (values <= high + slack)))


def _around(labels: np.ndarray[Any, Any], west: float, east: float) -> tuple[Index, np.ndarray[Any, Any] | None]:
    """Return where longitudes lie from west to east around the globe, and their labels where those change by turns."""
    width = east - west if east >= west else east - west + 360.0
    if width >= 360.0:
        return slice(0, len(labels)), None
    offset = (labels - west) % 360.0
    offset = np.where(offset > 360.0 - 1e-9, offset - 360.0, offset)
    inside = np.flatnonzero(offset <= width + 1e-9)
    ascending = len(labels) < 2 or labels[-1] > labels[0]
    inside = inside[np.argsort(offset[inside] if ascending else -offset[inside], kind="stable")]
    chosen = as_slice(inside)
    kept = labels[inside]
    turned = west + offset[inside]
    return chosen, (turned if not np.allclose(kept, turned) else None)


def _features_within(cube: xr.DataArray, area: Area) -> xr.DataArray:
    shapely = require("shapely", extra="data")
    dim = geometry_dim(cube)
    assert dim is not None
    crs = crs_of(cube)
    west, south, east, north = area.bounds_in(crs)
    frame = area.shape_in(crs) if area.shape is not None else shapely.box(west, south, east, north)
    inside = np.flatnonzero([shape is not None and frame.covers(shape) for shape in cube[dim].values])
    if len(inside) == 0:
        raise no_data("no geometry lies within the spatial extent")
    return cube.isel({dim: inside})


def _facing(part: slice, size: int, turned: bool) -> slice:
    return slice(size - part.stop, size - part.start) if turned else part


def _comparable(moment: np.datetime64, labels: np.ndarray[Any, Any]) -> Any:
    if labels.dtype.kind == "M":
        return moment
    first = labels[0]
    parts = moment.astype("datetime64[us]").item()
    return type(first)(parts.year, parts.month, parts.day, parts.hour, parts.minute, parts.second)


def _size(index: Index, whole: int) -> int:
    return len(range(*index.indices(whole))) if isinstance(index, slice) else len(index)
