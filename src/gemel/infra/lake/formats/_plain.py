"""Plain text, and bytes as they are: whole, or as the cells of an array that somebody describes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.base.sizes import spoken_size
from gemel.infra.lake._guard import lying
from gemel.infra.lake.formats._format import Format, Options, unreadable, unsuitable
from gemel.infra.lake.formats._unnamed import AxisNames

_TEXT, _BINARY = "Text", "Binary"
TEXT_BYTES = 64 << 20  # of one text: it is held in memory
BYTES_LIMIT = 256 << 20  # of one file given back as bytes


def _write_text(value: Any, path: Path, options: Options) -> list[Path]:
    if not isinstance(value, str):
        raise unsuitable(_TEXT, f"it holds a text, and this is a {type(value).__name__}", "Try JSON or CSV.")
    path.write_bytes(value.encode("utf-8"))
    return [path]


def _read_text(path: Path, options: Options) -> str:
    content = _content(path, TEXT_BYTES, _TEXT)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unreadable(_TEXT, path, f"it is no UTF-8 (byte {error.start})") from error


def _content(path: Path, limit: int, format: str) -> bytes:
    size = path.stat().st_size
    if size > limit:
        reason = f"it is {spoken_size(size)} long, and {spoken_size(limit)} is the limit"
        raise unsuitable(format, reason, "gemel data get scope:name FILE")
    return path.read_bytes()


def _write_binary(value: Any, path: Path, options: Options) -> list[Path]:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise unsuitable(_BINARY, f"it holds bytes, and this is a {type(value).__name__}", "Try NPY.")
    path.write_bytes(value)
    return [path]


def _read_binary(path: Path, options: Options) -> Any:
    if options["dtype"] is None:
        if options["shape"] is not None or options["offset"]:
            raise InvalidInput("Binary needs the type of the cells too.", hint='Add dtype, such as "<f4".')
        return _content(path, BYTES_LIMIT, _BINARY)
    try:
        dtype = np.dtype(options["dtype"])
    except (TypeError, ValueError, SyntaxError) as error:
        raise InvalidInput(f"{options['dtype']!r} is no type of numbers.", hint='Such as "<f4" or ">i2".') from error
    if dtype.hasobject or not dtype.itemsize:
        raise InvalidInput(f"{options['dtype']!r} is no type of numbers.", hint='Such as "<f4" or ">i2".')
    offset, size = options["offset"], path.stat().st_size
    shape = _shape(options["shape"], (size - offset) // dtype.itemsize)
    if not math.prod(shape) or offset + math.prod(shape) * dtype.itemsize > size:
        raise lying(_BINARY, path, f"it has {size} bytes, too few for {shape} cells of {dtype} from byte {offset} on")
    return xr.DataArray(np.memmap(path, dtype, "r", offset, shape), dims=AxisNames().of(shape))


def _shape(wanted: Any, count: int) -> tuple[int, ...]:
    if wanted is None:
        return (count,)
    if not all(isinstance(item, int) and item > 0 for item in wanted):
        raise InvalidInput(f"{wanted!r} are no sizes of dimensions.", hint="Positive whole numbers, such as [24, 100].")
    return tuple(wanted)


TEXT = Format(
    name=_TEXT,
    title="Plain text (UTF-8)",
    description="A text as it is.",
    media_type="text/plain; charset=utf-8",
    suffix=".txt",
    kinds=("other",),
    writer=_write_text,
    reader=_read_text,
    value=False,
)
BINARY = Format(
    name=_BINARY,
    title="Bytes",
    description="Bytes as they are; with a type, the cells of an array that lie one after another, read by ranges.",
    media_type="application/octet-stream",
    suffix=".bin",
    kinds=("other",),
    aliases=("bytes", "raw"),
    writer=_write_binary,
    reader=_read_binary,
    value=False,
    input_parameters={
        "dtype": {
            "type": ["string", "null"],
            "default": None,
            "description": 'Type of the cells as NumPy writes it, such as "<f4"; default no array, but bytes.',
        },
        "shape": {
            "type": ["array", "null"],
            "items": {"type": "integer"},
            "default": None,
            "description": "Sizes of the dimensions, the last one fastest; default one dimension to the end.",
        },
        "offset": {"type": "integer", "minimum": 0, "default": 0, "description": "Bytes before the first cell."},
    },
)
