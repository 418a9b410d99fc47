"""The coordinate reference system of a cube, kept as CF keeps it, and coordinates carried from one to another."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyproj
import xarray as xr
from pyproj.exceptions import CRSError, ProjError

from gemel.base.errors import InvalidInput
from gemel.core.cubes._dimensions import dimensions_of
from gemel.infra.lake.dimensions import GEOGRAPHIC, SPATIAL_REF


def crs_of(cube: xr.DataArray) -> pyproj.CRS | None:
    """Return the CRS of a cube's spatial or geometry dimensions, or None where nothing tells it.

    Dimensions called lon and lat (or longitude and latitude) are degrees on WGS 84.
    """
    for dim in dimensions_of(cube, "geometry"):
        found = getattr(cube.xindexes.get(dim), "crs", None)
        if found is not None:
            return pyproj.CRS(found)
    for name in (cube.encoding.get("grid_mapping"), cube.attrs.get("grid_mapping"), SPATIAL_REF):
        if name in cube.coords and cube.coords[name].attrs:
            return _of_attributes(dict(cube.coords[name].attrs))
    if GEOGRAPHIC & {str(dim).lower() for dim in dimensions_of(cube, "spatial")}:
        return crs_from(4326)
    return None


def with_crs(cube: xr.DataArray, crs: Any) -> xr.DataArray:
    """Return the cube with its CRS set: an EPSG code, WKT, `pyproj.CRS`, or None to take it away.

    Raises:
        InvalidInput: It is no CRS.
    """
    if crs is None:
        return cube.drop_vars(SPATIAL_REF, errors="ignore")
    attributes = {name: value for name, value in crs_from(crs).to_cf().items() if value is not None}
    return cube.assign_coords({SPATIAL_REF: xr.DataArray(0, attrs=attributes)})


def crs_from(value: Any) -> pyproj.CRS:
    """Return the CRS that an EPSG code, a text (``EPSG:25832``, WKT2) or a `pyproj.CRS` means.

    Raises:
        InvalidInput: It is none.

    >>> crs_from("EPSG:25832") == crs_from(25832)
    True
    """
    if isinstance(value, pyproj.CRS):
        return value
    try:
        return _parsed(value)
    except (CRSError, TypeError) as error:
        shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
        hint = "Give an EPSG code like 4326, or WKT2."
        raise InvalidInput(f"{shown} is not a coordinate reference system.", hint=hint) from error


def same_crs(one: pyproj.CRS | None, other: pyproj.CRS | None) -> bool:
    """Return whether two systems have the same coordinates, axis order aside; an unknown one equals anything."""
    return one is None or other is None or one == other or one.equals(other, ignore_axis_order=True)


def transform(x: Any, y: Any, source: pyproj.CRS, target: pyproj.CRS) -> tuple[Any, Any]:
    """Return coordinates of `source` in `target`, x (east) before y (north) whatever the authority says.

    Raises:
        InvalidInput: There is no way from one to the other, or it leads to infinity.
    """
    found = transformer(source, target).transform(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    if not all(np.isfinite(part).all() for part in found):
        message = f"Some coordinates in {_name(source)} have no place in {_name(target)}."
        raise InvalidInput(message, hint="They lie outside of where the projection is defined.")
    return found[0], found[1]


def transform_bounds(
    bounds: tuple[float, float, float, float], source: pyproj.CRS, target: pyproj.CRS
) -> tuple[float, float, float, float]:
    """Return the box (west, south, east, north) in `target` that holds a box in `source`.

    Raises:
        InvalidInput: There is no way from one to the other, or it leads to infinity.
    """
    found = transformer(source, target).transform_bounds(*bounds, densify_pts=21)
    if not np.isfinite(found).all():
        message = f"The box {bounds} in {_name(source)} has no place in {_name(target)}."
        raise InvalidInput(message, hint="It lies outside of where the projection is defined.")
    return found


def transformer(source: pyproj.CRS, target: pyproj.CRS) -> pyproj.Transformer:
    """Return what carries coordinates from one CRS to another.

    Raises:
        InvalidInput: There is no way from one to the other.
    """
    try:
        return _transformer(source, target)
    except (ProjError, CRSError) as error:
        message = f"Coordinates in {_name(source)} cannot be carried over to {_name(target)}."
        raise InvalidInput(message, hint="Choose another projection.") from error


def require_crs(cube: xr.DataArray, why: str) -> pyproj.CRS:
    """Return the CRS of a cube.

    Raises:
        InvalidInput: It is unknown.
    """
    found = crs_of(cube)
    if found is None:
        raise InvalidInput(
            f"The cube's coordinate reference system is unknown, and {why} needs it.",
            hint="Load it from a source with a CRS, or give the extent without one.",
        )
    return found


@functools.lru_cache(maxsize=256)
def _parsed(value: Any) -> pyproj.CRS:
    return pyproj.CRS.from_user_input(value)


@functools.lru_cache(maxsize=256)
def _transformer(source: pyproj.CRS, target: pyproj.CRS) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def _of_attributes(attributes: dict[str, Any]) -> pyproj.CRS:
    for name in ("crs_wkt", "spatial_ref"):
        if attributes.get(name):
            return crs_from(str(attributes[name]))
    try:
        return pyproj.CRS.from_cf(attributes)
    except (CRSError, KeyError) as error:
        raise InvalidInput("The cube's grid mapping cannot be read.", hint="It needs the attribute crs_wkt.") from error


def _name(crs: pyproj.CRS) -> str:
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.name
