"""Cubes from collections, STAC catalogues, files and addresses (openEO process specification, group `import`).

What is loaded is read when something asks for its cells; extents and bands only select.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import shapely
import xarray as xr

from gemel.base.errors import InvalidInput, ProcessRefused
from gemel.core.graph import Field, Retry, surroundings
from gemel.core.processes._lake import kept_by, refusals, roots, wanted_part
from gemel.core.processes._standard import standard
from gemel.infra.lake.collections import Collections, Wanted, one_value, open_collection
from gemel.infra.lake.formats import Format, features_of, format_named, format_of_file, vector_cube
from gemel.infra.lake.web import Catalogue, Web, cache_of, catalogue, confined, opener

_PROPERTIES = "properties"
_DOWNLOAD_BYTES = 4 << 30
# The network may fail for a moment; what is wrong with the arguments will not pass.
_NETWORK = Retry(attempts=3, delay=0.5, on=(ConnectionError, TimeoutError))
# Formats that begin alike, of which either may be asked for.
_ALIKE = ({"GTiff", "COG"}, {"JSON", "GeoJSON", "CoverageJSON"}, {"CSV", "Text", "Binary"})


def _collection_state(id: Any = None, **_: Any) -> str | None:
    home = surroundings().home
    return Collections(home).digest(id) if home is not None and isinstance(id, str) else None


@standard(fingerprint=_collection_state)
def load_collection(
    id: str,
    spatial_extent: Any,
    temporal_extent: list[Any] | None,
    bands: list[str] | None = None,
    properties: dict[str, Any] | None = None,
) -> Field:
    """A collection of the lake as a cube.

    Args:
        id: The collection.
        spatial_extent: Box or polygons; cells whose centres lie in it are kept, those of its box outside of polygons are
            missing. Null for everything.
        temporal_extent: Start (included) and end (not included), either of them null; null for everything.
        bands: Names or common names, in the order wanted; null for all in the collection's order.
        properties: Conditions on the metadata of items, all of which must hold.

    Raises:
        NotFound: There is no such collection.
        ProcessRefused: `NoDataAvailable`, `TemporalExtentEmpty`.
    """
    with refusals():
        wanted = wanted_part(spatial_extent, temporal_extent, bands)
        collections = Collections(surroundings().lake())
        keep = kept_by(properties)
        if keep is None:
            return collections.open(id, wanted)
        document = collections.get(id)
        if document.get("assets") and not keep(document):
            raise _nothing("the collection does not meet the conditions")
        return collections.open(id, wanted, items=(item for item in collections.items(id) if keep(item)))


def _stac_state(
    url: Any = None, spatial_extent: Any = None, temporal_extent: Any = None, properties: Any = None, **_: Any
) -> str | None:
    if not isinstance(url, str):
        return None
    # What another step makes is not known yet: then all items count.
    box = spatial_extent if isinstance(spatial_extent, dict) and "input" not in spatial_extent else None
    span = temporal_extent if isinstance(temporal_extent, list) else None
    with Web() as web, refusals():
        return _found(web, url, wanted_part(box, span, None), properties).state(web)


@standard(fingerprint=_stac_state, retry=_NETWORK, wider=["url"])
def load_stac(
    url: str,
    spatial_extent: Any = None,
    temporal_extent: list[Any] | None = None,
    bands: list[str] | None = None,
    properties: dict[str, Any] | None = None,
) -> Field:
    """A STAC Collection, Item, static Catalog, or a collection of a STAC API as a cube.

    Args:
        url: Its address; or the path of a document in the lake or in the workspace.
        spatial_extent: Box or polygons; cells whose centres lie in it are kept. Null for everything.
        temporal_extent: Start (included) and end (not included), either of them null; null for everything.
        bands: Names or common names, in the order wanted; null for all.
        properties: Conditions on the metadata of items, all of which must hold.

    Raises:
        NotFound: There is nothing at the address.
        StoreUnavailable: The host cannot be reached, or is too slow.
        Denied: A host or a document refuses, or leads to where it must not.
        ProcessRefused: `NoDataAvailable`, `TemporalExtentEmpty`.
    """
    with refusals(), Web() as web:
        wanted = wanted_part(spatial_extent, temporal_extent, bands)
        found = _found(web, url, wanted, properties)
        opened = opener(web, cache_of(surroundings().home))
        return open_collection(found.collection, found.items, locate=found.locate, wanted=wanted, opener=opened)


@standard
def load_geojson(data: dict[str, Any], properties: list[str] = ()) -> Field:  # type: ignore[assignment]
    """Features of GeoJSON (RFC 7946) as a vector cube; properties that make no values lie beside the geometries.

    Args:
        data: A geometry, Feature or FeatureCollection in longitude and latitude.
        properties: Those that become values, along the dimension `properties`; of a single list-valued one, its elements.

    Raises:
        InvalidInput: It is no GeoJSON, or a geometry is broken.
    """
    with refusals():
        features = features_of(data)
        missing = [shape is None for shape in features.geometry]
        if any(missing):
            features = features.set_geometry(
                [shapely.GeometryCollection() if m else s for m, s in zip(missing, features.geometry, strict=True)]
            )
        wanted = list(properties)
        for name in wanted:
            if name not in features.columns:
                features[name] = None
        if len(wanted) == 1 and any(isinstance(item, list) for item in features[wanted[0]]):
            return _spread(features, wanted[0])
        return vector_cube(features, wanted)


def _url_state(url: Any = None, **_: Any) -> list[str] | None:
    if not isinstance(url, str):
        return None
    with Web() as web:
        try:
            return web.state(url)
        except InvalidInput:
            return None  # some hosts answer no HEAD


@standard(fingerprint=_url_state, retry=_NETWORK)
def load_url(url: str, format: str, options: dict[str, Any] = {}) -> Any:  # noqa: B006
    """What is in a file on the web.

    Args:
        url: Its http or https address.
        format: Its format.
        options: Of reading that format.

    Raises:
        NotFound: There is no such file.
        StoreUnavailable: The host cannot be reached.
        ProcessRefused: `FormatUnsuitable`.
    """
    with refusals(), Web() as web:
        reader = format_named(format)
        path = cache_of(surroundings().home).file(web, url, _DOWNLOAD_BYTES)
        _require_alike(reader, path, urlsplit(url).path)
        return reader.read(path, options)


def _files_state(paths: Any = None, **_: Any) -> list[Any] | None:
    folder = surroundings().files
    if folder is None or not isinstance(paths, list):
        return None
    found = [confined(path, folder) if isinstance(path, str) else None for path in paths]
    return [[path.stat().st_size, path.stat().st_mtime_ns] if path and path.is_file() else None for path in found]


@standard(fingerprint=_files_state)
def load_uploaded_files(paths: list[str], format: str, options: dict[str, Any] = {}) -> Any:  # noqa: B006
    """What is in files of the workspace, together: instants after each other, bands side by side.

    Args:
        paths: Files, from the root of the workspace.
        format: Their format.
        options: Of reading that format.

    Raises:
        ProcessRefused: `FileNotFound`, `FormatUnsuitable`.
    """
    with refusals():
        reader = format_named(format)
        files = [_uploaded(path) for path in paths]
        if not files:
            raise InvalidInput("No file is named.", hint="Give the path of one.")
        for path in files:
            _require_alike(reader, path, path.name)
        return one_value([reader.read(path, options) for path in files])


def _found(web: Web, url: str, wanted: Wanted, properties: Any) -> Catalogue:
    keep: Callable[[Mapping[str, Any]], bool] | None = kept_by(properties)
    if urlsplit(url).scheme in ("http", "https"):
        return catalogue(web, url, wanted, roots=[], keep=keep)
    allowed = roots()
    start = surroundings().files or Path.cwd()
    inside = [confined(url.removeprefix("file://"), root) if root != Path("/") else None for root in allowed]
    plain = (start / url.removeprefix("file://")).resolve()
    path = plain if any(plain.is_relative_to(root.resolve()) for root in allowed) else None
    path = path or next((item for item in inside if item is not None and item.is_file()), None)
    if path is None:
        hint = "Give an http address, or a document in the workspace or in the lake."
        raise InvalidInput(f"'{url}' is no address of a STAC document.", hint=hint)
    return catalogue(web, path, wanted, roots=allowed, keep=keep)


def _spread(features: Any, name: str) -> xr.DataArray:
    """Return a vector cube whose values are the elements of one list-valued property, labelled by their position."""
    lists = [item if isinstance(item, list) else [] if item is None else [item] for item in features[name]]
    length = max(map(len, lists))
    cells = np.empty((len(lists), length), dtype=object)
    for row, items in enumerate(lists):
        cells[row, : len(items)] = items
    numbers = all(
        item is None or (isinstance(item, (int, float)) and not isinstance(item, bool)) for item in cells.flat
    )
    values = cells.astype(np.float64) if numbers else cells
    bare = vector_cube(features.drop(columns=name), [])
    beside = {key: item for key, item in bare.coords.items() if key != "geometry"}
    spread = xr.DataArray(values, beside | {_PROPERTIES: np.arange(length)}, ("geometry", _PROPERTIES))
    shaped = spread.assign_coords({"geometry": ("geometry", bare["geometry"].values)})
    return shaped.xvec.set_geom_indexes("geometry", crs=features.crs)


def _uploaded(path: str) -> Path:
    folder = surroundings().files
    found = confined(path, folder) if folder is not None else None
    if found is None or not found.is_file():
        hint = "Upload it first; the path is from the root of the workspace."
        raise ProcessRefused(f"There is no file '{path}' in the workspace.", exception="FileNotFound", hint=hint)
    return found


def _require_alike(reader: Format, path: Path, name: str) -> None:
    found = format_of_file(path)
    if found is None or found.name == reader.name or any({found.name, reader.name} <= alike for alike in _ALIKE):
        return
    shown = Path(name).name or name
    message = f"'{shown}' is no {reader.name}: its content looks like {found.name}."
    raise ProcessRefused(message, exception="FormatUnsuitable", hint=f"Use the format {found.name}.")


def _nothing(reason: str) -> ProcessRefused:
    message = f"There is no data available for the given extents: {reason}."
    return ProcessRefused(message, exception="NoDataAvailable")
