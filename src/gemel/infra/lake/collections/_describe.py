"""A cube as a STAC Collection (1.1.0) with the datacube extension: dimensions, extents, bands and units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.infra.lake._axes import axis_of, bands_dim, crs_of, geometry_dim, is_temporal, parsed_crs, x_dim, y_dim
from gemel.infra.lake._extent import Area
from gemel.infra.lake._grid import grid_of
from gemel.infra.lake.formats import Format
from gemel.infra.lake.formats._values import band_units, instants, labels_of, plain

_VERSION = "1.1.0"
_DATACUBE = "https://stac-extensions.github.io/datacube/v2.2.0/schema.json"
_GLOBE = [-180.0, -90.0, 180.0, 90.0]
_FEW = 2000  # labels that a document lists one by one


def described(id: str, cube: xr.DataArray, href: str, format: Format, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the STAC Collection of one file.

    Args:
        id: Of the collection.
        cube: What is in the file.
        href: The file, as its document refers to it.
        format: Of the file.
        metadata: Members that take the place of those found.
    """
    bands = bands_of(cube)
    media = "application/vnd.zarr" if href.endswith(".zarr") else format.media_type
    asset: dict[str, Any] = {"href": href, "type": media, "roles": ["data"], "title": format.title}
    document: dict[str, Any] = {
        "type": "Collection",
        "stac_version": _VERSION,
        "stac_extensions": [_DATACUBE],
        "id": id,
        "title": str(cube.attrs.get("long_name") or cube.name or id),
        "description": str(cube.attrs.get("comment") or cube.attrs.get("long_name") or cube.name or id),
        "license": "other",
        "extent": {"spatial": {"bbox": [lonlat_box(cube) or _GLOBE]}, "temporal": {"interval": [time_span(cube)]}},
        "cube:dimensions": dimensions_of(cube),
        "links": [],
        "assets": {"data": asset | ({"bands": bands} if bands else {})},
    }
    document |= {"bands": bands} if bands else {}
    return document | dict(metadata)


def dimensions_of(cube: xr.DataArray) -> dict[str, Any]:
    """Return the `cube:dimensions` of a cube (STAC datacube extension 2.2)."""
    return {str(dim): _dimension(cube, str(dim)) for dim in cube.dims}


def bands_of(cube: xr.DataArray) -> list[dict[str, Any]]:
    """Return the STAC bands of a cube: names and units."""
    dim = bands_dim(cube)
    names = labels_of(cube, dim) if dim is not None else [str(cube.name)] if cube.name is not None else []
    units = band_units(cube)
    found = []
    for name in names:
        unit = units.get(name) or (units.get("value") if dim is None else None)
        found.append({"name": name} | ({"unit": unit} if unit else {}))
    return found


def lonlat_box(cube: xr.DataArray) -> list[float] | None:
    """Return west, south, east, north of a cube in longitude and latitude, or None when that is not known."""
    crs = crs_of(cube)
    bounds = _edges(cube)
    if bounds is None:
        # A curvilinear grid or a list of places: longitudes and latitudes lie beside its dimensions.
        bounds, crs = _beside(cube), parsed_crs(4326)
    if crs is None or bounds is None:
        return None
    try:
        west, south, east, north = Area(bounds, crs).bounds_in(parsed_crs(4326))
    except InvalidInput:
        return None
    if east > 180.0:  # longitudes from 0 to 360
        west, east = (-180.0, 180.0) if east - west >= 360.0 or west < 180.0 else (west - 360.0, east - 360.0)
    return [max(west, -180.0), max(south, -90.0), min(east, 180.0), min(north, 90.0)]


def time_span(cube: xr.DataArray) -> list[str | None]:
    """Return the first and last instant of a cube by RFC 3339, null where unknown."""
    for dim in cube.dims:
        if dim in cube.coords and is_temporal(cube[dim]) and cube.sizes[dim]:
            labels = np.sort(cube[dim].values)
            return [_moment(labels[0]), _moment(labels[-1])]
    return [None, None]


def _moment(label: Any) -> str:
    if isinstance(label, np.datetime64):
        return f"{np.datetime_as_string(label, unit='s')}Z"
    return f"{label.isoformat()}Z"


def _edges(cube: xr.DataArray) -> tuple[float, float, float, float] | None:
    dim = geometry_dim(cube)
    if dim is not None:
        edges = np.array([shape.bounds for shape in cube[dim].values if shape is not None and not shape.is_empty])
        if not len(edges):
            return None
        low, high = edges[:, :2].min(axis=0), edges[:, 2:].max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])
    try:
        return grid_of(cube)[0].bounds
    except InvalidInput:
        return _label_edges(cube)


def _label_edges(cube: xr.DataArray) -> tuple[float, float, float, float] | None:
    x, y = x_dim(cube), y_dim(cube)
    if x is None or y is None or x not in cube.coords or y not in cube.coords:
        return None
    columns, rows = cube[x].values, cube[y].values
    if columns.dtype.kind not in "iuf" or rows.dtype.kind not in "iuf" or not columns.size or not rows.size:
        return None
    return float(columns.min()), float(rows.min()), float(columns.max()), float(rows.max())


def _beside(cube: xr.DataArray) -> tuple[float, float, float, float] | None:
    found: dict[str, xr.DataArray] = {}
    for item in cube.coords.values():
        name = str(item.attrs.get("standard_name"))
        if name in ("longitude", "latitude") and item.ndim and item.dtype.kind in "iuf" and item.size:
            found[name] = item
    if len(found) < 2:
        return None
    lon, lat = (found[name].values[np.isfinite(found[name].values)] for name in ("longitude", "latitude"))
    return (float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())) if lon.size and lat.size else None


def _dimension(cube: xr.DataArray, dim: str) -> dict[str, Any]:
    axis = axis_of(cube, dim)
    if dim == geometry_dim(cube):
        box = lonlat_box(cube)
        return {"type": "geometry", "axes": ["x", "y"], "bbox": box} if box else {"type": "geometry"}
    if dim in cube.coords and is_temporal(cube[dim]):
        return {"type": "temporal", "extent": time_span(cube)} | _listed(cube, dim)
    if axis in ("X", "Y", "Z") and dim in cube.coords and cube[dim].dtype.kind in "iuf":
        return _spatial(cube, dim, axis)
    if dim == bands_dim(cube):
        return {"type": "bands", "values": labels_of(cube, dim)}
    return {"type": "other"} | (_listed(cube, dim) if dim in cube.coords else {"extent": [0, cube.sizes[dim] - 1]})


def _spatial(cube: xr.DataArray, dim: str, axis: str) -> dict[str, Any]:
    labels = cube[dim].values
    found: dict[str, Any] = {"type": "spatial", "axis": axis.lower()}
    if labels.size:
        found["extent"] = [plain(labels.min()), plain(labels.max())]
    steps = np.diff(labels)
    if len(steps) and np.allclose(steps, steps[0], rtol=1e-3):
        found["step"] = abs(plain((labels[-1] - labels[0]) / (len(labels) - 1)))
    crs = crs_of(cube)
    if axis in ("X", "Y") and crs is not None:
        found["reference_system"] = crs.to_epsg() or crs.to_wkt()
    return found


def _listed(cube: xr.DataArray, dim: str) -> dict[str, Any]:
    labels = cube[dim]
    if labels.size > _FEW or labels.size == 0:
        return {}
    return {"values": instants(labels.values) if is_temporal(labels) else plain(labels.values)}
