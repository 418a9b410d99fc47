"""Ensembles, dropout and quantiles: what they say of doubt is held against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scoringrules
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from gemel.base.errors import InvalidInput
from gemel.core.learn.models import Bundle, Description, Training
from gemel.core.learn.samples import Samples
from gemel.core.learn.uncertainty import (
    Components,
    answer_dataset,
    binomial_interval,
    bundle_of,
    calibration,
    coverage,
    crps_draws,
    crps_quantiles,
    learner_of,
    loaded,
    pit,
    quantiles_of,
    reliability,
)

torch.set_num_threads(1)
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def told(kind: str = "mlp", outputs: object = None, **tables: object) -> Description:
    given_outputs = {"y": "m"} if outputs is None else outputs
    return Description.read({"kind": kind, "inputs": {"x": "K"}, "outputs": given_outputs, **tables})


def spread_out(count: int, seed: int) -> Samples:
    """Noise that grows with x, and no samples beyond 1."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, count)
    return Samples({"x": x}, {"y": np.sin(2 * x) + (0.3 + 0.2 * x) * rng.normal(size=count)})


NETWORK = {
    "options": {"hidden": [32, 32]},
    "training": {"steps": 500, "batch": 128, "learning_rate": 0.01, "schedule": "cosine"},
}


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 3.0)), min_size=1, max_size=5),
    st.sampled_from([0.01, 0.2, 0.5, 0.9]),
)
def test_quantiles_of_a_mixture_invert_its_distribution(parts: list[tuple[float, float]], level: float) -> None:
    means, deviations = (np.array(values)[:, None] for values in zip(*parts, strict=True))
    found = Components(means, deviations).quantiles([level])[0, 0]
    assert norm.cdf(found, means[:, 0], deviations[:, 0]).mean() == pytest.approx(level, abs=1e-9)


def test_the_variance_of_a_mixture_is_that_of_its_draws_and_has_two_parts() -> None:
    mixture = Components(np.array([[0.0], [4.0]]), np.array([[1.0], [2.0]]))
    draws = mixture.drawn(40_000, seed=1)
    assert mixture.mean[0] == 2.0
    assert mixture.model_deviation[0] == 2.0
    assert mixture.noise_deviation[0] == pytest.approx(np.sqrt(2.5))
    assert draws.std() == pytest.approx(mixture.deviation[0], rel=0.02)


@pytest.mark.slow
def test_learned_quantiles_are_those_of_the_noise_and_never_cross() -> None:
    for kind, tables in (("mlp", NETWORK), ("boosted_trees", {"options": {"iterations": 60, "leaves": 8}})):
        description = told(kind, uncertainty={"method": "quantile", "levels": LEVELS}, **tables)
        learner = learner_of(description)
        learner.fit(spread_out(4000, 0), spread_out(500, 1), Training())
        x = np.linspace(-0.8, 0.8, 9)
        found = quantiles_of(learner, description, {"x": x}, LEVELS)["y"]
        assert (np.diff(found, axis=0) >= 0).all()
        exact = np.sin(2 * x) + (0.3 + 0.2 * x) * norm.ppf(np.array(LEVELS))[:, None]
        # About 400 samples near each x: a 5 % quantile is known to 0.1 deviations of 0.3, a tree's less well.
        assert np.abs(found - exact).mean() < (0.06 if kind == "mlp" else 0.1)
        between = quantiles_of(learner, description, {"x": x}, (0.15, 0.5))["y"]
        assert ((found[0] <= between[0]) & (between[0] <= found[1])).all()
        assert np.allclose(between[1], found[2])
        assert np.allclose(learner.predict({"x": x})["y"], found[2], atol=1e-6)


@pytest.mark.slow
def test_an_ensemble_knows_where_it_has_seen_nothing_and_what_noise_is() -> None:
    description = told(uncertainty={"method": "ensemble", "members": 4}, **NETWORK)
    learner = learner_of(description)
    outcome = learner.fit(spread_out(2000, 0), spread_out(300, 1), Training())
    assert len(outcome["members"]) == 4
    near, far = (learner.components({"x": np.array(x)})["y"] for x in ([-0.5, 0.0, 0.5], [3.0, 4.0, 5.0]))  # type: ignore[attr-defined]
    assert far.model_deviation.min() > 3 * near.model_deviation.max()
    assert np.abs(near.noise_deviation - np.array([0.2, 0.3, 0.4])).max() < 0.06
    fresh = spread_out(2000, 2)
    values = quantiles_of(learner, description, fresh.inputs, LEVELS)["y"]
    found = calibration(values, LEVELS, fresh.outputs["y"])
    # Not calibrated by anything, yet near: the noise is normal, as the members suppose.
    assert abs(found.coverage[0].share - 0.9) < 0.04
    assert found.crps == pytest.approx(
        crps_draws(learner.predict(fresh.inputs, draws=200)["y"], fresh.outputs["y"]), rel=0.15
    )


def test_members_without_noise_and_of_trees_differ_by_what_they_saw() -> None:
    description = told("boosted_trees", uncertainty={"method": "ensemble", "members": 3}, options={"iterations": 20})
    learner = learner_of(description)
    learner.fit(spread_out(300, 0), spread_out(50, 1), Training())
    mixture = learner.components({"x": np.array([0.0, 0.5])})["y"]  # type: ignore[attr-defined]
    assert mixture.deviations is None
    assert (mixture.model_deviation > 0).all()
    assert np.allclose(learner.predict({"x": np.array([0.0, 0.5])})["y"], mixture.mean, atol=1e-6)


@pytest.mark.slow
def test_dropout_draws_differ_and_are_repeated_by_their_seed() -> None:
    description = told(uncertainty={"method": "dropout", "passes": 30, "rate": 0.2, "noise": False}, **NETWORK)
    learner = learner_of(description)
    learner.fit(spread_out(1000, 0), spread_out(100, 1), Training())
    asked = {"x": np.array([0.0, 4.0])}
    near, far = learner.components(asked)["y"].model_deviation  # type: ignore[attr-defined]
    assert 0 < near < far
    first, again, other = (learner.predict(asked, draws=5, seed=seed)["y"] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(learner.predict(asked)["y"], learner.predict(asked)["y"])


def test_an_ensemble_of_classifiers_means_probabilities() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    samples = Samples({"x": x}, {"c": (x > 0).astype(np.int64)})
    description = told(
        "mlp", {"c": {"dtype": "int64"}}, uncertainty={"method": "ensemble", "members": 2}, training={"steps": 60}
    )
    learner = learner_of(description)
    learner.fit(samples, samples, Training())
    answer = learner.predict({"x": np.array([-2.0, 2.0])})
    assert answer["c"].tolist() == [0, 1]
    members = [member.predict({"x": np.array([-2.0, 2.0])})["c_probability"] for member in learner.members]  # type: ignore[attr-defined]
    assert np.allclose(answer["c_probability"], np.mean(members, axis=0))


def test_calibration_of_honest_and_of_boastful_quantiles() -> None:
    rng = np.random.default_rng(0)
    mean, truth = rng.normal(size=5000), np.empty(5000)
    truth[:] = mean + rng.normal(size=5000)
    honest, boastful = (mean + spread * norm.ppf(np.array(LEVELS))[:, None] for spread in (1.0, 0.5))
    good, bad = (calibration(values, LEVELS, truth) for values in (honest, boastful))
    assert [item.promised for item in good.coverage] == [0.9, 0.5]
    assert all(item.honest for item in good.coverage)
    assert not any(item.honest for item in bad.coverage)
    assert good.pit_p > 0.01
    assert bad.pit_p < 1e-6
    assert sum(good.pit) == 5000
    assert bad.sharpness == pytest.approx(0.5 * good.sharpness)
    assert good.crps < bad.crps
    assert good.sharpness == pytest.approx(2 * norm.ppf(0.95))
    told_shares = reliability(honest, LEVELS, truth)
    assert all(low <= level <= high for low, level, high in zip(told_shares.low, LEVELS, told_shares.high, strict=True))


def test_scores_are_the_closed_forms() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=400)
    levels = tuple(np.linspace(0.005, 0.995, 199))
    quantiles = np.repeat(norm.ppf(np.array(levels))[:, None], 400, axis=1)
    exact = float(np.mean(scoringrules.crps_normal(truth, 0.0, 1.0)))
    assert crps_quantiles(quantiles, levels, truth) == pytest.approx(exact, rel=0.01)
    assert crps_draws(rng.normal(size=(400, 400)), truth) == pytest.approx(exact, rel=0.03)
    ranks = pit(rng.normal(size=(99, 400)), truth)
    assert np.histogram(ranks, 4, (0, 1))[0].min() > 60  # 100 each, with a deviation of 9
    assert pit(np.zeros((5, 200)), np.zeros(200)).std() > 0.2  # equal values share a rank at random
    assert coverage(np.zeros(3), np.ones(3), np.array([0.5, 2.0, 1.0]), 0.9).share == pytest.approx(2 / 3)
    with pytest.raises(InvalidInput):
        coverage(np.zeros(3), np.ones(3), np.zeros(2), 0.9)


def test_the_interval_of_a_share_covers_it() -> None:
    rng = np.random.default_rng(0)
    hits = rng.binomial(200, 0.9, 2000)
    ends = np.array([binomial_interval(int(count), 200) for count in hits])
    assert ((ends[:, 0] <= 0.9) & (ends[:, 1] >= 0.9)).mean() >= 0.95


def test_a_dataset_of_answers_has_units_and_doubt_or_says_that_it_has_none() -> None:
    fields = Samples(
        {"x": np.random.default_rng(0).normal(size=(60, 3))}, {"y": np.random.default_rng(1).normal(size=(60, 3))}
    )
    ports = {"inputs": {"x": {"unit": "K", "shape": [3]}}, "outputs": {"y": {"unit": "m3 s-1", "shape": [3]}}}
    asked = xr.Dataset(
        {"x": (("time", "station"), np.random.default_rng(2).normal(size=(6, 3)) + 273.15, {"units": "K"})},
        {"time": np.arange("2020-01-01", "2020-01-07", dtype="datetime64[D]").astype("datetime64[ns]")},
    )
    asked["x"] = asked["x"].copy()
    asked["x"][2, 1] = np.nan
    for uncertainty in ({}, {"method": "quantile", "level": 0.9}):
        description = Description.read(
            {"kind": "mlp", **ports, "training": {"steps": 5}, "uncertainty": uncertainty, "options": {"hidden": [4]}}
        )
        learner = learner_of(description)
        learner.fit(fields, fields, Training())
        bundle = bundle_of(description, learner)
        answer = answer_dataset(bundle, asked)
        field = answer["y"]
        assert field.attrs["units"] == "m3 s-1"
        assert answer.attrs["model"] == bundle.digest
        assert np.isnan(field.isel(time=2)).all()
        assert np.isfinite(field.isel(time=[0, 1, 3, 4, 5])).all()
        assert (answer["time"] == asked["time"]).all()
        if uncertainty:
            assert field.dims == ("quantile", "time", "station")
            assert answer["quantile"].values.tolist() == [0.05, 0.5, 0.95]
            assert field.attrs["uncertainty"] == "quantile"
        else:
            assert field.dims == ("time", "station")
            assert field.attrs["uncertainty"] == "unknown"
        celsius = asked.assign(x=(asked["x"].dims, asked["x"].values - 273.15, {"units": "degC"}))
        assert np.allclose(answer_dataset(bundle, celsius)["y"], field, atol=1e-4, equal_nan=True)


def test_classes_in_a_dataset_come_with_probabilities() -> None:
    x = np.linspace(-1, 1, 40)
    samples = Samples({"x": x}, {"c": (x > 0).astype(np.int64)})
    description = told("boosted_trees", {"c": {"dtype": "int64"}}, options={"iterations": 5, "least": 2})
    learner = learner_of(description)
    learner.fit(samples, samples, Training())
    asked = xr.Dataset({"x": ("sample", [-0.5, np.nan, 0.5])})
    answer = answer_dataset(bundle_of(description, learner), asked)
    assert answer["c"].values.tolist() == [0, -1, 1]
    assert answer["c"].attrs["uncertainty"] == "probability"
    assert answer["c_probability"].dims == ("sample", "c_class")
    assert np.allclose(answer["c_probability"].isel(sample=[0, 2]).sum("c_class"), 1.0)


def test_a_model_that_draws_tells_its_doubt_by_quantiles() -> None:
    samples = spread_out(400, 0)
    description = told("vae", options={"latent": 1, "hidden": [8]}, training={"steps": 30})
    learner = learner_of(description)
    learner.fit(samples, samples, Training())
    answer = answer_dataset(bundle_of(description, learner), samples.take(np.arange(5)).to_dataset()[["x"]])
    assert answer["y"].dims == ("quantile", "sample")
    process = told("gaussian_process", training={"fraction": 0.25})
    learner = learner_of(process)
    learner.fit(samples, samples, Training())
    bundle = bundle_of(process, learner)
    exact = learner.components({"x": np.array([0.1])})["y"]  # type: ignore[attr-defined]
    found = quantiles_of(
        loaded(Bundle.from_dataset(bundle.to_dataset())), process, {"x": np.array([0.1])}, (0.5, 0.975)
    )["y"]
    assert found[1, 0] - found[0, 0] == pytest.approx(float(norm.ppf(0.975) * exact.deviation[0]), rel=1e-6)
