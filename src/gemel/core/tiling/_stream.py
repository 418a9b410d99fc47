"""Computing a region tile by tile, and putting its result together."""

from __future__ import annotations

import contextvars
import itertools
import os
import shutil
import socket
import tempfile
import weakref
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from gemel.base.errors import InvalidInput
from gemel.core.graph import Ground, progress, surroundings
from gemel.core.tiling._region import Region
from gemel.core.tiling._sketch import Sketch, remaining_uses
from gemel.core.tiling._tiles import Tile, Tiling
from gemel.infra.lake.lazy_zarr import zarr_variable

_IN_MEMORY = 0.25  # a result larger than this part of the memory limit is put together on disk


class Uneven(Exception):
    """The length of a result depends on what is in a tile, so that tiles do not make one whole."""


def stream(region: Region, tiling: Tiling, sketch: Sketch, values: Mapping[str, Any], ground: Ground) -> xr.DataArray:
    """Return the region's value, computed tile by tile; one too large for memory lies on disk and is read as needed.

    Raises:
        Uneven: Results of tiles differ in length along a dimension that is not cut.
    """
    assembly = _Assembly(tiling, sketch, _result_bytes(region, sketch), surroundings().memory)
    with ThreadPoolExecutor(tiling.workers, thread_name_prefix="gemel-tile") as pool:
        tiles = iter(tiling)
        waiting = {
            _submit(pool, tile, region, tiling, values, ground) for tile in itertools.islice(tiles, tiling.workers)
        }
        done = 0
        try:
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for one in finished:
                    assembly.put(*one.result())
                    done += 1
                    progress(done / tiling.count, f"tile {done} of {tiling.count}")
                    waiting |= {
                        _submit(pool, tile, region, tiling, values, ground) for tile in itertools.islice(tiles, 1)
                    }
        finally:
            for left in waiting:
                left.cancel()
    return assembly.result()


def _submit(
    pool: ThreadPoolExecutor,
    tile: Tile,
    region: Region,
    tiling: Tiling,
    values: Mapping[str, Any],
    ground: Ground,
) -> Future[tuple[Tile, xr.DataArray]]:
    # Threads of the pool know nothing of the step they work for unless they are told.
    context = contextvars.copy_context()
    return pool.submit(context.run, _compute, tile, region, tiling, values, ground)


def _compute(
    tile: Tile, region: Region, tiling: Tiling, values: Mapping[str, Any], ground: Ground
) -> tuple[Tile, xr.DataArray]:
    wide = {name: _widened(part, tiling, name) for name, part in tile.items()}
    held = {name: _part(value, wide) for name, value in values.items()}
    uses = remaining_uses(region)
    for name, step in region.steps.items():
        held[name] = ground.compute(step, held.__getitem__)
        for source in step.sources:
            uses[source] -= 1
            if not uses[source]:
                del held[source]
    result = held[region.root.id]
    rims = {name: slice(tile[name].start - wide[name].start, None) for name in tile if wide[name] != tile[name]}
    lengths = {name: slice(0, tile[name].stop - tile[name].start) for name in rims}
    return tile, result.isel(rims).isel(lengths) if rims else result


def _widened(part: slice, tiling: Tiling, name: str) -> slice:
    halo = tiling.cut.halo.get(name, 0)
    return slice(max(0, part.start - halo), min(part.stop + halo, tiling.cut.dimensions[name]))


def _part(value: Any, tile: Tile) -> Any:
    if not isinstance(value, xr.DataArray):
        return value
    inside = {name: part for name, part in tile.items() if name in value.dims}
    return value.isel(inside).copy(deep=False).load() if inside else value


def _result_bytes(region: Region, sketch: Sketch) -> int:
    shape = sketch.shapes[region.root.id]
    return int(np.prod(list(shape.values()), dtype=float)) * sketch.result.dtype.itemsize


class _Assembly:
    """The result while tiles come in, in any order."""

    def __init__(self, tiling: Tiling, sketch: Sketch, size: int, memory: int | None) -> None:
        self._tiling = tiling
        self._scale = sketch.scale
        self._on_disk = memory is not None and size > _IN_MEMORY * memory
        self._first: xr.DataArray | None = None
        self._ends: dict[str, int] = {}
        self._values: Any = None
        self._coordinates: dict[str, np.ndarray[Any, Any]] = {}

    def put(self, tile: Tile, part: xr.DataArray) -> None:
        """Take in the result of one tile."""
        if self._first is None:
            self._begin(part)
        assert self._first is not None
        places = {name: self._place(name, where, part) for name, where in tile.items()}
        if any(part.sizes.get(name) != size for name, size in self._first.sizes.items() if name not in places):
            raise Uneven
        part = part.transpose(*self._first.dims)
        if not self._on_disk and part.dtype != self._values.dtype:
            # A tile without gaps may keep whole numbers where another needs NaN.
            self._values = self._values.astype(np.result_type(self._values, part), copy=False)
        self._values[tuple(places.get(str(name), slice(None)) for name in part.dims)] = part.values
        for name, array in self._coordinates.items():
            coordinate = part.coords[name]
            array[tuple(places.get(str(dim), slice(None)) for dim in coordinate.dims)] = coordinate.values

    def result(self) -> xr.DataArray:
        """Return the whole."""
        assert self._first is not None
        ends = {str(name): slice(0, self._ends.get(str(name))) for name in self._first.dims}
        dims = self._first.dims
        values = self._lazy() if self._on_disk else xr.Variable(dims, self._values)
        fixed = self._first.drop_vars([name for name in self._first.coords if str(name) in self._coordinates])
        whole = xr.DataArray(values.isel(ends), name=self._first.name, attrs=self._first.attrs)
        whole.encoding = values.encoding
        whole = whole.assign_coords(fixed.coords)
        return whole.assign_coords(
            {
                name: (
                    self._first[name].dims,
                    array[tuple(ends[str(dim)] for dim in self._first[name].dims)],
                    self._first[name].attrs,
                )
                for name, array in self._coordinates.items()
            }
        )

    def _begin(self, part: xr.DataArray) -> None:
        self._first = part
        lengths = {str(name): self._length(str(name), size) for name, size in part.sizes.items()}
        shape = tuple(lengths.values())
        self._values = self._store(shape, part) if self._on_disk else np.empty(shape, part.dtype)
        for name, coordinate in part.coords.items():
            if any(str(dim) in self._tiling.sizes for dim in coordinate.dims):
                size = tuple(lengths[str(dim)] for dim in coordinate.dims)
                self._coordinates[str(name)] = np.empty(size, coordinate.dtype)

    def _length(self, name: str, size: int) -> int:
        length = self._tiling.cut.dimensions.get(name)
        return size if length is None else -int(-length * self._scale[name] // 1)

    def _place(self, name: str, where: slice, part: xr.DataArray) -> slice:
        start = round(where.start * self._scale[name])
        stop = start + part.sizes[name]
        self._ends[name] = max(self._ends.get(name, 0), stop)
        return slice(start, stop)

    def _store(self, shape: tuple[int, ...], part: xr.DataArray) -> Any:
        if part.dtype.hasobject:
            raise InvalidInput("A result of texts is too large for memory.", hint="Reduce it first.")
        folder = _scratch()
        chunks = tuple(max(1, size) for size in part.shape)
        array = zarr.create_array(folder / "cube.zarr", shape=shape, chunks=chunks, dtype=part.dtype, compressors=None)
        # The folder goes when nothing refers to the array any more, also when a later tile fails.
        weakref.finalize(array, shutil.rmtree, folder, ignore_errors=True)
        return array

    def _lazy(self) -> xr.Variable:
        assert self._first is not None
        return zarr_variable(self._values, self._first.dims)


def _scratch() -> Path:
    """Return a fresh folder named after this process; those of processes that were killed are removed."""
    home = surroundings().home
    if home is None:
        return Path(tempfile.mkdtemp(prefix="cube-"))
    place = home / "scratch"
    place.mkdir(parents=True, exist_ok=True)
    mine = f"cube-{socket.gethostname()}-"
    for left in place.glob(f"{mine}*"):
        if not _alive(left.name.removeprefix(mine).partition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{mine}{os.getpid()}-", dir=place))


def _alive(number: str) -> bool:
    return Path(f"/proc/{number}").exists() or not Path("/proc/self").exists()


def whole(region: Region, values: Mapping[str, Any], ground: Ground) -> Any:
    """Return the region's value, computed in one go."""
    held = {name: _loaded(value) for name, value in values.items()}
    uses = remaining_uses(region)
    for step in region.steps.values():
        held[step.id] = ground.compute(step, held.__getitem__)
        for source in step.sources:
            uses[source] -= 1
            if not uses[source]:
                del held[source]
    return held[region.root.id]


def _loaded(value: Any) -> Any:
    # Loading a copy leaves the lazily read original as it is, for others and for its memory.
    return value.copy(deep=False).load() if isinstance(value, xr.DataArray) else value
