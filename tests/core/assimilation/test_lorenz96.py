"""Filters on the model of Lorenz (1996): forty variables on a ring, forcing 8, every one observed with error 1."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from gemel.core.assimilation.processes import assimilate_enkf

pytestmark = pytest.mark.slow

SIZE, FORCING, STEP = 40, 8.0, 0.05
enkf = assimilate_enkf.function


def tendency(x: np.ndarray) -> np.ndarray:
    """Return dx/dt (Lorenz 1996, eq. 1; Lorenz and Emanuel 1998)."""
    return (np.roll(x, -1, -1) - np.roll(x, 2, -1)) * np.roll(x, 1, -1) - x + FORCING


def stepped(x: np.ndarray) -> np.ndarray:
    """Return the state after one step of Runge and Kutta's fourth order."""
    one = tendency(x)
    two = tendency(x + STEP / 2 * one)
    three = tendency(x + STEP / 2 * two)
    return x + STEP / 6 * (one + 2 * two + 2 * three + tendency(x + STEP * three))


def cycled(cycles: int, members: int, seed: int, **options) -> tuple[float, float]:
    """Return (root mean square error of the mean, mean spread) after the first fifth of the cycles."""
    rng = np.random.default_rng(seed)
    truth = FORCING + rng.standard_normal(SIZE)
    for _ in range(500):
        truth = stepped(truth)
    ensemble = truth + rng.standard_normal((members, SIZE))
    places = np.arange(SIZE, dtype=float)
    errors, spreads = [], []
    for cycle in range(cycles):
        truth, ensemble = stepped(truth), stepped(ensemble)
        observed = xr.DataArray(truth + rng.standard_normal(SIZE), {"x": ("observation", places)}, ("observation",))
        state = xr.DataArray(ensemble, {"x": places}, ("realization", "x"))
        predicted = xr.DataArray(ensemble, dims=("realization", "observation"))
        ensemble = enkf(state, predicted, observed, 1.0, period=float(SIZE), seed=cycle, **options).values
        if cycle >= cycles // 5:
            errors.append(((ensemble.mean(axis=0) - truth) ** 2).mean())
            spreads.append(ensemble.var(axis=0, ddof=1).mean())
    return float(np.sqrt(np.mean(errors))), float(np.sqrt(np.mean(spreads)))


# Published errors of tuned filters on this problem are about 0.2 (Ott et al. 2004, fig. 3; Sakov and Oke 2008, table 2);
# an observation alone has 1.0, and the climate's own spread is 3.6.
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_local_transform_filter_reaches_published_errors_with_ten_members(seed):
    error, spread = cycled(500, 10, seed, radius=14.0, inflation=1.04)
    assert error < 0.25
    assert 0.7 < spread / error < 1.4


def test_the_perturbed_filter_reaches_them_with_forty_members():
    error, spread = cycled(500, 40, 1, method="perturbed", radius=20.0, inflation=1.04)
    assert error < 0.28
    assert 0.7 < spread / error < 1.4


def test_without_localisation_ten_members_lose_the_truth():
    error, _ = cycled(500, 10, 1, inflation=1.04)
    assert error > 1.0
