"""JPEG 2000 (ISO/IEC 15444-1), through GDAL and OpenJPEG, window by window."""

from __future__ import annotations

import struct
from pathlib import Path

import xarray as xr

from gemel.base.sizes import spoken_size
from gemel.infra.lake._guard import CHUNK_LIMIT, check_sizes, lying
from gemel.infra.lake._rasters import open_raster, raster_cube
from gemel.infra.lake.formats._format import Format, Options, unreadable

_NAME = "JPEG2000"
MAGICS = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
_CODESTREAM = b"\xff\x4f\xff\x51"
_HEAD = 1 << 20  # bytes before the codestream: boxes with coordinates and colours
_CELL = 4  # bytes of a cell while OpenJPEG decodes it


def _read(path: Path, options: Options) -> xr.DataArray:
    _check_tile(path)
    with open_raster(str(path), path, "JP2OpenJPEG") as source:
        return raster_cube(source, str(path))


def _check_tile(path: Path) -> None:
    """Raise when one tile, which is decoded as a whole, would not fit into memory (SIZ marker, annex A.5.1)."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    begin = head.find(_CODESTREAM)
    if not head.startswith(MAGICS) or begin < 0 or len(head) < begin + 42:
        raise unreadable(_NAME, path, "it does not begin as JPEG 2000 files do")
    width, height, left, top, across, down, _, _, bands = struct.unpack_from(">8IH", head, begin + 8)
    check_sizes({"x": width - left, "y": height - top}, _NAME, path)
    tile = min(across, width) * min(down, height) * bands * _CELL
    if not tile or tile > CHUNK_LIMIT:
        raise lying(_NAME, path, f"it declares tiles of {spoken_size(tile)}")


JPEG2000 = Format(
    name=_NAME,
    title="JPEG 2000",
    description="Bands of a picture with its place on the Earth (GeoJP2, GML), read only.",
    media_type="image/jp2",
    suffix=".jp2",
    kinds=("raster",),
    aliases=("jp2", "jp2openjpeg"),
    reader=_read,
)
