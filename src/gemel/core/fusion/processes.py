"""Fusion as processes of graphs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.core.cubes import callback
from gemel.core.fusion import _collocation, _downscaling, _harmony, _merging
from gemel.core.fusion._healpix import healpix_mesh
from gemel.core.fusion._mesh import Mesh, mesh_of, regular_mesh
from gemel.core.fusion._regrid import regrid as _regrid
from gemel.core.graph import Dataset, Field, process

_FUSION = ("fusion",)
_SPECS: Mapping[str, Callable[..., Mesh]] = {"regular": regular_mesh, "healpix": healpix_mesh}


@process(id="regrid", durable=False, categories=_FUSION)
def regrid(
    data: Field,
    target: Field | dict[str, Any],
    method: Literal["nearest", "bilinear", "conservative"] = "bilinear",
    missing: float = 0.5,
) -> Field:
    """The cube on another grid; weights are computed once and kept.

    Args:
        data: A cube on a regular, curvilinear or HEALPix grid, or on a list of cells.
        target: A cube whose grid is wanted, or a description: `{"type": "regular", "west", "south", "east", "north",
            "resolution"}` in degrees, or `{"type": "healpix", "nside", "order"}`.
        method: `nearest`, `bilinear` or `conservative`.
        missing: Share of a cell that may lie on missing values.

    Raises:
        InvalidInput: Nothing tells where the cells are, or the description is wrong.
    """
    return _regrid(data, _target(target), method, missing)


@process(id="harmonise", durable=False, categories=_FUSION)
def harmonise(data: Field, unit: str | None = None, calendar: str | None = None) -> Field:
    """The cube in a unit and a calendar.

    Args:
        data: The cube.
        unit: UDUNITS spelling; default as it is.
        calendar: A calendar of CF such as `standard`, `noleap` or `360_day`; default as it is.

    Raises:
        UnitMismatch: The unit measures something else.
        InvalidInput: There is no such calendar.
    """
    converted = _harmony.in_unit(data, unit)
    return _harmony.in_calendar(converted, calendar) if calendar else converted


@process(id="collocate", durable=False, categories=_FUSION)
def collocate(
    grid: Field,
    stations: Field,
    method: Literal["nearest", "bilinear"] = "bilinear",
    times: Literal["nearest", "linear", "exact"] = "nearest",
    tolerance: str | None = None,
) -> Field:
    """The grid at the places and times of stations.

    Args:
        grid: The cube.
        stations: Series whose longitudes and latitudes are coordinates along one dimension.
        method: How between cells.
        times: How between times.
        tolerance: The farthest that the nearest time may be away, such as `3 h`.

    Raises:
        InvalidInput: Nothing tells where the stations or the cells are.
        UnitMismatch: The two measure different things.
    """
    return _collocation.collocate(grid, stations, method, times, tolerance)


@process(id="residuals", durable=False, categories=_FUSION)
def residuals(observed: Field, modelled: Field) -> Field:
    """Observation minus model, in the observation's unit, at the labels that both have.

    Args:
        observed: The observation.
        modelled: The model, on the same grid (see `regrid` and `collocate`).

    Raises:
        UnitMismatch: The two measure different things.
        InvalidInput: They have nothing in common.
    """
    return _collocation.residuals(observed, modelled)


@process(id="merge_sources", durable=False, categories=_FUSION)
def merge_sources(sources: list[Any], names: list[str] | None = None) -> Dataset:
    """Several sources of one quantity as one: at each place the first that has a value, and which one that is.

    Args:
        sources: Cubes on one grid, the most trusted first.
        names: What they are called.

    Raises:
        InvalidInput: There is no source, one is no cube, or their grids differ.
        UnitMismatch: They measure different things.
    """
    strange = [type(item).__name__ for item in sources if not isinstance(item, xr.DataArray)]
    if strange:
        raise InvalidInput(f"Only cubes can be merged; one of the sources is a {strange[0]}.")
    return _merging.merge_sources(sources, names)


@process(id="fill_gaps", durable=False, categories=_FUSION)
def fill_gaps(
    data: Field,
    method: Literal["linear", "previous", "climatology", "neighbours"] = "linear",
    limit: int | None = None,
) -> Field:
    """The cube with missing values filled; coordinate `filled` tells which were.

    Args:
        data: The cube.
        method: By lines or the previous value in time, by the mean of the same month, or by the nearest cells.
        limit: Gaps of more steps than this stay.

    Raises:
        InvalidInput: The cube has no time to fill along.
    """
    return _merging.fill_gaps(data, method, limit)


@process(id="downscale", durable=False, categories=_FUSION)
def downscale(data: Field, reference: Field, method: str | dict[str, Any] = "delta") -> Field:
    """A coarse cube on a fine grid, corrected by what a fine reference shows.

    Args:
        data: The coarse cube.
        reference: The fine one, which overlaps it in time.
        method: `delta`, `ratio`, `quantile-mapping`, or a child process of your own, which gets the coarse cube carried
            onto the fine grid as `data` and the reference as `context`.

    Raises:
        InvalidInput: The two share no time, or there is no such method.
        UnitMismatch: They measure different things.
    """
    if isinstance(method, str):
        return _downscaling.downscale(data, reference, method)  # type: ignore[arg-type]
    made: xr.DataArray = callback(method)(data=_regrid(data, mesh_of(reference), "bilinear"), context=reference)
    return made


def _target(target: Any) -> Mesh:
    if isinstance(target, xr.DataArray):
        return mesh_of(target)
    description = dict(target)
    kind = description.pop("type", None)
    if kind not in _SPECS:
        raise InvalidInput(f"There is no grid of type '{kind}'.", hint=f"One of: {', '.join(_SPECS)}; or give a cube.")
    wrong = [name for name, value in description.items() if name != "order" and not _is_number(value)]
    if wrong:
        raise InvalidInput(f"The description of the target grid is wrong: '{wrong[0]}' is no number.")
    try:
        return _SPECS[kind](**description)
    except TypeError as error:
        # What is missing or too much, in Python's words without the name of our function.
        told = str(error).partition("() ")[2] or str(error)
        raise InvalidInput(f"The description of the target grid is wrong: {told}.") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
