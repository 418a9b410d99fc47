"""Which pixels a geometry takes: those whose centre it holds, and for points and lines those they lie in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from gemel.core.cubes._grid import Grid, edges, nearest

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Pixels:
    """The pixels that a geometry takes.

    Attributes:
        rows: The window of the grid along y that holds them.
        columns: The window along x.
        inside: Within the window, whether a pixel is taken.
    """

    rows: slice
    columns: slice
    inside: Array

    @property
    def empty(self) -> bool:
        """Return whether no pixel is taken."""
        return not bool(self.inside.any())


def pixels_of(shape: Any, grid: Grid) -> Pixels:
    """Return the pixels that a geometry in the grid's reference system takes.

    A polygon takes the pixels whose centre it holds or touches; a point the pixel it lies in; a line the pixels it
    runs through (their centres are the nearest to one of its points).
    """
    if shape.is_empty or 0 in grid.shape:
        return Pixels(slice(0, 0), slice(0, 0), np.zeros((0, 0), dtype=bool))
    taken = _window(shape, grid)
    for part in shapely.get_parts(shape) if shape.geom_type == "GeometryCollection" else [shape]:
        _take(part, grid, taken)
    return taken


def union_of(shapes: Any, grid: Grid) -> Array:
    """Return for each pixel of the grid (y, x) whether one of the geometries takes it."""
    taken = np.zeros(grid.shape, dtype=bool)
    for shape in shapes:
        found = pixels_of(shape, grid)
        taken[found.rows, found.columns] |= found.inside
    return taken


def _window(shape: Any, grid: Grid) -> Pixels:
    west, south, east, north = shape.bounds
    columns, rows = _span(grid.x, west, east), _span(grid.y, south, north)
    size = (max(rows.stop - rows.start, 0), max(columns.stop - columns.start, 0))
    return Pixels(rows, columns, np.zeros(size, dtype=bool))


def _span(centres: Array, low: float, high: float) -> slice:
    borders = edges(centres)
    lows, highs = np.minimum(borders[:-1], borders[1:]), np.maximum(borders[:-1], borders[1:])
    found = np.flatnonzero((highs >= low) & (lows <= high))
    return slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 0)


def _take(shape: Any, grid: Grid, taken: Pixels) -> None:
    if taken.inside.size == 0:
        return
    x, y = grid.x[taken.columns], grid.y[taken.rows]
    if shape.geom_type in ("Polygon", "MultiPolygon"):
        shapely.prepare(shape)
        taken.inside[:] |= shapely.intersects_xy(shape, *np.meshgrid(x, y))
    elif shape.geom_type in ("Point", "MultiPoint"):
        points = shapely.get_coordinates(shape)
        columns, rows = nearest(grid.x, points[:, 0]), nearest(grid.y, points[:, 1])
        met = (columns >= 0) & (rows >= 0)
        taken.inside[rows[met] - taken.rows.start, columns[met] - taken.columns.start] = True
    else:
        shapely.prepare(shape)
        taken.inside[:] |= shapely.intersects(shape, _boxes(edges(grid.x), edges(grid.y), taken))


def _boxes(x: Array, y: Array, taken: Pixels) -> Array:
    west, south = np.meshgrid(x[:-1][taken.columns], y[:-1][taken.rows])
    east, north = np.meshgrid(x[1:][taken.columns], y[1:][taken.rows])
    return np.asarray(shapely.box(west, south, east, north))
