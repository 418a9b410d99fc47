"""Stored processes written out: the graph that runs holds all it needs, and calculates the same."""

from __future__ import annotations

from typing import Any

import pytest

from gemel.core.graph import Graph, Registry, validate
from gemel.core.workspace._expansion import Expansion


def node(process_id: str, result: bool = False, /, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process_id, "arguments": arguments, "result": result}


def ref(name: str) -> dict[str, str]:
    return {"from_node": name}


def given(name: str) -> dict[str, str]:
    return {"from_parameter": name}


STORED = {
    "half": {
        "parameters": [{"name": "v", "schema": {"type": "number"}}],
        "process_graph": {"d": node("divide", True, x=given("v"), y=2)},
    },
    "quarter": {
        "parameters": [{"name": "v", "schema": {"type": "number"}}],
        "process_graph": {"one": node("half", v=given("v")), "two": node("half", True, v=ref("one"))},
    },
    "scaled": {
        "parameters": [
            {"name": "values", "schema": {"type": "array"}},
            {"name": "k", "schema": {"type": "number"}, "optional": True, "default": 10},
        ],
        "process_graph": {
            "all": node(
                "array_apply",
                True,
                data=given("values"),
                process={"process_graph": {"m": node("multiply", True, x=given("x"), y=given("k"))}},
            )
        },
    },
    "loop": {"parameters": [], "process_graph": {"a": node("loop", True)}},
    "endless": {"parameters": [], "process_graph": {"a": node("add", x=1, y=1)}},
}


def expanded(**nodes: Any) -> tuple[dict[str, Any], list[str]]:
    expansion = Expansion(STORED.get)
    document = expansion.expanded({"process_graph": nodes})
    return document["process_graph"], [finding.code for finding in expansion.findings]


def test_a_graph_without_stored_processes_stays_as_it_is():
    nodes = {"a": node("add", x=1, y=2), "b": node("add", True, x=ref("a"), y={"from_parameter": "p"})}
    assert expanded(**nodes) == (nodes, [])


def test_calls_are_replaced_at_every_depth():
    nodes, findings = expanded(q=node("quarter", v=8), s=node("add", True, x=ref("q"), y=ref("q")))
    assert findings == [] and set(nodes) == {"q/one/d", "q/two/d", "s"}
    assert nodes["q/one/d"]["arguments"] == {"x": 8, "y": 2}
    assert nodes["q/two/d"]["arguments"] == {"x": ref("q/one/d"), "y": 2}
    assert nodes["s"]["arguments"] == {"x": ref("q/two/d"), "y": ref("q/two/d")}
    assert [name for name, item in nodes.items() if item.get("result")] == ["s"]
    assert validate(Graph.from_json({"process_graph": nodes}), Registry()) == []


def test_a_stored_process_may_be_the_result():
    nodes, _ = expanded(q=node("half", True, v=8))
    assert nodes["q/d"]["result"] is True


def test_child_processes_keep_what_they_are_handed_and_see_what_is_around():
    nodes, findings = expanded(s=node("scaled", True, values=[1, 2]))
    child = nodes["s/all"]["arguments"]["process"]["process_graph"]
    assert findings == [] and child["m"]["arguments"] == {"x": given("x"), "y": 10}
    child = {"process_graph": {"h": node("half", True, v=given("x"))}}
    nodes, _ = expanded(a=node("array_apply", True, data=[4], process=child))
    child = nodes["a"]["arguments"]["process"]["process_graph"]
    assert child == {"h/d": node("divide", True, x=given("x"), y=2)}


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (node("half", True), "missing-argument"),
        (node("half", True, v=1, w=2), "unknown-argument"),
        (node("loop", True), "cycle"),
        (node("endless", True), "no-result"),
        (node("half", True, v=1) | {"namespace": "moon"}, "unknown-process"),
        (node("add", True, x=1, y=2) | {"namespace": "user"}, "unknown-process"),
    ],
)
def test_wrong_uses_are_told(call, code):
    assert code in expanded(a=call)[1]


def test_the_backends_own_processes_can_be_asked_for_by_name():
    nodes, findings = expanded(a=node("half", True, v=1) | {"namespace": "backend"})
    assert findings == [] and nodes["a"]["process_id"] == "half"
