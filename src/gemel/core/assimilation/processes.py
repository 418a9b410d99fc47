"""Assimilation as processes of graphs: one interface, `state`, `predicted`, `observed`, for all filters."""

from __future__ import annotations

from typing import Literal

import xarray as xr

from gemel.core.assimilation._ensemble import MEMBERS, Ensemble, Observed
from gemel.core.assimilation._filter import EnsembleFilter
from gemel.core.assimilation._localisation import Reach
from gemel.core.assimilation._nudging import nudged
from gemel.core.assimilation._particles import resampled
from gemel.core.graph import Field, process

_ASSIMILATION = ("assimilation",)


@process(id="assimilate_enkf", categories=_ASSIMILATION)
def assimilate_enkf(  # noqa: PLR0913 - each is something a person may want to set
    state: Field,
    predicted: Field,
    observed: Field,
    error: Field | float | None = None,
    method: Literal["transform", "perturbed"] = "transform",
    inflation: float = 1.0,
    radius: float | None = None,
    period: float | None = None,
    seed: int = 0,
) -> Field:
    """The ensemble after an ensemble Kalman filter has seen observations.

    Args:
        state: Ensemble of states, with a dimension `realization`.
        predicted: What each member predicts of the observations: `realization` and the observations' dimension.
        observed: Observations on one dimension; NaN for missing. Coordinates tell where they lie.
        error: Standard error of the observations, in their unit; default their coordinate `standard_error`.
        method: `transform` (ETKF; LETKF with a radius), or `perturbed` observations.
        inflation: Factor on the spread before the analysis.
        radius: Distance from which on an observation changes nothing: km for longitudes and latitudes, else in
            the unit of the coordinates; default none.
        period: After which the coordinate comes back to its begin.
        seed: Of perturbed observations.

    Raises:
        InvalidInput: Dimensions do not fit, or a number cannot be.
    """
    reach = None if radius is None else Reach(radius, period)
    ensemble = Ensemble.of(state)
    seen = Observed.of(observed, predicted, error)
    found = EnsembleFilter(method, inflation, reach).analysed(ensemble, seen, seed=seed)
    return _ordered(ensemble.with_values(found.values), state)


@process(id="assimilate_particles", categories=_ASSIMILATION)
def assimilate_particles(
    state: Field,
    predicted: Field,
    observed: Field,
    error: Field | float | None = None,
    jitter: float = 0.0,
    seed: int = 0,
) -> Field:
    """The ensemble after its members were drawn by how well they predicted observations; the effective size is told.

    Args:
        state: Ensemble of states, with a dimension `realization`.
        predicted: What each member predicts of the observations: `realization` and the observations' dimension.
        observed: Observations on one dimension; NaN for missing.
        error: Standard error of the observations, in their unit; default their coordinate `standard_error`.
        jitter: Noise that sets drawn members apart, in shares of the spread.
        seed: Of the drawing.

    Raises:
        InvalidInput: Dimensions do not fit, or a number cannot be.
    """
    ensemble = Ensemble.of(state)
    found = resampled(ensemble, Observed.of(observed, predicted, error), seed=seed, jitter=jitter)
    after = _ordered(ensemble.with_values(found.values), state)
    return after.assign_attrs(effective_members=found.effective)


@process(id="nudge", categories=_ASSIMILATION)
def nudge(state: Field, observed: Field, step: float, relaxation: float) -> Field:
    """The state after a step in which it relaxed towards observations; where there are none, it stays as it is.

    Args:
        state: With any dimensions.
        observed: In the same unit, on some or all of the state's dimensions; NaN where nothing was observed.
        step: Length of the step.
        relaxation: Time of relaxation, in the same unit of time.
    """
    return nudged(state, observed, step, relaxation)


def _ordered(cube: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    assert MEMBERS in cube.dims
    return cube.transpose(*like.dims)
