"""Metrics against values worked out by hand, an outside implementation, and what must hold for all of them."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import scoringrules
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score, root_mean_squared_error

from gemel.base.errors import InvalidInput, NotFound
from gemel.core.learn.metrics import measures, metric, metrics

NUMBERS = st.floats(-1e3, 1e3)
PAIRS = st.integers(2, 20).flatmap(
    lambda n: st.tuples(arrays(float, n, elements=NUMBERS), arrays(float, n, elements=NUMBERS))
)


def of(name: str, truth: np.ndarray, answer: np.ndarray) -> float:
    return measures([name])[name]({"flow": truth}, {"flow": answer})


def test_values_worked_out_by_hand() -> None:
    truth, answer = np.array([1.0, 2.0, 3.0, 6.0]), np.array([2.0, 2.0, 1.0, 6.0])
    assert of("rmse", truth, answer) == pytest.approx(math.sqrt(5 / 4), rel=1e-15)
    assert of("mae", truth, answer) == 0.75
    assert of("bias", truth, answer) == -0.25
    assert of("r2", truth, answer) == pytest.approx(1 - 5 / 14, rel=1e-15)
    # Two draws, 0 and 2, of the truth 1: mean distance 1, less 2 |0 - 2| / (2 * 2 * 1).
    assert of("crps", np.array([1.0]), np.array([[0.0], [2.0]])) == pytest.approx(0.0, abs=1e-15)


@given(pair=PAIRS)
def test_they_are_what_scikit_learn_computes(pair: tuple[np.ndarray, np.ndarray]) -> None:
    truth, answer = pair
    assert of("rmse", truth, answer) == pytest.approx(root_mean_squared_error(truth, answer), rel=1e-12)
    assert of("mae", truth, answer) == pytest.approx(mean_absolute_error(truth, answer), rel=1e-12)
    if np.ptp(truth) > 1e-3:
        # 1 - a/b with a/b as large as 1e13 here: relative to that, not to the difference.
        assert of("r2", truth, answer) == pytest.approx(r2_score(truth, answer), rel=1e-9)


@given(truth=arrays(float, 5, elements=NUMBERS), drawn=arrays(float, (6, 5), elements=NUMBERS))
def test_the_fair_crps_is_that_of_scoringrules(truth: np.ndarray, drawn: np.ndarray) -> None:
    theirs = scoringrules.crps_ensemble(truth, drawn.T, estimator="fair").mean()
    # Both are differences of numbers of up to 2000.
    assert of("crps", truth, drawn) == pytest.approx(theirs, rel=1e-10, abs=1e-10)


def test_the_crps_of_many_normal_draws_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(4000, 50))
    # For a standard normal and the truth 0: (sqrt(2) - 1) / sqrt(pi) (Gneiting & Raftery 2007, eq. 21).
    expected = (math.sqrt(2) - 1) / math.sqrt(math.pi)
    # The spread of the estimate over draws is about 0.4 / sqrt(4000 * 50) = 0.001.
    assert of("crps", np.zeros(50), drawn) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("answer", [np.array([1.0, 5.0]), np.array([[1.0, 5.0]])])
def test_the_crps_of_a_single_answer_is_its_absolute_error(answer: np.ndarray) -> None:
    assert of("crps", np.array([2.0, 3.0]), answer) == 1.5


def test_a_constant_truth_has_no_r2() -> None:
    assert math.isnan(of("r2", np.ones(3), np.zeros(3)))


def test_r2_of_a_field_is_about_the_mean_of_every_point() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(30, 4)) + np.array([0.0, 100.0, -50.0, 3.0])
    assert of("r2", truth, np.broadcast_to(truth.mean(0), truth.shape)) == pytest.approx(0.0, abs=1e-12)


def test_accuracy_takes_classes_or_their_scores() -> None:
    truth, scores = np.array([0, 1, 2, 1]), np.eye(3)[[0, 1, 1, 1]]
    assert of("accuracy", truth, scores) == of("accuracy", truth, scores.argmax(1)) == 0.75
    assert accuracy_score(truth, scores.argmax(1)) == 0.75


def test_one_port_or_the_mean_of_all() -> None:
    truth = {"a": np.zeros(2), "b": np.zeros(2)}
    answer = {"a": np.ones(2), "b": np.full(2, 3.0)}
    found = {name: measure(truth, answer) for name, measure in measures(["mae", "mae/a", "mae/b"]).items()}
    assert found == {"mae": 2.0, "mae/a": 1.0, "mae/b": 3.0}
    with pytest.raises(NotFound, match="'c'"):
        measures(["mae/c"])["mae/c"](truth, answer)


def test_a_metric_of_ones_own_takes_three_lines() -> None:
    @metric(better="more")
    def nse(truth, answer):
        return 1 - ((answer - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()

    truth, answer = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 4.0])
    assert of("nse", truth, answer) == pytest.approx(of("r2", truth, answer), rel=1e-14)
    assert metrics()["nse"].better == "more"


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(NotFound, match="'rsme'") as caught:
        measures(["rsme"])
    assert "rmse" in str(caught.value.hint)
    with pytest.raises(InvalidInput, match="built-in"):

        @metric
        def rmse(truth, answer):
            return 0.0

    with pytest.raises(InvalidInput, match="better = 'big'"):
        metric(better="big")
    with pytest.raises(InvalidInput, match="3 samples"):
        of("mae", np.zeros(3), np.zeros(4))
    with pytest.raises(InvalidInput, match="0 samples"):
        of("mae", np.zeros(0), np.zeros(0))


def test_metrics_need_no_torch() -> None:
    code = "import sys, gemel.core.learn.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
