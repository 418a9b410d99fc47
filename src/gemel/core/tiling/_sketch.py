"""A region computed on a sliver of its cubes, filled with ones: shapes, types and sizes without reading anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from gemel.core.graph import Ground
from gemel.core.tiling._region import Cut, Region

_TEMPORARIES = 2  # a process may hold so many copies of its largest operand besides its result


@dataclass(frozen=True)
class Sketch:
    """What a sliver tells of the whole.

    Attributes:
        result: The region's result for the sliver.
        scale: Length of the result over that of the cubes, along each dimension that is cut.
        fixed: Bytes that are needed whatever the tile.
        per_cell: Bytes needed at once per cell of a tile (cells counted along the dimensions that are cut).
        shapes: Sizes of each step's result for the whole cubes, by step and dimension.
        dtypes: Type of each step's result.
    """

    result: xr.DataArray
    scale: Mapping[str, float]
    fixed: int
    per_cell: float
    shapes: Mapping[str, Mapping[str, int]]
    dtypes: Mapping[str, str]


def sketch(region: Region, cut: Cut, values: Mapping[str, Any], ground: Ground) -> Sketch | None:
    """Return what computing the region on a sliver tells, or None when its result is no cube that can be put together."""
    lengths = {name: _sliver(name, size, cut) for name, size in cut.dimensions.items()}
    slivers = {name: _thin(value, lengths) for name, value in values.items()}
    results, peak = run(region, slivers, ground)
    result = results[region.root.id]
    if not isinstance(result, xr.DataArray) or any(name not in result.dims for name in lengths):
        return None
    cells = int(np.prod(list(lengths.values())))
    fixed = sum(_bytes(value) for value in values.values() if not _is_cut(value, lengths))
    scale = {name: result.sizes[name] / length for name, length in lengths.items()}
    shapes = {name: _full(value, lengths, cut) for name, value in results.items() if isinstance(value, xr.DataArray)}
    dtypes = {name: str(value.dtype) for name, value in results.items() if isinstance(value, xr.DataArray)}
    return Sketch(result, scale, fixed, max(peak - fixed, 1) / cells, shapes, dtypes)


def run(region: Region, values: Mapping[str, Any], ground: Ground) -> tuple[dict[str, Any], int]:
    """Return every step's value and the bytes that were needed at once, without letting go of anything."""
    held: dict[str, Any] = dict(values)
    alive, peak = sum(map(_bytes, values.values())), 0
    uses = remaining_uses(region)
    for name, step in region.steps.items():
        held[name] = ground.compute(step, held.__getitem__)
        operands = [_bytes(held[source]) for source in step.sources]
        peak = max(peak, alive + _bytes(held[name]) + _TEMPORARIES * max([*operands, _bytes(held[name])]))
        alive += _bytes(held[name])
        for source in step.sources:
            uses[source] -= 1
            alive -= _bytes(held[source]) if not uses[source] else 0
    return {name: held[name] for name in region.steps}, peak


def remaining_uses(region: Region) -> dict[str, int]:
    """Return how many steps of the region use each value."""
    uses: dict[str, int] = {}
    for step in region.steps.values():
        for source in step.sources:
            uses[source] = uses.get(source, 0) + 1
    return uses


def _sliver(name: str, size: int, cut: Cut) -> int:
    return min(size, cut.blocks.get(name, 1) * (2 * cut.halo.get(name, 0) + 1))


def _is_cut(value: Any, lengths: Mapping[str, int]) -> bool:
    return isinstance(value, xr.DataArray) and any(name in value.dims for name in lengths)


def _thin(value: Any, lengths: Mapping[str, int]) -> Any:
    if not _is_cut(value, lengths):
        return value
    part = value.isel({name: slice(0, length) for name, length in lengths.items() if name in value.dims})
    return part.copy(data=np.ones(part.shape, part.dtype))


def _full(result: xr.DataArray, lengths: Mapping[str, int], cut: Cut) -> dict[str, int]:
    return {
        str(name): -(-size * cut.dimensions[str(name)] // lengths[str(name)]) if name in lengths else size
        for name, size in result.sizes.items()
    }


def _bytes(value: Any) -> int:
    return int(value.nbytes) if isinstance(value, xr.DataArray) else 0
