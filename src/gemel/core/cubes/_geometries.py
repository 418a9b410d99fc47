"""Geometries as processes get them (GeoJSON, vector cubes), and vector cubes: one dimension of geometries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyproj
import shapely
import xarray as xr
from shapely.geometry import shape as shape_of

from gemel.base.errors import InvalidInput, ProcessRefused
from gemel.base.plugins import require
from gemel.core.cubes._crs import SPATIAL_REF, crs_from, crs_of, same_crs, transformer
from gemel.core.cubes._dimensions import KIND, dimensions_of

GEOMETRY = "geometry"
_GEOJSON = frozenset(
    {"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "Feature", "FeatureCollection"}
)


@dataclass(frozen=True)
class Geometries:
    """Geometries with their reference system and properties.

    Attributes:
        shapes: The geometries; a missing one is an empty collection.
        crs: Their reference system, or None where it is unknown.
        properties: Values of each property, one for each geometry.
        dim: Name of their dimension.
    """

    shapes: np.ndarray[Any, Any]
    crs: pyproj.CRS | None
    properties: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    dim: str = GEOMETRY

    def __len__(self) -> int:
        """Return how many geometries there are."""
        return len(self.shapes)

    def to(self, crs: pyproj.CRS | None) -> Geometries:
        """Return the geometries in another reference system.

        Raises:
            InvalidInput: There is no way to it.
        """
        if crs is None or same_crs(self.crs, crs):
            return self
        assert self.crs is not None
        return replace(self, shapes=reprojected(self.shapes, self.crs, crs), crs=crs)

    def coordinates(self) -> dict[str, Any]:
        """Return the coordinates of a vector cube of these geometries, without the index."""
        made: dict[str, Any] = {self.dim: ((self.dim,), self.shapes, {KIND: "geometry"})}
        return made | {name: ((self.dim,), _column(list(values))) for name, values in self.properties.items()}


def geometries_of(value: Any) -> Geometries:
    """Return the geometries in GeoJSON (degrees on WGS 84 unless it names a CRS) or in a vector cube.

    Raises:
        InvalidInput: It is neither, or a geometry is broken.
    """
    if isinstance(value, xr.Dataset):
        value = next(iter(value.data_vars.values())) if value.data_vars else xr.DataArray(0.0, value.coords)
    if isinstance(value, xr.DataArray):
        return _of_cube(value)
    if isinstance(value, Mapping):
        return _of_geojson(value)
    if hasattr(value, "geometry") and hasattr(value, "crs"):  # a table of geopandas
        names = [name for name in value.columns if name != value.geometry.name]
        crs = None if value.crs is None else pyproj.CRS(value.crs)
        return Geometries(_shapes(list(value.geometry)), crs, {str(name): list(value[name]) for name in names})
    raise InvalidInput(f"A {type(value).__name__} holds no geometries.", hint="Give GeoJSON or a vector cube.")


def geometry_dim(cube: xr.DataArray, name: str | None = None) -> str:
    """Return the name of the geometry dimension of a vector cube: the only one, or the one called `name`.

    Raises:
        ProcessRefused: `DimensionNotAvailable`.
    """
    found = dimensions_of(cube, "geometry")
    if (name is None and len(found) == 1) or name in found:
        return name or found[0]
    wanted = "exactly one dimension of geometries" if name is None else f"no dimension of geometries '{name}'"
    message = (
        f"The cube has {len(found)} dimensions of geometries, not one." if name is None else f"The cube has {wanted}."
    )
    hint = f"Its dimensions: {', '.join(map(str, cube.dims)) or 'none'}."
    if any(str(coord).lower() in ("lon", "longitude") and item.ndim == 2 for coord, item in cube.coords.items()):
        hint = "Its grid is curvilinear: regrid it first."
    raise ProcessRefused(message, exception="DimensionNotAvailable", hint=hint)


def vector_cube(cube: xr.DataArray, geometries: Geometries) -> xr.DataArray:
    """Return a cube whose dimension `geometries.dim` has these geometries as labels, with their CRS and properties."""
    dim = geometries.dim
    bare = cube.drop_vars([name for name in (dim, SPATIAL_REF) if name in cube.coords])
    made = bare.assign_coords(geometries.coordinates())
    if len(geometries) == 0:
        return made
    require("xvec", extra="data")
    indexed: xr.DataArray = made.xvec.set_geom_indexes(dim, crs=geometries.crs)
    indexed.coords[dim].attrs.setdefault(KIND, "geometry")
    return indexed


def reprojected(shapes: Any, source: pyproj.CRS, target: pyproj.CRS) -> np.ndarray[Any, Any]:
    """Return geometries of `source` in `target`.

    Raises:
        InvalidInput: There is no way from one to the other, or it leads to infinity.
    """
    carry = transformer(source, target)

    def moved(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        found = np.column_stack(carry.transform(points[:, 0], points[:, 1]))
        if not np.isfinite(found).all():
            message = "A geometry reaches where the target projection is not defined."
            raise InvalidInput(message, hint="Cut it to the region of the cube first.")
        return found

    return np.asarray(shapely.transform(np.asarray(shapes, dtype=object), moved), dtype=object)


def polygonal(geometries: Geometries) -> Geometries:
    """Return geometries that are all polygons, empty ones left out.

    Raises:
        InvalidInput: One is not, or none is left.
    """
    for shape in geometries.shapes:
        if not shape.is_empty and shape.geom_type not in ("Polygon", "MultiPolygon"):
            raise InvalidInput(f"A {shape.geom_type} is no polygon.", hint="Give polygons or multipolygons.")
    kept = [shape for shape in geometries.shapes if not shape.is_empty]
    if not kept:
        raise InvalidInput("There is no polygon.", hint="Give at least one polygon that is not empty.")
    return Geometries(_shapes(kept), geometries.crs)


def _of_cube(cube: xr.DataArray) -> Geometries:
    dim = geometry_dim(cube)
    properties = {
        str(name): item.values.tolist() for name, item in cube.coords.items() if item.dims == (dim,) and name != dim
    }
    shapes = list(cube.coords[dim].values) if dim in cube.coords else []
    return Geometries(_shapes(shapes), crs_of(cube), properties, dim)


def _of_geojson(document: Mapping[str, Any]) -> Geometries:
    if document.get("type") not in _GEOJSON:
        hint = "Give a geometry, a Feature or a FeatureCollection; collections of geometries are not supported."
        raise InvalidInput(f"'{document.get('type')}' is not a GeoJSON type that is read here.", hint=hint)
    features = document.get("features") if document["type"] == "FeatureCollection" else [document]
    rows = [item.get("properties") or {} if item.get("type") == "Feature" else {} for item in features or ()]
    found = [item.get("geometry") if item.get("type") == "Feature" else item for item in features or ()]
    names = dict.fromkeys(name for row in rows for name in row)
    return Geometries(
        _shapes([_parsed(item) for item in found]),
        _crs_of_geojson(document),
        {name: [row.get(name) for row in rows] for name in names},
    )


def _parsed(document: Mapping[str, Any] | None) -> Any:
    if not document or not document.get("coordinates"):
        return shapely.GeometryCollection()
    try:
        return shape_of(document)
    except Exception as error:  # shapely raises whatever its parser meets in a malformed document
        hint = "Look at the nesting of 'coordinates'."
        raise InvalidInput(f"A {document.get('type')} of the GeoJSON cannot be read: {error}.", hint=hint) from error


def _crs_of_geojson(document: Mapping[str, Any]) -> pyproj.CRS:
    # The member of GeoJSON 2008; RFC 7946 knows degrees alone.
    name = (document.get("crs") or {}).get("properties", {}).get("name")
    return crs_from(str(name)) if name and "CRS84" not in str(name) else crs_from(4326)


def _shapes(items: Sequence[Any]) -> np.ndarray[Any, Any]:
    held = np.empty(len(items), dtype=object)
    for place, item in enumerate(items):
        shape = item if isinstance(item, shapely.Geometry) else shapely.GeometryCollection()
        if not np.isfinite(shapely.get_coordinates(shape)).all():
            raise InvalidInput(f"Geometry {place} has a coordinate that is not a finite number.")
        held[place] = shape
    return held


def _column(values: list[Any]) -> np.ndarray[Any, Any]:
    kinds = {type(value) for value in values}
    if (kinds and kinds <= {int, float}) or kinds == {bool}:
        return np.asarray(values)
    held = np.empty(len(values), dtype=object)
    held[:] = values
    return held
