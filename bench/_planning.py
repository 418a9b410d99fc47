"""How long it takes to check and plan a graph of ten thousand nodes."""

from __future__ import annotations

import time

from bench._report import report
from gemel.core.graph import Graph, Node, Registry, plan, process, validate

NODES, ROUNDS, BAR = 10_000, 5, 1.0


@process
def mix(left: float, right: float, salt: int) -> float:
    """Mix two numbers.

    Args:
        left: The first.
        right: The second.
        salt: A number of the node's own.
    """
    return left + right + salt


def planning() -> None:
    """Measure the processor time of reading the JSON, validation and planning, each round on a graph built anew."""
    seconds = []
    for _ in range(ROUNDS):
        document = _document()
        registry = Registry({"mix": mix})
        begun = time.process_time()
        graph = Graph.from_json(document)
        assert not validate(graph, registry, {})
        assert len(plan(graph, registry, {}).steps) == NODES
        seconds.append(time.process_time() - begun)
    report("plan-10000-nodes", seconds, [BAR], "s CPU", "the bar", bar=f"<= {BAR} s", rounds=ROUNDS)


def validation() -> None:
    """Measure the processor time of validating an openEO graph of 1,000 nodes of standard processes."""
    registry = Registry()
    graph = Graph.from_json(_standard_document(1000))
    seconds = []
    for _ in range(ROUNDS + 1):
        begun = time.process_time()
        assert not validate(graph, registry, {})
        seconds.append(time.process_time() - begun)
    # The first round imports the library of processes.
    report("validate-1000-nodes", seconds[1:], [BAR], "s CPU", "the bar", bar=f"<= {BAR} s", rounds=ROUNDS)


def _standard_document(nodes: int) -> dict[str, object]:
    steps: dict[str, object] = {"n0": {"process_id": "constant", "arguments": {"x": 1}}}
    for number in range(1, nodes):
        arguments = {"x": {"from_node": f"n{number - 1}"}, "y": {"from_node": f"n{number // 2}"}}
        steps[f"n{number}"] = {"process_id": ("add", "multiply")[number % 2], "arguments": arguments}
    return {
        "process_graph": steps
        | {"last": {"process_id": "absolute", "arguments": {"x": {"from_node": f"n{nodes - 1}"}}, "result": True}}
    }


def _document() -> dict[str, object]:
    nodes = {"n0": Node("mix", {"left": 0.0, "right": 1.0, "salt": 0})}
    for number in range(1, NODES):
        near, far = f"n{number - 1}", f"n{number // 2}"
        arguments = {"left": {"from_node": near}, "right": {"from_node": far}, "salt": number}
        nodes[f"n{number}"] = Node("mix", arguments)
    return Graph("big", nodes, {"result": f"n{NODES - 1}"}).to_json()
