"""PNG (ISO/IEC 15948) of 8 bits: pictures of one, three or four bands."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from gemel.base.plugins import require
from gemel.infra.lake._blocks import regions
from gemel.infra.lake._rasters import SETTINGS
from gemel.infra.lake.formats._format import Format, Options, unsuitable
from gemel.infra.lake.formats._pictures import Album, album
from gemel.infra.lake.formats._values import raster

_NAME = "PNG"
_MOST = 1 << 28  # cells of one picture: it is held in memory while it is compressed
_TILE = 512


def _write(value: Any, path: Path, options: Options) -> list[Path]:
    cube = raster(value, _NAME)
    pages = album(cube, _NAME)
    if len(pages.bands) not in (1, 3, 4):
        reason = f"a picture has 1, 3 or 4 bands, and the cube has {len(pages.bands)}"
        raise unsuitable(_NAME, reason, "Select bands with filter_bands.")
    if pages.grid.width * pages.grid.height > _MOST:
        raise unsuitable(_NAME, f"{pages.grid.width} x {pages.grid.height} cells are too many for one picture")
    low, high, gaps = _span(pages, options)
    pictures = pages.pictures(path, path.suffix)
    for picture in pictures:
        canvas = _canvas(pages, gaps)
        for _, blocks in pages.blocks([picture], _TILE):
            for _, rows, columns, cells in blocks:
                canvas[:, rows, columns] = _painted(cells, low, high, len(canvas))
        _save(canvas, picture.path)
    return [picture.path for picture in pictures]


def _span(pages: Album, options: Options) -> tuple[float, float, bool]:
    """Return the values that become black and white, and whether there are missing cells."""
    scale = options["scale"]
    cube = pages.cube
    if cube.dtype == np.dtype("uint8") and scale is None:
        return 0.0, 255.0, False
    if scale is not None and (
        len(scale) != 2 or not all(isinstance(i, (int, float)) for i in scale) or scale[0] >= scale[1]
    ):
        raise unsuitable(_NAME, f"scale is {scale}", "Give two numbers, the smaller one first.")
    low, high, gaps = np.inf, -np.inf, False
    for region in regions(cube):
        cells = cube.isel(region).values
        cells = cells.astype(np.float64) if cells.dtype.kind != "f" else cells
        valid = np.isfinite(cells)
        gaps = gaps or not bool(valid.all())
        if valid.any():
            low, high = min(low, float(cells[valid].min())), max(high, float(cells[valid].max()))
    if scale is not None:
        return float(scale[0]), float(scale[1]), gaps
    return (low, high, gaps) if low < high else (min(low, 0.0), max(high, 1.0), gaps)


def _canvas(pages: Album, gaps: bool) -> np.ndarray[Any, Any]:
    colours = len(pages.bands)
    alpha = 1 if gaps and colours < 4 else 0
    return np.zeros((colours + alpha, pages.grid.height, pages.grid.width), np.uint8)


def _painted(cells: np.ndarray[Any, Any], low: float, high: float, layers: int) -> np.ndarray[Any, Any]:
    scaled = (cells.astype(np.float64) - low) * (255.0 / (high - low))
    missing = ~np.isfinite(scaled)
    painted: np.ndarray[Any, Any] = np.rint(np.clip(np.where(missing, 0.0, scaled), 0.0, 255.0)).astype(np.uint8)
    if layers == len(cells):
        return painted
    opaque = np.where(missing.any(axis=0), 0, 255).astype(np.uint8)
    return np.concatenate([painted, opaque[None]])


def _save(canvas: np.ndarray[Any, Any], path: Path) -> None:
    rasterio = require("rasterio", extra="data")
    errors = require("rasterio.errors", extra="data")
    layers, height, width = canvas.shape
    # PNG knows no place on the Earth, and GDAL says so each time.
    with rasterio.Env(**SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="PNG", width=width, height=height, count=layers, dtype="uint8") as file:
            file.write(canvas)


PNG = Format(
    name=_NAME,
    title="Portable Network Graphics, 8 bits",
    description=(
        "One picture per instant (and per label of any further dimension): one band in grey, three as red, green and "
        "blue, four with opacity. Missing cells are transparent. Bytes stay as they are; other numbers are scaled."
    ),
    media_type="image/png",
    suffix=".png",
    kinds=("raster",),
    writer=_write,
    output_parameters={
        "scale": {
            "type": ["array", "null"],
            "items": {"type": "number"},
            "default": None,
            "description": "The two values that become 0 and 255; default the least and the greatest of the cube.",
        }
    },
)
