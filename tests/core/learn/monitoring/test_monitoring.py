"""Drift is told when there is some, and seldom when there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from gemel.base.errors import InvalidInput
from gemel.core.learn.monitoring import compared, monitored, population_stability, reference_of
from gemel.core.learn.samples import Samples


def series(rng, shift=0.0, scale=1.0, count=400):
    samples = Samples({"x": rng.normal(shift, 1.0, (count, 1))[:, 0]}, {"y": rng.normal(0.0, 1.0, count)})
    return reference_of(samples, {"y": samples.outputs["y"] + rng.normal(0.0, scale, count)})


def test_without_drift_false_alarms_are_as_rare_as_promised():
    rng = np.random.default_rng(1)
    alarms = sum(bool(monitored(series(rng), series(rng), level=0.05).drifted) for _ in range(200))
    # Three looks at 5 % each: 14 % at most; 200 trials put 5 standard deviations of that at 53.
    assert alarms <= 53


@pytest.mark.parametrize(
    ("change", "drifted"), [({"shift": 0.8}, "inputs/x"), ({"scale": 2.0}, "errors/y"), ({"scale": 2.0}, "answers/y")]
)
def test_each_kind_of_drift_is_told_by_its_name(change, drifted):
    rng = np.random.default_rng(2)
    assert drifted in monitored(series(rng), series(rng, **change)).drifted


def test_smaller_errors_are_no_drift():
    rng = np.random.default_rng(3)
    found = monitored(series(rng, scale=2.0), series(rng, scale=0.5))
    assert not any(item.drifted for item in found.performance)


def test_p_values_are_those_of_scipy_corrected_for_how_many_there_are():
    rng = np.random.default_rng(4)
    pairs = {name: (rng.normal(size=100), rng.normal(shift, 1, 100)) for name, shift in (("a", 0.0), ("b", 0.5))}
    found = {item.name: item.p for item in compared(pairs, level=0.05)}
    plain = {name: scipy.stats.ks_2samp(*pair).pvalue for name, pair in pairs.items()}
    least, most = sorted(plain, key=plain.get)
    assert found[least] == pytest.approx(min(1.0, 2 * plain[least]))
    assert found[most] == pytest.approx(max(plain[most], found[least]))


def test_population_stability_of_a_known_shift():
    # Ten bins with equal shares; all of the new values in one: sum (q - p) ln(q / p) with half a count added.
    reference, now = np.arange(1000.0), np.full(1000, 950.0)
    then, full, empty = 100.5 / 1005, 1000.5 / 1005, 0.5 / 1005
    expected = (full - then) * math.log(full / then) + 9 * (empty - then) * math.log(empty / then)
    assert population_stability(reference, now) == pytest.approx(expected, rel=1e-9)


def test_fields_are_followed_by_mean_and_spread():
    samples = Samples({"map": np.random.default_rng(0).normal(size=(50, 4, 4))}, {})
    assert set(reference_of(samples, {})) == {"inputs/map/mean", "inputs/map/spread"}
    assert len(reference_of(samples, {}, most=10)["inputs/map/mean"]) == 10


def test_too_few_samples_tell_nothing():
    rng = np.random.default_rng(5)
    with pytest.raises(InvalidInput, match="not told"):
        monitored(series(rng), series(rng, count=5))
