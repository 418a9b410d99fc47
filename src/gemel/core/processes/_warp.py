"""Blocks of pixels carried from one grid to another: by position, by blocks, or by GDAL (through rasterio)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyproj

from gemel.base.errors import InvalidInput
from gemel.base.plugins import require
from gemel.core.cubes import Grid, nearest, reduce_groups, same_crs, transform_bounds

Array = np.ndarray[Any, Any]
#: GDAL's names of the specification's methods, where they differ.
_GDAL = {"near": "nearest", "cubicspline": "cubic_spline"}
# Methods whose results are values that were there: whole numbers stay whole.
_CHOOSING = ("near", "min", "max", "mode", "med", "q1", "q3")
# A number of pixels that is this near to a whole one is one.
_WHOLE = 1e-6
# How far GDAL's shortcut through the projection may lie from the truth, in pixels.
_TOLERANCE = 0.01
# Values of this many bands are warped at once: GDAL copies them.
_BATCH = 1 << 26


# Methods that a reduction of blocks of pixels does, and which one.
_BLOCKS = {"sum": "sum", "average": "mean", "rms": "mean", "min": "min", "max": "max"}


def target_grid(grid: Grid, crs: pyproj.CRS | None, resolution: tuple[float, float], align: str) -> Grid:
    """Return the grid of a cube after resampling: pixels of `resolution` (0 keeps it) that begin at a corner."""
    if same_crs(grid.crs, crs):
        bounds, sizes = grid.bounds, tuple(abs(step) for step in grid.steps)
    else:
        assert grid.crs is not None
        assert crs is not None
        bounds = transform_bounds(grid.bounds, grid.crs, crs)
        sizes = _kept_resolution(grid, bounds)
    dx, dy = (wanted or size for wanted, size in zip(resolution, sizes, strict=True))
    if not all(math.isfinite(size) and size > 0 for size in (dx, dy)):
        raise InvalidInput(f"A resolution of {dx:g} by {dy:g} is none.", hint="Give positive numbers.")
    west, south, east, north = bounds
    columns, rows = _number(east - west, dx), _number(north - south, dy)
    left = east - columns * dx if align.endswith("right") else west
    top = south + rows * dy if align.startswith("lower") else north
    x = left + (np.arange(columns, dtype=np.float64) + 0.5) * dx
    y = top - (np.arange(rows, dtype=np.float64) + 0.5) * dy
    if grid.steps[1] > 0 and same_crs(grid.crs, crs):
        y = y[::-1]
    return Grid(x, y, crs if crs is not None else grid.crs)


def resampled(block: Array, grid: Grid, wanted: Grid, method: str) -> Array:
    """Return values (…, y, x) of one grid on another; NaN where there are none, integers kept where all are there."""
    same = same_crs(grid.crs, wanted.crs)
    if same and method == "near":
        return _by_position(block, grid, wanted)
    factors = _factors(grid, wanted) if same and method in _BLOCKS else None
    if factors is not None:
        return _whole_again(_by_blocks(block, factors, method), block.dtype, method)
    return warped(block, grid, wanted, method)


def _by_blocks(block: Array, factors: tuple[int, int], method: str) -> Array:
    (rows, columns), (high, wide) = factors, block.shape[-2:]
    floats = block if block.dtype.kind == "f" else block.astype(np.float64)
    split = floats.reshape(*block.shape[:-2], high // rows, rows, wide // columns, columns)
    pixels = np.moveaxis(split, -3, -2).reshape(*split.shape[:-3], wide // columns, rows * columns)
    if method == "rms":
        pixels = np.square(pixels, dtype=np.float64)
    codes = np.zeros(rows * columns, dtype=np.int64)
    found = reduce_groups(_BLOCKS[method], pixels, pixels.ndim - 1, codes, 1)[..., 0]
    return np.sqrt(found).astype(floats.dtype) if method == "rms" else found


def _by_position(block: Array, grid: Grid, wanted: Grid) -> Array:
    rows, columns = nearest(grid.y, wanted.y), nearest(grid.x, wanted.x)
    found = block[..., rows, :][..., columns]
    outside = (rows < 0)[:, None] | (columns < 0)[None, :]
    if not outside.any():
        return found
    floats = found if found.dtype.kind == "f" else found.astype(np.float64)
    return np.where(outside, np.nan, floats).astype(floats.dtype)


def _factors(grid: Grid, wanted: Grid) -> tuple[int, int] | None:
    """Return how many rows and columns of `grid` make one of `wanted`, where the borders fall together."""
    found = []
    for own, other in ((grid.y, wanted.y), (grid.x, wanted.x)):
        if len(own) < 2 or len(other) < 1 or len(own) % len(other):
            return None
        factor = len(own) // len(other)
        centres = own.reshape(-1, factor).mean(axis=1)
        if np.abs(centres - other).max() > 1e-6 * abs(own[1] - own[0]):
            return None
        found.append(factor)
    return found[0], found[1]


def warped(block: Array, grid: Grid, wanted: Grid, method: str) -> Array:
    """Return values (…, y, x) of one grid on another, by GDAL; NaN where there are none."""
    warp, enums = require("rasterio.warp", extra="data"), require("rasterio.enums", extra="data")
    source, target = _northern(grid), _northern(wanted)
    kind = np.float32 if block.dtype.itemsize <= 2 or block.dtype == np.float32 else np.float64
    # GDAL knows rows from north to south and columns from west to east.
    turned = _turned(block.reshape(-1, *block.shape[-2:]), grid).astype(kind, copy=False)
    bands, batch = turned.shape[0], max(1, _BATCH // max(1, turned.shape[1] * turned.shape[2]))
    found = np.full((bands, *wanted.shape), np.nan, dtype=kind)
    # Between equal systems nothing is projected; GDAL wants one all the same.
    system = grid.crs.to_wkt() if grid.crs is not None else "EPSG:3857"
    for start in range(0, bands, batch):
        warp.reproject(
            np.ascontiguousarray(turned[start : start + batch]),
            found[start : start + batch],
            src_transform=_affine(source),
            dst_transform=_affine(target),
            src_crs=system,
            dst_crs=system if same_crs(grid.crs, wanted.crs) or wanted.crs is None else wanted.crs.to_wkt(),
            src_nodata=np.nan,
            dst_nodata=np.nan,
            tolerance=_TOLERANCE,
            resampling=enums.Resampling[_GDAL.get(method, method)],
        )
    result = _turned(found, wanted).reshape(*block.shape[:-2], *wanted.shape)
    return _whole_again(result, block.dtype, method)


def _whole_again(values: Array, kind: np.dtype[Any], method: str) -> Array:
    if kind.kind in "biu" and method in _CHOOSING and not np.isnan(values).any():
        return values.astype(kind)
    return values


def _northern(grid: Grid) -> Grid:
    return Grid(np.sort(grid.x), np.sort(grid.y)[::-1], grid.crs)


def _turned(block: Array, grid: Grid) -> Array:
    rows = slice(None, None, -1) if len(grid.y) > 1 and grid.y[0] < grid.y[-1] else slice(None)
    columns = slice(None, None, -1) if len(grid.x) > 1 and grid.x[0] > grid.x[-1] else slice(None)
    return block[:, rows, columns]


def _affine(grid: Grid) -> Any:
    west, _, _, north = grid.bounds
    dx, dy = grid.steps
    return require("affine", extra="data").Affine(abs(dx), 0.0, west, 0.0, -abs(dy), north)


def _kept_resolution(grid: Grid, bounds: tuple[float, float, float, float]) -> tuple[float, float]:
    """Return square pixels in the new projection, as many along the diagonal as there were (what gdalwarp does)."""
    west, south, east, north = bounds
    size = math.hypot(east - west, north - south) / math.hypot(*grid.shape)
    return size, size


def _number(extent: float, size: float) -> int:
    count = extent / size
    return max(1, round(count) if abs(count - round(count)) < _WHOLE * max(1.0, count) else math.ceil(count))
