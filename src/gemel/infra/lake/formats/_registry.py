"""All formats by name."""

from __future__ import annotations

from pathlib import Path

from gemel.base.errors import did_you_mean
from gemel.infra.lake.formats._covjson import COVERAGEJSON
from gemel.infra.lake.formats._format import Format, unsuitable
from gemel.infra.lake.formats._geotiff import COG, GTIFF
from gemel.infra.lake.formats._grib import GRIB
from gemel.infra.lake.formats._json import JSON
from gemel.infra.lake.formats._netcdf import NETCDF
from gemel.infra.lake.formats._png import PNG
from gemel.infra.lake.formats._tables import CSV, PARQUET
from gemel.infra.lake.formats._vector import GEOJSON, GPKG
from gemel.infra.lake.formats._zarr import ZARR

FORMATS = (NETCDF, ZARR, GTIFF, COG, GEOJSON, GPKG, CSV, PARQUET, COVERAGEJSON, PNG, JSON, GRIB)
_BY_NAME = {alias.lower(): item for item in FORMATS for alias in (item.name, *item.aliases)}


def formats() -> dict[str, Format]:
    """Return every format by its name.

    >>> sorted(formats())[:3]
    ['COG', 'CSV', 'CoverageJSON']
    """
    return {item.name: item for item in FORMATS}


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

    A file of JSON is told apart by its first members; text is CSV only by its name.
    """
    with path.open("rb") as stream:
        head = stream.read(4096)
    binary = {
        b"\x89HDF": NETCDF,
        b"CDF\x01": NETCDF,
        b"CDF\x02": NETCDF,
        b"CDF\x05": NETCDF,
        b"II*\0": GTIFF,
        b"MM\0*": GTIFF,
        b"II+\0": GTIFF,
        b"MM\0+": GTIFF,
        b"PK\x03\x04": ZARR,
        b"PAR1": PARQUET,
        b"GRIB": GRIB,
        b"SQLi": GPKG,
        b"\x89PNG": PNG,
    }
    found = binary.get(head[:4])
    if found is not None:
        return found
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if text[:1] in ("{", "["):
        return _json_kind(text)
    if path.suffix.lower() == ".json":
        return JSON
    return CSV if path.suffix.lower() in (".csv", ".tsv", ".txt") else None


def _json_kind(text: str) -> Format:
    if '"Coverage"' in text or '"CoverageCollection"' in text:
        return COVERAGEJSON
    geo = ('"FeatureCollection"', '"Feature"', '"Polygon"', '"Point"', '"MultiPolygon"', '"LineString"')
    return GEOJSON if any(word in text for word in geo) else JSON
