"""Extents: a box or polygons on the Earth, and a half-open interval of time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyproj
import shapely
import shapely.geometry
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.infra.lake._axes import crs_of, geometry_dim, parsed_crs, same_crs

_WGS84 = pyproj.CRS.from_epsg(4326)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_POLYGONAL = ("Polygon", "MultiPolygon")

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Area:
    """A part of the Earth.

    Attributes:
        bounds: West, south, east, north in units of `crs`; in longitude, west is the greater one across the date line.
        crs: Reference system of bounds and shape.
        shape: Polygons outside of which cells are missing, or None for the whole box.
    """

    bounds: Bounds
    crs: pyproj.CRS
    shape: Any = None

    @property
    def across(self) -> bool:
        """Return whether the box crosses the date line."""
        return bool(self.bounds[0] > self.bounds[2])

    def bounds_in(self, crs: pyproj.CRS | None) -> Bounds:
        """Return the box around this area in another reference system; an unknown one is taken to be the same."""
        if crs is None or same_crs(crs, self.crs) or (crs.is_geographic and self.crs.is_geographic):
            return self.bounds
        if self.across:
            raise InvalidInput(
                "A box across the date line cannot be cut out of projected data.", hint="Give two boxes."
            )
        found = _change(self.crs, crs).transform_bounds(*self.bounds, densify_pts=21)
        if not np.all(np.isfinite(found)):
            raise InvalidInput(f"The spatial extent lies outside of where {crs.name} is defined.")
        return (float(found[0]), float(found[1]), float(found[2]), float(found[3]))

    def shape_in(self, crs: pyproj.CRS | None) -> Any:
        """Return the polygons in another reference system, or None."""
        if self.shape is None or crs is None or same_crs(crs, self.crs):
            return self.shape
        change = _change(self.crs, crs)
        return shapely.transform(self.shape, lambda p: np.stack(change.transform(p[:, 0], p[:, 1]), axis=-1))

    def lonlat(self) -> Bounds:
        """Return the box in longitude and latitude, as STAC searches take it."""
        return self.bounds_in(_WGS84)


@dataclass(frozen=True)
class Interval:
    """A half-open interval of time, in UTC; None for an open end."""

    start: np.datetime64 | None
    end: np.datetime64 | None

    def holds(self, begin: np.datetime64, finish: np.datetime64 | None = None) -> bool:
        """Return whether an instant lies in the interval, or a span from `begin` to `finish` meets it."""
        last = begin if finish is None else finish
        return bool((self.end is None or begin < self.end) and (self.start is None or last >= self.start))

    def text(self) -> str:
        """Return the interval as STAC searches take it (RFC 3339, `..` for an open end)."""
        return "/".join(
            ".." if item is None else f"{np.datetime_as_string(item, unit='ms')}Z" for item in (self.start, self.end)
        )


def _change(source: pyproj.CRS, target: pyproj.CRS) -> pyproj.Transformer:
    try:
        return pyproj.Transformer.from_crs(source, target, always_xy=True)
    except pyproj.exceptions.ProjError as error:
        message = f"Coordinates in {source.name} cannot be carried over to {target.name}: no transformation is known."
        hint = "Give the extent in a reference system on the Earth, such as EPSG:4326."
        raise InvalidInput(message, hint=hint) from error


def area(value: Any) -> Area | None:
    """Return the area of an openEO spatial extent: a bounding box, GeoJSON, a vector cube, or None.

    Raises:
        InvalidInput: It is empty, or nothing of these.
    """
    if value is None:
        return None
    if isinstance(value, xr.DataArray):
        return _of_vector(value)
    if not isinstance(value, dict):
        raise InvalidInput(f"A {type(value).__name__} is no spatial extent.", hint="Give west, south, east and north.")
    if "type" in value:
        return _of_geojson(value)
    return _of_box(value)


def interval(value: Any) -> Interval | None:
    """Return the interval of an openEO temporal extent, or None.

    Raises:
        InvalidInput: It is malformed, or ends before it begins (`context["exception"]` is `TemporalExtentEmpty`).
    """
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise InvalidInput("A temporal extent has exactly two elements.", hint='Like ["2020-01-01", "2021-01-01"].')
    if value[0] is None and value[1] is None:
        raise InvalidInput("A temporal extent has at least one end.", hint="Use null for no limit at all.")
    start, end = (None if item is None else instant(item) for item in value)
    if start is not None and end is not None and end <= start:
        message = f"The temporal extent is empty: {value[1]} is not later than {value[0]}."
        raise InvalidInput(message, hint="The end is not part of the extent.", exception="TemporalExtentEmpty")
    return Interval(start, end)


def instant(text: Any) -> np.datetime64:
    """Return the UTC instant that RFC 3339 text means; a date is its first moment.

    Raises:
        InvalidInput: It is no date or time.

    >>> instant("2020-01-01T01:00:00+01:00")
    np.datetime64('2020-01-01T00:00:00.000000000')
    """
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise InvalidInput(f"'{text}' is not a date or time.", hint="Write it like 2018-01-01T12:00:00Z.") from error
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(moment, "ns")


def _of_box(value: dict[str, Any]) -> Area:
    try:
        bounds = tuple(float(value[name]) for name in ("west", "south", "east", "north"))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput("A bounding box has numbers west, south, east and north.") from error
    crs = parsed_crs(value["crs"]) if value.get("crs") is not None else _WGS84
    west, south, east, north = bounds
    if not all(np.isfinite(bounds)) or north < south or (east < west and not crs.is_geographic):
        message = f"The spatial extent is empty: west {west:g}, south {south:g}, east {east:g}, north {north:g}."
        raise InvalidInput(message, hint="East and north are the greater ones.", exception="NoDataAvailable")
    return Area((west, south, east, north), crs)


def _of_geojson(value: dict[str, Any]) -> Area:
    crs = _WGS84
    named = value.get("crs")
    if isinstance(named, dict):
        crs = parsed_crs(named.get("properties", {}).get("name"))
    features = value.get("features", [value]) if value.get("type") == "FeatureCollection" else [value]
    shapes = []
    for item in features:
        geometry = item.get("geometry") if item.get("type") == "Feature" else item
        if not isinstance(geometry, dict) or geometry.get("type") not in _POLYGONAL:
            raise InvalidInput(
                "A spatial extent of GeoJSON is made of polygons.", hint="Buffer points and lines first."
            )
        try:
            shapes.append(shapely.geometry.shape(geometry))
        except (KeyError, ValueError, TypeError, IndexError, AttributeError, shapely.errors.ShapelyError) as error:
            raise InvalidInput(f"A polygon of the spatial extent is broken: {error}.") from error
    return _of_shapes(shapes, crs)


def _of_vector(cube: xr.DataArray) -> Area:
    dim = geometry_dim(cube)
    if dim is None:
        raise InvalidInput("A raster cube is no spatial extent.", hint="Give a bounding box or a vector cube.")
    return _of_shapes(list(cube[dim].values), crs_of(cube) or _WGS84)


def _of_shapes(shapes: list[Any], crs: pyproj.CRS) -> Area:
    kept = [item for item in shapes if item is not None and not item.is_empty]
    if not kept:
        message = "The spatial extent has no geometry that is not empty."
        raise InvalidInput(message, exception="NoDataAvailable")
    whole = shapely.union_all(kept)
    west, south, east, north = whole.bounds
    return Area((float(west), float(south), float(east), float(north)), crs, whole)
