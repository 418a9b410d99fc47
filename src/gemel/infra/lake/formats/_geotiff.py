"""GeoTIFF and cloud-optimized GeoTIFF (OGC 21-026), through GDAL, window by window."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.plugins import require
from gemel.infra.lake._axes import time_dim
from gemel.infra.lake._rasters import SETTINGS, open_raster, raster_cube
from gemel.infra.lake.formats._format import Format, Options, unsuitable
from gemel.infra.lake.formats._pictures import Album, Picture, album
from gemel.infra.lake.formats._values import band_units, raster

_TILE = 512
_GTIFF, _COG = "GTiff", "COG"
_COMPRESSIONS = ["deflate", "zstd", "lzw", "none"]
_RESAMPLINGS = ["nearest", "average", "bilinear", "cubic", "mode"]
_STORED = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


def _write_gtiff(value: Any, path: Path, options: Options) -> list[Path]:
    return _write(value, path, options, _GTIFF)


def _write_cog(value: Any, path: Path, options: Options) -> list[Path]:
    return _write(value, path, options, _COG)


def _write(value: Any, path: Path, options: Options, format: str) -> list[Path]:
    cube = raster(value, format)
    pages = album(cube, format)
    pictures = pages.pictures(path, path.suffix)
    dtype, nodata = _dtype(cube, options, format), _nodata(cube, options)
    tile = options.get("blocksize") or _TILE
    shared = _profile(pages, dtype, nodata, tile, options)
    for batch, blocks in pages.blocks(pictures, tile):
        with _opened(batch, shared) as files:
            for picture, rows, columns, cells in blocks:
                _put(files[picture.path], rows, columns, cells, dtype, nodata)
            for picture in batch:
                _describe(files[picture.path], picture, pages, cube)
        if format == _COG:
            for picture in batch:
                _optimize(picture.path, options)
    return [picture.path for picture in pictures]


def _profile(pages: Album, dtype: np.dtype[Any], nodata: float | None, tile: int, options: Options) -> dict[str, Any]:
    rasterio = require("rasterio", extra="data")
    small = max(pages.grid.width, pages.grid.height) < tile
    tiling = {} if small else {"tiled": True, "blockxsize": tile, "blockysize": tile}
    compress = options["compress"]
    packing = {} if compress == "none" else {"compress": compress, "predictor": 3 if dtype.kind == "f" else 2}
    crs = pages.grid.crs
    return {
        "driver": "GTiff",
        "width": pages.grid.width,
        "height": pages.grid.height,
        "count": len(pages.bands),
        "dtype": dtype.name,
        "nodata": nodata,
        "crs": None if crs is None else rasterio.crs.CRS.from_wkt(crs.to_wkt()),
        "transform": rasterio.Affine(*pages.grid.transform),
        # Bands apart: a block of one band is written without reading the others again.
        "interleave": "band",
        "bigtiff": "if_safer",
        **tiling,
        **packing,
    }


@contextlib.contextmanager
def _opened(batch: list[Picture], profile: dict[str, Any]) -> Iterator[dict[Path, Any]]:
    rasterio = require("rasterio", extra="data")
    with contextlib.ExitStack() as stack:
        # Metadata that does not fit into a GeoTIFF is not put into a file beside it.
        stack.enter_context(rasterio.Env(**SETTINGS))
        yield {item.path: stack.enter_context(rasterio.open(item.path, "w", **profile)) for item in batch}


def _put(
    file: Any, rows: slice, columns: slice, cells: np.ndarray[Any, Any], dtype: np.dtype[Any], nodata: float | None
) -> None:
    windows = require("rasterio.windows", extra="data")
    window = windows.Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
    if cells.dtype.kind == "f" and dtype.kind != "f":
        cells = np.where(np.isfinite(cells), np.rint(cells), 0 if nodata is None else nodata)
    file.write(cells.astype(dtype, copy=False), window=window)


def _describe(file: Any, picture: Picture, pages: Album, cube: xr.DataArray) -> None:
    units = band_units(cube)
    for number, name in enumerate(pages.bands, 1):
        unit = units.get(name or "value", "")
        if name:
            file.set_band_description(number, name)
        if unit:
            file.set_band_unit(number, unit)
    tags = {"GEMEL_DIMENSIONS": " ".join(pages.order), "GEMEL_LABELS": json.dumps(picture.labels)}
    time = time_dim(cube)
    tags |= {"GEMEL_TIME": str(picture.labels[time])} if time in picture.labels else {}
    tags |= {"GEMEL_DTYPE": "bool"} if cube.dtype.kind == "b" else {}
    tags |= {"GEMEL_NAME": str(cube.name)} if cube.name is not None else {}
    tags |= {name.upper(): str(cube.attrs[name]) for name in ("long_name", "standard_name") if name in cube.attrs}
    file.update_tags(**tags)


def _optimize(path: Path, options: Options) -> None:
    """Turn a GeoTIFF into a cloud-optimized one: tiles in reading order, overviews, and the index in front."""
    shutil = require("rasterio.shutil", extra="data")
    rasterio = require("rasterio", extra="data")
    plain = path.with_name(path.name + ".plain")
    path.rename(plain)
    compress = options["compress"]
    creation = {
        "driver": "COG",
        "BLOCKSIZE": options["blocksize"],
        "COMPRESS": compress.upper(),
        "OVERVIEWS": "IGNORE_EXISTING",
        "RESAMPLING": options["overview_resampling"].upper(),
        "BIGTIFF": "IF_SAFER",
    }
    creation |= {} if compress == "none" else {"PREDICTOR": "YES"}
    with rasterio.Env(**SETTINGS):
        shutil.copy(plain, path, **creation)
    plain.unlink()


def _dtype(cube: xr.DataArray, options: Options, format: str) -> np.dtype[Any]:
    wanted = options.get("dtype")
    if wanted is not None:
        return np.dtype(wanted)
    if cube.dtype.kind == "b":
        return np.dtype("uint8")
    if cube.dtype == np.dtype("float16"):
        return np.dtype("float32")
    native = cube.dtype.newbyteorder("=")
    if native.name not in _STORED:
        raise unsuitable(format, f"it holds no cells of type {cube.dtype}", "Choose another with the option dtype.")
    return native


def _nodata(cube: xr.DataArray, options: Options) -> float | None:
    wanted = options.get("nodata")
    if wanted is not None:
        return float(wanted)
    return float("nan") if _is_float(cube, options) else None


def _is_float(cube: xr.DataArray, options: Options) -> bool:
    return np.dtype(options.get("dtype") or cube.dtype).kind == "f"


def _read(path: Path, options: Options) -> xr.DataArray:
    with open_raster(str(path), path) as source:
        return raster_cube(source, str(path))


_SHARED: dict[str, dict[str, Any]] = {
    "compress": {
        "type": "string",
        "enum": _COMPRESSIONS,
        "default": "deflate",
        "description": "How tiles are compressed, without loss.",
    },
    "dtype": {
        "type": ["string", "null"],
        "enum": [*_STORED, None],
        "default": None,
        "description": "Type of the cells; default that of the cube. Whole-number types round.",
    },
    "nodata": {
        "type": ["number", "null"],
        "default": None,
        "description": "Number that stands for missing cells; default NaN for floats, none for whole numbers.",
    },
    "blocksize": {
        "type": "integer",
        "enum": [128, 256, 512, 1024, 2048],
        "default": _TILE,
        "description": "Columns and rows of a tile.",
    },
}
_ONE_FILE_EACH = (
    "One file per instant (and per label of any other dimension beyond x and y); bands are bands, with name and unit. "
    "Rows run from north to south."
)

GTIFF = Format(
    name=_GTIFF,
    title="GeoTIFF",
    description=_ONE_FILE_EACH,
    media_type="image/tiff; application=geotiff",
    suffix=".tif",
    kinds=("raster",),
    aliases=("geotiff", "tiff", "tif"),
    writer=_write_gtiff,
    reader=_read,
    output_parameters=_SHARED,
)
COG = Format(
    name=_COG,
    title="Cloud-optimized GeoTIFF",
    description=f"{_ONE_FILE_EACH} With overviews, laid out for reading over the network.",
    media_type="image/tiff; application=geotiff; profile=cloud-optimized",
    suffix=".tif",
    kinds=("raster",),
    aliases=("cloud-optimized-geotiff",),
    writer=_write_cog,
    reader=_read,
    output_parameters=_SHARED
    | {
        "overview_resampling": {
            "type": "string",
            "enum": _RESAMPLINGS,
            "default": "nearest",
            "description": "How cells are put together in overviews.",
        }
    },
)
