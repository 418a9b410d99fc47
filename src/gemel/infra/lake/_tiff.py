"""The skeleton of a TIFF file (TIFF 6.0, and BigTIFF as in its design document), compared with the file's size."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gemel.base.sizes import spoken_size
from gemel.infra.lake._guard import lying

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
_MOST_DIRECTORIES = 10_000
_MOST_ENTRIES = 4096
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _PLANAR = 256, 257, 258, 259, 277, 284
_ROWS, _STRIPS, _STRIP_SIZES = 278, 273, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES = 322, 323, 324, 325
_UNCOMPRESSED = 1


@dataclass(frozen=True)
class _Entry:
    kind: int
    count: int
    where: int

    @property
    def size(self) -> int:
        return _SIZES.get(self.kind, 1) * self.count


def check_tiff(path: Path) -> None:
    """Raise when a TIFF file is cut off, or its header speaks of more than the file holds.

    Every value and every tile that the directories list must lie inside of the file, and they must list as many tiles
    as the image has.

    Raises:
        InvalidInput: It does not hold together.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        for entries in _directories(stream, size, path):
            for entry in entries.values():
                if entry.where + entry.size > size:
                    raise lying("GTiff", path, "it is cut off")
            _check_image(stream, entries, size, path)


def _directories(stream: BinaryIO, size: int, path: Path) -> Iterator[dict[int, _Entry]]:
    head = stream.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    offset = struct.unpack(f"{order}{'Q' if big else 'I'}", head[8:16] if big else head[4:8])[0]
    seen: set[int] = set()
    while offset:
        if offset in seen or len(seen) > _MOST_DIRECTORIES or offset + 8 > size:
            raise lying("GTiff", path, "its directories lead out of the file")
        seen.add(offset)
        entries, offset = _directory(stream, offset, order, big, path)
        yield entries


def _directory(stream: BinaryIO, offset: int, order: str, big: bool, path: Path) -> tuple[dict[int, _Entry], int]:
    stream.seek(offset)
    head, length = (8, 20) if big else (2, 12)
    count = struct.unpack(f"{order}{'Q' if big else 'H'}", _exactly(stream, head, path))[0]
    if count > _MOST_ENTRIES:
        raise lying("GTiff", path, f"a directory declares {count} entries")
    content = _exactly(stream, count * length, path)
    found = {}
    for i in range(count):
        raw = content[i * length : (i + 1) * length]
        tag, kind, number = struct.unpack(f"{order}HH{'Q' if big else 'I'}", raw[: 12 if big else 8])
        inline = 8 if big else 4
        where = offset + head + i * length + (12 if big else 8)
        if _SIZES.get(kind, 1) * number > inline:
            where = struct.unpack(f"{order}{'Q' if big else 'I'}", raw[-inline:])[0]
        found[tag] = _Entry(kind, number, where)
    following = _exactly(stream, 8 if big else 4, path)
    return found, struct.unpack(f"{order}{'Q' if big else 'I'}", following)[0]


def _check_image(stream: BinaryIO, entries: dict[int, _Entry], size: int, path: Path) -> None:
    order = _order(stream)
    one = {tag: _numbers(stream, entries.get(tag), order) for tag in (_WIDTH, _HEIGHT, _BITS, _COMPRESSION)}
    if not len(one[_WIDTH]) or not len(one[_HEIGHT]):
        return
    width, height = int(one[_WIDTH][0]), int(one[_HEIGHT][0])
    tiled = _TILES in entries
    begins = _numbers(stream, entries.get(_TILES if tiled else _STRIPS), order)
    lengths = _numbers(stream, entries.get(_TILE_SIZES if tiled else _STRIP_SIZES), order)
    samples = _first(stream, entries.get(_SAMPLES), order, 1)
    planes = samples if _first(stream, entries.get(_PLANAR), order, 1) == 2 else 1
    columns = _first(stream, entries.get(_TILE_WIDTH), order, width) if tiled else width
    rows = _first(stream, entries.get(_TILE_HEIGHT if tiled else _ROWS), order, height)
    rows = min(rows, height) if not tiled else rows
    expected = math.ceil(width / max(1, columns)) * math.ceil(height / max(1, rows)) * planes
    if len(begins) != expected or len(lengths) != expected:
        shown = f"{width} x {height} cells in {expected} pieces, and lists {len(begins)}"
        raise lying("GTiff", path, f"it declares {shown}")
    if len(begins) and int((begins + lengths).max()) > size:
        raise lying("GTiff", path, "it is cut off")
    bits = int(one[_BITS][0]) if len(one[_BITS]) else 1
    kept = int((lengths > 0).sum())
    plain = kept * min(rows, height) * columns * bits // 8 * (samples // planes)
    if len(one[_COMPRESSION]) and one[_COMPRESSION][0] == _UNCOMPRESSED and kept == expected:
        declared = plain if tiled else width * height * samples * bits // 8
        if int(lengths.sum()) < declared:
            raise lying("GTiff", path, f"it declares {width} x {height} cells, and holds {spoken_size(lengths.sum())}")


def _order(stream: BinaryIO) -> str:
    stream.seek(0)
    return "<" if stream.read(2) == b"II" else ">"


def _first(stream: BinaryIO, entry: _Entry | None, order: str, default: int) -> int:
    found = _numbers(stream, entry, order)
    return int(found[0]) if len(found) else default


def _numbers(stream: BinaryIO, entry: _Entry | None, order: str) -> np.ndarray[Any, Any]:
    if entry is None or entry.kind not in _NUMBERS:
        return np.empty(0, np.int64)
    stream.seek(entry.where, os.SEEK_SET)
    raw = np.frombuffer(stream.read(entry.size), dtype=f"{order}{_NUMBERS[entry.kind]}")
    return raw.astype(np.int64)


def _exactly(stream: BinaryIO, count: int, path: Path) -> bytes:
    found = stream.read(count)
    if len(found) != count:
        raise lying("GTiff", path, "it is cut off")
    return found
