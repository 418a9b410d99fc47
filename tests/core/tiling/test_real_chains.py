"""Graphs of standard processes on stored cubes larger than the memory they may use: the same numbers as without a limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from gemel.base.config import load_settings
from gemel.core.engine import Engine, open_engine
from gemel.core.graph import Graph
from gemel.infra.lake.collections import Collections

_DAYS, _ROWS, _COLUMNS = 1100, 60, 72
_LIMIT = "6 MB"  # the cube has 19 MB


def _child(process: str, **arguments: Any) -> dict[str, Any]:
    given = {"data": {"from_parameter": "data"}} | arguments
    return {"process_graph": {"p": {"process_id": process, "arguments": given, "result": True}}}


def _each(process: str, **arguments: Any) -> dict[str, Any]:
    given = {"x": {"from_parameter": "x"}} | arguments
    return {"process_graph": {"p": {"process_id": process, "arguments": given, "result": True}}}


def _of(node: str) -> dict[str, str]:
    return {"from_node": node}


_LOAD = ("load_collection", {"id": "cube", "spatial_extent": None, "temporal_extent": None})
_NORMAL = ("climatological_normal", {"data": _of("load"), "period": "month", "climatology_period": [2001, 2003]})
_ANOMALY = ("anomaly", {"data": _of("load"), "normals": _of("normal"), "period": "month"})
_CHAINS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "climatology": {
        "normal": _NORMAL,
        "anomaly": _ANOMALY,
        "month": ("aggregate_temporal_period", {"data": _of("anomaly"), "period": "month", "reducer": _child("mean")}),
        "block": ("aggregate_spatial_window", {"data": _of("month"), "size": [2, 3], "reducer": _child("mean")}),
    },
    "extremes": {
        "normal": _NORMAL,
        "anomaly": _ANOMALY,
        "hot": ("apply", {"data": _of("anomaly"), "process": _each("gt", y=3.0)}),
        "share": ("reduce_dimension", {"data": _of("hot"), "dimension": "t", "reducer": _child("mean")}),
    },
    "smoothed": {
        "kelvin": ("apply", {"data": _of("load"), "process": _each("add", y=273.15)}),
        "smooth": ("apply_kernel", {"data": _of("kelvin"), "kernel": [[0, 1, 0], [1, 4, 1], [0, 1, 0]], "factor": 0.125}),
        "year": ("aggregate_temporal_period", {"data": _of("smooth"), "period": "year", "reducer": _child("max")}),
    },
    "series": {
        "normal": _NORMAL,
        "anomaly": _ANOMALY,
        "space": ("reduce_spatial", {"data": _of("anomaly"), "reducer": _child("mean")}),
        "week": ("aggregate_temporal_period", {"data": _of("space"), "period": "week", "reducer": _child("median")}),
    },
    "selected": {
        "box": ("filter_bbox", {"data": _of("load"), "extent": {"west": 2, "east": 8, "south": 41, "north": 48}}),
        "summer": ("filter_temporal", {"data": _of("box"), "extent": ["2001-06-01", "2003-09-01"]}),
        "mean": ("reduce_dimension", {"data": _of("summer"), "dimension": "t", "reducer": _child("mean")}),
    },
    "regridded": {
        "coarse": (
            "regrid",
            {"data": _of("load"), "target": {"type": "regular", "west": 1, "south": 41, "east": 9, "north": 49, "resolution": 1},
             "method": "conservative"},
        ),
        "month": ("aggregate_temporal_period", {"data": _of("coarse"), "period": "month", "reducer": _child("mean")}),
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a synthetic collection of daily temperatures, some of them missing."""
    folder = tmp_path_factory.mktemp("home")
    path = folder / "cube.zarr"
    random = np.random.default_rng(19)
    days = np.arange(_DAYS)
    values = 15 + 8 * np.sin(2 * np.pi * days / 365.25)[:, None, None] + random.normal(0, 3, (_DAYS, _ROWS, _COLUMNS))
    values[random.random(values.shape) < 0.01] = np.nan
    group = zarr.open_group(path, mode="w")
    cube = group.create_array(
        "t2m", shape=values.shape, chunks=(200, 20, 24), dtype="f4", dimension_names=("t", "lat", "lon")
    )
    cube[:] = values.astype("f4")
    cube.attrs.update(units="degC")
    for name, labels in (("lat", np.linspace(50, 40, _ROWS)), ("lon", np.linspace(0, 10, _COLUMNS))):
        group.create_array(name, data=labels, dimension_names=(name,))
    group.create_array("t", data=days, dimension_names=("t",)).attrs.update(units="days since 2001-01-01")
    Collections(folder).add_dataset("cube", path)
    return folder


def _run(engine: Engine, chain: str) -> tuple[xr.DataArray, list[str]]:
    steps = {"load": _LOAD} | _CHAINS[chain]
    nodes: dict[str, Any] = {
        name: {"process_id": process, "arguments": given} for name, (process, given) in steps.items()
    }
    nodes[list(nodes)[-1]]["result"] = True
    run = engine.graphs.wait(engine.graphs.start(Graph.from_json({"process_graph": nodes})))
    assert run.state == "finished", run.error
    return engine.graphs.output(run, "result"), [str(line["message"]) for line in engine.graphs.logs(run.id)]


@pytest.mark.parametrize("chain", list(_CHAINS))
def test_within_the_limit_as_without(home, tmp_path, chain):
    results = {}
    for memory in (_LIMIT, ""):
        url = f"sqlite:///{tmp_path / f'journal{len(memory)}.db'}"
        settings = load_settings(
            home=home, assignments=[f"store.url={url}", *([f"runs.memory={memory}"] if memory else [])], environ={}
        )
        with open_engine(settings) as engine:
            # Results of the one must not answer for the other.
            results[memory], told = _run(engine, chain)
        if memory:
            assert any("tiles of" in line for line in told), told
    # Sums are in another order: float32 keeps seven digits of values up to 300.
    xr.testing.assert_allclose(results[_LIMIT], results[""], rtol=1e-5, atol=2e-4)
    assert results[_LIMIT].dtype == results[""].dtype
    assert set(results[_LIMIT].coords) == set(results[""].coords)


def test_a_graph_that_can_not_fit_is_refused_before_anything_runs(home, tmp_path):
    settings = load_settings(
        home=home, assignments=[f"store.url=sqlite:///{tmp_path / 'j.db'}", "runs.memory=100 kB"], environ={}
    )
    nodes = {
        "load": {"process_id": _LOAD[0], "arguments": _LOAD[1]},
        "sorted": {"process_id": "rename_labels", "arguments": {"data": _of("add"), "dimension": "new", "target": ["b"]}, "result": True},
        "add": {"process_id": "add_dimension", "arguments": {"data": _of("load"), "name": "new", "label": "a"}},
    }  # fmt: skip
    with open_engine(settings) as engine:
        run = engine.graphs.wait(engine.graphs.start(Graph.from_json({"process_graph": nodes})))
    assert run.state == "failed"
    assert run.error["code"] == "memory.does-not-fit"
    assert "runs.memory" in run.error["hint"]
    assert not [step for step in run.steps if step.state == "finished"]
