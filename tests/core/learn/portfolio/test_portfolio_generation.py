"""Kinds that draw: their draws have the distribution that they learned, and densities are densities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from portfolio_stage import described, energy_distance, taught
from scipy.stats import multivariate_normal

from gemel.base.errors import InvalidInput
from gemel.core.learn.samples import Samples

COUNT = 3000


def mixture(count: int, seed: int) -> np.ndarray:
    """Two normal distributions, 30 % and 70 % of the samples, far from each other and in other units than 1."""
    rng = np.random.default_rng(seed)
    second = rng.random(count) < 0.7
    centre = np.where(second[:, None], [12.0, 3.0], [8.0, 5.0])
    return centre + rng.normal(size=(count, 2)) * [0.5, 0.4]


def as_samples(values: np.ndarray) -> Samples:
    return Samples({"x": values[:, 0], "y": values[:, 1]}, {})


def drawn(learner: object, count: int) -> np.ndarray:
    found = learner.predict({}, draws=count, seed=4)  # type: ignore[attr-defined]
    return np.stack([found["x"][:, 0], found["y"][:, 0]], axis=1)


SETTINGS = {"batch": 256, "schedule": "cosine", "evaluate": 500, "learning_rate": 0.003}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options", "training", "bar"),
    [
        ("flow", {"transforms": 2, "hidden": [48, 48]}, {"steps": 500}, 0.1),
        ("diffusion", {"hidden": [96, 96], "steps": 18}, {"steps": 1200}, 0.1),
        ("gan", {"latent": 4, "hidden": [48, 48]}, {"steps": 1500, "batch": 128, "learning_rate": 0.001}, 0.4),
        ("vae", {"latent": 2, "hidden": [48, 48]}, {"steps": 1000}, 0.4),
    ],
)
def test_draws_have_mean_covariance_and_modes_of_a_mixture(
    kind: str, options: dict[str, object], training: dict[str, object], bar: float
) -> None:
    told = described(kind, {"x": "m", "y": "K"}, {}, options=options, training=SETTINGS | training)
    learner = taught(told, as_samples(mixture(COUNT, 0)), as_samples(mixture(500, 1)))
    found, truth = drawn(learner, COUNT), mixture(COUNT, 2)
    # A mean of 3000 draws is known to 2 % of the deviation, a covariance to 3 % of the variances; a network adds its own
    # error to it, which is held to an eighth of a deviation and a quarter of a variance.
    spread = truth.std(axis=0)
    assert np.abs(found.mean(axis=0) - truth.mean(axis=0)).max() < 0.12 * spread.max()
    assert np.abs(np.cov(found.T) - np.cov(truth.T)).max() < 0.25 * spread.max() ** 2
    assert 0.55 < (found[:, 0] > 10.0).mean() < 0.85
    # The distance from the truth, over that of a normal distribution with the mean and covariance of the truth.
    rough = np.random.default_rng(5).multivariate_normal(truth.mean(axis=0), np.cov(truth.T), 1000)
    far, near = (energy_distance(values[:1000] / spread, truth[:1000] / spread) for values in (rough, found))
    assert near < bar * far


@pytest.mark.slow
def test_the_density_of_a_flow_is_the_normal_one_and_integrates_to_one() -> None:
    exact = multivariate_normal([3.0, -1.0], [[2.0, 0.6], [0.6, 0.5]])
    values = exact.rvs(4000, random_state=0)
    told = described(
        "flow", {"x": "m", "y": "K"}, {},
        options={"transform": "affine", "transforms": 2, "hidden": [32]}, training=SETTINGS | {"steps": 600, "learning_rate": 0.01},
    )  # fmt: skip
    learner = taught(told, as_samples(values[:3500]), as_samples(values[3500:]))
    asked = exact.rvs(500, random_state=1)
    density = learner.log_density(as_samples(asked).inputs)  # type: ignore[attr-defined]
    # In the units of the ports, so that the logarithm of the scales is in it too.
    assert np.abs(density - exact.logpdf(asked)).mean() < 0.08
    assert np.array_equal(learner.predict(as_samples(asked).inputs)["log_density"], density)
    x, y = np.meshgrid(np.linspace(-6, 12, 200), np.linspace(-6, 4, 200))
    whole = learner.log_density({"x": x.ravel(), "y": y.ravel()})  # type: ignore[attr-defined]
    cell = (18 / 199) * (10 / 199)
    assert np.exp(whole).sum() * cell == pytest.approx(1.0, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options", "training"),
    [
        ("flow", {"transforms": 2, "hidden": [32, 32], "coupling": True}, {"steps": 500}),
        ("diffusion", {"hidden": [64, 64], "steps": 14}, {"steps": 900}),
        ("gan", {"latent": 4, "hidden": [48, 48]}, {"steps": 1500, "batch": 128, "learning_rate": 0.001}),
        ("vae", {"latent": 2, "hidden": [48, 48]}, {"steps": 2000, "batch": 128, "learning_rate": 0.005}),
    ],
)
def test_draws_follow_what_is_given(kind: str, options: dict[str, object], training: dict[str, object]) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 3000)
    y = 10.0 + 2.0 * x + (0.3 + 0.2 * x) * rng.normal(size=3000)
    told = described(kind, {"x": "1"}, {"y": "m"}, options=options, training=SETTINGS | training)
    learner = taught(told, Samples({"x": x}, {"y": y}))
    asked = np.array([-0.5, 0.0, 0.5])
    draws = learner.predict({"x": asked}, draws=2000)["y"]
    assert draws.shape == (2000, 3)
    # Deviations of y are 0.2, 0.3 and 0.4 here, 1.2 in all.
    assert np.abs(draws.mean(axis=0) - (10.0 + 2.0 * asked)).max() < 0.2
    assert np.abs(draws.std(axis=0) - (0.3 + 0.2 * asked)).max() < 0.12
    assert np.abs(learner.predict({"x": asked})["y"] - draws.mean(axis=0)).max() < 0.15


def test_the_bound_of_an_autoencoder_tells_the_unusual() -> None:
    values = mixture(1500, 0)
    told = described(
        "vae",
        {"x": "m", "y": "K"},
        {},
        options={"latent": 2, "hidden": [32]},
        training=SETTINGS | {"steps": 400, "batch": 128},
    )
    learner = taught(told, as_samples(values))
    usual = learner.predict(as_samples(mixture(200, 3)).inputs)["log_density"]
    unusual = learner.predict({"x": np.array([10.0, 20.0]), "y": np.array([9.0, 3.0])})["log_density"]
    assert unusual.max() < np.quantile(usual, 0.01)
    # A lower bound: on average not above minus the entropy, log 0.3 .. of two normal distributions and the choice of one.
    entropy = sum(0.5 * math.log(2 * math.pi * math.e * spread**2) for spread in (0.5, 0.4))
    entropy -= 0.3 * math.log(0.3) + 0.7 * math.log(0.7)
    assert usual.mean() < -entropy + 0.1


def test_what_knows_no_density_says_so() -> None:
    told = described("gan", {"x": "m", "y": "K"}, {}, training={"steps": 2})
    learner = taught(told, as_samples(mixture(50, 0)))
    with pytest.raises(InvalidInput, match="no density"):
        learner.log_density(as_samples(mixture(3, 0)).inputs)  # type: ignore[attr-defined]
    assert "log_density" not in learner.predict(as_samples(mixture(3, 0)).inputs)
