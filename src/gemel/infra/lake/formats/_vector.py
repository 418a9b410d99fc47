"""GeoJSON (RFC 7946) and GeoPackage (OGC 12-128): features, and vector cubes as features."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import shapely
import shapely.geometry
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.base.plugins import require
from gemel.infra.lake._axes import crs_of, geometry_dim
from gemel.infra.lake.formats._format import Format, Options, unsuitable
from gemel.infra.lake.formats._tidy import cube_of, description, pieces, renamed_geometry, vector_cube
from gemel.infra.lake.formats._values import instants, kind_of, plain

_GEOJSON, _GPKG = "GeoJSON", "GPKG"
_NOTE = "gemel"
_WGS84 = pyproj.CRS.from_user_input("OGC:CRS84")  # RFC 7946, section 4: longitude and latitude of WGS 84
_LAYER = "result"


def _vector(value: Any, format: str) -> tuple[xr.DataArray, str]:
    if kind_of(value) != "vector":
        reason = f"it holds vector cubes, and this is a {kind_of(value)} value"
        raise unsuitable(format, reason, "Try netCDF or GTiff for rasters, CSV or Parquet for tables.")
    dim = geometry_dim(value)
    assert dim is not None
    return value, dim


def _write_geojson(value: Any, path: Path, options: Options) -> list[Path]:
    cube, dim = _vector(value, _GEOJSON)
    note = description(cube)
    shapes, crs = _lonlat(cube, dim)
    note["own_crs"] = None if crs is None else crs.to_wkt()
    with path.open("w", encoding="utf-8") as stream:
        stream.write('{"type":"FeatureCollection",')
        stream.write(f'"{_NOTE}":{json.dumps(note)},"features":[')
        for number, feature in enumerate(_features(cube, dim, shapes, options["digits"])):
            stream.write(("," if number else "") + json.dumps(feature, allow_nan=False))
        stream.write("]}")
    return [path]


def _features(cube: xr.DataArray, dim: str, shapes: dict[int, Any], digits: int) -> Iterator[dict[str, Any]]:
    for piece in pieces(cube, _GEOJSON, texts=True):
        others = [str(name) for name in piece.columns if name != dim]
        columns = {name: _plain_column(piece[name]) for name in others}
        for row, shape in enumerate(piece[dim]):
            geometry = shapely.geometry.mapping(
                shapely.set_precision(shapes[id(shape)], 10.0**-digits, mode="pointwise")
            )
            properties = {name: columns[name][row] for name in others}
            yield {"type": "Feature", "geometry": geometry, "properties": properties}


def _plain_column(column: Any) -> list[Any]:
    values = column.to_numpy()
    if values.dtype.kind == "M":
        return [None if pd.isna(item) else instants(np.array([item]))[0] for item in values]
    return [plain(item) for item in values]


def _lonlat(cube: xr.DataArray, dim: str) -> tuple[dict[int, Any], pyproj.CRS | None]:
    """Return the geometries in longitude and latitude by the identity of the original ones, and the original system."""
    crs, shapes = crs_of(cube), cube[dim].values
    if crs is None or crs.equals(_WGS84) or crs.equals(pyproj.CRS.from_epsg(4326)):
        return {id(shape): shape for shape in shapes}, crs
    change = pyproj.Transformer.from_crs(crs, _WGS84, always_xy=True)

    def turned(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.stack(change.transform(points[:, 0], points[:, 1]), axis=-1)

    return {id(shape): shapely.transform(shape, turned) for shape in shapes}, crs


def _read_geojson(path: Path, options: Options) -> xr.DataArray:
    document = json.loads(path.read_text(encoding="utf-8"))
    note = document.get(_NOTE) if isinstance(document, dict) else None
    features = features_of(document)
    if isinstance(note, dict) and note.get("geometries"):
        written = note.get("own_crs")
        named = renamed_geometry(features, note["geometries"][0])
        cube = cube_of(named, note, _WGS84 if written else None)
        if cube is not None:
            crs = pyproj.CRS.from_wkt(written) if written else None
            return cube if crs is None else _back(cube, note["geometries"][0], crs)
    return vector_cube(features, options["properties"])


def _back(cube: xr.DataArray, dim: str, crs: pyproj.CRS) -> xr.DataArray:
    if crs.equals(pyproj.CRS.from_epsg(4326)) or crs.equals(_WGS84):
        found: xr.DataArray = cube.xvec.set_crs({dim: crs}, allow_override=True)
    else:
        found = cube.xvec.to_crs({dim: crs})
    return found


def features_of(document: Any) -> Any:
    """Return the features of a GeoJSON object (RFC 7946) as a `GeoDataFrame` in longitude and latitude.

    Raises:
        InvalidInput: It is no GeoJSON, has no geometries, or holds a `GeometryCollection`.
    """
    frames = require("geopandas", extra="data")
    rows = [_feature(item) for item in _listed(document)]
    shapes = [shape for shape, _ in rows]
    crs = _declared_crs(document)
    columns = list(dict.fromkeys(name for _, properties in rows for name in properties))
    data = {name: [properties.get(name) for _, properties in rows] for name in columns if name != "geometry"}
    return frames.GeoDataFrame(data, geometry=shapes, crs=crs)


def _listed(document: Any) -> list[dict[str, Any]]:
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        return [item for item in document["features"] if isinstance(item, dict)]
    if kind == "Feature":
        return [document]
    if kind in ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"):
        return [{"type": "Feature", "geometry": document, "properties": {}}]
    raise InvalidInput(
        f"This is no GeoJSON that can be loaded: its type is {kind!r}.",
        hint="A geometry other than GeometryCollection, a Feature, or a FeatureCollection is needed.",
        exception="FormatUnsuitable",
    )


def _feature(item: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    geometry = item.get("geometry")
    properties = item.get("properties") or {}
    if geometry is None:
        return None, properties
    if not isinstance(geometry, dict) or geometry.get("type") == "GeometryCollection":
        raise InvalidInput("A GeometryCollection cannot be loaded.", hint="Split it into features.")
    try:
        return shapely.geometry.shape(geometry), properties
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, shapely.errors.ShapelyError) as error:
        kind = geometry.get("type")
        raise InvalidInput(f"A {kind} of the GeoJSON has broken coordinates: {error}.") from error


def _declared_crs(document: Any) -> Any:
    """Return the system that old GeoJSON (2008) and the openEO specification allow to be named, else WGS 84."""
    named = document.get("crs") if isinstance(document, dict) else None
    name = named.get("properties", {}).get("name") if isinstance(named, dict) else None
    if name is None:
        return pyproj.CRS.from_epsg(4326)
    try:
        return pyproj.CRS.from_user_input(name)
    except pyproj.exceptions.CRSError as error:
        raise InvalidInput(f"The GeoJSON names an unknown reference system '{name}'.") from error


def _write_gpkg(value: Any, path: Path, options: Options) -> list[Path]:
    cube, dim = _vector(value, _GPKG)
    geo, io = require("geopandas", extra="data"), require("pyogrio", extra="data")
    table = pd.concat(list(pieces(cube, _GPKG)), ignore_index=True)
    frame = geo.GeoDataFrame(table, geometry=dim, crs=crs_of(cube))
    note = json.dumps(description(cube))
    types = {item.geom_type for item in cube[dim].values}
    kind = types.pop() if len(types) == 1 else "Unknown"
    io.write_dataframe(
        frame, path, layer=options["layer"], driver="GPKG", geometry_type=kind, layer_metadata={_NOTE: note}
    )
    return [path]


def _read_gpkg(path: Path, options: Options) -> xr.DataArray:
    io = require("pyogrio", extra="data")
    layer = options["layer"]
    info = io.read_info(path, layer=layer)
    frame = io.read_dataframe(path, layer=layer)
    note = json.loads((info.get("layer_metadata") or {}).get(_NOTE, "null"))
    if note and note.get("geometries"):
        cube = cube_of(renamed_geometry(frame, note["geometries"][0]), note, frame.crs)
        if cube is not None:
            return cube
    return vector_cube(frame)


GEOJSON = Format(
    name=_GEOJSON,
    title="GeoJSON (RFC 7946)",
    description=(
        "Features in longitude and latitude, one per geometry and label of further dimensions; bands and properties "
        "are members of `properties`."
    ),
    media_type="application/geo+json",
    suffix=".geojson",
    kinds=("vector",),
    writer=_write_geojson,
    reader=_read_geojson,
    output_parameters={
        "digits": {
            "type": "integer",
            "minimum": 0,
            "maximum": 15,
            "default": 9,
            "description": "Digits of a degree after the point; 9 are a tenth of a millimetre.",
        }
    },
    input_parameters={
        "properties": {
            "type": ["array", "null"],
            "items": {"type": "string"},
            "default": None,
            "description": "Properties that become values; default those that are numbers.",
        }
    },
)
GPKG = Format(
    name=_GPKG,
    title="OGC GeoPackage",
    description="One layer of features, one per geometry and label of further dimensions, in the cube's own system.",
    media_type="application/geopackage+sqlite3",
    suffix=".gpkg",
    kinds=("vector",),
    aliases=("geopackage",),
    writer=_write_gpkg,
    reader=_read_gpkg,
    output_parameters={
        "layer": {"type": "string", "default": _LAYER, "description": "Name of the layer."},
    },
    input_parameters={
        "layer": {"type": ["string", "null"], "default": None, "description": "Name of the layer; default the first."},
    },
)
