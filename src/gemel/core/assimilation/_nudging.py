"""Nudging: a state pulled towards what was observed, the faster the shorter its time of relaxation."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput


def nudged(state: xr.DataArray, observed: xr.DataArray, step: float, relaxation: float) -> xr.DataArray:
    """Return a state after a step in which it relaxed towards observations; where there are none, it stays.

    The solution of dx/dt = (y - x) / tau over one step (Hoke and Anthes 1976, eq. 1, without the model's own tendency):
    x + (1 - exp(-dt / tau)) (y - x).

    Args:
        state: With any dimensions.
        observed: In the same unit, on some or all of the state's dimensions; NaN where nothing was observed.
        step: Length of the step.
        relaxation: Time of relaxation, in the same unit of time.

    Raises:
        InvalidInput: A time is not positive, or the observations have a dimension that the state has not.

    >>> start = xr.DataArray([0.0, 0.0], dims="x")
    >>> nudged(start, xr.DataArray([1.0, np.nan], dims="x"), 1.0, 1.0).values.round(3).tolist()
    [0.632, 0.0]
    """
    if not (step > 0 and relaxation > 0 and np.isfinite(step + relaxation)):
        raise InvalidInput("Step and time of relaxation are positive.", step=step, relaxation=relaxation)
    foreign = [str(dim) for dim in observed.dims if dim not in state.dims]
    if foreign:
        raise InvalidInput(f"The observations have a dimension '{foreign[0]}' that the state has not.")
    on_state = observed.reindex_like(state.isel({dim: 0 for dim in state.dims if dim not in observed.dims}, drop=True))
    moved = state + (1.0 - np.exp(-step / relaxation)) * (on_state - state)
    found: xr.DataArray = moved.where(on_state.notnull(), state).transpose(*state.dims)
    return found.assign_attrs(state.attrs).rename(state.name)
