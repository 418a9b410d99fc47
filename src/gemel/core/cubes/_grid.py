"""The horizontal grid of a raster cube: pixel centres, edges, steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.core.cubes._crs import crs_of
from gemel.core.cubes._dimensions import spatial_dims

Array = np.ndarray[Any, np.dtype[np.float64]]
# Steps that differ by less than this share of themselves are one: what float32 coordinates lose.
_EVEN = 1e-3


@dataclass(frozen=True)
class Grid:
    """Pixel centres of a cube.

    Attributes:
        x: Centres along the x axis, in the cube's order.
        y: Centres along the y axis.
        crs: Their reference system, or None where it is unknown.
    """

    x: Array
    y: Array
    crs: pyproj.CRS | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Return the numbers of pixels along y and x."""
        return len(self.y), len(self.x)

    @property
    def steps(self) -> tuple[float, float]:
        """Return the signed distance between neighbours along x and y.

        Raises:
            InvalidInput: The grid is not evenly spaced, or has a single pixel and no size can be told.
        """
        found = [_step(self.x, "x"), _step(self.y, "y")]
        if None in found:
            known = next((abs(step) for step in found if step is not None), None)
            if known is None:
                raise InvalidInput(
                    "The size of a single pixel cannot be told from its centre.", hint="Give a resolution."
                )
            found = [known if found[0] is None else found[0], -known if found[1] is None else found[1]]
        return found[0], found[1]  # type: ignore[return-value]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Return west, south, east and north edges of the outer pixels."""
        dx, dy = (abs(step) / 2 for step in self.steps)
        return (
            float(self.x.min()) - dx,
            float(self.y.min()) - dy,
            float(self.x.max()) + dx,
            float(self.y.max()) + dy,
        )

    def same(self, other: Grid) -> bool:
        """Return whether two grids have the same pixels."""
        if self.shape != other.shape:
            return False
        return _close(self.x, other.x) and _close(self.y, other.y)


def grid_of(cube: xr.DataArray) -> Grid:
    """Return the horizontal grid of a cube.

    Raises:
        ProcessRefused: It has no horizontal dimensions.
        InvalidInput: Their labels are no finite numbers in order.
    """
    x, y = spatial_dims(cube)
    return Grid(_centres(cube, x), _centres(cube, y), crs_of(cube))


def edges(centres: Array) -> Array:
    """Return the borders between pixels, half way between centres; the outer ones as far out as the next ones are in.

    >>> edges(np.array([0.5, 1.5, 2.5]))
    array([0., 1., 2., 3.])
    """
    if len(centres) < 2:
        return np.concatenate([centres - 0.5, centres + 0.5])
    middle = (centres[:-1] + centres[1:]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def nearest(centres: Array, places: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return for each place the position of the pixel it lies in, -1 outside; on an edge the pixel that begins there."""
    borders = edges(centres)
    descending = len(centres) > 1 and centres[0] > centres[-1]
    found = (
        np.searchsorted(-borders if descending else borders, -np.asarray(places) if descending else places, "right") - 1
    )
    last = np.isclose(places, borders[-1], rtol=0, atol=1e-9 * max(1.0, abs(float(borders[-1]))))
    found = np.where((found == len(centres)) & last, len(centres) - 1, found)
    return np.where((found < 0) | (found >= len(centres)), -1, found).astype(np.int64)


def monotonic(cube: xr.DataArray, dim: str) -> None:
    """Do nothing for a dimension whose labels rise or fall throughout.

    Raises:
        InvalidInput: They do not; the message names the first place.
    """
    values = cube.coords[dim].values if dim in cube.coords else np.arange(cube.sizes[dim])
    rises = values[1:] > values[:-1]
    falls = values[1:] < values[:-1]
    if not (rises.all() or falls.all()):
        place = int(np.argmax(rises != rises[0])) if (rises | falls).all() else int(np.argmax(~(rises | falls)))
        hint = "Sort the dimension and remove duplicates first."
        raise InvalidInput(f"The labels of '{dim}' are not in order at position {place + 1}.", hint=hint)


def _centres(cube: xr.DataArray, dim: str) -> Array:
    if dim not in cube.coords:
        return np.arange(cube.sizes[dim], dtype=np.float64)
    values = np.asarray(cube.coords[dim].values)
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise InvalidInput(f"The labels of the spatial dimension '{dim}' are not all finite numbers.")
    monotonic(cube, dim)
    return values.astype(np.float64)


def _step(centres: Array, name: str) -> float | None:
    if len(centres) == 0:
        raise InvalidInput(f"The cube has no pixels along the axis {name}.", hint="Its spatial extent is empty.")
    if len(centres) == 1:
        return None
    step = (centres[-1] - centres[0]) / (len(centres) - 1)
    if np.abs(np.diff(centres) - step).max() > _EVEN * abs(step):
        message = f"The pixels along the axis {name} are not evenly spaced."
        raise InvalidInput(message, hint="Resample to a grid with equal steps first (method 'near').")
    return float(step)


def _close(one: Array, other: Array) -> bool:
    size = abs(one[-1] - one[0]) / (len(one) - 1) if len(one) > 1 else 1.0
    return bool(np.abs(one - other).max(initial=0.0) <= _EVEN * size)
