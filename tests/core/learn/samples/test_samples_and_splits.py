"""Samples take what ports say, and splits keep what was seen apart from what judges."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput, NotFound, UnitMismatch
from gemel.core.learn.samples import Port, Samples, SplitRule, leaked, split


def record(days=100, **more):
    times = np.datetime64("2020-01-01") + np.arange(days)
    data = {"rain": ("time", np.arange(float(days)), {"units": "mm"}), "flow": ("time", np.arange(float(days)) ** 2)}
    return xr.Dataset(data | more, coords={"time": times})


def test_units_are_converted_and_missing_values_leave_out_whole_samples():
    data = record()
    data["rain"][3] = np.nan
    samples = Samples.of(data, [Port("rain", "m")], [Port("flow")])
    assert len(samples) == 99 and samples.dropped == 1
    assert samples.inputs["rain"][10] == np.float32(0.011) and samples.outputs["flow"][10] == 121.0
    assert samples.inputs["rain"].dtype == np.float32


@pytest.mark.parametrize(
    ("port", "error", "words"),
    [
        (Port("snow"), NotFound, "snow"),
        (Port("rain", "K"), UnitMismatch, "mm"),
        (Port("rain", "mm", shape=(3,)), InvalidInput, r"'rain' takes samples of shape \(3,\)"),
    ],
)
def test_what_does_not_fit_a_port_is_named(port, error, words):
    with pytest.raises(error, match=words):
        Samples.of(record(), [port])


def test_a_port_names_the_sample_that_is_no_number():
    with pytest.raises(InvalidInput, match="sample 2"):
        Port("rain").accepted([0.0, 1.0, np.inf])
    with pytest.raises(InvalidInput, match="whole numbers"):
        Port("kind", dtype="int64").accepted([0.5])
    with pytest.raises(InvalidInput, match="not <U"):
        Port("rain").accepted(["wet"])


def test_fields_come_with_the_counting_axis_first_however_they_are_stored():
    field = xr.Dataset({"map": (("y", "x", "t"), np.arange(24.0).reshape(2, 3, 4))})
    samples = Samples.of(field, [Port("map", shape=(2, 3))])
    assert samples.inputs["map"].shape == (4, 2, 3)
    np.testing.assert_array_equal(samples.inputs["map"][1], field["map"].values[..., 1])


def test_in_time_training_comes_first_and_the_gap_is_in_no_part():
    parts = split(Samples.of(record(), [Port("rain", "mm")]), SplitRule.read({"by": "time", "gap": 5})).parts
    ends = {name: (part.labels.min(), part.labels.max()) for name, part in parts.items()}
    assert ends["train"][1] < ends["validation"][0] < ends["validation"][1] < ends["test"][0]
    assert (ends["validation"][0] - ends["train"][1]) == np.timedelta64(6, "D")
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [70, 10, 10]


def test_periods_hold_their_last_day():
    rule = SplitRule.read({"by": "periods", "periods": {"train": "2020-01-01/2020-01-31", "test": "2020-02"}})
    parts = split(Samples.of(record(), [Port("rain", "mm")]), rule).parts
    assert len(parts["train"]) == 31 and len(parts["test"]) == 29


def test_groups_are_never_torn_apart():
    station = np.repeat(np.arange(20), 5)
    data = record(station=("time", station))
    parts = split(Samples.of(data, [Port("rain", "mm")], group="station"), SplitRule.read({"by": "group"})).parts
    seen = [set(part.groups) for part in parts.values()]
    assert sum(map(len, seen)) == 20 and not set.intersection(*seen)


@given(values=st.lists(st.integers(0, 5), min_size=30, max_size=60), seed=st.integers(0, 100))
def test_equal_samples_stay_together_in_a_random_split_whatever_their_order(values, seed):
    samples = Samples({"x": np.asarray(values, dtype=np.float32)}, {})
    rule = SplitRule(shares={"train": 0.5, "test": 0.5}, seed=seed)
    try:
        parts = split(samples, rule)
    except InvalidInput:
        assert len(set(values)) < 2  # one distinct sample cannot be in two parts
        return
    assert leaked(parts.seen(), parts.part("test")) == 0
    turned = split(samples.take(np.arange(len(values))[::-1]), rule)
    assert set(turned.part("train").rows) == set(parts.part("train").rows)


def test_a_leak_is_counted_and_the_record_tells_each_part():
    samples = Samples.of(record(), [Port("rain", "mm")], [Port("flow")])
    parts = split(samples, SplitRule())
    assert leaked(parts.seen(), samples) == 85 and leaked(parts.seen(), parts.part("test")) == 0
    told = parts.record()
    assert told["rule"]["by"] == "random" and told["parts"]["test"]["samples"] == 15
    assert told["parts"]["train"]["digest"] == parts.part("train").digest


@pytest.mark.parametrize(
    "document",
    [
        {"by": "chance"},
        {"shares": {"train": 0.9, "test": 0.2}},
        {"shares": {"train": 0.9, "exam": 0.1}},
        {"by": "periods"},
        {"gap": -1},
    ],
)
def test_rules_that_part_nothing_are_refused(document):
    with pytest.raises(InvalidInput):
        SplitRule.read(document)


def test_an_unknown_key_is_named_with_the_nearest_known_one():
    with pytest.raises(InvalidInput, match="share") as told:
        SplitRule.read({"share": {}})
    assert "shares" in (told.value.hint or "")
