"""Any horizontal grid as cells on the sphere: regular, curvilinear, or a list of cells."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy.spatial import SphericalVoronoi

from gemel.base.errors import DoesNotFit, InvalidInput
from gemel.base.sizes import spoken_size
from gemel.core.cubes import crs_from, crs_of, edges, has_spatial_dims, spatial_dims, transform
from gemel.core.graph import surroundings

Array = np.ndarray[Any, np.dtype[np.float64]]
_GEOGRAPHIC = "EPSG:4326"
_CELL_BYTES = 120  # centre (16), unit vector (24), four corners (64), and a value to begin with
_MEMORY = 64_000_000_000  # where nobody set a limit
_LON = ("lon", "longitude", "nav_lon", "xlong", "glon")
_LAT = ("lat", "latitude", "nav_lat", "xlat", "glat")


@dataclass(frozen=True, eq=False)
class Mesh:
    """Cells on the sphere.

    Attributes:
        kind: `rectilinear` (axes of longitude and latitude), `curvilinear` (two dimensions), or `cells` (one).
        lon: Longitudes in degrees: the axis, or those of all cell centres.
        lat: Latitudes in degrees: the axis, or those of all cell centres.
        dims: Names of the dimensions, that of the rows first.
        coords: Coordinates that a cube on this mesh carries.
        bounds: Corners of all cells, (cells, corners, 2) in degrees, or None where they follow from the centres.
        sides: Edges of the longitude and the latitude axis, or None where they follow from the centres.
    """

    kind: Literal["rectilinear", "curvilinear", "cells"]
    lon: Array
    lat: Array
    dims: tuple[str, ...]
    coords: Mapping[str, Any] = field(default_factory=dict)
    bounds: Array | None = None
    sides: tuple[Array, Array] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the number of cells along each dimension."""
        return (len(self.lat), len(self.lon)) if self.kind == "rectilinear" else self.lon.shape

    @property
    def size(self) -> int:
        """Return the number of cells."""
        return int(np.prod(self.shape))

    @functools.cached_property
    def centres(self) -> tuple[Array, Array]:
        """Return longitudes and latitudes of all cell centres, flat, in degrees."""
        if self.kind == "rectilinear":
            lon, lat = np.meshgrid(self.lon, self.lat)
            return lon.ravel(), lat.ravel()
        return self.lon.ravel(), self.lat.ravel()

    @functools.cached_property
    def vectors(self) -> Array:
        """Return unit vectors (cells, 3) to all cell centres."""
        return unit_vectors(*self.centres)

    @functools.cached_property
    def corners(self) -> Array:
        """Return the corners of all cells, (cells, corners, 2): longitude and latitude in degrees."""
        if self.bounds is not None:
            return self.bounds
        if self.kind == "rectilinear":
            return _rectangles(self.lon_edges, self.lat_edges)
        return _between_centres(self) if self.kind == "curvilinear" else _voronoi(self)

    @property
    def lon_edges(self) -> Array:
        """Return the edges of the longitude axis of a rectilinear mesh."""
        return self.sides[0] if self.sides else edges(self.lon)

    @property
    def lat_edges(self) -> Array:
        """Return the edges of the latitude axis of a rectilinear mesh; none lies beyond a pole."""
        return np.clip(self.sides[1] if self.sides else edges(self.lat), -90.0, 90.0)

    @functools.cached_property
    def digest(self) -> str:
        """Return the digest of what decides weights: kind, centres and bounds."""
        hasher = hashlib.sha256(self.kind.encode())
        for array in (self.lon, self.lat, self.bounds, *(self.sides or ())):
            if array is not None:
                hasher.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
                hasher.update(str(array.shape).encode())
        return hasher.hexdigest()


def mesh_of(cube: xr.DataArray) -> Mesh:
    """Return the mesh that a cube lies on.

    Raises:
        InvalidInput: Nothing tells where its cells are.
    """
    lon, lat = _auxiliary(cube, _LON, "longitude"), _auxiliary(cube, _LAT, "latitude")
    if lon is not None and lat is not None and lon.dims == lat.dims:
        return _listed(cube, lon, lat)
    if has_spatial_dims(cube):
        return _gridded(cube)
    raise InvalidInput(
        "Nothing tells where the cells of the cube are.",
        hint="It needs axes called x and y with a CRS, or longitudes and latitudes of its cells as coordinates.",
        dimensions=list(map(str, cube.dims)),
    )


def regular_mesh(west: float, south: float, east: float, north: float, resolution: float) -> Mesh:
    """Return a regular mesh of longitude and latitude, whose edges lie on the bounds given, all in degrees.

    Raises:
        InvalidInput: The bounds are empty, or hold no whole number of cells.
        DoesNotFit: The cells would be too many for the memory that may be used.
    """
    counts = [(east - west) / resolution, (north - south) / resolution] if resolution > 0 else [0, 0]
    if min(counts) < 1 or any(abs(count - round(count)) > 1e-6 for count in counts) or south < -90 or north > 90:
        raise InvalidInput(
            f"{west} to {east} by {south} to {north} degrees hold no whole number of cells of {resolution} degrees.",
            hint="Give bounds with west < east, south < north, and a resolution that divides them.",
        )
    require_room(counts[0] * counts[1])
    across, up = (np.arange(round(count) + 1) * resolution for count in counts)
    sides = np.asarray(west + across, float), np.asarray(north - up, float)
    lon, lat = ((side[:-1] + side[1:]) / 2 for side in sides)
    coords = {
        "lon": ("lon", lon, {"units": "degrees_east", "standard_name": "longitude", "axis": "X"}),
        "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude", "axis": "Y"}),
    }
    return Mesh("rectilinear", lon, lat, ("lat", "lon"), coords, sides=sides)


def require_room(cells: float) -> None:
    """Raise unless a mesh of so many cells can be held.

    Raises:
        DoesNotFit: It cannot.
    """
    limit = surroundings().memory or _MEMORY
    if cells * _CELL_BYTES > limit:
        raise DoesNotFit(
            f"A grid of {cells:.2g} cells needs {spoken_size(int(cells * _CELL_BYTES))}; {spoken_size(limit)} may be used.",
            hint="Choose coarser cells or a smaller region.",
        )


def unit_vectors(lon: Array, lat: Array) -> Array:
    """Return unit vectors (…, 3) to points given in degrees."""
    across, up = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(up) * np.cos(across), np.cos(up) * np.sin(across), np.sin(up)], axis=-1)


def degrees_of(vectors: Array) -> tuple[Array, Array]:
    """Return longitudes and latitudes in degrees of vectors (…, 3) of any length."""
    flat = np.hypot(vectors[..., 0], vectors[..., 1])
    return np.degrees(np.arctan2(vectors[..., 1], vectors[..., 0])), np.degrees(np.arctan2(vectors[..., 2], flat))


def _auxiliary(cube: xr.DataArray, names: tuple[str, ...], standard: str) -> xr.DataArray | None:
    for name, coordinate in cube.coords.items():
        told = coordinate.attrs.get("standard_name") == standard or str(name).lower() in names
        if told and name not in cube.dims and coordinate.ndim in (1, 2):
            found: xr.DataArray = cube.coords[name]
            return found
    return None


def _listed(cube: xr.DataArray, lon: xr.DataArray, lat: xr.DataArray) -> Mesh:
    dims = tuple(map(str, lon.dims))
    coords = {str(name): item for name, item in cube.coords.items() if item.dims and set(item.dims) <= set(lon.dims)}
    if not lon.size or not (np.isfinite(lon.values).all() and np.isfinite(lat.values).all()):
        what = "There are no cells" if not lon.size else "Some cells have no longitude or latitude"
        raise InvalidInput(f"{what} along {', '.join(dims)}.", hint="Select those that have a place first.")
    bounds = _cf_bounds(cube, lon, lat)
    kind: Literal["curvilinear", "cells"] = "curvilinear" if lon.ndim == 2 else "cells"
    return Mesh(kind, np.asarray(lon.values, float), np.asarray(lat.values, float), dims, coords, bounds)


def _cf_bounds(cube: xr.DataArray, lon: xr.DataArray, lat: xr.DataArray) -> Array | None:
    # CF conventions 1.11, section 7.1: the attribute `bounds` names a variable with one dimension more.
    found = [cube.coords.get(item.attrs.get("bounds", "")) for item in (lon, lat)]
    if found[0] is None or found[1] is None:
        return None
    corners = np.stack([np.asarray(item.values, float) for item in found if item is not None], axis=-1)
    return corners.reshape(lon.size, -1, 2)


def _gridded(cube: xr.DataArray) -> Mesh:
    names = spatial_dims(cube)
    x, y = (np.asarray(cube[name].values, float) for name in names)
    crs = crs_of(cube)
    if crs is None or crs.is_geographic:
        x = np.unwrap(x, period=360.0)  # a region across the date line or the prime meridian is in order too
    for name, labels in zip(names, (x, y), strict=True):
        _require_order(str(name), labels)
    coords = {str(name): cube[name] for name in names}
    if "spatial_ref" in cube.coords:
        coords["spatial_ref"] = cube.coords["spatial_ref"]
    if crs is None or crs.is_geographic:
        return Mesh("rectilinear", x, y, (names.y, names.x), coords)
    across, up = np.meshgrid(edges(x), edges(y))
    lon, lat = transform(across, up, crs, crs_from(_GEOGRAPHIC))
    corner = np.stack([lon, lat], axis=-1)
    bounds = np.stack([corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]], axis=2).reshape(-1, 4, 2)
    inner_x, inner_y = np.meshgrid(x, y)
    lon, lat = transform(inner_x, inner_y, crs, crs_from(_GEOGRAPHIC))
    return Mesh("curvilinear", np.asarray(lon), np.asarray(lat), (names.y, names.x), coords, bounds)


def _require_order(name: str, labels: Array) -> None:
    if not labels.size:
        raise InvalidInput(f"The cube has no cells along '{name}'.", hint="Widen the extents that were loaded.")
    steps = np.diff(labels)
    if not np.isfinite(labels).all() or not ((steps > 0).all() or (steps < 0).all()):
        hint = "Sort the dimension, and keep one of each label."
        raise InvalidInput(f"The labels along '{name}' neither rise nor fall from one to the next.", hint=hint)


def _rectangles(lon: Array, lat: Array) -> Array:
    west, south = np.meshgrid(lon[:-1], lat[:-1])
    east, north = np.meshgrid(lon[1:], lat[1:])
    corners = [(west, south), (east, south), (east, north), (west, north)]
    return np.stack([np.stack([a.ravel(), b.ravel()], axis=-1) for a, b in corners], axis=1)


def _between_centres(mesh: Mesh) -> Array:
    """Return corners half-way between neighbouring centres; those of the rim are continued outwards."""
    if min(mesh.shape) < 2:
        raise InvalidInput("The corners of a curvilinear grid of a single row cannot be told.", hint="Give CF bounds.")
    centres = mesh.vectors.reshape(*mesh.shape, 3)
    wide = np.pad(centres, ((1, 1), (1, 1), (0, 0)), mode="edge")
    wide[0], wide[-1] = 2 * wide[1] - wide[2], 2 * wide[-2] - wide[-3]
    wide[:, 0], wide[:, -1] = 2 * wide[:, 1] - wide[:, 2], 2 * wide[:, -2] - wide[:, -3]
    corner = wide[:-1, :-1] + wide[:-1, 1:] + wide[1:, 1:] + wide[1:, :-1]
    flat = np.stack(degrees_of(corner), axis=-1)
    return np.stack([flat[:-1, :-1], flat[:-1, 1:], flat[1:, 1:], flat[1:, :-1]], axis=2).reshape(-1, 4, 2)


def _voronoi(mesh: Mesh) -> Array:
    """Return the corners of the regions nearest to each centre; cells with fewer corners repeat their last one."""
    voronoi = SphericalVoronoi(mesh.vectors)
    voronoi.sort_vertices_of_regions()
    lon, lat = degrees_of(voronoi.vertices)
    most = max(map(len, voronoi.regions))
    rows = np.array([region + region[-1:] * (most - len(region)) for region in voronoi.regions])
    return np.stack([lon[rows], lat[rows]], axis=-1)
