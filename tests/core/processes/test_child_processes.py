"""Processes that call a child process, run by the engine as part of a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gemel.base.config import load_settings
from gemel.base.errors import GraphInvalid, NotFound
from gemel.core.cubes import callback
from gemel.core.engine import open_engine
from gemel.core.graph import Graph, Registry, Surroundings, process, validate, within
from gemel.core.twin import load_twin, new_twin

_SCALED = {
    "parameters": [{"name": "factor", "schema": {"type": "number"}}],
    "process_graph": {
        "scaled": {
            "process_id": "array_apply",
            "arguments": {
                "data": [1, -2, 3.5],
                "process": {
                    "process_graph": {
                        "times": {
                            "process_id": "multiply",
                            "arguments": {"x": {"from_parameter": "x"}, "y": {"from_parameter": "factor"}},
                            "result": True,
                        }
                    }
                },
            },
        },
        "largest": {"process_id": "max", "arguments": {"data": {"from_node": "scaled"}}, "result": True},
    },
}


def test_child_sees_its_own_parameters_and_those_of_the_graph_around_it(home: Path, tmp_path: Path) -> None:
    twin = load_twin(new_twin("any-twin", tmp_path))
    with open_engine(load_settings(home=home)) as engine:
        for factor, wanted in ((2, 7.0), (-2, 4.0)):
            run = engine.finish(engine.runs.start(twin, Graph.from_json(_SCALED), {"factor": factor}))
            assert run.state == "finished", run.error
            assert engine.output(run, "result") == pytest.approx(wanted)


def test_child_with_a_circle_is_refused() -> None:
    circle = {
        "a": {"process_id": "absolute", "arguments": {"x": {"from_node": "b"}}, "result": True},
        "b": {"process_id": "absolute", "arguments": {"x": {"from_node": "a"}}},
    }
    with pytest.raises(GraphInvalid, match="wait for each other"):
        callback({"process_graph": circle})


def _nodes(**nodes: Any) -> dict[str, Any]:
    found = {name: {"process_id": process, "arguments": given} for name, (process, given) in nodes.items()}
    found[list(nodes)[-1]]["result"] = True
    return {"process_graph": found}


_PERIOD = {"period": "month", "reducer": _nodes(n=("mean", {"data": {"from_parameter": "data"}}))}
_CUBE = {
    "empty": ("create_data_cube", {}),
    "in_time": (
        "add_dimension",
        {"data": {"from_node": "empty"}, "name": "t", "label": "2020-05-01", "type": "temporal"},
    ),
    "filled": (
        "apply",
        {"data": {"from_node": "in_time"}, "process": _nodes(n=("constant", {"x": 4}))},
    ),
}


def test_cubes_go_through_an_engine(home: Path, tmp_path: Path) -> None:
    twin = load_twin(new_twin("any-twin", tmp_path))
    graph = _nodes(**_CUBE, months=("aggregate_temporal_period", {"data": {"from_node": "filled"}, **_PERIOD}))
    with open_engine(load_settings(home=home)) as engine:
        run = engine.finish(engine.runs.start(twin, Graph.from_json(graph), {}))
        assert run.state == "finished", run.error
        found = engine.output(run, "result")
    assert found.values.tolist() == [4]
    assert found.t.values.tolist() == ["2020-05"]


def test_what_breaks_a_schema_is_found_before_anything_runs() -> None:
    wrong = {"data": {"from_node": "filled"}, **_PERIOD, "period": "fortnight"}
    findings = validate(Graph.from_json(_nodes(**_CUBE, months=("aggregate_temporal_period", wrong))), Registry())
    assert [(finding.node, finding.argument) for finding in findings] == [("months", "period")]
    assert "'fortnight' is not one of 'hour'" in findings[0].message


def test_children_look_up_processes_where_they_are_told() -> None:
    @process(id="twice")
    def twice(x: float) -> float:
        """Twice a number.

        Args:
            x: The number.
        """
        return 2 * x

    child = _nodes(n=("twice", {"x": {"from_parameter": "x"}}))
    with pytest.raises(NotFound, match="twice"):
        callback(child)
    with within(Surroundings(registry=Registry({"twice": twice}))):
        assert callback(child)(x=4) == 8
