"""Parts of data cubes: by bands, boxes, geometries, times and labels (openEO process specification, group `filter`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import shapely
import xarray as xr

from gemel.base.errors import InvalidInput, ProcessRefused
from gemel.core.cubes import (
    axis_of,
    bands_dim,
    callback,
    crs_from,
    crs_of,
    dimensions_of,
    geometries_of,
    geometry_dim,
    grid_of,
    has_spatial_dims,
    instant,
    labels_of,
    like,
    picked,
    require_dimension,
    same_crs,
    spatial_dims,
    temporal_dim,
    transform_bounds,
    union_of,
)
from gemel.core.graph import Field
from gemel.core.processes._standard import standard

Relation = Literal["intersects", "disjoint", "equals", "touches", "crosses", "overlaps", "contains", "within"]
# Rounding of coordinates, as a share of a degree: what lies on the border of a box lies in it.
_ROUNDING = 1e-9


@standard(on="cubes")
def filter_bands(data: Field, bands: list[str] = (), wavelengths: list[Any] = ()) -> Field:  # type: ignore[assignment]
    """The cube with some of its bands, in the order asked for.

    Args:
        data: A cube with one dimension of kind bands.
        bands: Names of bands, or common names (coordinate `common_name` along the dimension).
        wavelengths: Pairs of least and greatest wavelength in micrometres (coordinate `center_wavelength`).

    Raises:
        ProcessRefused: `BandFilterParameterMissing`, `DimensionMissing`.
    """
    if not bands and not wavelengths:
        message = "Neither bands nor wavelengths are given."
        raise ProcessRefused(message, exception="BandFilterParameterMissing")
    dim = bands_dim(data)
    found = [place for name in bands for place in bands_called(data, dim, name)]
    found += [place for pair in wavelengths for place in _within_wavelengths(data, dim, pair)]
    return picked(data, dim, list(dict.fromkeys(found)))


def bands_called(data: xr.DataArray, dim: str, name: str) -> list[int]:
    """Return the positions of the band called `name`, or of all bands with that common name."""
    labels = labels_of(data, dim)
    if name in labels:
        return [labels.index(name)]
    common = data.coords.get("common_name")
    if common is None or common.dims != (dim,):
        return []
    return [place for place, value in enumerate(common.values.tolist()) if value == name]


@standard(on="cubes")
def filter_bbox(data: Field, extent: Mapping[str, Any]) -> Field:
    """The pixels whose centre lies in a box, or the geometries that lie in it as a whole.

    Args:
        data: A raster or vector cube.
        extent: West, south, east and north, in degrees or in the reference system `crs`; base and height. A box in
            degrees may cross the antimeridian: its west is greater than its east then.

    Raises:
        InvalidInput: The box is empty or no box, or cannot be carried over to the cube's reference system.
    """
    box = _box(extent, data)
    if not has_spatial_dims(data):
        dim, geometries = geometry_dim(data), geometries_of(data)
        inside = shapely.within(geometries.shapes, shapely.box(*box)) & ~shapely.is_empty(geometries.shapes)
        return picked(data, dim, inside)
    x, y = spatial_dims(data)
    grid = grid_of(data)
    west, south, east, north = box
    around = grid.crs is not None and grid.crs.is_geographic
    data = picked(data, x, _between_meridians(grid.x, west, east) if around else (grid.x >= west) & (grid.x <= east))
    return _between_heights(picked(data, y, (grid.y >= south) & (grid.y <= north)), extent)


@standard(on="cubes")
def filter_labels(data: Field, condition: Any, dimension: str, context: Any = None) -> Field:
    """The cube with the labels of a dimension for which a child process answers true.

    Args:
        data: The cube.
        condition: Gets the label as `value`, and `context`.
        dimension: Name of the dimension.
        context: Handed on.

    Raises:
        ProcessRefused: `DimensionNotAvailable`.
    """
    labels, child = labels_of(data, require_dimension(data, dimension)), callback(condition)
    return picked(data, dimension, np.array([child(value=x, context=context) is True for x in labels], dtype=bool))


@standard(on="cubes")
def filter_spatial(data: Field, geometries: Any) -> Field:
    """The part of the cube that geometries take; within their bounds, pixels outside of them hold no data.

    Args:
        data: A raster cube.
        geometries: GeoJSON or a vector cube. A polygon takes the pixels whose centre it holds, a point the pixel it
            lies in, a line the pixels it runs through.
    """
    grid, (x, y) = grid_of(data), spatial_dims(data)
    found = geometries_of(geometries).to(grid.crs)
    inside = union_of(found.shapes, grid)
    if len(found) and not shapely.is_empty(found.shapes).all():
        west, south, east, north = shapely.total_bounds(found.shapes)
        columns = inside.any(axis=0) | ((grid.x >= west) & (grid.x <= east))
        rows = inside.any(axis=1) | ((grid.y >= south) & (grid.y <= north))
    else:
        columns, rows = inside.any(axis=0), inside.any(axis=1)
    # A column in the bounds counts only where rows are in them too.
    columns, rows = columns & bool(rows.any()), rows & bool(columns.any())
    part = picked(picked(data, x, columns), y, rows)
    window = inside[rows][:, columns]
    return part if window.all() else part.where(xr.DataArray(window, dims=(y, x))).transpose(*data.dims)


@standard(on="cubes")
def filter_temporal(data: Field, extent: list[Any], dimension: str | None = None) -> Field:
    """The cube from one instant, included, to another, excluded.

    Args:
        data: A cube with temporal dimensions.
        extent: Start and end; null for one of them leaves that side open.
        dimension: Name of the temporal dimension; all of them by default.

    Raises:
        ProcessRefused: `DimensionNotAvailable`, `TemporalExtentEmpty`.
    """
    start, end = extent
    if start is None and end is None:
        raise InvalidInput("Both ends of the temporal extent are open.", hint="Give the start, the end, or both.")
    if start is not None and end is not None and instant(start) >= instant(end):
        message = f"The extent from {start} to {end} is empty."
        raise ProcessRefused(message, exception="TemporalExtentEmpty", hint="The end must come after the start.")
    names = [temporal_dim(data, dimension)] if dimension else dimensions_of(data, "temporal") or [temporal_dim(data)]
    for name in names:
        times = _times(data, name)
        chosen = np.ones(times.size, dtype=bool)
        chosen &= True if start is None else times.values >= like(times, start)
        chosen &= True if end is None else times.values < like(times, end)
        data = picked(data, name, chosen)
    return data


@standard(on="cubes")
def filter_vector(data: Field, geometries: Any, relation: Relation = "intersects") -> Field:
    """The geometries of a vector cube that stand in a relation to others.

    Args:
        data: A vector cube.
        geometries: A vector cube; its geometries count as one, their union.
        relation: What a geometry of `data` must be to them (OGC Simple Features).
    """
    dim, candidates = geometry_dim(data), geometries_of(data)
    base = shapely.union_all(geometries_of(geometries).to(candidates.crs).shapes)
    shapely.prepare(base)
    # shapely asks of the first what it is to the second.
    holds = getattr(shapely, relation)(candidates.shapes, base)
    return picked(data, dim, np.asarray(holds) & ~shapely.is_empty(candidates.shapes))


def _within_wavelengths(data: xr.DataArray, dim: str, pair: Sequence[float]) -> list[int]:
    lengths = data.coords.get("center_wavelength")
    if lengths is None or lengths.dims != (dim,):
        hint = f"Filter by name: {', '.join(map(str, labels_of(data, dim)[:12]))}."
        raise InvalidInput("The bands of the cube have no wavelengths.", hint=hint)
    low, high = pair
    return [place for place, value in enumerate(lengths.values.tolist()) if value is not None and low <= value <= high]


def _box(extent: Mapping[str, Any], data: xr.DataArray) -> tuple[float, float, float, float]:
    box = tuple(float(extent[name]) for name in ("west", "south", "east", "north"))
    west, south, east, north = box
    if not all(math.isfinite(side) for side in box):
        raise InvalidInput("A side of the box is not a finite number.")
    crs = crs_from(extent["crs"] if extent.get("crs") is not None else 4326)
    if south > north or (west > east and not crs.is_geographic):
        raise InvalidInput(f"The box is empty: west {west:g}, south {south:g}, east {east:g}, north {north:g}.")
    known = crs_of(data)
    if known is None and extent.get("crs") is not None:
        message = "The cube's coordinate reference system is unknown, and the box names one."
        raise InvalidInput(message, hint="Leave out 'crs' to give the box in the cube's own coordinates.")
    if known is None or same_crs(crs, known):
        return west, south, east, north
    return transform_bounds((west, south, east, north), crs, known)


def _between_meridians(longitudes: np.ndarray[Any, Any], west: float, east: float) -> Any:
    width = east - west if east >= west else (east - west) % 360.0
    if width >= 360.0:
        return np.ones(len(longitudes), dtype=bool)
    # Counted eastward from the western side, so that it does not matter where the circle is cut open.
    return (longitudes - west + _ROUNDING) % 360.0 <= width + 2 * _ROUNDING


def _between_heights(data: xr.DataArray, extent: Mapping[str, Any]) -> xr.DataArray:
    base, height = extent.get("base"), extent.get("height")
    vertical = [dim for dim in dimensions_of(data, "spatial") if axis_of(data, dim) == "z"]
    if (base is None and height is None) or not vertical:
        return data
    levels = np.asarray(data.coords[vertical[0]].values, dtype=float)
    low, high = -math.inf if base is None else base, math.inf if height is None else height
    return picked(data, vertical[0], (levels >= low) & (levels <= high))


def _times(data: xr.DataArray, name: str) -> xr.DataArray:
    times = data.coords[name]
    if times.size and isinstance(times.values.flat[0], str):
        hint = "They name periods; filter before the aggregation."
        raise InvalidInput(f"The labels of '{name}' are no instants, like '{times.values.flat[0]}'.", hint=hint)
    return times
