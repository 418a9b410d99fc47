"""Weights from the cells of one mesh to those of another: nearest, bilinear, conservative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import shapely
from scipy import sparse
from scipy.spatial import ConvexHull, cKDTree

from gemel.core.fusion._mesh import Mesh

Array = np.ndarray[Any, np.dtype[np.float64]]
_REACH = 1.5  # times the distance between neighbours: what is farther from every centre lies outside
_INSIDE = 1e-9
_NEWTON_STEPS = 12


def nearest(source: Mesh, target: Mesh) -> sparse.csr_array:
    """Return weights that give each target cell the value of the source cell whose centre is nearest."""
    tree = cKDTree(source.vectors)
    distance, column = tree.query(target.vectors)
    if source.kind == "rectilinear":
        lon, lat = target.centres
        inside = _bracket(source.lon, lon, period=360.0)[3] & _bracket(source.lat, lat, period=None)[3]
    else:
        inside = distance <= _REACH * _spacing(tree, source)[column]
    rows = np.flatnonzero(inside)
    return _matrix(rows, column[rows], np.ones(rows.size), source, target)


def bilinear(source: Mesh, target: Mesh) -> sparse.csr_array:
    """Return weights that interpolate between the source centres around each target centre."""
    if source.kind == "rectilinear":
        return _on_axes(source, target)
    return _in_quads(source, target) if source.kind == "curvilinear" else _in_triangles(source, target)


def conservative(source: Mesh, target: Mesh) -> sparse.csr_array:
    """Return weights by area shared, first order (Jones 1999, Mon. Wea. Rev. 127, 2204, with a constant inside cells).

    Between two rectilinear meshes the areas are exact. Other cells are cut with straight edges in longitude and the sine of
    latitude, a map of equal area, in which meridians, parallels and most edges of HEALPix are straight.
    """
    if source.kind == target.kind == "rectilinear":
        return _by_axes(source, target)
    return _by_overlay(source, target)


METHODS: dict[str, Callable[[Mesh, Mesh], sparse.csr_array]] = {
    "nearest": nearest,
    "bilinear": bilinear,
    "conservative": conservative,
}


def _matrix(rows: Any, columns: Any, values: Any, source: Mesh, target: Mesh) -> sparse.csr_array:
    found = sparse.coo_array((values, (rows, columns)), shape=(target.size, source.size)).tocsr()
    found.sum_duplicates()
    found.eliminate_zeros()
    return found


def _spacing(tree: cKDTree, source: Mesh) -> Array:
    if source.size == 1:
        return np.array([np.inf])
    return np.asarray(tree.query(source.vectors, k=min(4, source.size))[0][:, -1])


def _on_axes(source: Mesh, target: Mesh) -> sparse.csr_array:
    lon, lat = target.centres
    low_x, high_x, part_x, inside_x = _bracket(source.lon, lon, period=360.0)
    low_y, high_y, part_y, inside_y = _bracket(source.lat, lat, period=None)
    rows = np.flatnonzero(inside_x & inside_y)
    width = len(source.lon)
    corners = [(low_y, low_x, (1 - part_y) * (1 - part_x)), (low_y, high_x, (1 - part_y) * part_x)]
    corners += [(high_y, low_x, part_y * (1 - part_x)), (high_y, high_x, part_y * part_x)]
    columns = np.concatenate([(y * width + x)[rows] for y, x, _ in corners])
    return _matrix(np.tile(rows, 4), columns, np.concatenate([part[rows] for *_, part in corners]), source, target)


def _bracket(axis: Array, wanted: Array, period: float | None) -> tuple[Any, Any, Array, Any]:
    """Return the positions on either side of each wanted point, the share of the upper one, and whether it is inside.

    Within half a cell beyond the last centre the value of that centre holds; around a full circle there is no end.
    """
    order = np.argsort(axis)
    sorted_axis = axis[order]
    step = float(np.median(np.diff(sorted_axis))) if len(axis) > 1 else 1.0
    if period is not None:
        wanted = sorted_axis[0] - step / 2 + np.mod(wanted - sorted_axis[0] + step / 2, period)
        if sorted_axis[-1] - sorted_axis[0] + 1.5 * step > period:
            sorted_axis = np.concatenate([sorted_axis[-1:] - period, sorted_axis, sorted_axis[:1] + period])
            order = np.concatenate([order[-1:], order, order[:1]])
    slack = step * (0.5 + 1e-6)
    inside = (wanted >= sorted_axis[0] - slack) & (wanted <= sorted_axis[-1] + slack)
    held = np.clip(wanted, sorted_axis[0], sorted_axis[-1])
    low = np.clip(np.searchsorted(sorted_axis, held, side="right") - 1, 0, max(len(sorted_axis) - 2, 0))
    high = np.minimum(low + 1, len(sorted_axis) - 1)
    gap = np.where(high > low, sorted_axis[high] - sorted_axis[low], 1.0)
    return order[low], order[high], (held - sorted_axis[low]) / gap, inside


def _in_quads(source: Mesh, target: Mesh) -> sparse.csr_array:
    """Interpolate inside the quadrilaterals of neighbouring centres, seen from each target point (gnomonic projection)."""
    height, width = source.shape
    _, near = cKDTree(source.vectors).query(target.vectors)
    row, column = np.divmod(near, width)
    found = np.zeros(target.size, dtype=bool)
    rows, columns, values = [], [], []
    for down, right in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        top, left = row + down, column + right
        open_ = np.flatnonzero(~found & (top >= 0) & (top < height - 1) & (left >= 0) & (left < width - 1))
        base = top[open_] * width + left[open_]
        corners = np.stack([base, base + 1, base + width + 1, base + width], axis=1)
        u, v, inside = _inverse_bilinear(source.vectors[corners], target.vectors[open_])
        picked, u, v = open_[inside], u[inside], v[inside]
        found[picked] = True
        rows.append(np.repeat(picked, 4))
        columns.append(corners[inside].ravel())
        values.append(np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=1).ravel())
    return _matrix(np.concatenate(rows), np.concatenate(columns), np.concatenate(values), source, target)


def _inverse_bilinear(corners: Array, points: Array) -> tuple[Array, Array, Any]:
    """Return where in quadrilaterals (n, 4, 3) points (n, 3) lie: u and v from 0 to 1, by Newton's method."""
    east, north = _tangent(points)
    depth = np.einsum("nkc,nc->nk", corners, points)
    flat_x = np.einsum("nkc,nc->nk", corners, east) / depth
    flat_y = np.einsum("nkc,nc->nk", corners, north) / depth
    u = v = np.full(len(points), 0.5)
    for _ in range(_NEWTON_STEPS):
        parts = [(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v]
        along_u, along_v = [v - 1, 1 - v, v, -v], [u - 1, -u, u, 1 - u]
        x, y, xu, yu, xv, yv = (
            sum(part * flat[:, k] for k, part in enumerate(weights))
            for weights in (parts, along_u, along_v)
            for flat in (flat_x, flat_y)
        )
        determinant = xu * yv - xv * yu
        with np.errstate(divide="ignore", invalid="ignore"):
            u = np.clip(u - (x * yv - xv * y) / determinant, -1, 2)
            v = np.clip(v - (xu * y - x * yu) / determinant, -1, 2)
    slack = 1e-6
    inside = (u >= -slack) & (u <= 1 + slack) & (v >= -slack) & (v <= 1 + slack) & (depth > 0).all(1)
    # A point that Newton's method did not carry home is not inside.
    inside &= np.hypot(x, y) <= 1e-6
    return np.clip(u, 0, 1), np.clip(v, 0, 1), inside


def _tangent(points: Array) -> tuple[Array, Array]:
    helper = np.where(np.abs(points[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    east = np.cross(helper, points)
    east /= np.linalg.norm(east, axis=1, keepdims=True)
    return east, np.cross(points, east)


def _in_triangles(source: Mesh, target: Mesh) -> sparse.csr_array:
    """Interpolate inside the Delaunay triangles of the centres, which are the faces of their convex hull."""
    triangles = ConvexHull(source.vectors).simplices
    tree = cKDTree(source.vectors)
    reach = 4 * _spacing(tree, source)
    sides = [
        np.linalg.norm(source.vectors[triangles[:, i]] - source.vectors[triangles[:, i - 1]], axis=1) for i in range(3)
    ]
    # Around a region the hull closes over what no data are of.
    triangles = triangles[np.max(sides, axis=0) <= reach[triangles].max(axis=1)]
    middle = source.vectors[triangles].mean(1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    _, candidates = cKDTree(middle).query(target.vectors, k=min(12, len(triangles)))
    found = np.zeros(target.size, dtype=bool)
    rows, columns, values = [], [], []
    for candidate in np.atleast_2d(candidates.T):
        open_ = np.flatnonzero(~found)
        corners = triangles[candidate[open_]]
        shares = np.linalg.solve(source.vectors[corners].transpose(0, 2, 1), target.vectors[open_][..., None])[..., 0]
        inside = (shares >= -_INSIDE).all(1)
        picked, shares = open_[inside], np.clip(shares[inside], 0, None)
        found[picked] = True
        rows.append(np.repeat(picked, 3))
        columns.append(corners[inside].ravel())
        values.append((shares / shares.sum(1, keepdims=True)).ravel())
    return _matrix(np.concatenate(rows), np.concatenate(columns), np.concatenate(values), source, target)


def _by_axes(source: Mesh, target: Mesh) -> sparse.csr_array:
    across = sum(_overlaps(source.lon_edges + turn, target.lon_edges) for turn in (-720.0, -360.0, 0.0, 360.0, 720.0))
    up = _overlaps(np.sin(np.radians(source.lat_edges)), np.sin(np.radians(target.lat_edges)))
    shared = sparse.kron(up, across, format="csr")
    return sparse.csr_array(shared)


def _overlaps(source: Array, target: Array) -> sparse.csr_array:
    """Return which part of each target interval each source interval covers."""
    low = np.maximum(np.minimum(target[:-1], target[1:])[:, None], np.minimum(source[:-1], source[1:])[None, :])
    high = np.minimum(np.maximum(target[:-1], target[1:])[:, None], np.maximum(source[:-1], source[1:])[None, :])
    return sparse.csr_array(np.clip(high - low, 0, None) / np.abs(np.diff(target))[:, None])


def _by_overlay(source: Mesh, target: Mesh) -> sparse.csr_array:
    wanted, whole = _polygons(target)
    given, _ = _polygons(source)
    numbers = np.arange(source.size)
    # Cells near the seam are there twice, a full turn apart, so that no target polygon misses them.
    given = np.concatenate([given, shapely.transform(given, _turned(360.0)), shapely.transform(given, _turned(-360.0))])
    rows, found = shapely.STRtree(given).query(wanted, predicate="intersects")
    areas = shapely.area(shapely.intersection(wanted[rows], given[found]))
    return _matrix(rows, np.tile(numbers, 3)[found], areas / whole[rows], source, target)


def _polygons(mesh: Mesh) -> tuple[Any, Array]:
    """Return cells as polygons in longitude and the sine of latitude (in degrees and units of 1), and their areas."""
    lon, _ = mesh.centres
    centre = np.mod(lon, 360.0)[:, None]
    corners = mesh.corners
    across = centre + np.mod(corners[..., 0] - centre + 180.0, 360.0) - 180.0
    flat = np.stack([across, np.sin(np.radians(corners[..., 1])) * 60.0], axis=-1)
    found = shapely.make_valid(shapely.polygons(flat))
    areas = shapely.area(found)
    return found, np.where(areas > 0, areas, np.inf)


def _turned(degrees: float) -> Callable[[Array], Array]:
    return lambda points: points + np.array([degrees, 0.0])
