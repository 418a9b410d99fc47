"""All formats by name."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path

from gemel.base.errors import did_you_mean
from gemel.infra.lake.formats import _filterbank, _fits, _frame_structures, _hdf4, _hdf5, _jpeg2000, _root, _shapefile
from gemel.infra.lake.formats._arrays import NPY, NPZ
from gemel.infra.lake.formats._covjson import COVERAGEJSON
from gemel.infra.lake.formats._filterbank import FILTERBANK
from gemel.infra.lake.formats._fits import FITS
from gemel.infra.lake.formats._format import Format, unsuitable
from gemel.infra.lake.formats._frames import GWF
from gemel.infra.lake.formats._geotiff import COG, GTIFF
from gemel.infra.lake.formats._grib import GRIB
from gemel.infra.lake.formats._hdf4 import HDF4
from gemel.infra.lake.formats._hdf5 import HDF5
from gemel.infra.lake.formats._jpeg2000 import JPEG2000
from gemel.infra.lake.formats._json import JSON
from gemel.infra.lake.formats._netcdf import NETCDF
from gemel.infra.lake.formats._pickles import PICKLE
from gemel.infra.lake.formats._plain import BINARY, TEXT
from gemel.infra.lake.formats._png import PNG
from gemel.infra.lake.formats._root import ROOT
from gemel.infra.lake.formats._shapefile import SHAPEFILE
from gemel.infra.lake.formats._tables import CSV, PARQUET
from gemel.infra.lake.formats._vector import GEOJSON, GPKG
from gemel.infra.lake.formats._zarr import ZARR

FORMATS = (
    NETCDF, ZARR, HDF5, HDF4, GTIFF, COG, JPEG2000, GEOJSON, GPKG, SHAPEFILE, CSV, PARQUET, COVERAGEJSON, PNG, JSON,
    GRIB, ROOT, FITS, GWF, FILTERBANK, NPY, NPZ, TEXT, BINARY, PICKLE,
)  # fmt: skip
_BY_NAME = {alias.lower(): item for item in FORMATS for alias in (item.name, *item.aliases)}
# First bytes of files, by what they tell; longer ones first where one begins another.
_BEGINNINGS: tuple[tuple[bytes, Format], ...] = (
    (_filterbank.MAGIC, FILTERBANK),
    (_filterbank.MAGIC_SWAPPED, FILTERBANK),
    *((magic, JPEG2000) for magic in _jpeg2000.MAGICS),
    (_fits.MAGIC, FITS),
    (_frame_structures.MAGIC, GWF),
    (b"\x93NUMPY", NPY),
    *((magic, NETCDF) for magic in (b"CDF\x01", b"CDF\x02", b"CDF\x05")),
    *((magic, GTIFF) for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (_hdf4.MAGIC, HDF4),
    (_shapefile.MAGIC, SHAPEFILE),
    (_root.MAGIC + b"\0", ROOT),
    (b"PAR1", PARQUET),
    (b"GRIB", GRIB),
    (b"SQLi", GPKG),
    (b"\x89PNG", PNG),
)
_NAMED = {
    ".json": JSON, ".csv": CSV, ".tsv": CSV, ".md": TEXT, ".log": TEXT, ".bin": BINARY, ".pkl": PICKLE,
    ".pickle": PICKLE,
}  # fmt: skip


def formats() -> dict[str, Format]:
    """Return every format of values that graphs work on, by its name; text, bytes and pickles are none.

    >>> sorted(formats())[:3]
    ['COG', 'CSV', 'CoverageJSON']
    """
    return {item.name: item for item in FORMATS if item.value}


def format_named(name: str) -> Format:
    """Return the format called `name`, in any case, or by an alias.

    Raises:
        InvalidInput: There is none (`context["exception"]` is `FormatUnsuitable`).

    >>> format_named("geotiff").name
    'GTiff'
    """
    found = _BY_NAME.get(str(name).strip().lower())
    if found is None:
        known = ", ".join(item.name for item in FORMATS)
        hint = f"{did_you_mean(str(name), [item.name for item in FORMATS])} Known: {known}.".strip()
        raise unsuitable(f"'{name}'", "there is no such format", hint)
    return found


def format_of_file(path: Path) -> Format | None:
    """Return the format that a file's first bytes tell (names tell less), or None.

    A file of JSON is told apart by its first members, a zip file by its members' names, HDF5 that is no NetCDF by its
    axes; tables of text, text and bytes only by their names.
    """
    with path.open("rb") as stream:
        head = stream.read(4096)
    found = next((item for magic, item in _BEGINNINGS if head.startswith(magic)), None)
    if found is not None:
        return found
    if head.startswith(_hdf5.MAGIC[:4]):
        return _hdf_kind(path)
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    if head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5":
        return PICKLE
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if text[:1] in ("{", "["):
        return _json_kind(text)
    suffix = path.suffix.lower()
    return _text_kind(text) if suffix == ".txt" else _NAMED.get(suffix)


def _hdf_kind(path: Path) -> Format:
    # What is damaged is NetCDF, whose reader says so.
    with contextlib.suppress(Exception):
        return NETCDF if _hdf5.is_netcdf(path) else HDF5
    return NETCDF


def _zip_kind(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return NPZ if path.suffix.lower() == ".npz" else ZARR
    if any(_shapefile.is_shape(name) for name in names):
        return SHAPEFILE
    return NPZ if names and all(name.endswith(".npy") for name in names) else ZARR


def _text_kind(text: str) -> Format:
    """Return CSV for lines that all have the same number of separators, and at least one."""
    lines = text.splitlines()[:20][: -1 if len(text) > 4000 else None]
    for sign in (",", ";", "\t", "|"):
        counts = {line.count(sign) for line in lines if line}
        if len(counts) == 1 and counts != {0}:
            return CSV
    return TEXT


def _json_kind(text: str) -> Format:
    if '"Coverage"' in text or '"CoverageCollection"' in text:
        return COVERAGEJSON
    geo = ('"FeatureCollection"', '"Feature"', '"Polygon"', '"Point"', '"MultiPolygon"', '"LineString"')
    return GEOJSON if any(word in text for word in geo) else JSON
