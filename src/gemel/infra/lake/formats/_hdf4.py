"""HDF4: scientific datasets by name, through the library of The HDF Group; the file's directory is checked first."""

from __future__ import annotations

import struct
import threading
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xarray as xr

from gemel.base.plugins import require
from gemel.infra.lake._guard import check_sizes, lying
from gemel.infra.lake._lazy import Window, lazy_variable
from gemel.infra.lake.formats._format import Format, Options, reading, unreadable, unsuitable
from gemel.infra.lake.formats._unnamed import AxisNames

_NAME = "HDF4"
MAGIC = b"\x0e\x03\x13\x01"
_BLOCKS = 100_000
_NOTHING = 0xFFFFFFFF  # offset and length of a descriptor that is not used
# Number types of the HDF4 library (HDF4 Reference Manual, table 1B).
_TYPES = {3: "u1", 4: "S1", 5: "f4", 6: "f8", 20: "i1", 21: "u1", 22: "i2", 23: "u2", 24: "i4", 25: "u4"}
_one_at_a_time = threading.Lock()  # the library is not safe for threads


def _read(path: Path, options: Options) -> xr.Dataset | xr.DataArray:
    with path.open("rb") as stream:
        _check_directory(stream, path)
    wanted = options["variables"]
    sd = require("pyhdf.SD", extra="data")
    names, found = AxisNames(), {}
    with _one_at_a_time:
        file = sd.SD(str(path))
        try:
            attrs = _attributes(file.attributes())
            for number in range(file.info()[0]):
                array = file.select(number)
                name = array.info()[0]
                if wanted is None or name in wanted:
                    found[name] = _variable(array, number, names, path)
                array.endaccess()
        finally:
            file.end()
    lacking = [name for name in wanted or () if name not in found]
    if lacking or not found:
        reason = f"there is no array '{lacking[0]}' in the file" if lacking else "it has no scientific datasets"
        raise unsuitable(_NAME, reason, "Tables (Vdata) and pictures (RIS) of HDF4 are not read.")
    dataset = xr.Dataset(found, attrs=attrs)
    return dataset if wanted is None or len(found) > 1 else dataset[next(iter(found))]


def _variable(array: Any, number: int, names: AxisNames, path: Path) -> xr.Variable:
    name, rank, sizes, kind, _ = array.info()
    shape = [sizes] if rank == 1 else list(sizes)
    if kind not in _TYPES:
        raise unreadable(_NAME, path, f"'{name}' has cells of type {kind}, which is not known")
    check_sizes({f"{name}[{axis}]": size for axis, size in enumerate(shape)}, _NAME, path)
    own = [str(array.dim(axis).info()[0]) for axis in range(rank)]
    dims = names.of(shape, [None if item.startswith("fakeDim") else item for item in own])

    def read(window: Window) -> np.ndarray[Any, Any]:
        return _cells(path, number, window)

    return lazy_variable(dims, shape, _TYPES[kind], read, attrs=_attributes(array.attributes()))


def _cells(path: Path, number: int, window: Window) -> np.ndarray[Any, Any]:
    sd = require("pyhdf.SD", extra="data")
    with _one_at_a_time, reading(_NAME, path):
        file = sd.SD(str(path))
        try:
            array = file.select(number)
            start = [item.start for item in window]
            found = array.get(start=start, count=[item.stop - item.start for item in window])
            array.endaccess()
        finally:
            file.end()
    return np.asarray(found).reshape([item.stop - item.start for item in window])


def _attributes(found: Any) -> dict[str, Any]:
    return {str(name): value for name, value in found.items() if isinstance(value, (str, int, float, list))}


def _check_directory(stream: BinaryIO, path: Path) -> None:
    """Raise when a data descriptor points beyond the file: the library would follow it.

    Blocks of descriptors: HDF Specification and Developer's Guide (version 4.1r5), section 2.2.
    """
    size = path.stat().st_size
    if stream.read(4) != MAGIC:
        raise unreadable(_NAME, path, "it does not begin as HDF4 files do")
    seen: set[int] = set()
    offset = 4
    while offset:
        if offset in seen or len(seen) > _BLOCKS:
            raise lying(_NAME, path, "its directory runs in a circle")
        seen.add(offset)
        stream.seek(offset)
        count, following = struct.unpack(">HI", _exactly(stream, 6, path))
        for _, _, begin, length in struct.iter_unpack(">HHII", _exactly(stream, 12 * count, path)):
            if begin != _NOTHING and length != _NOTHING and begin + length > size:
                raise lying(_NAME, path, f"its directory names {length} bytes at {begin}, and it has {size}")
        offset = following


def _exactly(stream: BinaryIO, size: int, path: Path) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise unreadable(_NAME, path, "its directory is cut off")
    return content


HDF4 = Format(
    name=_NAME,
    title="Hierarchical Data Format 4",
    description="Scientific datasets by name, as they are stored, read only; tables and pictures of HDF4 are not read.",
    media_type="application/x-hdf",
    suffix=".hdf",
    kinds=("raster", "other"),
    reader=_read,
    input_parameters={
        "variables": {
            "type": ["array", "null"],
            "items": {"type": "string"},
            "default": None,
            "description": "Names of the arrays to read, one as a cube; default all.",
        }
    },
)
