"""Graphs: written as Python or JSON, told apart by their findings, and put in order."""

from __future__ import annotations

import json
import time
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemel.base.errors import GraphInvalid, InvalidInput, NotFound
from gemel.core.graph import (
    Bounds,
    Dataset,
    Field,
    File,
    Graph,
    Node,
    Number,
    Parameter,
    Registry,
    Table,
    Unit,
    ValueType,
    graph,
    plan,
    process,
    validate,
)
from gemel.core.graph._types import type_of_hint


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


def test_a_process_is_described_from_its_hints_and_docstring():
    described = runoff.describe()
    assert described["id"] == "runoff" and described["summary"] == "Discharge from forcing."
    melt = described["parameters"][2]
    assert melt["optional"] and melt["default"] == 3.0
    assert melt["schema"] == {"type": "number", "unit": "mm d-1", "minimum": 0, "maximum": 10}
    assert described["returns"]["schema"]["subtype"] == "datacube"
    assert described["returns"]["schema"]["unit"] == "m3 s-1"
    assert json.loads(json.dumps(described)) == described


def test_a_process_called_outside_a_graph_is_the_function():
    @process
    def twice(x: float) -> float:
        return 2 * x

    assert twice(4) == 8


def test_a_parameter_without_a_hint_or_with_a_strange_one_is_refused():
    with pytest.raises(InvalidInput, match="'x' of process 'bare' has no type hint"):

        @process
        def bare(x):
            return x

    with pytest.raises(InvalidInput, match="not a type that travels"):

        @process
        def strange(x: complex) -> float:
            return 0.0

    with pytest.raises(InvalidInput, match="'Feild' is not defined"):

        @process
        def misspelt(x: Feild["m"]) -> float:
            return 0.0

    with pytest.raises(InvalidInput, match="needs a name of its own"):

        @process
        def many(*x: float) -> float:
            return 0.0


@pytest.mark.parametrize(
    "hint",
    [
        float,
        int,
        str,
        bool,
        list[float],
        dict[str, float],
        Field["m3 s-1"],
        Field["K"] | None,
        Dataset,
        Table,
        Table | None,
        File,
        Number["K"],
        Field["m"] | float | None,
        Literal["a", "b"],
        Annotated[float, Unit("K"), Bounds(-5, 5)],
        Annotated[int, Bounds(minimum=1)],
    ],
)
def test_types_round_trip_through_their_schema(hint):
    found = type_of_hint(hint)
    schema = json.loads(json.dumps(found.schema()))
    assert ValueType.from_schema(schema) == found


def test_a_recorded_graph_is_json_and_comes_back_equal():
    document = json.loads(json.dumps(forecast.to_json()))
    back = Graph.from_json(document)
    assert back == forecast
    assert back.digest == forecast.digest
    assert back.to_json() == document
    assert document["process_graph"]["runoff1"] == {
        "process_id": "runoff",
        "arguments": {"rain": {"from_node": "multiply1"}, "temperature": {"from_node": "warmth1"}},
        "result": True,
    }


identifiers = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
literals = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(identifiers, inner, max_size=3),
    max_leaves=6,
).filter(lambda value: not isinstance(value, dict) or not {"from_node", "from_parameter"} & set(value))
types = st.sampled_from(
    [type_of_hint(hint) for hint in (float, str, Field["K"] | None, Table, File, Literal["a", "b"])]
)


@st.composite
def graphs(draw):
    names = draw(st.lists(identifiers, min_size=1, max_size=6, unique=True))
    parameters = tuple(
        Parameter(name, draw(types), draw(st.text(max_size=5)), required=draw(st.booleans()))
        for name in draw(st.lists(identifiers, max_size=3, unique=True))
    )
    nodes = {}
    for position, name in enumerate(names):
        sources = [{"from_node": earlier} for earlier in names[:position]]
        sources += [{"from_parameter": parameter.name} for parameter in parameters]
        value = st.sampled_from(sources) | literals if sources else literals
        arguments = draw(st.dictionaries(identifiers, value | st.lists(value, max_size=2), max_size=3))
        nodes[name] = Node(draw(identifiers), arguments, draw(st.text(max_size=5)))
    outputs = {"result": names[-1], **dict.fromkeys(draw(st.lists(identifiers, max_size=2)), names[0])}
    text = draw(st.text(min_size=1, max_size=8))
    return Graph(draw(identifiers), nodes, outputs, parameters, text, text, draw(types))


@settings(max_examples=80)
@given(graphs())
def test_any_graph_round_trips_through_json(built):
    back = Graph.from_json(json.dumps(built.to_json()))
    assert back == built and back.digest == built.digest


def test_node_names_never_collide():
    @process(id="a")
    def first(x: float) -> float:
        return x

    @process(id="a1")
    def second(x: float) -> float:
        return x

    @graph
    def many() -> float:
        step = second(0.0)
        for _ in range(12):
            step = first(step)
        return step

    # The eleventh call of `a` would be called like the first of `a1`.
    assert len(many.nodes) == 13
    assert not validate(many, Registry().extended([first, second]))


def test_a_graph_that_branches_or_loops_on_a_future_value_is_refused():
    with pytest.raises(InvalidInput, match="branch"):

        @graph
        def branching(x: float) -> float:
            return count([1]) if x else count([2])

    with pytest.raises(InvalidInput, match="loop"):

        @graph
        def looping(x: float) -> float:
            return [count([item]) for item in rain("x")]

    with pytest.raises(InvalidInput, match="must return a step"):

        @graph
        def returning_nothing(x: float) -> float:
            return 3.0

    with pytest.raises(InvalidInput, match="cannot be written into a graph"):

        @graph
        def with_object() -> float:
            return count([object()])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "line 1"),
        ("[]", "object"),
        ("{}", "no process graph"),
        ('{"process_graph": {}}', "no process graph"),
        ('{"process_graph": {"a": {}}}', "'a' has no process_id"),
        ('{"process_graph": {"a": {"process_id": "x", "arguments": []}}}', "'a' are not an object"),
        ('{"process_graph": {"a": {"process_id": "x"}}, "parameters": [{}]}', "no name"),
        (
            '{"process_graph": {"a": {"process_id": "x", "result": true}, "b": {"process_id": "x", "result": true}}}',
            "More than one",
        ),
    ],
)
def test_malformed_json_is_told_with_its_place(text, told):
    with pytest.raises(GraphInvalid, match=told):
        Graph.from_json(text)


def test_a_plan_is_in_order_complete_and_filled():
    planned = plan(forecast, OWN, {"place": "Fulda"})
    order = list(planned.steps)
    assert set(order) == {"rain1", "multiply1", "warmth1", "runoff1"}
    for name, step in planned.steps.items():
        assert all(order.index(source) < order.index(name) for source in step.sources)
    assert planned.steps["rain1"].arguments == {"place": "Fulda", "days": 5}
    assert planned.steps["multiply1"].arguments["y"] == 1.0
    assert planned.consumers["rain1"] == ("multiply1",)
    assert planned.outputs == {"result": "runoff1"}


def test_a_graph_used_as_a_process_is_unfolded(sqlite_bench):
    @process
    def twice(x: float) -> float:
        return 2 * x

    @graph
    def fourfold(x: float) -> float:
        return twice(twice(x))

    @graph
    def outer(x: float) -> float:
        return twice(fourfold(x))

    registry = Registry().extended([twice, fourfold])
    planned = plan(outer, registry, {"x": 1.0})
    assert set(planned.steps) == {"fourfold1/twice1", "fourfold1/twice2", "twice1"}
    assert sqlite_bench.value(sqlite_bench.run(outer, {"x": 3.0})) == 24.0


def test_an_unknown_process_is_named_with_its_nearest():
    with pytest.raises(NotFound, match="runof") as caught:
        OWN.get("runof")
    assert "runoff" in caught.value.hint


def test_operators_are_plugins_like_all_others():
    assert {"add", "subtract", "multiply", "divide", "select"} <= set(Registry().names())


def test_ten_thousand_nodes_are_checked_and_planned_in_seconds():
    nodes = {
        f"n{position}": Node(
            "count", {"items": [{"from_node": f"n{earlier}"} for earlier in range(max(0, position - 2), position)]}
        )
        for position in range(10_000)
    }
    big = Graph("big", nodes, {"result": "n9999"})
    begun = time.process_time()
    assert validate(big, OWN) == []
    assert len(plan(big, OWN, {}).steps) == 10_000
    # The bar of one second is measured by `make bench`; this guards against anything worse than linear.
    assert time.process_time() - begun < 5
