"""Chains that are computed in one pass give what their processes give one after the other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from gemel.base.errors import ProcessRefused
from gemel.core.graph import Graph, Node, PlannedStep, Registry, plan
from gemel.core.processes import aggregation, climatology
from gemel.core.processes._fused import anomaly_means, means_at_once

_MEAN = {
    "process_graph": {"m": {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}}, "result": True}}
}


def _cube(days: int, seed: int, gaps: float, first: str = "2001-01-01") -> xr.DataArray:
    random = np.random.default_rng(seed)
    values = random.normal(10, 5, (2, days, 3)).astype("f4")
    values[random.random(values.shape) < gaps] = np.nan
    coords = {"t": pd.date_range(first, periods=days), "x": [1.0, 2.0, 3.0], "bands": ["a", "b"]}
    return xr.DataArray(values, coords, ("bands", "t", "x"), attrs={"units": "K"})


def _one_by_one(cube, climate, years, period):
    normals = climatology.climatological_normal.function(cube, climate, years)
    apart = climatology.anomaly.function(cube, normals, climate)
    return aggregation.aggregate_temporal_period.function(apart, period, _MEAN)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["day", "month", "season", "tropical-season"]),
    st.sampled_from(["day", "week", "dekad", "month", "season", "year"]),
    st.sampled_from([(2001, 2002), (2001, 2003), (2002, 2002)]),
    st.sampled_from([0.0, 0.02, 0.6]),
    st.integers(0, 2**32 - 1),
)
def test_in_one_pass_as_one_by_one(climate, period, years, gaps, seed):
    cube = _cube(1096, seed, gaps)
    wanted = _one_by_one(cube, climate, list(years), period)
    found = anomaly_means.function(cube, climate, list(years), period)
    # One by one, normals and departures are rounded to float32 on the way: 2e-6 each for values up to 30.
    xr.testing.assert_allclose(found, wanted, atol=1e-5)
    assert found.dtype == wanted.dtype
    assert found.attrs == wanted.attrs
    assert list(found.coords) == list(wanted.coords)


def test_a_day_that_the_normals_lack_is_refused_as_one_by_one():
    cube = _cube(1461, 3, 0.0)
    for compute in (_one_by_one, anomaly_means.function):
        with pytest.raises(ProcessRefused) as caught:
            compute(cube, "day", [2001, 2003], "month")
        assert caught.value.context["exception"] == "DimensionMismatch"


def _steps(**changes) -> dict[str, PlannedStep]:
    arguments = {
        "normal": {"data": {"from_node": "load"}, "period": "month", "climatology_period": [2001, 2003]},
        "anomaly": {"data": {"from_node": "load"}, "normals": {"from_node": "normal"}, "period": "month"},
        "mean": {"data": {"from_node": "anomaly"}, "period": "year", "reducer": _MEAN},
    }
    ids = {"normal": "climatological_normal", "anomaly": "anomaly", "mean": "aggregate_temporal_period"}
    nodes = {"load": Node("create_data_cube", {})}
    nodes |= {name: Node(ids[name], arguments[name] | changes.get(name, {})) for name in ids}
    steps = dict(plan(Graph("g", nodes, {"r": "mean"}), Registry(), {}).steps)
    steps.pop("load")
    return steps


def test_the_chain_becomes_one_step():
    steps = _steps()
    (fused,) = (means_at_once(steps["anomaly"], steps) or {}).values()
    assert (fused.id, fused.process.id, fused.sources) == ("mean", "anomaly_means", ("load",))


@pytest.mark.parametrize(
    "changes",
    [
        {"anomaly": {"period": "season"}},
        {"normal": {"period": "climatology-period"}, "anomaly": {"period": "climatology-period"}},
        {"mean": {"reducer": {"process_graph": {"m": {"process_id": "max", "arguments": {"data": {"from_parameter": "data"}}, "result": True}}}}},
        {"mean": {"reducer": {"process_graph": {"m": {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}, "ignore_nodata": False}, "result": True}}}}},
        {"mean": {"dimension": "t"}},
    ],
)  # fmt: skip
def test_other_chains_stay_as_they_are(changes):
    steps = _steps(**changes)
    assert means_at_once(steps["anomaly"], steps) is None
