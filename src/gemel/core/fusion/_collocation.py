"""Series at stations beside grids: where the grid is at the stations, and how far the two are apart."""

from __future__ import annotations

import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.core.cubes import dimensions_of
from gemel.core.fusion._harmony import Align, at_times, in_unit
from gemel.core.fusion._mesh import Mesh, mesh_of
from gemel.core.fusion._regrid import regrid


def collocate(
    grid: xr.DataArray,
    stations: xr.DataArray,
    method: str = "bilinear",
    times: Align = "nearest",
    tolerance: str | None = None,
) -> xr.DataArray:
    """Return the grid at the places and times of the stations, with the stations' dimensions.

    Args:
        grid: A cube on any mesh, with or without time.
        stations: Series of stations, whose longitudes and latitudes are coordinates along one dimension.
        method: How between cells: `nearest`, `bilinear` or `conservative` (then the cell that a station lies in).
        times: How between times: `nearest`, `linear` or `exact`.
        tolerance: The farthest that the nearest time may be away.

    Raises:
        InvalidInput: Nothing tells where the stations or the cells are.
        UnitMismatch: The two measure different things.
    """
    mesh = mesh_of(stations)
    if mesh.kind != "cells":
        message = f"The stations lie on a grid of {' and '.join(mesh.dims)}, and not along one dimension."
        raise InvalidInput(message, hint="regrid brings one grid onto another.")
    # Stations are points; the method decides between cells of the grid, and only centres of stations count.
    points = Mesh("cells", mesh.centres[0], mesh.centres[1], (str(mesh.dims[0]),), _along(stations, mesh.dims[0]))
    found = regrid(grid, points, "nearest" if method == "conservative" else method)
    for name in dimensions_of(stations, "temporal"):
        if dimensions_of(grid, "temporal"):
            found = at_times(found, stations[name], times, tolerance)
            found = found.rename({dimensions_of(found, "temporal")[0]: name})
    return in_unit(found, stations.attrs.get("units"))


def residuals(observed: xr.DataArray, modelled: xr.DataArray) -> xr.DataArray:
    """Return observation minus model, in the observation's unit; labels that only one of them has are left out.

    Raises:
        UnitMismatch: The two measure different things.
        InvalidInput: They have no label in common along a dimension of both.
    """
    left, right = xr.align(observed, in_unit(modelled, observed.attrs.get("units")), join="inner")
    for name in set(map(str, left.dims)) & set(map(str, right.dims)):
        if observed.sizes[name] and not left.sizes[name]:
            raise _nothing_in_common(name)
    if _apart(left, right):
        shown = " and ".join(", ".join(map(str, cube.dims)) for cube in (left, right))
        raise InvalidInput(f"Observation and model lie on different grids: {shown}.", hint="regrid or collocate first.")
    apart = left - right
    return apart.assign_attrs(
        {key: value for key, value in observed.attrs.items() if key in ("units", "gemel_dimension")}
        | {"long_name": f"{observed.attrs.get('long_name', observed.name or 'observation')} minus model"}
    )


def combined_error(observed: xr.DataArray, modelled: xr.DataArray) -> xr.DataArray:
    """Return the standard error of a residual whose two parts err independently (JCGM 100:2008, equation 11a)."""
    left, right = xr.align(observed, in_unit(modelled, observed.attrs.get("units")), join="inner")
    return (left**2 + right**2) ** 0.5


def _apart(left: xr.DataArray, right: xr.DataArray) -> bool:
    """Return whether each has a place that the other does not know: every cell would meet every other one."""
    only_left, only_right = set(left.dims) - set(right.dims), set(right.dims) - set(left.dims)
    placed = [set(dimensions_of(cube, "spatial")) & only for cube, only in ((left, only_left), (right, only_right))]
    return all(placed) or (not set(left.dims) & set(right.dims) and bool(left.dims and right.dims))


def _nothing_in_common(name: str) -> Exception:
    return InvalidInput(
        f"Observation and model have no label along '{name}' in common.",
        hint="Bring them onto the same times first: collocate or resample_cube_temporal.",
    )


def _along(stations: xr.DataArray, dim: str) -> dict[str, xr.DataArray]:
    return {str(name): item for name, item in stations.coords.items() if item.dims == (dim,)}
