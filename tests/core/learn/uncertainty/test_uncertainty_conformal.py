"""Conformal intervals cover what they promise, whatever the model; on streams, whatever the data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import Conflict, InvalidInput
from gemel.core.learn.models import Answer, Bundle, Description, Training
from gemel.core.learn.samples import Samples, SplitRule, split
from gemel.core.learn.uncertainty import (
    AdaptiveConformal,
    ConformalLearner,
    Doubt,
    conformal_offset,
    learn,
    learner_of,
    loaded,
    quantiles_of,
    rank,
)


@given(st.integers(1, 500), st.integers(1, 99))
def test_the_rank_is_that_of_the_theorem(count: int, percent: int) -> None:
    """P(new score <= k-th smallest of n) = k / (n + 1) for exchangeable scores: the least k that reaches the level."""
    level = percent / 100
    if math.ceil((count + 1) * percent / 100) > count:
        with pytest.raises(InvalidInput, match="cannot calibrate"):
            rank(count, level)
        return
    found = rank(count, level)
    assert found * 100 >= (count + 1) * percent
    assert found == 1 or (found - 1) * 100 < (count + 1) * percent


def test_intervals_of_a_wrong_model_cover_on_average_what_they_promise() -> None:
    """2000 calibrations of 39 skewed samples each: (n + 1) 0.9 = 36 is whole, so that coverage is exactly 0.9 on average."""
    rng = np.random.default_rng(0)
    scores = rng.exponential(size=(40, 20_000))
    low = high = np.full((39, 20_000), 0.3)  # the same wrong prediction for everything
    offset = conformal_offset(low, high, scores[:39], 0.9)
    hits = np.abs(scores[39] - 0.3) <= offset
    # A share of 20,000 independent trials: its deviation is 0.0021, four of them are allowed.
    assert abs(hits.mean() - 0.9) < 0.0085


def noisy(count: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, count)
    return Samples(
        {"x": x}, {"y": 3.0 * x + (0.1 + x) * rng.normal(size=count)}, np.arange(count), np.arange(count) // 5
    )


class Fixed:
    """A learner that knows two bad quantiles, and no more."""

    def __init__(self, levels: tuple[float, ...]) -> None:
        self.levels = levels
        self.seen: list[int] = []

    def fit(self, train: Samples, validation: Samples, training: Training) -> dict[str, object]:
        self.seen = sorted(np.asarray(train.labels).tolist())
        return {"steps": 1, "seconds": 0.0, "loss": 0.0, "reason": "finished", "curve": []}

    def predict(self, inputs: object, *, draws: int = 0, seed: int = 0) -> Answer:
        return {"y": 3.0 * np.asarray(inputs["x"])}  # type: ignore[index]

    def quantiles(self, inputs: object) -> Answer:
        x = np.asarray(inputs["x"])  # type: ignore[index]
        return {"y": np.stack([3.0 * x + (level - 0.5) for level in self.levels])}

    def arrays(self) -> Answer:
        return {}

    def load(self, arrays: object) -> None:
        pass


def conformal(levels: tuple[float, ...], **tables: object) -> ConformalLearner:
    told = Description.read({"kind": "mlp", "inputs": {"x": "1"}, "outputs": {"y": {"dtype": "float64"}}, **tables})
    return ConformalLearner(told, Fixed(levels), Doubt(levels=levels, conformal=True))


def test_every_pair_of_levels_is_calibrated_and_wider_ones_contain_narrower_ones() -> None:
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    learner = conformal(levels)
    learner.fit(noisy(2000, 0), noisy(10, 1), Training())
    fresh = noisy(4000, 2)
    values = learner.quantiles(fresh.inputs)["y"]
    assert (np.diff(values, axis=0) >= 0).all()
    for low, promised in ((0, 0.9), (1, 0.5)):
        share = ((fresh.outputs["y"] >= values[low]) & (fresh.outputs["y"] <= values[4 - low])).mean()
        # 400 calibration samples: the coverage of one calibration varies by sqrt(p (1 - p) / 400), at most 0.025.
        assert abs(share - promised) < 0.08


def test_what_calibrates_was_not_learned_from() -> None:
    train = noisy(100, 0)
    learner = conformal((0.1, 0.5, 0.9), split={"by": "time"})
    assert learner.fit(train, train, Training())["calibration"] == 20
    assert learner.inner.seen == list(range(80))  # the last of the time is held out
    groups = conformal((0.1, 0.5, 0.9), split={"by": "group"})
    groups.fit(train, train, Training())
    kept = set(groups.inner.seen)
    assert all(len(kept & set(range(first, first + 5))) in (0, 5) for first in range(0, 100, 5))
    shares = {"train": 0.5, "calibration": 0.25, "test": 0.25}
    given_part = conformal((0.1, 0.5, 0.9), split={"shares": shares})
    assert given_part.fit(train, train, Training())["calibration"] == 0
    assert given_part.inner.seen == list(range(100))
    with pytest.raises(Conflict, match="not calibrated"):
        given_part.quantiles(train.inputs)


def test_too_few_samples_and_what_has_no_intervals_are_refused() -> None:
    learner = conformal((0.05, 0.5, 0.95))
    with pytest.raises(InvalidInput, match="cannot calibrate") as refused:
        learner.calibrate(noisy(8, 0))
    assert "9 or more" in (refused.value.hint or "")
    learner.calibrate(noisy(9, 0))
    told = {
        "kind": "mlp",
        "inputs": {"x": "1"},
        "outputs": {"c": {"dtype": "int64"}},
        "uncertainty": {"conformal": True},
    }
    with pytest.raises(InvalidInput, match="classes"):
        learner_of(Description.read(told))


@pytest.mark.parametrize(
    "document", [{"methods": "x"}, {"method": "dropuot"}, {"levels": [0.5, 0.1]}, {"level": 2}, {"members": 1},
                 {"conformal": True, "levels": [0.1, 0.5]}, {"rate": 1.5}]
)  # fmt: skip
def test_uncertainty_that_cannot_be_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        Doubt.read(document)


def test_an_empty_interval_becomes_a_point_and_not_a_crossing() -> None:
    learner = conformal((0.25, 0.5, 0.75))
    x = np.linspace(0, 1, 50)
    # A model whose intervals are far too wide for data without noise: calibration narrows them to nothing.
    learner.calibrate(Samples({"x": x}, {"y": 3.0 * x + 0.0}))
    values = learner.quantiles({"x": x})["y"]
    assert (np.diff(values, axis=0) >= 0).all()
    assert np.allclose(values[1], 3.0 * x)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["none", "ensemble", "quantile", "dropout"])
def test_networks_are_calibrated_by_any_method_and_stored_with_it(method: str) -> None:
    uncertainty = {"method": method, "members": 2, "passes": 20, "conformal": True, "level": 0.8}
    told = Description.read(
        {
            "kind": "mlp",
            "inputs": {"x": "1"},
            "outputs": {"y": "m"},
            "options": {"hidden": [16]},
            "training": {"steps": 150, "learning_rate": 0.02},
            "split": {"shares": {"train": 0.5, "validation": 0.2, "calibration": 0.3}},
            "uncertainty": uncertainty,
        }
    )
    learner, outcome = learn(told, split(noisy(1500, 0), SplitRule.read(told.split)), Training(seed=1))
    assert outcome["calibration"] == 450
    fresh = noisy(2000, 7)
    values = quantiles_of(learner, told, fresh.inputs, (0.1, 0.5, 0.9))["y"]
    share = ((fresh.outputs["y"] >= values[0]) & (fresh.outputs["y"] <= values[2])).mean()
    # 450 calibration and 2000 fresh samples: a deviation of 0.021; three are allowed.
    assert abs(share - 0.8) < 0.065
    stored = Bundle.from_dataset(Bundle(told, learner.arrays()).to_dataset())
    again = quantiles_of(loaded(stored), told, fresh.inputs, (0.1, 0.5, 0.9))["y"]
    assert np.array_equal(values, again)
    with pytest.raises(InvalidInput, match="learned"):
        quantiles_of(learner, told, fresh.inputs, (0.01, 0.5))


def test_adaptive_intervals_keep_their_promise_on_a_stream_that_drifts() -> None:
    rng = np.random.default_rng(0)
    state = AdaptiveConformal(level=0.9, rate=0.02, window=100)
    count, spread = 4000, 1.0
    for step in range(count):
        spread = 1.0 + 9.0 * (step > 1500) + 0.002 * step
        state = state.observed(0.0, 0.0, float(spread * rng.normal()))
    # Proposition 4.1 of Gibbs & Candes 2021: true for every stream, not on average.
    bound = (max(0.1, 0.9) + state.rate) / (state.rate * count)
    assert abs(state.missed / state.seen - 0.1) <= bound
    assert AdaptiveConformal.read(state.document()) == state
    assert len(state.scores) == 100


@given(st.lists(st.floats(-1e3, 1e3), min_size=30, max_size=120), st.sampled_from([0.01, 0.1, 0.5]))
def test_the_promise_holds_for_any_stream(truths: list[float], rate: float) -> None:
    state = AdaptiveConformal(level=0.8, rate=rate, window=20)
    for truth in truths:
        state = state.observed(-1.0, 1.0, truth)
    bound = (max(0.2, 0.8) + rate) / (rate * len(truths))
    assert abs(state.missed / state.seen - 0.2) <= bound + 1e-9
