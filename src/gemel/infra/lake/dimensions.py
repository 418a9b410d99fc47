"""What names and attributes say of a cube's dimensions: the one table that files are read by and processes work by."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import cftime
import shapely
import xarray as xr

#: Attribute of a coordinate that says which kind its dimension is, where nothing else tells.
KIND = "gemel_dimension"
#: Name of the scalar coordinate that holds the CRS (CF grid mapping; what rioxarray writes).
SPATIAL_REF = "spatial_ref"
#: Common names of the dimension of bands.
BANDS = ("bands", "band", "variable")
#: Names of dimensions that are degrees.
GEOGRAPHIC = frozenset({"lon", "longitude", "lat", "latitude"})
_NAMES = {
    **dict.fromkeys(("x", "lon", "longitude", "easting"), "x"),
    **dict.fromkeys(("y", "lat", "latitude", "northing"), "y"),
    **dict.fromkeys(("z", "level", "height", "depth", "altitude"), "z"),
}
# CF conventions 1.11, chapter 4 and appendix F.
_STANDARD_NAMES = {
    **dict.fromkeys(("projection_x_coordinate", "longitude", "grid_longitude"), "x"),
    **dict.fromkeys(("projection_y_coordinate", "latitude", "grid_latitude"), "y"),
}


def axis_told(attributes: Mapping[Any, Any]) -> str | None:
    """Return the spatial axis `x`, `y` or `z` that a coordinate's attributes name, or None.

    >>> axis_told({"standard_name": "latitude"}), axis_told({"axis": "X"})
    ('y', 'x')
    """
    told = str(attributes.get("axis", "")).lower()
    if attributes.get(KIND, "spatial") != "spatial" or told == "t":
        return None
    return told if told in ("x", "y", "z") else _STANDARD_NAMES.get(attributes.get("standard_name", ""))


def axis_named(dim: Hashable) -> str | None:
    """Return the spatial axis that a dimension's name commonly means, or None.

    >>> axis_named("Longitude"), axis_named("t")
    ('x', None)
    """
    return _NAMES.get(str(dim).lower())


def is_temporal(coordinate: xr.DataArray) -> bool:
    """Return whether labels are instants: datetime64, or those of another calendar (cftime)."""
    if coordinate.dtype.kind == "M":
        return True
    return coordinate.dtype == object and coordinate.size > 0 and isinstance(coordinate.values.flat[0], cftime.datetime)


def is_geometry(cube: xr.DataArray | xr.Dataset, dim: Hashable) -> bool:
    """Return whether the labels of a dimension are geometries, also where none is left."""
    # The index of xvec is known by name, not imported: it belongs to an extra.
    if type(cube.xindexes.get(dim)).__name__ == "GeometryIndex":
        return True
    if dim not in cube.coords:
        return False
    coordinate = cube.coords[dim]
    if coordinate.attrs.get(KIND) == "geometry":
        return True
    return (
        coordinate.dtype == object and coordinate.size > 0 and isinstance(coordinate.values.flat[0], shapely.Geometry)
    )
