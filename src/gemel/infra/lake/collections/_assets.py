"""What STAC documents say of their data: assets, their kinds, their bands and their times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gemel.base.errors import InvalidInput
from gemel.infra.lake._extent import instant

Document = Mapping[str, Any]

_NO_DATA = {"thumbnail", "overview", "metadata", "visual"}
_MEDIA = {
    "image/tiff": "GTiff",
    "image/vnd.stac.geotiff": "GTiff",
    "image/jp2": "JP2OpenJPEG",
    "application/x-netcdf": "netCDF",
    "application/netcdf": "netCDF",
    "application/x-hdf5": "netCDF",
    "application/vnd.zarr": "Zarr",
    "application/vnd+zarr": "Zarr",
    "application/vnd.zarr+zip": "Zarr",
    "application/wmo-grib2": "GRIB",
    "application/geo+json": "GeoJSON",
    "application/geopackage+sqlite3": "GPKG",
    "application/vnd.apache.parquet": "Parquet",
    "application/x-parquet": "Parquet",
}
_SUFFIXES = {
    ".tif": "GTiff",
    ".tiff": "GTiff",
    ".jp2": "JP2OpenJPEG",
    ".nc": "netCDF",
    ".nc4": "netCDF",
    ".zarr": "Zarr",
    ".zarr.zip": "Zarr",
    ".grib2": "GRIB",
    ".grb2": "GRIB",
    ".geojson": "GeoJSON",
    ".gpkg": "GPKG",
    ".parquet": "Parquet",
}
RASTERS = ("GTiff", "JP2OpenJPEG")


@dataclass(frozen=True)
class Band:
    """One band of an asset.

    Attributes:
        name: Its name.
        position: Its number in the file, from one.
        common: Its common name, or an empty text.
        unit: Its unit, or an empty text.
    """

    name: str
    position: int
    common: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Asset:
    """One file with data.

    Attributes:
        key: Its key in the document.
        href: As the document has it.
        kind: Name of its format.
        bands: Of a raster file.
        document: The asset object, with what the collection says of assets with this key.
    """

    key: str
    href: str
    kind: str
    bands: tuple[Band, ...]
    document: Document


def data_assets(holder: Document, collection: Document | None = None) -> list[Asset]:
    """Return the assets of an item or collection that hold data in a known format; each band name occurs once."""
    shared = (collection or {}).get("item_assets") or {}
    found: list[Asset] = []
    taken: set[str] = set()
    for key, own in (holder.get("assets") or {}).items():
        asset = {**shared.get(key, {}), **own}
        kind = kind_of_asset(asset)
        if kind is None or not isinstance(asset.get("href"), str) or _NO_DATA & set(asset.get("roles") or ()):
            continue
        bands = tuple(_bands(str(key), asset, taken))
        if kind in RASTERS and not asset.get("datetime"):
            taken |= {band.name for band in bands}
        found.append(Asset(str(key), asset["href"], kind, bands, asset))
    return found


def kind_of_asset(asset: Document) -> str | None:
    """Return the name of an asset's format by its media type, else by its name; None for an unknown one."""
    media = str(asset.get("type") or "").split(";")[0].strip().lower()
    if media in _MEDIA:
        return _MEDIA[media]
    name = str(asset.get("href") or "").split("?")[0].rstrip("/").lower()
    return next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), None)


def time_of(item: Document, asset: Document | None = None) -> np.datetime64:
    """Return the instant of an item, or of one of its assets that has its own: `datetime`, else the start of its span.

    Raises:
        InvalidInput: It has none.
    """
    properties = item.get("properties") or {}
    own = asset or {}
    text = own.get("datetime") or own.get("start_datetime") or properties.get("datetime")
    text = text or properties.get("start_datetime")
    if not text:
        raise InvalidInput(f"The STAC item '{item.get('id')}' has no datetime.")
    return instant(text)


def span_of(item: Document) -> tuple[np.datetime64, np.datetime64]:
    """Return the first and last instant of an item."""
    properties = item.get("properties") or {}
    begin, end = properties.get("start_datetime"), properties.get("end_datetime")
    if begin and end:
        return instant(begin), instant(end)
    found = time_of(item)
    return found, found


def common_names(documents: Sequence[Document]) -> dict[str, list[str]]:
    """Return the names of bands by common name, as collections and items state them."""
    found: dict[str, list[str]] = {}
    for name, common in (pair for document in documents for pair in _named_bands(document)):
        if common and name not in found.setdefault(common, []):
            found[common].append(name)
    return found


def band_facts(documents: Sequence[Document]) -> dict[str, tuple[str, float | None]]:
    """Return the common name and the central wavelength in micrometres of each band of which they are known."""
    found: dict[str, tuple[str, float | None]] = {}
    for name, band in (pair for document in documents for pair in _band_objects(document)):
        wave = band.get("eo:center_wavelength", band.get("center_wavelength"))
        common = str(band.get("eo:common_name") or band.get("common_name") or "")
        if common or wave is not None:
            found.setdefault(name, (common, None if wave is None else float(wave)))
    return found


def band_order(collection: Document) -> list[str]:
    """Return the names of a collection's bands in its own order: `cube:dimensions`, else `bands`; empty when unknown."""
    for dimension in (collection.get("cube:dimensions") or {}).values():
        if dimension.get("type") == "bands" and dimension.get("values"):
            return [str(item) for item in dimension["values"]]
    return list(dict.fromkeys(name for name, _ in _own_bands(collection)))


def dimension_names(collection: Document) -> dict[str, str]:
    """Return the names of the dimensions by role (x, y, z, t, bands) as `cube:dimensions` has them."""
    found: dict[str, str] = {}
    for name, dimension in (collection.get("cube:dimensions") or {}).items():
        kind = dimension.get("type")
        role = {"spatial": dimension.get("axis"), "temporal": "t", "bands": "bands"}.get(str(kind))
        if role:
            found.setdefault(str(role), str(name))
    return found


def _bands(key: str, asset: Document, taken: set[str]) -> Iterator[Band]:
    listed = asset.get("bands") or asset.get("eo:bands") or asset.get("raster:bands") or [{}]
    details = asset.get("raster:bands") or [{}] * len(listed)
    for position, band in enumerate(listed, 1):
        detail = details[position - 1] if position <= len(details) else {}
        fallback = key if len(listed) == 1 else f"{key}_{position}"
        name = str(band.get("name") or fallback)
        name = name if name not in taken or asset.get("datetime") else fallback
        unit = band.get("unit") or detail.get("unit") or asset.get("unit") or ""
        yield Band(name, position, str(band.get("eo:common_name") or band.get("common_name") or ""), str(unit))


def _own_bands(collection: Document) -> Iterator[tuple[str, str]]:
    summaries = collection.get("summaries") or {}
    for listed in (collection.get("bands"), summaries.get("bands"), summaries.get("eo:bands")):
        for band in listed or ():
            if band.get("name"):
                yield str(band["name"]), str(band.get("eo:common_name") or band.get("common_name") or "")
    for key, asset in (collection.get("item_assets") or {}).items():
        if kind_of_asset(asset) in RASTERS and not _NO_DATA & set(asset.get("roles") or ()):
            for band in _bands(str(key), asset, set()):
                yield band.name, band.common


def _band_objects(document: Document) -> Iterator[tuple[str, Document]]:
    summaries = document.get("summaries") or {}
    holders = [*(document.get("item_assets") or {}).items(), *(document.get("assets") or {}).items()]
    for key, asset in [("", document), ("", summaries), *holders]:
        for band in (asset.get("bands") or asset.get("eo:bands") or ()) if isinstance(asset, Mapping) else ():
            yield str(band.get("name") or key), band


def _named_bands(document: Document) -> Iterator[tuple[str, str]]:
    yield from _own_bands(document)
    for asset in data_assets(document):
        for band in asset.bands:
            yield band.name, band.common
