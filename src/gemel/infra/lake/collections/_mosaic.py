"""Many raster files as one cube: put side by side and on top of each other when a window is read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.base.plugins import require
from gemel.infra.lake._axes import same_crs, with_grid
from gemel.infra.lake._extent import Area
from gemel.infra.lake._grid import Grid
from gemel.infra.lake._guard import AXIS_LIMIT
from gemel.infra.lake._lazy import Window, lazy_cube, lazy_variable, promoted
from gemel.infra.lake._places import Place
from gemel.infra.lake._rasters import cells, grid_of_source, open_raster
from gemel.infra.lake._select import no_data

_READERS = 8  # files on the web read at the same time
_TILE = 512

Cells = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Source:
    """One raster file of a mosaic.

    Attributes:
        place: Where it lies.
        driver: The GDAL driver that may open it.
        time: Its instant.
        bands: Number in the file of each of its bands by name.
        grid: Where its cells lie.
        dtype: Type of its cells; with NaN for missing ones where it declares any.
    """

    place: Place
    driver: str
    time: np.datetime64
    bands: Mapping[str, int]
    grid: Grid
    dtype: np.dtype[Any]


def target_grid(sources: Sequence[Source], area: Area | None, wanted: Mapping[str, Any]) -> Grid:
    """Return the grid of a mosaic: the finest of its files in the reference system that most of them have.

    Args:
        sources: Its files.
        area: What is asked for; cells whose centres lie in its box are kept.
        wanted: `crs` and `step` (of x, y) where the collection declares them.

    Raises:
        InvalidInput: No cell is left, or more than anyone could label.
    """
    crs = wanted.get("crs") or _most_common([source.grid.crs for source in sources])
    own = [source.grid for source in sources if same_crs(source.grid.crs, crs)]
    model = min(own, key=lambda grid: grid.dx * grid.dy) if own else _warped_grid(sources[0].grid, crs)
    dx, dy = wanted.get("step") or (model.dx, model.dy)
    boxes = [_bounds_in(source.grid, crs) for source in sources]
    west, south = min(box[0] for box in boxes), min(box[1] for box in boxes)
    east, north = max(box[2] for box in boxes), max(box[3] for box in boxes)
    # Cells keep the phase of the model, so that its files need no warping.
    first_column, last_column = _inside(model.left, dx, west, east, 1e-6)
    first_row, last_row = _inside(-model.top, dy, -north, -south, 1e-6)
    if area is not None:
        low_x, low_y, high_x, high_y = area.bounds_in(crs)
        columns, rows = _inside(model.left, dx, low_x, high_x), _inside(-model.top, dy, -high_y, -low_y)
        first_column, last_column = max(first_column, columns[0]), min(last_column, columns[1])
        first_row, last_row = max(first_row, rows[0]), min(last_row, rows[1])
    width, height = last_column - first_column + 1, last_row - first_row + 1
    if width <= 0 or height <= 0:
        raise no_data("no cell centre lies in the spatial extent")
    if max(width, height) > AXIS_LIMIT:
        raise InvalidInput(f"The files span {width} x {height} cells, more than can be labelled.")
    return Grid(model.left + first_column * dx, model.top - first_row * dy, dx, dy, width, height, crs)


def mosaic(
    sources: Sequence[Source], bands: Sequence[str], grid: Grid, names: Mapping[str, str], resampling: str
) -> xr.DataArray:
    """Return the cube of (time, bands, y, x) that files make, read when asked for.

    Where files overlap, the first one with a value counts, in the order given. Files on another grid are warped while
    they are read.

    Args:
        sources: The files.
        bands: Names of the bands, in order.
        grid: Grid of the cube.
        names: Names of its dimensions by role: t, bands, y, x.
        resampling: How a file on another grid is sampled, by GDAL's name.
    """
    times = sorted({source.time for source in sources})
    at: dict[np.datetime64, list[Source]] = {}
    for source in sources:
        at.setdefault(source.time, []).append(source)
    dtype = _common_type([at[time] for time in times], grid, len(bands))

    def read(window: Window) -> Cells:
        part = grid.part(window[2], window[3])
        labels = list(bands)[window[1]]
        jobs = [(t, source) for t, time in enumerate(times[window[0]]) for source in at[time] if _meets(source, part)]
        block = _empty((len(times[window[0]]), len(labels), part.height, part.width), dtype)
        for (t, source), found in zip(jobs, _read_all(jobs, labels, part, dtype, resampling), strict=True):
            _lay(block[t], labels, source, found)
        return block

    dims = (names["t"], names["bands"], names["y"], names["x"])
    shape = (len(times), len(bands), grid.height, grid.width)
    chunks = {dims[0]: 1, dims[1]: 1, dims[2]: min(_TILE, grid.height), dims[3]: min(_TILE, grid.width)}
    variable = lazy_variable(dims, shape, dtype, read, chunks=chunks)
    coords = dict(zip(dims, (np.array(times), np.array(list(bands)), grid.y(), grid.x()), strict=True))
    cube = lazy_cube(variable, coords)
    encoding = cube.encoding
    cube[dims[2]].attrs["axis"], cube[dims[3]].attrs["axis"] = "Y", "X"
    cube = with_grid(cube, grid.crs)
    cube.encoding = encoding
    return cube


def _read_all(
    jobs: Sequence[tuple[int, Source]], labels: Sequence[str], part: Grid, dtype: Any, resampling: str
) -> list[Cells | None]:
    def one(job: tuple[int, Source]) -> Cells | None:
        return _read_source(job[1], [name for name in labels if name in job[1].bands], part, dtype, resampling)

    if len(jobs) > 1 and any(source.place.remote for _, source in jobs):
        with ThreadPoolExecutor(min(_READERS, len(jobs))) as pool:
            return list(pool.map(one, jobs))
    return [one(job) for job in jobs]


def _read_source(
    source: Source, names: Sequence[str], part: Grid, dtype: np.dtype[Any], resampling: str
) -> Cells | None:
    """Return the source's cells on the grid `part`, of shape (names, y, x), or None where it has none of them."""
    if not names:
        return None
    numbers = [source.bands[name] for name in names]
    with open_raster(source.place.address, source.place.path, source.driver) as opened:
        if max(numbers) > opened.count:
            raise InvalidInput(
                f"'{source.place.path.name}' has {opened.count} bands, and band {max(numbers)} is asked for."
            )
        own = grid_of_source(opened)
        if own is not None and own.aligned(part):
            return _cut(opened, own, numbers, part, dtype)
        return _warp(opened, numbers, part, dtype, resampling)


def _cut(opened: Any, own: Grid, numbers: list[int], part: Grid, dtype: np.dtype[Any]) -> Cells:
    column, row = round((part.left - own.left) / own.dx), round((own.top - part.top) / own.dy)
    columns = slice(max(0, column), max(0, min(own.width, column + part.width)))
    rows = slice(max(0, row), max(0, min(own.height, row + part.height)))
    block = _empty((len(numbers), part.height, part.width), dtype)
    if columns.start < columns.stop and rows.start < rows.stop:
        found = cells(opened, numbers, rows, columns, dtype)
        block[:, rows.start - row : rows.stop - row, columns.start - column : columns.stop - column] = found
    return block


def _warp(opened: Any, numbers: list[int], part: Grid, dtype: np.dtype[Any], resampling: str) -> Cells:
    rasterio = require("rasterio", extra="data")
    warped = require("rasterio.vrt", extra="data").WarpedVRT
    method = rasterio.enums.Resampling[resampling]
    if opened.crs is None or part.crs is None:
        raise InvalidInput(f"'{opened.name}' has no reference system, and does not lie on the grid of the others.")
    with warped(
        opened,
        crs=rasterio.crs.CRS.from_wkt(part.crs.to_wkt()),
        transform=rasterio.Affine(*part.transform),
        width=part.width,
        height=part.height,
        resampling=method,
        nodata=math.nan,
        dtype=dtype.name,
    ) as view:
        return np.asarray(view.read(numbers), dtype=dtype)


def _lay(block: Cells, labels: Sequence[str], source: Source, found: Cells | None) -> None:
    if found is None:
        return
    names = [name for name in labels if name in source.bands]
    for name, layer in zip(names, found, strict=True):
        target = block[list(labels).index(name)]
        if target.dtype.kind == "f":
            np.copyto(target, layer, where=np.isnan(target))
        else:
            target[...] = layer


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Cells:
    return np.full(shape, np.nan, dtype) if dtype.kind == "f" else np.zeros(shape, dtype)


def _common_type(steps: Sequence[Sequence[Source]], grid: Grid, bands: int) -> np.dtype[Any]:
    """Return the type of the mosaic: whole numbers only where one file covers every cell of every step."""
    stored = np.result_type(*(source.dtype for step in steps for source in step))
    whole = all(
        sum(len(source.bands) for source in step) == bands and all(_covers(source.grid, grid) for source in step)
        for step in steps
    )
    return stored if whole or stored.kind == "f" else promoted(stored)


def _covers(own: Grid, grid: Grid) -> bool:
    if not own.aligned(grid):
        return False
    west, south, east, north = own.bounds
    low_x, low_y, high_x, high_y = grid.bounds
    slack_x, slack_y = grid.dx * 1e-3, grid.dy * 1e-3
    return (
        west <= low_x + slack_x and east >= high_x - slack_x and south <= low_y + slack_y and north >= high_y - slack_y
    )


def _meets(source: Source, part: Grid) -> bool:
    west, south, east, north = _bounds_in(source.grid, part.crs)
    low_x, low_y, high_x, high_y = part.bounds
    return west < high_x and east > low_x and south < high_y and north > low_y


def _bounds_in(grid: Grid, crs: pyproj.CRS | None) -> tuple[float, float, float, float]:
    if crs is None or grid.crs is None or same_crs(grid.crs, crs):
        return grid.bounds
    return Area(grid.bounds, grid.crs).bounds_in(crs)


def _inside(origin: float, step: float, low: float, high: float, slack: float = 1e-9) -> tuple[int, int]:
    """Return the first and last position whose centre lies between two coordinates."""
    first = math.ceil((low - origin) / step - 0.5 - slack)
    last = math.floor((high - origin) / step - 0.5 + slack)
    return first, last


def _most_common(systems: Sequence[pyproj.CRS | None]) -> pyproj.CRS | None:
    counted = Counter(None if crs is None else crs.to_wkt() for crs in systems)
    text = counted.most_common(1)[0][0]
    return None if text is None else pyproj.CRS.from_wkt(text)


def _warped_grid(grid: Grid, crs: pyproj.CRS | None) -> Grid:
    """Return a grid in another system with about the same cells (the same diagonal, as GDAL suggests)."""
    warp: Callable[..., Any] = require("rasterio.warp", extra="data").calculate_default_transform
    if crs is None or grid.crs is None:
        raise InvalidInput("Files without a reference system cannot be put on the collection's grid.")
    system = require("rasterio.crs", extra="data").CRS.from_wkt
    transform, width, height = warp(
        system(grid.crs.to_wkt()), system(crs.to_wkt()), grid.width, grid.height, *grid.bounds
    )
    return Grid(transform.c, transform.f, transform.a, -transform.e, width, height, crs)
