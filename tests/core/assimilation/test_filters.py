"""Filters against closed forms: the Kalman filter, Bayes' rule, the solution of relaxation."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput
from gemel.core.assimilation import gaspari_cohn
from gemel.core.assimilation.processes import assimilate_enkf, assimilate_particles, nudge

enkf, particles, relax = assimilate_enkf.function, assimilate_particles.function, nudge.function


def drawn(members: int, size: int, seed: int) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Return a correlated synthetic ensemble, what it predicts of three of its elements, and observations of these."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((size, size)) / np.sqrt(size)
    values = 3.0 + rng.standard_normal((members, size)) @ mix
    state = xr.DataArray(values, {"x": np.arange(size) * 10.0}, ("realization", "x"), attrs={"units": "m"})
    picked = state.isel(x=[0, size // 2, size - 1])
    predicted = xr.DataArray(picked.values, {"x": ("observation", picked.x.values)}, ("realization", "observation"))
    errors = np.array([0.5, 1.0, 0.7])
    coords = {"x": ("observation", picked.x.values), "standard_error": ("observation", errors)}
    return state, predicted, xr.DataArray(rng.normal(3.0, 1.0, 3), coords, ("observation",))


def kalman(state: xr.DataArray, observed: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance after a Kalman filter that has the sample's covariance (Kalman 1960)."""
    size = state.sizes["x"]
    operator = np.zeros((3, size))
    operator[[0, 1, 2], [0, size // 2, size - 1]] = 1.0
    covariance, mean = np.cov(state.values.T), state.values.mean(axis=0)
    errors = np.diag(observed.standard_error.values**2)
    gain = covariance @ operator.T @ np.linalg.inv(operator @ covariance @ operator.T + errors)
    return mean + gain @ (observed.values - operator @ mean), covariance - gain @ operator @ covariance


@given(seed=st.integers(0, 50), members=st.integers(4, 30), size=st.integers(3, 12))
def test_the_transform_filter_has_exactly_the_moments_of_the_kalman_filter(seed, members, size):
    state, predicted, observed = drawn(members, size, seed)
    mean, covariance = kalman(state, observed)
    after = enkf(state, predicted, observed)
    np.testing.assert_allclose(after.mean("realization").values, mean, atol=1e-9)
    np.testing.assert_allclose(np.cov(after.values.T), covariance, atol=1e-9)
    assert after.dims == state.dims and after.attrs == state.attrs


def test_perturbed_observations_have_the_mean_of_the_kalman_filter_and_its_covariance_by_many_members():
    state, predicted, observed = drawn(40_000, 5, seed=2)
    mean, covariance = kalman(state, observed)
    after = enkf(state, predicted, observed, method="perturbed", seed=3)
    # The perturbations have mean zero over the members, so that the mean is exact; covariances are those of a sample.
    np.testing.assert_allclose(after.mean("realization").values, mean, atol=1e-9)
    np.testing.assert_allclose(np.cov(after.values.T), covariance, atol=0.02)


@pytest.mark.parametrize("method", ["transform", "perturbed"])
def test_a_reach_beyond_everything_is_no_reach_and_a_short_one_leaves_the_rest_alone(method):
    state, predicted, observed = drawn(20, 9, seed=4)
    whole = enkf(state, predicted, observed, method=method, seed=1)
    far = enkf(state, predicted, observed, method=method, seed=1, radius=1e9)
    np.testing.assert_allclose(far.values, whole.values, atol=1e-6)
    short = enkf(state, predicted, observed, method=method, seed=1, radius=5.0)
    seen = [0, 4, 8]
    unseen = [1, 2, 3, 5, 6, 7]
    np.testing.assert_array_equal(short.values[:, unseen], state.values[:, unseen])
    assert (short.values[:, seen].std(axis=0) < state.values[:, seen].std(axis=0)).all()


@pytest.mark.parametrize("method", ["transform", "perturbed"])
def test_missing_observations_say_nothing(method):
    state, predicted, observed = drawn(10, 6, seed=5)
    gap = observed.where(observed.observation != 1)
    less = enkf(state, predicted.isel(observation=[0, 2]), observed.isel(observation=[0, 2]), method=method)
    np.testing.assert_allclose(enkf(state, predicted, gap, method=method).values, less.values, atol=1e-12)
    nothing = enkf(state, predicted, observed * np.nan, method=method)
    np.testing.assert_array_equal(nothing.values, state.values)


def test_inflation_widens_before_the_analysis():
    state, predicted, observed = drawn(10, 6, seed=6)
    wide = enkf(state, predicted, observed * np.nan, inflation=1.2)
    np.testing.assert_allclose(wide.std("realization"), 1.2 * state.std("realization"))
    np.testing.assert_allclose(wide.mean("realization"), state.mean("realization"))


def test_the_taper_has_its_published_values_and_reaches_over_the_end_of_a_ring():
    # Gaspari and Cohn (1999), eq. 4.10, at half the support: 5/24.
    np.testing.assert_allclose(gaspari_cohn(np.array([0.0, 1.0, 2.0, 9.0])), [1.0, 5 / 24, 0.0, 0.0], atol=1e-12)
    state, predicted, observed = drawn(10, 8, seed=7)
    ring = enkf(state, predicted.isel(observation=[0]), observed.isel(observation=[0]), radius=15.0, period=80.0)
    assert not np.array_equal(ring.values[:, 7], state.values[:, 7])
    line = enkf(state, predicted.isel(observation=[0]), observed.isel(observation=[0]), radius=15.0)
    np.testing.assert_array_equal(line.values[:, 7], state.values[:, 7])


def test_places_on_the_earth_are_apart_by_kilometres():
    lon, lat = np.array([0.0, 1.0, 90.0]), np.array([0.0, 0.0, 0.0])
    rng = np.random.default_rng(8)
    state = xr.DataArray(
        rng.standard_normal((10, 3)), {"lon": ("cell", lon), "lat": ("cell", lat)}, ("realization", "cell")
    )
    coords = {"lon": ("observation", [0.0]), "lat": ("observation", [0.0])}
    observed = xr.DataArray([1.0], coords, ("observation",))
    predicted = xr.DataArray(state.values[:, :1], dims=("realization", "observation"))
    # One degree of the equator is 111.195 km on the mean sphere.
    near = enkf(state, predicted, observed, 0.5, radius=120.0)
    assert not np.array_equal(near.values[:, 1], state.values[:, 1])
    nearer = enkf(state, predicted, observed, 0.5, radius=111.0)
    np.testing.assert_array_equal(nearer.values[:, 1:], state.values[:, 1:])


def test_particles_find_the_posterior_of_a_gaussian():
    rng = np.random.default_rng(9)
    state = xr.DataArray(rng.standard_normal((200_000, 1)), dims=("realization", "x"))
    observed = xr.DataArray([1.0], dims=("observation",))
    predicted = state.rename(x="observation")
    after = particles(state, predicted, observed, 0.5, seed=1)
    # Prior N(0, 1), observation 1 with error 0.5: mean 1 / (1 + 0.25) = 0.8, variance 0.25 / 1.25 = 0.2.
    assert float(after.mean()) == pytest.approx(0.8, abs=0.01)
    assert float(after.var()) == pytest.approx(0.2, abs=0.01)
    assert 1 < after.attrs["effective_members"] < 200_000


def test_each_particle_is_drawn_as_often_as_its_weight_tells():
    state = xr.DataArray(np.arange(4.0)[:, None], dims=("realization", "x"))
    predicted = xr.DataArray(np.array([[0.0], [0.0], [50.0], [50.0]]), dims=("realization", "observation"))
    after = particles(state, predicted, xr.DataArray([0.0], dims=("observation",)), 1.0)
    assert sorted(after.values.ravel()) == [0.0, 0.0, 1.0, 1.0]
    assert after.attrs["effective_members"] == pytest.approx(2.0)
    apart = particles(state, predicted, xr.DataArray([0.0], dims=("observation",)), 1.0, jitter=0.1)
    assert len(set(apart.values.ravel())) == 4


def test_relaxation_follows_its_solution():
    state = xr.DataArray(np.zeros((2, 3)), {"x": [1, 2, 3]}, ("t", "x"), name="level", attrs={"units": "m"})
    observed = xr.DataArray([1.0, np.nan], {"x": [1, 3]}, ("x",))
    after = relax(state, observed, 2.0, 4.0)
    np.testing.assert_allclose(after.values, [[1 - np.exp(-0.5), 0.0, 0.0]] * 2)
    assert after.attrs == {"units": "m"} and after.dims == state.dims


def test_what_does_not_fit_is_told():
    state, predicted, observed = drawn(5, 4, seed=1)
    cases = [
        ((state.isel(realization=0), predicted, observed), {}, "dimension 'realization'"),
        ((state, predicted.isel(observation=[0]), observed), {}, "does not fit"),
        ((state, predicted, observed.drop_vars("standard_error")), {}, "standard error is not known"),
        ((state, predicted, observed), {"error": -1.0}, "not a positive number"),
        ((state, predicted, observed), {"inflation": 0.0}, "inflation"),
        ((state, predicted, observed), {"radius": -3.0}, "radius"),
        ((state.where(state.x > 0), predicted, observed), {}, "not a finite number"),
        ((state.drop_vars("x"), predicted, observed), {"radius": 3.0}, "no coordinate 'x'"),
        ((state.isel(realization=[0]), predicted.isel(realization=[0]), observed), {}, "at least 2 members"),
    ]
    for arguments, options, message in cases:
        with pytest.raises(InvalidInput, match=message):
            enkf(*arguments, **options)
    with pytest.raises(InvalidInput, match="positive"):
        relax(state, observed, -1.0, 1.0)
    with pytest.raises(InvalidInput, match="has not"):
        relax(state, observed, 1.0, 1.0)
