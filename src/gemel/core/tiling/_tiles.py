"""Choosing tiles: as large as reading wants them, as small as memory asks for."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr

from gemel.base.errors import DoesNotFit
from gemel.base.sizes import spoken_size
from gemel.core.tiling._region import Cut
from gemel.core.tiling._sketch import Sketch

_SHARE = 0.6  # of the memory limit; the rest is for the result, for reading, and for what the sketch did not see
_TILE_BYTES = 256_000_000  # larger tiles gain nothing: opening and calling are a small part by then

Tile = Mapping[str, slice]


@dataclass(frozen=True)
class Tiling:
    """How a region is cut.

    Attributes:
        sizes: Cells of a tile along each dimension.
        workers: Tiles that are worked on at a time.
        peak: Bytes needed at once.
    """

    cut: Cut
    sizes: Mapping[str, int]
    workers: int
    peak: int

    def __iter__(self) -> Iterator[Tile]:
        """Yield the tiles, the last dimension running fastest."""
        ranges = [
            [slice(start, min(start + self.sizes[name], length)) for start in range(0, length, self.sizes[name])]
            for name, length in self.cut.dimensions.items()
        ]
        for parts in itertools.product(*ranges):
            yield dict(zip(self.cut.dimensions, parts, strict=True))

    @property
    def count(self) -> int:
        """Return the number of tiles."""
        return math.prod(-(-length // self.sizes[name]) for name, length in self.cut.dimensions.items())


def choose(cut: Cut, sketch: Sketch, values: Mapping[str, Any], memory: int | None, where: str) -> Tiling:
    """Return the tiling of a region.

    Args:
        cut: Where it may be cut.
        sketch: What it needs.
        values: The cubes it starts from.
        memory: Bytes that may be used, or None for no limit.
        where: Name of the step, for the error.

    Raises:
        DoesNotFit: Not even the smallest tile fits.
    """
    workers = min(os.cpu_count() or 1, 8)
    budget = math.inf if memory is None else _SHARE * memory - sketch.fixed
    sizes = _natural(cut, values)
    step = {name: cut.blocks.get(name, 1) for name in sizes}
    while _bytes(sizes, cut, sketch) * workers > budget:
        if workers > 1:
            workers -= 1
            continue
        widest = max(sizes, key=lambda name: sizes[name] / step[name])
        if sizes[widest] <= step[widest]:
            raise _too_large(where, _bytes(sizes, cut, sketch) + sketch.fixed, memory or 0)
        sizes[widest] = max(step[widest], sizes[widest] // 2 // step[widest] * step[widest])
    sizes = _grown(sizes, cut, sketch, budget / workers)
    return Tiling(cut, sizes, workers, int(_bytes(sizes, cut, sketch) * workers + sketch.fixed))


def _too_large(where: str, needed: float, memory: int) -> DoesNotFit:
    return DoesNotFit(
        f"Step '{where}' needs at least {spoken_size(needed)} of memory at once; {spoken_size(memory)} may be used.",
        hint="Give a smaller extent or fewer bands, reduce a dimension earlier, or raise the limit: --set runs.memory='8 GB'",
        needed=int(needed),
        limit=memory,
        step=where,
    )


def _natural(cut: Cut, values: Mapping[str, Any]) -> dict[str, int]:
    """Return one stored chunk along each dimension, brought to a multiple of the blocks."""
    cubes = [value for value in values.values() if isinstance(value, xr.DataArray)]
    largest = max(cubes, key=lambda cube: cube.nbytes)
    chunks = largest.encoding.get("preferred_chunks", {})
    sizes = {}
    for name, length in cut.dimensions.items():
        block = cut.blocks.get(name, 1)
        size = min(int(chunks.get(name, length)), length)
        sizes[name] = math.lcm(size, block) if math.lcm(size, block) <= 4 * size else -(-size // block) * block
    return sizes


def _grown(sizes: dict[str, int], cut: Cut, sketch: Sketch, budget: float) -> dict[str, int]:
    limit = min(budget, _TILE_BYTES)
    for name in reversed(list(sizes)):
        while sizes[name] < cut.dimensions[name]:
            wider = sizes | {name: sizes[name] * 2}
            if _bytes(wider, cut, sketch) > limit:
                break
            sizes = wider
    return sizes


def _bytes(sizes: Mapping[str, int], cut: Cut, sketch: Sketch) -> float:
    cells = math.prod(min(size + 2 * cut.halo.get(name, 0), cut.dimensions[name]) for name, size in sizes.items())
    return cells * sketch.per_cell
