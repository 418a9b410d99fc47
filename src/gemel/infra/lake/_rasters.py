"""Rasters through GDAL: opened with the one driver that their first bytes ask for, read lazily window by window."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.base.plugins import require
from gemel.infra.lake._axes import with_grid
from gemel.infra.lake._grid import Grid, grid_from_transform
from gemel.infra.lake._guard import check_tiles
from gemel.infra.lake._lazy import Window, lazy_cube, lazy_variable, promoted
from gemel.infra.lake._tiff import check_tiff

_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_PNG = b"\x89PNG"
_JP2 = (b"\x00\x00\x00\x0cjP  ", b"\xffO\xffQ")
# Nothing is looked for beside a file, and a file over the network is given up after a while.
SETTINGS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_CACHEMAX": 128 << 20,  # bytes; GDAL would take a twentieth of the machine's memory
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_MAX_RETRY": "2",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "VSI_CACHE": "TRUE",
}


def driver_of(head: bytes) -> str | None:
    """Return the GDAL driver for a file that begins with `head`: GTiff, PNG, JP2OpenJPEG or GRIB; else None."""
    if head[:4] in _TIFF:
        return "GTiff"
    if head[:4] == _PNG:
        return "PNG"
    if head.startswith(_JP2):
        return "JP2OpenJPEG"
    return "GRIB" if head[:4] == b"GRIB" else None


@contextlib.contextmanager
def open_raster(address: str, path: Path, driver: str | None = None) -> Iterator[Any]:
    """Yield the rasterio dataset of a local file or an http(s) address, checked against a lying header.

    Args:
        address: The file's path, or its http(s) address.
        path: The same as a path, for its size and for messages.
        driver: The only GDAL driver that may open it; default by its first bytes.

    Raises:
        InvalidInput: It is no raster, or cannot be read.
    """
    rasterio = require("rasterio", extra="data")
    errors = require("rasterio.errors", extra="data")
    driver = driver or _sniffed(path)
    if driver == "GTiff" and path.is_file():
        _checked(path, path.stat().st_mtime_ns, path.stat().st_size)
    with rasterio.Env(**SETTINGS):
        try:
            with rasterio.open(address, driver=driver, sharing=False) as source:
                check_tiles(path, driver, source)
                yield source
        except errors.RasterioError as error:
            reason = (str(error).strip().splitlines() or ["GDAL says nothing more"])[0].rstrip(".")
            message = f"'{path.name}' cannot be read as {driver}: {reason.replace(str(path), path.name)}."
            raise InvalidInput(message, hint="Is the file complete?", exception="FormatUnsuitable") from error


@functools.lru_cache(maxsize=4096)
def _checked(path: Path, changed: int, size: int) -> None:
    # Windows are read one by one, each from a file opened anew: the skeleton is looked at once for each version.
    check_tiff(path)


def grid_of_source(source: Any) -> Grid | None:
    """Return the grid of an opened raster, or None for one that is rotated or not placed on the Earth."""
    return grid_from_transform(source.transform, source.width, source.height, crs_of_source(source))


def crs_of_source(source: Any) -> pyproj.CRS | None:
    """Return the reference system of an opened raster, or None."""
    return None if source.crs is None else _crs(source.crs.to_wkt())


@functools.lru_cache(maxsize=256)
def _crs(text: str) -> pyproj.CRS:
    return pyproj.CRS.from_wkt(text)


def cell_type(source: Any) -> np.dtype[Any]:
    """Return the type that holds the cells of an opened raster, with NaN for those that it says are missing."""
    stored = np.result_type(*(np.dtype(item) for item in source.dtypes))
    missing = [item for item in source.nodatavals if item is not None]
    return promoted(stored) if missing else stored


def cells(source: Any, bands: list[int], rows: slice, columns: slice, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return a window of an opened raster, of shape (bands, y, x), with NaN for missing cells of a floating `dtype`."""
    windows = require("rasterio.windows", extra="data")
    window = windows.Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
    block = source.read(bands, window=window)
    return without_nodata(block, [source.nodatavals[band - 1] for band in bands], dtype)


def without_nodata(
    block: np.ndarray[Any, Any], nodata: list[float | None], dtype: np.dtype[Any]
) -> np.ndarray[Any, Any]:
    """Return the block as `dtype`, with NaN where a band holds its own number for missing."""
    found = block.astype(dtype, copy=False)
    if dtype.kind != "f":
        return found
    for position, missing in enumerate(nodata):
        if missing is not None and not np.isnan(missing):
            found[position] = np.where(block[position] == block.dtype.type(missing), np.nan, found[position])
    return found


def raster_cube(source: Any, address: str) -> xr.DataArray:
    """Return an opened raster as a cube that is read when asked for.

    Dimensions are (bands, y, x), or those that the cube had before gemel wrote it. Scale and offset are not applied.
    """
    tags = source.tags()
    order = tags.get("GEMEL_DIMENSIONS", "bands y x").split()
    labels = json.loads(tags.get("GEMEL_LABELS", "{}"))
    y, x, bands = _roles(order, labels)
    boolean = tags.get("GEMEL_DTYPE") == "bool"
    dtype = np.dtype(bool) if boolean else cell_type(source)
    path, driver = Path(address), source.driver
    numbers: Any = list(range(1, source.count + 1))
    shape = {y: source.height, x: source.width} | ({bands: source.count} if bands else {}) | dict.fromkeys(labels, 1)

    def read(window: Window) -> np.ndarray[Any, Any]:
        part = dict(zip(order, window, strict=True))
        chosen: list[int] = numbers[part[bands]] if bands else numbers
        with open_raster(address, path, driver) as opened:
            block = cells(opened, chosen, part[y], part[x], dtype)
        current = [*([bands] if bands else []), y, x]
        block = block if bands else block[0]
        turned = block.transpose([current.index(dim) for dim in order if dim in current])
        return turned.reshape([item.stop - item.start for item in window])

    rows, columns = source.block_shapes[0]
    chunks = {y: rows, x: columns} | {dim: 1 for dim in order if dim not in (x, y)}
    variable = lazy_variable(order, [shape[dim] for dim in order], dtype, read, chunks=chunks)
    return _labelled(source, lazy_cube(variable, {}, tags.get("GEMEL_NAME")), (y, x, bands), labels)


def _labelled(
    source: Any, cube: xr.DataArray, roles: tuple[str, str, str | None], labels: dict[str, Any]
) -> xr.DataArray:
    y, x, bands = roles
    tags, encoding = source.tags(), cube.encoding
    grid = grid_of_source(source)
    if grid is None:
        hint = "Warp it to a north-up grid first, with gdalwarp say."
        raise InvalidInput("The raster is rotated or not placed on a grid.", hint=hint, exception="FormatUnsuitable")
    coords: dict[str, Any] = {x: (x, grid.x(), {"axis": "X"}), y: (y, grid.y(), {"axis": "Y"})}
    for dim, label in labels.items():
        coords[dim] = (dim, _label(label))
    if bands:
        names = [text or str(number) for number, text in enumerate(source.descriptions, 1)]
        coords[bands] = (bands, np.array(names))
    cube = with_grid(cube.assign_coords(coords), grid.crs)
    if grid.crs is not None:
        text = " ".join(repr(item) for item in (grid.left, grid.dx, 0.0, grid.top, 0.0, -grid.dy))
        cube = cube.assign_coords(spatial_ref=cube["spatial_ref"].assign_attrs(GeoTransform=text))
    units = [unit or "" for unit in source.units]
    cube = _with_units(cube, bands, units)
    cube = cube.assign_attrs({n: tags[n.upper()] for n in ("long_name", "standard_name") if n.upper() in tags})
    cube.encoding = encoding
    return cube


def _with_units(cube: xr.DataArray, bands: str | None, units: list[str]) -> xr.DataArray:
    distinct = set(units)
    if len(distinct) == 1:
        return cube.assign_attrs(units=units[0]) if units[0] else cube
    return cube.assign_coords(units=(bands, np.array(units)))


def _label(label: Any) -> np.ndarray[Any, Any]:
    if isinstance(label, str):
        with contextlib.suppress(ValueError):
            return np.array([label.removesuffix("Z")], "datetime64[ns]")
    return np.array([label])


def _roles(order: list[str], labels: dict[str, Any]) -> tuple[str, str, str | None]:
    """Return the names of the y, x and bands dimensions: those without a label, x and y by what they are called."""
    free = [dim for dim in order if dim not in labels]
    known_y, known_x = ("y", "lat", "latitude", "northing"), ("x", "lon", "longitude", "easting")
    y = next((dim for dim in free if dim.lower() in known_y), free[-2])
    x = next((dim for dim in free if dim.lower() in known_x), free[-1])
    return y, x, next((dim for dim in free if dim not in (x, y)), None)


def _sniffed(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            found = driver_of(stream.read(16))
    except OSError as error:
        raise InvalidInput(f"'{path.name}' cannot be read: {error.strerror}.") from error
    if found is None:
        hint = "Known are GeoTIFF, PNG, JPEG 2000 and GRIB."
        raise InvalidInput(f"'{path.name}' is no raster file.", hint=hint, exception="FormatUnsuitable")
    return found
