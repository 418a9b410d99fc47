"""A filter beside a model that steps: a linear reservoir has an exact answer, and the filter knows its own error."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.core.assimilation import EnsembleFilter
from gemel.core.assimilation.processes import assimilate_enkf

KEPT = 0.8  # of a reservoir's storage after a day; the rest is its discharge
STEP = np.array([[KEPT, 1.0], [0.0, 1.0]])  # storage and an inflow that stays as it is
SEEN = np.array([[1.0 - KEPT, 0.0]])
ERROR = 0.3


def reservoir(members: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an ensemble of (storage, inflow), and discharge observed on 40 days of a reservoir with another inflow."""
    rng = np.random.default_rng(seed)
    start = np.array([10.0, 2.0]) + rng.standard_normal((members, 2)) * [3.0, 0.5]
    storage, observed = 14.0, []
    for _ in range(40):
        storage = KEPT * storage + 2.7
        observed.append((1.0 - KEPT) * storage + ERROR * rng.standard_normal())
    return start, np.array(observed)


@pytest.mark.parametrize("inflation", [1.0, 1.03])
def test_a_linear_reservoir_is_followed_as_by_the_kalman_filter_day_after_day(inflation):
    values, observed = reservoir(20, seed=1)
    mean, covariance = values.mean(axis=0), np.cov(values.T)
    following = EnsembleFilter(inflation=inflation)
    for flow in observed:
        values, mean, covariance = values @ STEP.T, STEP @ mean, STEP @ covariance @ STEP.T * inflation**2
        after = following.corrected(values, values @ SEEN.T, np.array([flow]), np.array([ERROR]))
        variance = (SEEN @ covariance @ SEEN.T).item() + ERROR**2
        np.testing.assert_allclose(after.innovation, flow - SEEN @ mean, atol=1e-9)
        np.testing.assert_allclose(after.expected, np.sqrt(variance), rtol=1e-9)
        gain = covariance @ SEEN.T / variance
        mean, covariance = mean + gain[:, 0] * (flow - (SEEN @ mean).item()), covariance - gain @ SEEN @ covariance
        values = after.values
        np.testing.assert_allclose(values.mean(axis=0), mean, rtol=1e-9)
        np.testing.assert_allclose(np.cov(values.T), covariance, rtol=1e-6, atol=1e-12)
    assert abs(mean[1] - 2.7) < 0.3, "the inflow that was never observed is found"


@pytest.mark.parametrize(("told", "low", "high"), [(1.0, 0.9, 1.2), (0.5, 2.0, 5.0), (2.0, 0.2, 0.5)])
def test_the_surprise_of_a_filter_that_knows_its_errors_is_one(told, low, high):
    rng = np.random.default_rng(3)
    members, truth, found = rng.standard_normal((60, 1)), 0.0, []
    for _ in range(1500):
        truth = 0.9 * truth + rng.standard_normal()
        members = 0.9 * members + told * rng.standard_normal(members.shape)
        seen = np.array([truth + 0.5 * rng.standard_normal()])
        after = EnsembleFilter().corrected(members, members, seen, np.array([0.5 * told]))
        found.append(after.surprise.item())
        members = after.values
    assert low < np.mean(np.square(found)) < high


@pytest.mark.parametrize("method", ["transform", "perturbed"])
def test_matrices_and_cubes_are_treated_alike(method):
    rng = np.random.default_rng(4)
    values, predicted, observed = rng.standard_normal((15, 4)), rng.standard_normal((15, 2)), np.array([0.5, np.nan])
    plain = EnsembleFilter(method, 1.1).corrected(values, predicted, observed, np.array([0.4, 0.4]), seed=7)
    cube = assimilate_enkf.function(
        xr.DataArray(values, dims=("realization", "x")),
        xr.DataArray(predicted, dims=("realization", "observation")),
        xr.DataArray(observed, dims="observation"),
        0.4,
        method,
        1.1,
        seed=7,
    )
    np.testing.assert_array_equal(cube.values, plain.values)
    assert plain.innovation.shape == plain.expected.shape == (1,), "what is missing surprises nobody"


def test_perturbed_observations_depend_on_their_seed_alone():
    values, observed = reservoir(10, seed=5)

    def after(seed: int | list[int]) -> list[list[float]]:
        seen, error = observed[:1], np.array([ERROR])
        return EnsembleFilter("perturbed").corrected(values, values @ SEEN.T, seen, error, seed=seed).values.tolist()

    assert after([1, 2]) == after([1, 2])
    assert after([1, 2]) != after([1, 3])


@pytest.mark.parametrize("wrong", [{"method": "magic"}, {"inflation": 0.0}, {"inflation": float("nan")}])
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(InvalidInput):
        EnsembleFilter(**wrong)
