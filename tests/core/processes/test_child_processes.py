"""Processes that call a child process, run by the engine as part of a graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemel.base.config import load_settings
from gemel.base.errors import GraphInvalid
from gemel.core.engine import open_engine
from gemel.core.graph import Graph
from gemel.core.processes._callback import callback
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
