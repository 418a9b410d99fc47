"""Shapefiles: the .shp with its siblings, or all of them in one zip file."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

import xarray as xr

from gemel.base.plugins import require
from gemel.base.sizes import spoken_size
from gemel.infra.lake._guard import CHUNK_LIMIT, lying
from gemel.infra.lake.formats._format import Format, Options, unreadable, unsuitable
from gemel.infra.lake.formats._tidy import vector_cube

_NAME = "Shapefile"
MAGIC = b"\0\0\x27\x0a"  # file code 9994 (ESRI Shapefile Technical Description, July 1998, table 1)
_SIBLINGS = (".shx", ".dbf")
_MEMBERS = 1000


def _read(path: Path, options: Options) -> xr.DataArray:
    io = require("pyogrio", extra="data")
    with path.open("rb") as stream:
        zipped = stream.read(4) != MAGIC
    place = _in_zip(path, options["layer"]) if zipped else _beside(path)
    frame = io.read_dataframe(place)
    if not hasattr(frame, "geometry"):
        raise unsuitable(_NAME, f"'{path.name}' has no geometries")
    return vector_cube(frame)


def _beside(path: Path) -> str:
    present = {item.name.lower() for item in path.parent.iterdir() if item.stem == path.stem}
    lacking = [f"{path.stem}{suffix}" for suffix in _SIBLINGS if f"{path.stem}{suffix}".lower() not in present]
    if lacking:
        hint = "Keep .shp, .shx, .dbf and .prj together, or in one zip file."
        raise unsuitable(_NAME, f"{' and '.join(lacking)} must lie beside '{path.name}'", hint)
    return str(path)


def _in_zip(path: Path, layer: str | None) -> str:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    size = sum(item.file_size for item in members)
    if len(members) > _MEMBERS or size > CHUNK_LIMIT:
        raise lying(_NAME, path, f"it declares {len(members)} files of {spoken_size(size)} in all")
    found = {PurePosixPath(item.filename).stem: item.filename for item in members if is_shape(item.filename)}
    if layer is None and len(found) > 1:
        hint = f'Name one with the option "layer": {", ".join(list(found)[:20])}.'
        raise unsuitable(_NAME, f"'{path.name}' has {len(found)} shapefiles in it", hint)
    chosen = layer if layer is not None else next(iter(found), "")
    if chosen not in found:
        raise unreadable(_NAME, path, f"there is no shapefile '{chosen}' in it" if chosen else "there is no .shp in it")
    names = {item.filename.lower() for item in members}
    stem = found[chosen][:-4]
    lacking = [suffix for suffix in _SIBLINGS if f"{stem}{suffix}".lower() not in names]
    if lacking:
        raise unsuitable(_NAME, f"'{chosen}{lacking[0]}' is missing in '{path.name}'")
    if ".." in PurePosixPath(found[chosen]).parts:
        raise lying(_NAME, path, "a name in it leads out of it")
    return f"/vsizip/{{{path}}}/{found[chosen]}"


def is_shape(name: str) -> bool:
    """Return whether a member of a zip file is one of a shapefile that others belong to."""
    return name.lower().endswith(".shp") and not PurePosixPath(name).name.startswith("._")


SHAPEFILE = Format(
    name=_NAME,
    title="ESRI Shapefile",
    description="Features with their properties, read only: .shp with .shx and .dbf beside it, or all in one zip file.",
    media_type="application/vnd.shp",
    suffix=".shp",
    kinds=("vector",),
    aliases=("shp", "esri shapefile"),
    reader=_read,
    input_parameters={
        "layer": {
            "type": ["string", "null"],
            "default": None,
            "description": "Name of the shapefile in a zip file of several.",
        }
    },
)
