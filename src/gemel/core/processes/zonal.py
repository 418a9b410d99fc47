"""Pixels reduced by geometries and by windows (openEO process specification, group `aggregate`)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from gemel.base.errors import ProcessRefused
from gemel.core.cubes import (
    Callback,
    Geometries,
    Grid,
    callback,
    coordinate,
    edges,
    geometries_of,
    grid_of,
    pixels_of,
    reduced,
    reduced_groups,
    spatial_dims,
    vector_cube,
)
from gemel.core.graph import Field
from gemel.core.processes._standard import standard

Corner = Literal["lower-left", "upper-left", "lower-right", "upper-right"]
_PIXELS = "gemel_pixels"
_VALID = {
    "process_graph": {"n": {"process_id": "count", "arguments": {"data": {"from_parameter": "data"}}, "result": True}}
}


@standard(on="cubes")
def aggregate_spatial(
    data: Field, geometries: Any, reducer: Any, target_dimension: str | None = None, context: Any = None
) -> Field:
    """A vector cube with one value for each geometry, made by a reducer of the pixels it takes.

    Args:
        data: A raster cube.
        geometries: GeoJSON or a vector cube. A polygon takes the pixels whose centre it holds, a point the pixel it
            lies in, a line the pixels it runs through; one that takes none gets no data.
        reducer: Gets the pixels of a geometry as array `data`, in no order, and `context`; gives back one value.
        target_dimension: Name of a further dimension with `value`, `total_count` and `valid_count`, or null.
        context: Handed on.

    Raises:
        ProcessRefused: `TargetDimensionExists`.
    """
    if target_dimension is not None and target_dimension in data.dims:
        message = f"There is a dimension '{target_dimension}' already."
        raise ProcessRefused(message, exception="TargetDimensionExists")
    grid, found = grid_of(data), geometries_of(geometries)
    places, codes = _taken(found.to(grid.crs), grid)
    part = _pixels(data, places)
    values = _by_geometry(part, codes, len(found), callback(reducer), context)
    if target_dimension is not None:
        values = _with_counts(values, part, codes, target_dimension)
    return _on_geometries(values, found)


@standard(on="cubes")
def aggregate_spatial_window(
    data: Field,
    reducer: Any,
    size: list[int],
    boundary: Literal["pad", "trim"] = "pad",
    align: Corner = "upper-left",
    context: Any = None,
) -> Field:
    """The cube with the pixels of windows, side by side, reduced to one each.

    Args:
        data: A raster cube.
        reducer: Gets the pixels of a window as array `data`, and `context`; gives back one value.
        size: Pixels of a window along x and along y.
        boundary: Where the pixels do not fill the last windows: `pad` them with no data, or `trim` the cube.
        align: The corner at which the first window lies.
        context: Handed on.
    """
    x, y = spatial_dims(data)
    grid = grid_of(data)
    # Upper is where y is greatest, whatever way the labels run.
    from_start = {
        x: align.endswith("left") == (len(grid.x) < 2 or grid.x[0] < grid.x[-1]),
        y: align.startswith("upper") == (len(grid.y) < 2 or grid.y[0] > grid.y[-1]),
    }
    cube = data
    for dim, step in zip((x, y), size, strict=True):
        cube = _fitted(cube, dim, int(step), boundary, from_start[dim])
    found = _by_window(cube, (x, int(size[0])), (y, int(size[1])), callback(reducer), context)
    return found.transpose(*data.dims)


def _taken(found: Geometries, grid: Grid) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the flat positions of all pixels taken, one geometry after the other, and which geometry took each."""
    places, codes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for number, shape in enumerate(found.shapes):
        pixels = pixels_of(shape, grid)
        rows, columns = np.nonzero(pixels.inside)
        places.append((rows + pixels.rows.start) * grid.shape[1] + columns + pixels.columns.start)
        codes.append(np.full(len(rows), number, dtype=np.int64))
    return np.concatenate(places), np.concatenate(codes)


def _pixels(data: xr.DataArray, places: np.ndarray[Any, Any]) -> xr.DataArray:
    x, y = spatial_dims(data)
    others = [dim for dim in data.dims if dim not in (x, y)]
    left = data.drop_vars([name for name, item in data.coords.items() if {x, y} & set(item.dims)])
    flat = data.transpose(*others, y, x).values.reshape(*[data.sizes[dim] for dim in others], -1)
    coords = {name: left.coords[name] for name in left.coords}
    return xr.DataArray(flat[..., places], coords, [*others, _PIXELS], data.name, data.attrs)


def _by_geometry(part: xr.DataArray, codes: Any, count: int, child: Callback, context: Any) -> xr.DataArray:
    values = reduced_groups(part, _PIXELS, (codes, count), child, context)
    met = np.bincount(codes, minlength=count) > 0
    # A reducer like count answers for nothing too, but no operation is applied where there is no pixel.
    return values if met.all() else values.where(xr.DataArray(met, dims=(_PIXELS,)))


def _with_counts(values: xr.DataArray, part: xr.DataArray, codes: Any, name: str) -> xr.DataArray:
    count = values.sizes[_PIXELS]
    valid = reduced_groups(part, _PIXELS, (codes, count), callback(_VALID))
    total = xr.full_like(valid, 0) + xr.DataArray(np.bincount(codes, minlength=count), dims=(_PIXELS,))
    stacked = xr.concat([values, total, valid], dim=name, coords="minimal", compat="override", join="override")
    labels = coordinate(name, ["value", "total_count", "valid_count"], "other")
    return stacked.transpose(..., name).assign_coords({name: labels}).assign_attrs(values.attrs)


def _on_geometries(values: xr.DataArray, found: Geometries) -> xr.DataArray:
    free = {name: column for name, column in found.properties.items() if name not in values.dims}
    kept = Geometries(found.shapes, found.crs, free, found.dim)
    placed = values.drop_vars("spatial_ref", errors="ignore").rename({_PIXELS: kept.dim})
    return vector_cube(placed.transpose(kept.dim, ...), kept)


def _fitted(cube: xr.DataArray, dim: str, step: int, boundary: str, from_start: bool) -> xr.DataArray:
    length = cube.sizes[dim]
    rest = length % step
    if not rest:
        return cube
    if boundary == "trim":
        return cube.isel({dim: slice(0, length - rest) if from_start else slice(rest, length)})
    missing = step - rest
    grown = cube.pad({dim: (0, missing) if from_start else (missing, 0)}, mode="constant", constant_values=np.nan)
    if dim not in cube.coords:
        return grown
    labels = np.asarray(cube.coords[dim].values, dtype=np.float64)
    width = (labels[-1] - labels[0]) / (length - 1) if length > 1 else np.diff(edges(labels))[0]
    places = np.arange(length + missing) - (0 if from_start else missing)
    return grown.assign_coords({dim: (dim, labels[0] + places * width, cube.coords[dim].attrs)})


def _by_window(
    cube: xr.DataArray, along_x: tuple[str, int], along_y: tuple[str, int], child: Callback, context: Any
) -> xr.DataArray:
    (x, columns), (y, rows) = along_x, along_y
    others = [dim for dim in cube.dims if dim not in (x, y)]
    sizes = [cube.sizes[dim] for dim in others]
    high, wide = cube.sizes[y] // rows, cube.sizes[x] // columns
    block = cube.transpose(*others, y, x).values.reshape(*sizes, high, rows, wide, columns)
    # Rows and columns of a window come to lie one after the other, last.
    moved = np.moveaxis(block, -3, -2).reshape(*sizes, high, wide, rows * columns)
    left = cube.drop_vars([name for name, item in cube.coords.items() if {x, y} & set(item.dims)])
    coords: dict[Any, Any] = {name: left.coords[name] for name in left.coords}
    for dim, step, count in ((y, rows, high), (x, columns, wide)):
        if dim in cube.coords:
            centres = np.asarray(cube.coords[dim].values, dtype=np.float64).reshape(count, step).mean(axis=1)
            coords[dim] = (dim, centres, cube.coords[dim].attrs)
    windows = xr.DataArray(moved, coords, [*others, y, x, _PIXELS], cube.name, cube.attrs)
    return reduced(windows, _PIXELS, child, context)
