"""Vector cubes: their geometries widened, reprojected and sampled (openEO process specification, group `vector`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import shapely
import xarray as xr

from gemel.base.errors import InvalidInput, ProcessRefused
from gemel.core.cubes import Geometries, crs_from, dimensions_of, geometries_of, geometry_dim, picked, vector_cube
from gemel.core.graph import Field
from gemel.core.processes._standard import standard

# How often a point is thrown into the box around a polygon before the polygon is cut into triangles instead.
_THROWS = 64


@standard(on="cubes")
def vector_buffer(geometries: Field, distance: float) -> Field:
    """The vector cube with its geometries grown, or shrunk, by a distance.

    Args:
        geometries: A vector cube in a reference system in metres.
        distance: Metres; negative ones shrink polygons, and may leave nothing of them.

    Raises:
        ProcessRefused: `UnitMismatch`.
    """
    found = _in_metres(geometries)
    return _with_shapes(geometries, shapely.buffer(found.shapes, distance), found)


@standard(on="cubes")
def vector_reproject(data: Field, projection: Any, dimension: str | None = None) -> Field:
    """The vector cube with its geometries in another reference system.

    Args:
        data: A vector cube.
        projection: EPSG code or WKT2.
        dimension: Name of the dimension of geometries; all of them by default.

    Raises:
        ProcessRefused: `DimensionNotAvailable`.
        InvalidInput: Its reference system is unknown, or there is no way to the other one.
    """
    target = crs_from(projection)
    names = [geometry_dim(data, dimension)] if dimension else dimensions_of(data, "geometry") or [geometry_dim(data)]
    for name in names:
        others = [dim for dim in dimensions_of(data, "geometry") if dim != name]
        found = geometries_of(data.isel(dict.fromkeys(others, 0), drop=True))
        if found.crs is None:
            raise InvalidInput(
                f"The reference system of '{name}' is unknown.", hint="Load it from a source with a CRS."
            )
        data = vector_cube(data, found.to(target))
    return data


@standard(on="cubes")
def vector_to_random_points(
    data: Field,
    geometry_count: int | None = None,
    total_count: int | None = None,
    group: bool = True,
    seed: int | None = None,
) -> Field:
    """A vector cube of points chosen at random in geometries, evenly over their area or length.

    Args:
        data: A vector cube.
        geometry_count: Most points in each geometry; one where neither count is given.
        total_count: Most points in all, spread over the geometries as evenly as they go.
        group: One multipoint for each geometry, or each point for itself.
        seed: Seed of the random numbers.

    Raises:
        ProcessRefused: `CountMismatch`.
    """
    found = geometries_of(data)
    there = ~shapely.is_empty(found.shapes)
    if total_count is not None and total_count < int(there.sum()):
        message = f"{total_count} points are asked for, and there are {int(there.sum())} geometries."
        raise ProcessRefused(message, exception="CountMismatch")
    numbers = _shares(there, geometry_count, total_count)
    source = np.random.default_rng(seed)
    points = [_random(shape, int(number), source) for shape, number in zip(found.shapes, numbers, strict=True)]
    return _with_points(data, points, found, group)


@standard(on="cubes")
def vector_to_regular_points(data: Field, distance: float, group: bool = True) -> Field:
    """A vector cube of points at even distances in geometries.

    Polygons get the centres of a grid that begins at their upper left bound, and their first coordinate where no centre
    lies inside; lines get points from their start on; points stay as they are.

    Args:
        data: A vector cube in a reference system in metres.
        distance: Metres between neighbours.
        group: One multipoint for each geometry, or each point for itself.

    Raises:
        ProcessRefused: `UnitMismatch`.
    """
    found = _in_metres(data)
    points = [_regular(shape, float(distance)) for shape in found.shapes]
    return _with_points(data, points, found, group)


def _in_metres(cube: xr.DataArray) -> Geometries:
    found = geometries_of(cube)
    units = {axis.unit_name for axis in found.crs.axis_info} if found.crs is not None else set()
    if units != {"metre"}:
        measured = f"is in {' and '.join(sorted(units))}" if units else "is unknown"
        message = f"The distance is in metres, and the reference system of the geometries {measured}."
        raise ProcessRefused(message, exception="UnitMismatch", hint="Use vector_reproject first.")
    return found


def _with_shapes(cube: xr.DataArray, shapes: Any, found: Geometries) -> xr.DataArray:
    return vector_cube(cube, Geometries(np.asarray(shapes, dtype=object), found.crs, found.properties, found.dim))


def _with_points(
    cube: xr.DataArray, points: list[np.ndarray[Any, Any]], found: Geometries, group: bool
) -> xr.DataArray:
    if group:
        held = np.empty(len(points), dtype=object)
        held[:] = [shapely.MultiPoint(part) for part in points]
        return _with_shapes(cube, held, found)
    owners = [owner for owner, part in enumerate(points) for _ in range(len(part))]
    flat = np.concatenate([part.reshape(-1, 2) for part in points]) if points else np.empty((0, 2))
    held = np.empty(len(flat), dtype=object)
    held[:] = list(shapely.points(flat)) if len(flat) else []
    properties = {name: [list(column)[owner] for owner in owners] for name, column in found.properties.items()}
    bare = cube.drop_vars([name for name, item in cube.coords.items() if found.dim in item.dims])
    return vector_cube(picked(bare, found.dim, owners), Geometries(held, found.crs, properties, found.dim))


def _shares(there: Any, each: int | None, total: int | None) -> np.ndarray[Any, Any]:
    count = int(there.sum())
    if total is None or count == 0:
        return np.where(there, 1 if each is None else each, 0)
    numbers = np.zeros(len(there), dtype=np.int64)
    even = np.full(count, total // count) + (np.arange(count) < total % count)
    numbers[there] = even if each is None else np.minimum(even, each)
    return numbers


def _random(shape: Any, number: int, source: np.random.Generator) -> np.ndarray[Any, Any]:
    if number == 0 or shape.is_empty:
        return np.empty((0, 2))
    kind: dict[int, Callable[..., Any]] = {0: _of_points, 1: _on_lines, 2: _in_polygons}
    return np.asarray(kind[int(shapely.get_dimensions(shape))](shape, number, source))


def _of_points(shape: Any, number: int, source: np.random.Generator) -> Any:
    # A point can be chosen once alone.
    points = shapely.get_coordinates(shape)
    return points[source.permutation(len(points))[:number]]


def _on_lines(shape: Any, number: int, source: np.random.Generator) -> Any:
    lines = shapely.get_parts(shape)
    lengths = shapely.length(lines)
    chosen = source.choice(len(lines), size=number, p=lengths / lengths.sum()) if lengths.sum() else [0] * number
    ways = source.random(number)
    return shapely.get_coordinates(
        [lines[line].interpolate(way, normalized=True) for line, way in zip(chosen, ways, strict=True)]
    )


def _in_polygons(shape: Any, number: int, source: np.random.Generator) -> Any:
    west, south, east, north = shape.bounds
    shapely.prepare(shape)
    kept = np.empty((0, 2))
    for _ in range(_THROWS):
        thrown = source.random((max(4 * number, 16), 2)) * (east - west, north - south) + (west, south)
        kept = np.concatenate([kept, thrown[shapely.contains_xy(shape, thrown)]])
        if len(kept) >= number:
            return kept[:number]
    return np.concatenate([kept, _in_triangles(shape, number - len(kept), source)])


def _in_triangles(shape: Any, number: int, source: np.random.Generator) -> Any:
    # For slivers, which hardly any throw hits. Square roots spread points evenly (Osada et al. 2002, eq. 1).
    parts = shapely.get_parts(shapely.constrained_delaunay_triangles(shape))
    areas = shapely.area(parts)
    chosen = parts[source.choice(len(parts), size=number, p=areas / areas.sum())]
    corners = shapely.get_coordinates(chosen).reshape(number, 4, 2)
    root, share = np.sqrt(source.random((number, 1))), source.random((number, 1))
    return (1 - root) * corners[:, 0] + root * (1 - share) * corners[:, 1] + root * share * corners[:, 2]


def _regular(shape: Any, distance: float) -> np.ndarray[Any, Any]:
    if shape.is_empty:
        return np.empty((0, 2))
    kind = int(shapely.get_dimensions(shape))
    if kind == 0:
        return np.asarray(shapely.get_coordinates(shape))
    if kind == 1:
        return np.asarray(shapely.get_coordinates(list(_along_lines(shape, distance))))
    west, south, east, north = shape.bounds
    x = np.arange(west + distance / 2, east, distance)
    y = np.arange(north - distance / 2, south, -distance)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    inside = grid[shapely.contains_xy(shape, grid)]
    return np.asarray(inside if len(inside) else shapely.get_coordinates(shape)[:1])


def _along_lines(shape: Any, distance: float) -> Iterator[Any]:
    for line in shapely.get_parts(shape):
        for place in np.arange(0.0, line.length + distance * 1e-9, distance):
            yield line.interpolate(min(place, line.length))
