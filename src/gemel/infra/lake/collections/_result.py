"""Files of a result as a STAC Item (1.1.0) whose assets the content store keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from gemel.base.clock import iso, utc_now
from gemel.base.ids import digest_json
from gemel.infra.lake._axes import crs_of
from gemel.infra.lake._content import ContentStore
from gemel.infra.lake._rasters import open_raster
from gemel.infra.lake.collections._describe import bands_of, dimensions_of, lonlat_box, time_span
from gemel.infra.lake.formats import Format

_VERSION = "1.1.0"
#: STAC extensions that Items of results use.
EXTENSIONS = [
    "https://stac-extensions.github.io/datacube/v2.2.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
]
# Multihash of SHA-256 (multiformats table): code 0x12, length 0x20, then the digest.
_MULTIHASH = "1220"


@dataclass(frozen=True)
class _Kept:
    name: str
    digest: str
    size: int
    datetime: str | None


def kept_item(files: Sequence[Path], value: Any, format: Format, store: ContentStore) -> dict[str, Any]:
    """Return the STAC Item of files after they were moved into the store.

    Args:
        files: What a format wrote.
        value: What they hold: gives extents, dimensions and bands.
        format: Of the files.
        store: Where they go.
    """
    kept = list(_keep(files, store))
    bands = bands_of(value) if isinstance(value, xr.DataArray) else []
    return {
        "type": "Feature",
        "stac_version": _VERSION,
        "stac_extensions": EXTENSIONS,
        "id": f"result-{digest_json([entry.digest for entry in kept])[:32]}",
        **placed(value),
        "links": [],
        "assets": {entry.name: _asset(entry, format, bands) for entry in kept},
    }


def placed(value: Any) -> dict[str, Any]:
    """Return where and when a value is: `geometry`, `properties` and, where it has a place, `bbox` of a STAC Item."""
    box = lonlat_box(value) if isinstance(value, xr.DataArray) else None
    found = {"geometry": None if box is None else _polygon(box), "properties": _properties(value)}
    return found if box is None else found | {"bbox": box}


def _keep(files: Sequence[Path], store: ContentStore) -> Iterator[_Kept]:
    for path in files:
        size, moment = path.stat().st_size, _moment(path)
        with store.staged() as staging:
            path.replace(staging)
            yield _Kept(path.name, store.put_file(staging), size, moment)


def _asset(kept: _Kept, format: Format, bands: list[dict[str, Any]]) -> dict[str, Any]:
    asset: dict[str, Any] = {
        "href": kept.name,
        "type": format.media_type,
        "title": format.title,
        "roles": ["data"],
        "file:checksum": _MULTIHASH + kept.digest,
        "file:size": kept.size,
        "gemel:digest": kept.digest,
    }
    asset |= {"bands": bands} if bands else {}
    return asset | ({"datetime": kept.datetime} if kept.datetime else {})


def _properties(value: Any) -> dict[str, Any]:
    now = iso(utc_now().replace(microsecond=0))
    if not isinstance(value, xr.DataArray):
        return {"datetime": now, "created": now}
    begin, end = time_span(value)
    times: dict[str, Any] = {"datetime": begin if begin == end and begin is not None else now}
    if begin is not None and begin != end:
        times = {"datetime": None, "start_datetime": begin, "end_datetime": end}
    crs = crs_of(value)
    code = None if crs is None else crs.to_epsg()
    projection = {} if crs is None else {"proj:code": f"EPSG:{code}"} if code else {"proj:wkt2": crs.to_wkt()}
    return times | {"created": now, "cube:dimensions": dimensions_of(value)} | projection


def _moment(path: Path) -> str | None:
    """Return the one instant that a raster file is for, or None."""
    if path.suffix != ".tif":
        return None
    with open_raster(str(path), path, "GTiff") as source:
        return _time_label(source.tags().get("GEMEL_TIME"))


def _time_label(text: str | None) -> str | None:
    return text if text is None or "T" in text else f"{text}T00:00:00Z"


def _polygon(box: Sequence[float]) -> dict[str, Any]:
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}
