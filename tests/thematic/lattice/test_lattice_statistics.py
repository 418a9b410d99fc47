"""Errors and autocorrelation times where they are known in closed form; weights and accept/reject likewise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats

from gemel.base.errors import InvalidInput
from gemel.thematic import lattice as lft


def autoregressive(rho, shape, seed):
    """Stationary AR(1) of variance 1: tau = (1 + rho) / (2 (1 - rho)), error of the mean sqrt(2 tau / N)."""
    noise = np.random.default_rng(seed).standard_normal((*shape[:-1], shape[-1] + 300)) * np.sqrt(1 - rho**2)
    return signal.lfilter([1.0], [1.0, -rho], noise, axis=-1)[..., 300:]


@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.5, 0.9, 0.97])
def test_autocorrelation_time_of_ar1(rho):
    tau = (1 + rho) / (2 * (1 - rho))
    found = lft.gamma_method(autoregressive(rho, (400_000,), 1))
    assert abs(found.tau - tau) < max(4 * found.tau_error, 0.02 * tau)
    assert found.error == pytest.approx(np.sqrt(2 * tau / 400_000), rel=0.08)
    assert found.cut
    assert found.independent == pytest.approx(400_000 / (2 * tau), rel=0.15)


def test_errors_mean_what_they_say():
    """The means of 300 replays lie within their own errors as often as a Gaussian's would; so do the times."""
    replays = autoregressive(0.8, (300, 4000), 2)
    found = [lft.gamma_method(replay) for replay in replays]
    pulls = np.array([one.value / one.error for one in found])
    assert pulls.std() == pytest.approx(1.0, abs=0.17)  # 4 standard errors of a spread from 300, windowing aside
    assert abs(pulls.mean()) < 4 / np.sqrt(300)
    times = np.array([one.tau for one in found])
    assert times.std() == pytest.approx(np.mean([one.tau_error for one in found]), rel=0.35)
    assert times.mean() == pytest.approx(4.5, rel=0.05)  # without the bias correction it would lie lower


def test_errors_of_short_runs_are_not_too_small():
    """Sixty draws know their mean badly; without Wolff's correction for it the variance would come out 14 % too small."""
    count, rho = 60, 0.5
    lags = np.arange(1, count)
    known = (1 + 2 * np.sum((1 - lags / count) * rho**lags)) / count
    found = [lft.gamma_method(replay).error ** 2 for replay in autoregressive(rho, (3000, count), 9)]
    assert np.mean(found) == pytest.approx(known, rel=0.05)


def test_replicas_are_pooled_and_judged():
    series = autoregressive(0.6, (8, 20_000), 3)
    found = lft.gamma_method(series)
    assert found.tau == pytest.approx(2.0, rel=0.08)
    assert found.error == pytest.approx(np.sqrt(4.0 / 160_000), rel=0.08)
    assert found.replicas_agree > 0.001
    uneven = [series[0], series[1][:7000], series[2][:12345]]
    assert lft.gamma_method(uneven).value == pytest.approx(np.concatenate(uneven).mean(), abs=1e-12)
    apart = series + np.arange(8)[:, None]
    assert lft.gamma_method(apart).replicas_agree < 1e-6
    # Chains that are frozen, each at its own value, agree least of all.
    assert lft.gamma_method(np.repeat([[1.0], [2.0]], 50, axis=1)).replicas_agree == 0.0


def test_derived_quantities_by_gamma_jackknife_and_bootstrap():
    """Ratio of correlated means: three estimates of one error, known to first order."""
    rng = np.random.default_rng(4)
    x = 2.0 + autoregressive(0.5, (60_000,), 5)
    y = 1.0 + 0.5 * (x - 2.0) + 0.3 * rng.standard_normal(60_000)
    draws = np.stack([x, y], axis=1)

    def ratio(mean):
        return mean[1] / mean[0]

    # delta = (dy - r dx)/2 with r = 1/2: only y's own noise is left, so no autocorrelation is.
    known = 0.3 / 2.0 / np.sqrt(60_000)
    gamma = lft.gamma_method(draws, ratio)
    assert gamma.error == pytest.approx(known, rel=0.08)
    assert gamma.tau == pytest.approx(0.5, abs=0.05)
    value, error = lft.jackknife(draws, ratio, block=30)
    assert (value, error) == (pytest.approx(gamma.value, abs=1e-5), pytest.approx(known, rel=0.1))
    value, error = lft.bootstrap(draws, rng, ratio, block=30)
    assert (value, error) == (pytest.approx(gamma.value, abs=1e-5), pytest.approx(known, rel=0.15))


def test_blocks_must_be_longer_than_the_memory():
    series = autoregressive(0.9, (100_000,), 6)
    gamma, blocked = lft.gamma_method(series).error, lft.jackknife(series, block=200)[1]
    assert blocked == pytest.approx(gamma, rel=0.12)
    assert lft.jackknife(series)[1] < 0.3 * gamma


def test_bias_of_a_square_is_taken_off():
    """<x>^2 from N draws is too large by the error squared: replicas and jackknife take it off, on average."""
    rng, off = np.random.default_rng(7), []
    for _ in range(800):
        draws = rng.standard_normal((4, 25, 1))
        gamma = lft.gamma_method(list(draws), lambda mean: mean[0] ** 2)
        knife = lft.jackknife(draws.reshape(100, 1), lambda mean: mean[0] ** 2)[0]
        off.append((gamma.value, knife, draws.mean() ** 2))
    gamma, knife, plain = np.mean(off, axis=0)
    spread = np.std(off, axis=0) / np.sqrt(800)
    assert plain == pytest.approx(0.01, abs=4 * spread[2])
    assert abs(gamma) < 4 * spread[0]
    assert abs(knife) < 4 * spread[1]
    assert plain > 8 * spread[2]


@pytest.mark.parametrize(
    ("draws", "message"),
    [(np.ones(100), "never vary"), (np.arange(3.0), "four draws"), (np.array([0.0, 1.0, np.nan, 2.0]), "finite")],
)
def test_draws_that_tell_nothing_are_refused(draws, message):
    with pytest.raises(InvalidInput, match=message):
        lft.gamma_method(draws)


def test_short_data_say_that_no_window_was_found():
    found = lft.gamma_method(np.linspace(0.0, 1.0, 40) + 0.001 * autoregressive(0.0, (40,), 1))
    assert not found.cut or found.window > 3


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-30.0, 30.0), min_size=1, max_size=60), st.floats(-500.0, 500.0))
def test_effective_sample_size_is_a_share_blind_to_the_norm(logs, shift):
    share = lft.effective_sample_size(logs)
    assert 1.0 / len(logs) - 1e-12 <= share <= 1.0 + 1e-12
    assert lft.effective_sample_size(np.array(logs) + shift) == pytest.approx(share, rel=1e-9)


GAUSS = 1.3  # width of the proposal, the target having 1


def gaussian_samples(count, seed):
    x = np.random.default_rng(seed).normal(scale=GAUSS, size=count)
    return x, stats.norm.logpdf(x), stats.norm.logpdf(x, scale=GAUSS)


def test_weights_of_two_gaussians_have_the_known_share_and_norm():
    """E_q[w^2] = s^2 / sqrt(2 s^2 - 1) for widths 1 and s."""
    x, log_p, log_q = gaussian_samples(400_000, 1)
    weight = lft.log_weights(log_p, log_q)
    assert lft.effective_sample_size(weight) == pytest.approx(np.sqrt(2 * GAUSS**2 - 1) / GAUSS**2, rel=0.005)
    value, error = lft.log_normalisation(weight + 5.0)
    assert abs(value - 5.0) < 4 * error
    value, error = lft.reweighted(x**2, weight)
    assert abs(value - 1.0) < 4 * error
    assert abs(np.mean(x**2) - 1.0) > 100 * error


def test_error_of_reweighting_means_what_it_says():
    pulls = []
    for seed in range(200):
        x, log_p, log_q = gaussian_samples(1500, seed)
        value, error = lft.reweighted(x**2, lft.log_weights(log_p, log_q))
        pulls.append((value - 1.0) / error)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.22)


def test_accept_reject_gives_the_target():
    x, log_p, log_q = gaussian_samples(200_000, 2)
    walk = lft.independence_metropolis(log_p, log_q, np.random.default_rng(3))
    chain = x[walk.chosen]
    for values, exact in ((chain**2, 1.0), (chain**4, 3.0), (chain, 0.0)):
        found = lft.gamma_method(values)
        assert abs(found.value - exact) < 4 * found.error
    # With itself as the target every proposal is taken, and nothing repeats.
    same = lft.independence_metropolis(log_q, log_q + 7.0, np.random.default_rng(3))
    assert (same.acceptance, same.longest_rejection) == (1.0, 0)
    # Acceptance is the mean of min(1, w'/w) over independent pairs.
    weight = log_p - log_q
    pairs = np.minimum(1.0, np.exp(weight[1::2] - weight[::2]))
    shares = np.exp(weight[::2])
    assert walk.acceptance == pytest.approx((pairs * shares).sum() / shares.sum(), abs=0.005)


def test_rejection_runs_are_counted():
    """A proposal of immense weight holds the chain for all that follow."""
    log_p = np.array([0.0, 1.0, 1000.0, 0.0, 0.0, 0.0, 0.0])
    walk = lft.independence_metropolis(log_p, np.zeros(7), np.random.default_rng(0))
    assert walk.chosen.tolist() == [0, 1, 2, 2, 2, 2, 2]
    assert walk.longest_rejection == 4
    assert walk.acceptance == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    ("log_p", "message"),
    [
        ([np.nan, 0.0], "no numbers"),
        ([np.inf, 0.0], "no numbers"),
        ([-np.inf, 0.0], "first proposal"),
        ([0.0], "per sample"),
    ],
)
def test_weights_that_are_none_are_refused(log_p, message):
    with pytest.raises(InvalidInput, match=message):
        lft.independence_metropolis(log_p, np.zeros(2), np.random.default_rng(0))


@pytest.mark.slow
def test_bare_prior_of_gauge_fields_has_the_measured_figures():
    """physics.md section 8, L = 16, beta = 5: ESS 0.62, acceptance 0.56; ln Z is exact, so q is normalised."""
    rng, shape = np.random.default_rng(5), (16, 16)
    angles, log_q = lft.prior_plaquettes(5.0, shape, 65_536, rng)
    log_p = 5.0 * np.cos(angles).sum(axis=(1, 2))
    weight = lft.log_weights(log_p, log_q)
    assert lft.effective_sample_size(weight) == pytest.approx(0.62, abs=0.015)
    value, error = lft.log_normalisation(weight)
    assert abs(value - lft.log_partition(5.0, shape)) < 4 * error
    walk = lft.independence_metropolis(log_p, log_q, rng)
    assert walk.acceptance == pytest.approx(0.56, abs=0.01)
    exact = lft.exact_u1(5.0, shape)
    charge = np.rint(angles.sum(axis=(1, 2)) / (2 * np.pi)) ** 2
    for values, known in ((np.cos(angles).mean(axis=(1, 2)), "plaquette"), (charge, "charge_squared")):
        found = lft.gamma_method(values[walk.chosen])
        assert abs(found.value - exact[known]) < 4 * found.error
        value, error = lft.reweighted(values, weight)
        assert abs(value - exact[known]) < 4 * error
