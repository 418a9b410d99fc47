"""Findings: everything that is wrong with a graph is told at once, each with its node, before anything runs."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest

from gemel.base.errors import GraphInvalid
from gemel.core.graph import Bounds, Field, Graph, Node, Registry, Unit, graph, plan, process, require_valid, validate


@process
def rain(place: str, days: int = 5) -> Field["mm d-1"]:
    """Daily rain at a place.

    Args:
        place: Name of the place.
        days: How many.
    """


@process
def runoff(
    rain: Field["mm d-1"], temperature: Field["degC"], melt: Annotated[float, Bounds(0, 10), Unit("mm d-1")] = 3.0
) -> Field["m3 s-1"]:
    """Discharge from forcing."""


@process
def warmth(kind: Literal["mean", "max"] = "mean") -> Field["K"]:
    """Air temperature."""


@process
def count(items: list, name: str | None = None) -> int:
    """How many there are."""


@graph
def forecast(place: str, rainfall: Annotated[float, Bounds(0, 5)] = 1.0) -> Field["m3 s-1"]:
    """Discharge at a place.

    Args:
        place: Name of the place.
        rainfall: Factor on the rain.
    """
    return runoff(rain(place) * rainfall, warmth())


OWN = Registry({item.id: item for item in (rain, runoff, warmth, count)})


def node(process_id: str, **arguments) -> dict:
    return {"process_id": process_id, "arguments": arguments}


def findings(nodes: dict, result: str = "last", **more) -> dict[tuple[str, str, str], str]:
    if result in nodes:
        nodes[result]["result"] = True
    found = validate(Graph.from_json({"id": "g", "process_graph": nodes, **more}), OWN)
    return {(item.node, item.argument, item.code): f"{item.message} {item.hint}" for item in found}


def test_a_sound_graph_has_no_findings():
    assert validate(forecast, OWN) == []
    require_valid(forecast, OWN, {"place": "Fulda"})


def test_each_finding_names_its_node():
    found = findings(
        {
            "typo": node("runof", rain=1, temperature=2),
            "missing": node("runoff", temperature=1.0),
            "extra": node("count", items=[1], nmae="x"),
            "typed": node("count", items="many"),
            "choice": node("warmth", kind="median"),
            "bounds": node("runoff", rain=1.0, temperature=1.0, melt=12.0),
            "nan": node("runoff", rain=1.0, temperature=1.0, melt=float("nan")),
            "dangling": node("count", items={"from_node": "lost"}),
            "nameless": node("count", items={"from_parameter": "place"}),
            "unit": node("runoff", rain={"from_node": "choice"}, temperature={"from_node": "choice"}),
            "kind": node("count", items={"from_node": "choice"}),
            "last": node("count", items=[1]),
        }
    )
    assert set(found) == {
        ("typo", "", "unknown-process"),
        ("missing", "rain", "missing-argument"),
        ("extra", "nmae", "unknown-argument"),
        ("typed", "items", "wrong-type"),
        ("choice", "kind", "wrong-type"),
        ("bounds", "melt", "wrong-type"),
        ("nan", "melt", "wrong-type"),
        ("dangling", "items", "unknown-node"),
        ("nameless", "items", "unknown-parameter"),
        ("unit", "rain", "unit-mismatch"),
        ("kind", "items", "wrong-type"),
    }
    assert "Did you mean 'runoff'?" in found["typo", "", "unknown-process"]
    assert "Did you mean 'name'?" in found["extra", "nmae", "unknown-argument"]
    assert "12 mm d-1 is above the maximum of 10 mm d-1" in found["bounds", "melt", "wrong-type"]
    assert "K" in found["unit", "rain", "unit-mismatch"]


def test_cycles_and_missing_results_are_findings():
    found = findings({"a": node("count", items={"from_node": "b"}), "b": node("count", items=[{"from_node": "a"}])})
    assert {code for _, _, code in found} == {"cycle", "no-result", "wrong-type"}
    assert any("a → b" in text or "b → a" in text for text in found.values())


def test_a_unit_nobody_can_read_is_a_finding_and_not_a_crash():
    parameter = {"name": "t", "schema": {"type": "object", "subtype": "datacube", "unit": "furlongs per fancy"}}
    nodes = {"last": node("runoff", rain=1.0, temperature={"from_parameter": "t"})}
    found = findings(nodes, parameters=[parameter])
    assert ("last", "temperature", "unit-mismatch") in found


def test_findings_inside_a_graph_used_as_a_process_carry_the_path():
    inner = Graph.from_json({"id": "inner", "process_graph": {"deep": node("runof") | {"result": True}}})
    outer = Graph("outer", {"use": Node("inner", {})}, {"result": "use"})
    found = validate(outer, OWN.extended([inner]))
    assert [(item.node, item.code) for item in found] == [("use/deep", "unknown-process")]


def test_a_graph_that_contains_itself_is_a_finding():
    inner = Graph("inner", {"again": Node("inner", {})}, {"result": "again"})
    found = validate(inner, Registry({"inner": inner}))
    assert [item.code for item in found] == ["cycle"]
    with pytest.raises(GraphInvalid, match="contains itself"):
        plan(inner, Registry({"inner": inner}), {})


def test_all_findings_come_in_one_error():
    broken = Graph.from_json({"process_graph": {"a": node("runof"), "b": node("count") | {"result": True}}})
    with pytest.raises(GraphInvalid) as caught:
        require_valid(broken, OWN)
    assert {item["node"] for item in caught.value.context["findings"]} == {"a", "b"}
    assert "[a]" in caught.value.message and "[b.items]" in caught.value.message


@pytest.mark.parametrize(
    ("arguments", "code", "argument"),
    [
        ({}, "missing-argument", "place"),
        ({"place": "x", "rainfal": 1.0}, "unknown-parameter", "rainfal"),
        ({"place": "x", "rainfall": 6.0}, "wrong-type", "rainfall"),
        ({"place": "x", "rainfall": float("nan")}, "wrong-type", "rainfall"),
        ({"place": "x", "rainfall": "much"}, "wrong-type", "rainfall"),
        ({"place": None}, "wrong-type", "place"),
        ({"place": "x", "rainfall": True}, "wrong-type", "rainfall"),
    ],
)
def test_arguments_are_checked_before_anything_runs(arguments, code, argument):
    assert [(item.code, item.argument) for item in validate(forecast, OWN, arguments)] == [(code, argument)]


@pytest.mark.parametrize(
    ("child", "node", "code"),
    [
        ({"m": {"process_id": "meen", "arguments": {}, "result": True}}, "r.reducer/m", "unknown-process"),
        ({"m": {"process_id": "mean", "arguments": {}, "result": True}}, "r.reducer/m", "missing-argument"),
        ({"m": {"process_id": "pi", "arguments": {}}}, "r.reducer", "no-result"),
        ({}, "r.reducer", "wrong-type"),
        (
            {
                "a": {"process_id": "add", "arguments": {"x": {"from_node": "b"}, "y": 1}, "result": True},
                "b": {"process_id": "add", "arguments": {"x": {"from_node": "a"}, "y": 1}},
            },
            "r.reducer/a",
            "cycle",
        ),
    ],
)
def test_what_is_wrong_inside_a_child_process_is_found_before_anything_runs(child, node, code):
    load = {"process_id": "load_collection", "arguments": {"id": "a", "spatial_extent": None, "temporal_extent": None}}
    arguments = {"data": {"from_node": "l"}, "dimension": "t", "reducer": {"process_graph": child}}
    graph = {"l": load, "r": {"process_id": "reduce_dimension", "arguments": arguments, "result": True}}
    (finding,) = validate(Graph.from_json({"process_graph": graph}), Registry())
    assert (finding.node, finding.code) == (node, code)
