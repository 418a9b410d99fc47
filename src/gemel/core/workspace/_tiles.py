"""Map tiles of a raster: 256 by 256 pixels of spherical Mercator, numbered as OpenStreetMap numbers them."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import xarray as xr

from gemel.base.errors import InvalidInput, NotFound
from gemel.core.cubes import require_crs, spatial_dims
from gemel.core.workspace._styles import PERCENTILES, Style

SIZE = 256
# Half the circumference of the sphere of EPSG:3857 (radius 6378137 m): the map reaches as far from its middle.
_HALF = math.pi * 6378137.0
_DEEPEST = 24
_MERCATOR = "EPSG:3857"
_SIGNATURE, _RGBA = b"\x89PNG\r\n\x1a\n", 6
_LARGEST_SAMPLE = 1_000_000  # cells that percentiles are taken from
Values = npt.NDArray[np.floating]


class Picture:
    """A two-dimensional raster ready to be drawn.

    Args:
        values: Array (y, x); both axes ascend.
        axes: Coordinates of the columns and of the rows, ascending.
        crs: Reference system of the coordinates.
        style: How it is drawn.
    """

    def __init__(self, values: Values, axes: tuple[Values, Values], crs: pyproj.CRS, style: Style) -> None:
        self._values = values
        self._x, self._y = axes
        self._style = style
        self._is_geographic = crs.is_geographic
        self._project = pyproj.Transformer.from_crs(_MERCATOR, crs, always_xy=True)
        sample = values[:: _thin(values), :: _thin(values)]
        known = sample[np.isfinite(sample)]
        low, high = np.percentile(known, PERCENTILES) if known.size else (0.0, 1.0)
        self.low = style.minimum if style.minimum is not None else float(low)
        self.high = style.maximum if style.maximum is not None else float(high)

    def tile(self, zoom: int, column: int, row: int) -> bytes:
        """Return the PNG image of a tile.

        Raises:
            NotFound: There is no such tile.
        """
        if not 0 <= zoom <= _DEEPEST or not (0 <= column < 2**zoom and 0 <= row < 2**zoom):
            raise NotFound(f"There is no tile {zoom}/{column}/{row}.", kind="tile")
        side = 2 * _HALF / 2**zoom
        offsets = (np.arange(SIZE) + 0.5) / SIZE * side
        east = -_HALF + column * side + offsets
        north = _HALF - row * side - offsets
        x, y = self._project.transform(*np.meshgrid(east, north))
        return png(self._style.colours(self._at(x, y), self.low, self.high))

    def _at(self, x: Values, y: Values) -> Values:
        # A grid of longitudes 0 to 360 shows its western half too.
        if self._is_geographic and self._x[-1] > 180.0:
            x = np.where(x < self._x[0] - _step(self._x), x + 360.0, x)
        columns, rows = _position(self._x, x), _position(self._y, y)
        inside = np.isfinite(columns) & np.isfinite(rows)
        columns, rows = np.where(inside, columns, 0.0), np.where(inside, rows, 0.0)
        found = self._bilinear(columns, rows) if self._style.resampling == "bilinear" else self._nearest(columns, rows)
        return np.where(inside, found, np.nan)

    def _nearest(self, columns: Values, rows: Values) -> Values:
        picked: Values = self._values[_cell(rows, len(self._y)), _cell(columns, len(self._x))]
        return picked

    def _bilinear(self, columns: Values, rows: Values) -> Values:
        columns, rows = np.clip(columns, 0, len(self._x) - 1), np.clip(rows, 0, len(self._y) - 1)
        left, below = np.floor(columns).astype(int), np.floor(rows).astype(int)
        right, above = np.minimum(left + 1, len(self._x) - 1), np.minimum(below + 1, len(self._y) - 1)
        across, up = columns - left, rows - below
        lower = self._values[below, left] * (1 - across) + self._values[below, right] * across
        upper = self._values[above, left] * (1 - across) + self._values[above, right] * across
        mixed: Values = lower * (1 - up) + upper * up
        # Beside a gap there is nothing to mix with; the nearest cell says whether there is a value.
        return np.where(np.isfinite(mixed), mixed, self._nearest(columns, rows))


def picture_of(cube: xr.DataArray, style: Style) -> Picture:
    """Return what is drawn of a cube: the labels that the style selects, the last label of any other dimension.

    Raises:
        InvalidInput: It has no two spatial dimensions or no reference system, or the style selects what it does not have.
    """
    x, y = spatial_dims(cube)
    plane = _selected(cube, dict(style.select), (x, y)).transpose(y, x).sortby([x, y])
    axes = (np.asarray(plane[x].values, dtype=float), np.asarray(plane[y].values, dtype=float))
    return Picture(np.asarray(plane.values, dtype=float), axes, require_crs(cube, "a map"), style)


def png(colours: npt.NDArray[np.uint8]) -> bytes:
    """Return the PNG image of RGBA bytes, shape (4, rows, columns): eight bits a channel, unfiltered (ISO/IEC 15948).

    >>> png(np.zeros((4, 1, 1), dtype=np.uint8))[1:4]
    b'PNG'
    """
    _, height, width = colours.shape
    pixels = np.moveaxis(colours, 0, -1).reshape(height, -1)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels], axis=1)  # each row begins with its filter: none
    header = struct.pack(">IIBBBBB", width, height, 8, _RGBA, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _selected(cube: xr.DataArray, select: Mapping[str, Any], kept: tuple[str, str]) -> xr.DataArray:
    for name in select:
        if name not in cube.dims or name in kept:
            others = ", ".join(str(dim) for dim in cube.dims if dim not in kept)
            raise InvalidInput(f"The result has no dimension '{name}' to select from.", hint=others or None)
    for dim in [str(dim) for dim in cube.dims if dim not in kept]:
        if dim not in select:
            cube = cube.isel({dim: -1})
            continue
        try:
            cube = cube.sel({dim: select[dim]})
        except (KeyError, ValueError, TypeError) as error:
            message = f"Dimension '{dim}' of the result has no label {select[dim]!r}."
            raise InvalidInput(message, kind="service-parameter", name="select") from error
        if dim in cube.dims:
            cube = cube.isel({dim: -1})
    return cube


def _position(axis: Values, wanted: Values) -> Values:
    """Return places on an axis counted in cells, NaN more than half a cell outside of it."""
    if len(axis) == 1:
        return np.where(np.abs(wanted - axis[0]) <= 0.5, 0.0, np.nan)
    step = _step(axis)
    places = np.interp(wanted, axis, np.arange(len(axis), dtype=float))
    return np.where((wanted >= axis[0] - step / 2) & (wanted <= axis[-1] + step / 2), places, np.nan)


def _step(axis: Values) -> float:
    return float((axis[-1] - axis[0]) / max(len(axis) - 1, 1))


def _cell(places: Values, count: int) -> npt.NDArray[np.int_]:
    cells: npt.NDArray[np.int_] = np.clip(np.floor(places + 0.5).astype(int), 0, count - 1)
    return cells


def _thin(values: Values) -> int:
    return max(1, math.isqrt(values.size // _LARGEST_SAMPLE))
