"""Files that lie: what they declare is compared with what they can hold before anything is allocated for it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import h5py

from gemel.base.errors import InvalidInput
from gemel.base.sizes import spoken_size

AXIS_LIMIT = 10_000_000  # labels along one dimension: coordinates are held in memory (a 4 m grid around the globe)
CHUNK_LIMIT = 1 << 30  # bytes of one chunk or tile: it is decoded as a whole
# Least bytes of a table of tiles per tile (TIFF 6.0, section 15: an offset of 4 and a count of 2 or more).
_TILE_ENTRY = 6


def check_sizes(sizes: Mapping[Hashable, int], format: str, path: Path) -> None:
    """Raise unless every dimension is short enough for its labels to be held in memory.

    Raises:
        InvalidInput: One is not.
    """
    for dim, size in sizes.items():
        if size > AXIS_LIMIT:
            raise lying(format, path, f"it declares {size} cells along '{dim}', and {AXIS_LIMIT} is the limit")


def check_hdf5(path: Path, format: str) -> None:
    """Raise when an HDF5 file declares coordinates or chunks that nobody could hold.

    Raises:
        InvalidInput: It does.
    """
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: _check_dataset(name, item, path, format))


def check_tiles(path: Path, format: str, source: Any) -> None:
    """Raise when an opened raster declares more tiles than its file has room to list, or too large ones.

    Args:
        path: The file, whose size is looked at where it is local.
        format: For the message.
        source: The dataset that rasterio opened.
    """
    width, height = source.width, source.height
    check_sizes({"x": width, "y": height}, format, path)
    size = path.stat().st_size if path.exists() else None
    for (rows, columns), dtype in zip(source.block_shapes, source.dtypes, strict=True):
        cell = {"int8": 1, "uint8": 1, "complex128": 16}.get(dtype, 8 if "64" in dtype else 4 if "32" in dtype else 2)
        block = rows * columns * cell
        if block > CHUNK_LIMIT:
            raise lying(format, path, f"it declares tiles of {spoken_size(block)}")
        tiles = math.ceil(height / rows) * math.ceil(width / columns)
        compressed = source.compression is not None or source.driver not in ("GTiff", "COG")
        least = _TILE_ENTRY * tiles if compressed or tiles > 1 else width * height * cell
        if size is not None and tiles > 1 and least > size:
            raise lying(format, path, f"it declares {tiles} tiles, and has {spoken_size(size)} in all")
        if size is not None and tiles == 1 and not compressed and least > size:
            raise lying(format, path, f"it declares {width} x {height} cells, and has {spoken_size(size)} in all")


def check_chunk(name: str, chunk: tuple[int, ...], itemsize: int, path: Path, format: str) -> None:
    """Raise when one chunk of an array would not fit into memory.

    Raises:
        InvalidInput: It would not.
    """
    if math.prod(chunk) * itemsize > CHUNK_LIMIT:
        raise lying(format, path, f"'{name}' declares chunks of {spoken_size(math.prod(chunk) * itemsize)}")


def lying(format: str, path: Path, reason: str) -> InvalidInput:
    """Return the error for a file whose header cannot be true."""
    message = f"'{path.name}' cannot be read as {format}: {reason}."
    return InvalidInput(message, hint="The file is damaged, or made to do damage.", exception="FormatUnsuitable")


def _check_dataset(name: str, item: Any, path: Path, format: str) -> None:
    if not isinstance(item, h5py.Dataset) or item.shape is None:
        return
    check_sizes({f"{name}[{axis}]": size for axis, size in enumerate(item.shape)}, format, path)
    if item.chunks is not None:
        check_chunk(name, item.chunks, item.dtype.itemsize, path, format)
    elif item.id.get_storage_size() < item.size * item.dtype.itemsize and item.id.get_offset() is not None:
        raise lying(format, path, f"'{name}' declares {item.size} cells, more than the file holds")
