"""Regular grids: where the cells of a raster lie, as centres along two dimensions and as the six numbers of GDAL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.infra.lake._axes import crs_of, same_crs, x_dim, y_dim

# Labels written as float32 are off by up to 2**-24 of their size; a thousandth of a cell hides nothing that matters.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Grid:
    """A north-up grid.

    Attributes:
        left: West edge of the first column, in units of the reference system.
        top: North edge of the first row.
        dx: Width of a cell, positive.
        dy: Height of a cell, positive.
        width: Columns.
        height: Rows.
        crs: Reference system, or None when unknown.
    """

    left: float
    top: float
    dx: float
    dy: float
    width: int
    height: int
    crs: pyproj.CRS | None = None

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Return west, south, east and north edges."""
        return self.left, self.top - self.height * self.dy, self.left + self.width * self.dx, self.top

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """Return the affine coefficients a to f as rasterio orders them."""
        return self.dx, 0.0, self.left, 0.0, -self.dy, self.top

    def x(self) -> np.ndarray[Any, Any]:
        """Return the centres of the columns."""
        return self.left + (np.arange(self.width) + 0.5) * self.dx

    def y(self) -> np.ndarray[Any, Any]:
        """Return the centres of the rows, from north to south."""
        return self.top - (np.arange(self.height) + 0.5) * self.dy

    def part(self, rows: slice, columns: slice) -> Grid:
        """Return the grid of some rows and columns."""
        left, top = self.left + columns.start * self.dx, self.top - rows.start * self.dy
        return Grid(left, top, self.dx, self.dy, columns.stop - columns.start, rows.stop - rows.start, self.crs)

    def aligned(self, other: Grid) -> bool:
        """Return whether the cells of two grids are the same cells where they overlap."""
        same = np.isclose(self.dx, other.dx, rtol=1e-9) and np.isclose(self.dy, other.dy, rtol=1e-9)
        shift_x, shift_y = (self.left - other.left) / self.dx, (self.top - other.top) / self.dy
        whole = abs(shift_x - round(shift_x)) < _TOLERANCE and abs(shift_y - round(shift_y)) < _TOLERANCE
        return bool(same and whole and same_crs(self.crs, other.crs))


def grid_from_transform(coefficients: Any, width: int, height: int, crs: pyproj.CRS | None) -> Grid | None:
    """Return the grid of an affine transform, or None for a rotated or south-up one.

    >>> grid_from_transform((10, 0, 500000, 0, -10, 5000000), 2, 1, None).bounds
    (500000.0, 4999990.0, 500020.0, 5000000.0)
    """
    a, b, c, d, e, f = (float(item) for item in tuple(coefficients)[:6])
    if b or d or a <= 0 or e >= 0:
        return None
    return Grid(c, f, a, -e, int(width), int(height), crs)


def grid_of(cube: xr.DataArray | xr.Dataset) -> tuple[Grid, bool, bool]:
    """Return the grid of a cube, and whether its columns and its rows run against it (east to west, south to north).

    Raises:
        InvalidInput: It has no two horizontal dimensions, or they are not evenly spaced.
    """
    x, y = x_dim(cube), y_dim(cube)
    if x is None or y is None:
        named = ", ".join(map(str, cube.dims)) or "none"
        raise InvalidInput(
            f"There are no two horizontal dimensions, only: {named}.", hint="Call them x and y, or give them CF axes."
        )
    columns, rows = _labels(cube, x), _labels(cube, y)
    dx, dy = _step(columns, x), _step(rows, y)
    if dx is None and dy is None:
        dx, dy = _declared(cube)
    width, height = abs(dx or dy or 1.0), abs(dy or dx or 1.0)
    left, top = min(columns[0], columns[-1]) - width / 2, max(rows[0], rows[-1]) + height / 2
    grid = Grid(left, top, width, height, len(columns), len(rows), crs_of(cube))
    return grid, bool(dx is not None and dx < 0), bool(dy is not None and dy > 0)


def _labels(cube: xr.DataArray | xr.Dataset, dim: str) -> np.ndarray[Any, Any]:
    if dim not in cube.coords:
        raise InvalidInput(f"The dimension '{dim}' has no labels.", hint="Give it coordinates.")
    try:
        return np.asarray(cube[dim].values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"The labels along '{dim}' are no numbers.") from error


def _step(labels: np.ndarray[Any, Any], dim: str) -> float | None:
    if len(labels) < 2:
        return None
    steps = np.diff(labels)
    step = float((labels[-1] - labels[0]) / (len(labels) - 1))
    if step == 0 or not np.all(np.abs(steps - step) <= _TOLERANCE * abs(step)):
        raise InvalidInput(f"The labels along '{dim}' are not evenly spaced.", hint="Resample to a regular grid first.")
    return step


def _declared(cube: xr.DataArray | xr.Dataset) -> tuple[float, float]:
    """Return the step of a single cell, from the transform that its grid mapping keeps."""
    for name in cube.coords:
        text = cube[name].attrs.get("GeoTransform")
        if text:
            parts = [float(item) for item in str(text).split()]
            return parts[1], parts[5]
    raise InvalidInput("How large the only cell is, is not known.", hint="Keep at least two cells along x or y.")
