"""A cube in blocks that fit into memory, along the chunks it is kept in."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

import xarray as xr

BLOCK_BYTES = 32 << 20  # what a writer holds of a cube at a time
_CHUNK_BYTES = 4 << 20  # wanted size of a chunk in a file: large enough to compress, small enough to read alone
_CHUNK_LIMIT = 64 << 20

Region = dict[str, slice]


def chunk_sizes(cube: xr.DataArray, wanted: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return the chunk size of each dimension: as wanted, else as the cube is kept, else about 4 MiB in all.

    >>> chunk_sizes(xr.DataArray([[0.0] * 4] * 3, dims=("y", "x")), {"x": 2})
    {'y': 3, 'x': 2}
    """
    natural = cube.encoding.get("preferred_chunks") or {}
    sizes = {str(dim): max(1, size) for dim, size in cube.sizes.items()}
    chunks = {dim: _first(natural.get(dim, size), size) for dim, size in sizes.items()}
    limit = _CHUNK_LIMIT if natural else _CHUNK_BYTES
    while _bytes(cube, chunks) > limit:
        longest = max(chunks, key=lambda dim: chunks[dim])
        chunks[longest] = math.ceil(chunks[longest] / 2)
    return chunks | {dim: max(1, min(size, sizes[dim])) for dim, size in (wanted or {}).items() if dim in sizes}


def regions(cube: xr.DataArray, chunks: Mapping[str, int] | None = None, limit: int = BLOCK_BYTES) -> Iterator[Region]:
    """Yield slices that cover the cube once, each of whole chunks and, where chunks allow, of at most `limit` bytes.

    The last dimensions are covered first, so regions come in the order of the cube's cells where chunks allow.
    """
    sizes = {str(dim): size for dim, size in cube.sizes.items()}
    steps = dict(chunks or chunk_sizes(cube))
    for dim in reversed(list(steps)):
        room = max(1, limit // max(1, _bytes(cube, steps)))
        steps[dim] = min(steps[dim] * room, max(1, sizes[dim]))
    parts = [[slice(i, min(i + steps[dim], size)) for i in range(0, size, steps[dim])] for dim, size in sizes.items()]
    for part in itertools.product(*parts):
        yield dict(zip(sizes, part, strict=True))


def rows(cube: xr.DataArray, limit: int = BLOCK_BYTES) -> Iterator[Region]:
    """Yield slices that cover the cube in the order of its cells (the last dimension fastest)."""
    steps: dict[str, int] = {}
    size = cube.dtype.itemsize
    for dim in reversed(cube.dims):
        # Once a dimension is not taken whole, those before it advance one at a time.
        broken = any(steps[name] < cube.sizes[name] for name in steps)
        steps[str(dim)] = 1 if broken else max(1, min(cube.sizes[dim], limit // max(1, size)))
        size *= steps[str(dim)]
    return regions(cube, {str(dim): steps[str(dim)] for dim in cube.dims}, limit=1)


def _first(size: int | tuple[int, ...], whole: int) -> int:
    found = size[0] if isinstance(size, tuple) else size
    return max(1, min(int(found), whole))


def _bytes(cube: xr.DataArray, chunks: Mapping[str, int]) -> int:
    return cube.dtype.itemsize * math.prod(chunks.values())
