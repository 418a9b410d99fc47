"""HEALPix: cells of equal area in rings of equal latitude (Górski et al. 2005, ApJ 622, 759; equation numbers are theirs)."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from gemel.base.errors import InvalidInput
from gemel.core.fusion._mesh import Mesh, require_room

Array = np.ndarray[Any, Any]
Order = Literal["nested", "ring"]
# Row and column of the twelve base cells: in units of the base cell's side (figure 4 and section 4.1).
_ROW = np.array([2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4])
_COLUMN = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])


def healpix_mesh(nside: int, order: Order = "nested") -> Mesh:
    """Return the mesh of all ``12 nside²`` cells of the sphere.

    Args:
        nside: Cells along the side of a base cell; a power of two.
        order: How cells are numbered.

    Raises:
        InvalidInput: `nside` is no power of two, or there is no such order.
        DoesNotFit: The cells would be too many for the memory that may be used.

    >>> mesh = healpix_mesh(4)
    >>> mesh.size, mesh.corners.shape
    (192, (192, 4, 2))
    """
    if order not in get_args(Order):
        raise InvalidInput(f"HEALPix knows no order '{order}'.", hint="nested or ring.")
    if nside < 1 or int(nside) != nside or int(nside) & (int(nside) - 1):
        raise InvalidInput(f"A HEALPix grid cannot have nside = {nside}.", hint="Use a power of two, like 64.")
    nside = int(nside)
    require_room(12.0 * nside**2)
    face, x, y = _faces(nside)
    if order == "ring":
        sequence = np.argsort(_ring_numbers(nside, face, x, y), kind="stable")
        face, x, y = face[sequence], x[sequence], y[sequence]
    lon, lat = _position(nside, face, x + 0.5, y + 0.5)
    corners = [(0, 0), (1, 0), (1, 1), (0, 1)]
    bounds = np.stack([np.stack(_position(nside, face, x + i, y + j), axis=-1) for i, j in corners], axis=1)
    _settle_poles(bounds, lon)
    about = {"grid_mapping_name": "healpix", "nside": nside, "order": order}
    coords = {
        "cell": ("cell", np.arange(lon.size), {"long_name": "HEALPix cell", **about}),
        "lon": ("cell", lon, {"units": "degrees_east", "standard_name": "longitude"}),
        "lat": ("cell", lat, {"units": "degrees_north", "standard_name": "latitude"}),
    }
    return Mesh("cells", lon, lat, ("cell",), coords, bounds)


def _faces(nside: int) -> tuple[Array, Array, Array]:
    """Return base cell, x and y of all cells in nested order: the bits of x and y take turns (section 4.1)."""
    number = np.arange(nside * nside)
    x, y = np.zeros_like(number), np.zeros_like(number)
    for bit in range(nside.bit_length()):
        x |= (number >> (2 * bit) & 1) << bit
        y |= (number >> (2 * bit + 1) & 1) << bit
    return np.repeat(np.arange(12), nside * nside), np.tile(x, 12), np.tile(y, 12)


def _position(nside: int, face: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Return longitude and latitude in degrees of points of base cells (equations 4 to 9, for real-valued places)."""
    ring = _ROW[face] * nside - x - y  # counted from the north pole, in cells
    across = x - y
    polar = (ring < nside) | (ring > 3 * nside)
    distance = np.where(ring < nside, ring, np.where(ring > 3 * nside, 4 * nside - ring, nside))
    cap = 1 - distance**2 / (3 * nside**2)
    z = np.where(polar, np.where(ring < nside, cap, -cap), (2 * nside - ring) * 2 / (3 * nside))
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = _COLUMN[face] + np.where(distance > 0, across / distance, 0.0)
    return np.mod(turn * 45.0, 360.0), np.degrees(np.arcsin(np.clip(z, -1, 1)))


def _ring_numbers(nside: int, face: Array, x: Array, y: Array) -> Array:
    """Return a number by which cells sort into ring order: by ring, then by longitude."""
    lon, _ = _position(nside, face, x + 0.5, y + 0.5)
    ring = _ROW[face] * nside - x - y - 1
    return ring * 1000.0 + lon


def _settle_poles(bounds: Array, lon: Array) -> None:
    # A pole has no longitude of its own: it takes the cell's, so that the cell stays a narrow one.
    at_pole = np.abs(bounds[..., 1]) > 90 - 1e-9
    bounds[..., 0] = np.where(at_pole, lon[:, None], bounds[..., 0])
