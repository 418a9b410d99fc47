"""What the dimensions of a cube mean: by the attributes of the Climate and Forecast conventions, else by common names."""

from __future__ import annotations

import functools
from collections.abc import Hashable
from typing import Any

import numpy as np
import pyproj
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.infra.lake.dimensions import (
    BANDS,
    GEOGRAPHIC,
    KIND,
    SPATIAL_REF,
    axis_named,
    axis_told,
    is_geometry,
    is_temporal,
)

GRID_MAPPING = SPATIAL_REF


def x_dim(cube: xr.DataArray | xr.Dataset) -> str | None:
    """Return the name of the horizontal dimension from west to east, or None."""
    return _by_axis(cube, "x")


def y_dim(cube: xr.DataArray | xr.Dataset) -> str | None:
    """Return the name of the horizontal dimension from south to north, or None."""
    return _by_axis(cube, "y")


def z_dim(cube: xr.DataArray | xr.Dataset) -> str | None:
    """Return the name of the vertical dimension, or None."""
    return _by_axis(cube, "z")


def time_dim(cube: xr.DataArray | xr.Dataset) -> str | None:
    """Return the name of the first temporal dimension, or None."""
    return next((str(dim) for dim in cube.dims if dim in cube.coords and is_temporal(cube[dim])), None)


def bands_dim(cube: xr.DataArray | xr.Dataset) -> str | None:
    """Return the name of the dimension of bands, or None."""
    for dim in cube.dims:
        if dim in cube.coords and cube[dim].attrs.get(KIND) == "bands":
            return str(dim)
    return next((name for name in BANDS if name in cube.dims), None)


def geometry_dim(cube: xr.DataArray | xr.Dataset) -> str | None:
    """Return the name of the dimension whose labels are geometries, or None."""
    return next((str(dim) for dim in cube.dims if is_geometry(cube, dim)), None)


def axis_of(cube: xr.DataArray | xr.Dataset, dim: Hashable) -> str | None:
    """Return `X`, `Y`, `Z` or `T` for a dimension that CF gives an axis, else None."""
    found = {x_dim(cube): "X", y_dim(cube): "Y", z_dim(cube): "Z", time_dim(cube): "T"}
    return found.get(str(dim))


def crs_of(cube: xr.DataArray | xr.Dataset) -> pyproj.CRS | None:
    """Return the coordinate reference system, or None when it is unknown.

    Taken from the index of geometries, else from the CF grid mapping; dimensions called `lon` and `lat` mean WGS 84.

    Raises:
        InvalidInput: What the cube says of its reference system cannot be read.
    """
    geometry = geometry_dim(cube)
    if geometry is not None:
        index = cube.xindexes.get(geometry)
        return getattr(index, "crs", None)
    written = _written_crs(cube)
    if written is not None:
        return parsed_crs(written)
    named = {str(dim).lower() for dim in cube.dims} & GEOGRAPHIC
    return pyproj.CRS.from_epsg(4326) if named else None


def parsed_crs(text: Any) -> pyproj.CRS:
    """Return the reference system that an EPSG number, WKT2, PROJJSON or `AUTHORITY:CODE` means.

    Raises:
        InvalidInput: It means none.

    >>> parsed_crs(32632).name
    'WGS 84 / UTM zone 32N'
    """
    try:
        return pyproj.CRS.from_user_input(text)
    except pyproj.exceptions.CRSError as error:
        shown = str(text)[:80]
        raise InvalidInput(f"'{shown}' is not a coordinate reference system.", hint="Use an EPSG code.") from error


def same_crs(one: pyproj.CRS | None, other: pyproj.CRS | None) -> bool:
    """Return whether two reference systems place coordinates alike, in the order x, y; two unknown ones do."""
    if one is None or other is None:
        return one is other
    return one is other or _same(one.to_wkt(), other.to_wkt())


@functools.lru_cache(maxsize=256)
def _same(one: str, other: str) -> bool:
    first, second = pyproj.CRS.from_wkt(one), pyproj.CRS.from_wkt(other)
    if first.equals(second, ignore_axis_order=True):
        return True
    # The same system written in another version of WKT keeps only its code.
    code = first.to_epsg()
    return code is not None and code == second.to_epsg()


def with_grid(cube: xr.DataArray, crs: pyproj.CRS | None) -> xr.DataArray:
    """Return the cube with a CF grid mapping coordinate for `crs` and the CF attributes of its axes."""
    x, y, t = x_dim(cube), y_dim(cube), time_dim(cube)
    marks = {x: axis_attributes("X", crs), y: axis_attributes("Y", crs), t: axis_attributes("T", crs)}
    for dim, attributes in marks.items():
        if dim is not None and dim in cube.coords:
            cube = cube.assign_coords({dim: cube[dim].assign_attrs(attributes | cube[dim].attrs)})
    if crs is None:
        return cube
    return cube.assign_coords({GRID_MAPPING: ((), np.int64(0), grid_mapping(crs))})


def grid_mapping(crs: pyproj.CRS) -> dict[str, Any]:
    """Return the attributes of a CF grid mapping variable (CF-1.11, section 5.6), with `crs_wkt`."""
    attributes = {name: value for name, value in crs.to_cf().items() if not isinstance(value, (dict, type(None)))}
    return attributes | {"crs_wkt": crs.to_wkt()}


def axis_attributes(axis: str, crs: pyproj.CRS | None) -> dict[str, str]:
    """Return the CF attributes of a coordinate along `X`, `Y`, `Z` or `T` (CF-1.11, chapter 4)."""
    if axis == "T":
        return {"axis": "T", "standard_name": "time"}
    if axis == "Z" or crs is None:
        return {"axis": axis}
    if crs.is_geographic:
        name, units = ("longitude", "degrees_east") if axis == "X" else ("latitude", "degrees_north")
        return {"axis": axis, "standard_name": name, "units": units}
    unit = crs.axis_info[0].unit_name if crs.axis_info else ""
    attributes = {"axis": axis, "standard_name": f"projection_{axis.lower()}_coordinate"}
    return attributes | ({"units": "m"} if unit in ("metre", "meter") else {})


def _by_axis(cube: xr.DataArray | xr.Dataset, axis: str) -> str | None:
    told = {str(dim): axis_told(cube[dim].attrs) for dim in cube.dims if dim in cube.coords}
    named = {str(dim): axis_named(dim) for dim in cube.dims}
    return next((dim for found in (told, named) for dim, which in found.items() if which == axis), None)


def _written_crs(cube: xr.DataArray | xr.Dataset) -> Any:
    named = [GRID_MAPPING, *(name for name in cube.coords if cube[name].ndim == 0)]
    for name in named:
        if name in cube.coords:
            attributes = cube[name].attrs
            found = attributes.get("crs_wkt") or attributes.get("spatial_ref")
            if found:
                return found
            if "grid_mapping_name" in attributes:
                return _from_cf(attributes)
    return None


def _from_cf(attributes: dict[str, Any]) -> Any:
    try:
        return pyproj.CRS.from_cf(attributes)
    except (pyproj.exceptions.CRSError, KeyError, ValueError) as error:
        raise InvalidInput("The CF grid mapping names no known reference system.") from error
