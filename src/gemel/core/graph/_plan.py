"""From a graph and its arguments to the flat list of steps that will run."""

from __future__ import annotations

import graphlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gemel.base.errors import GraphInvalid
from gemel.core.graph._graph import Graph
from gemel.core.graph._process import Process
from gemel.core.graph._registry import Registry

_DEPTH = 32  # graphs used as processes inside graphs; deeper than this is taken for a graph that holds itself
# Names that the openEO specification gives to what a process hands to its child process.
_CHILD_PARAMETERS = frozenset({"x", "y", "data", "index", "label", "context", "value", "parameters"})


@dataclass(frozen=True)
class PlannedStep:
    """One step with its process looked up and the graph's parameters filled in.

    Attributes:
        arguments: By parameter name, defaults included; ``{"from_node": id}`` where another step's result goes.
    """

    id: str
    process: Process
    arguments: Mapping[str, Any]
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """All steps in an order in which each comes after what it needs.

    Attributes:
        consumers: For each step, which steps wait for its result.
        outputs: Step id by output name.
    """

    steps: Mapping[str, PlannedStep]
    consumers: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, str]


@dataclass
class _Flat:
    nodes: dict[str, tuple[Process, dict[str, Any]]] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)


def plan(graph: Graph, registry: Registry, arguments: Mapping[str, Any]) -> Plan:
    """Return the plan of running a valid `graph` with `arguments`; steps that no output needs are left out.

    Raises:
        GraphInvalid: A graph contains itself.
        NotFound: A process is unknown.
    """
    flat = _Flat()
    outputs = _flatten(graph, registry, _filled(graph, arguments), "", flat)
    sources = {name: tuple(dict.fromkeys(sources_of(args))) for name, (_, args) in flat.nodes.items()}
    needed = _needed(outputs.values(), sources)
    steps = {
        name: PlannedStep(name, flat.nodes[name][0], flat.nodes[name][1], sources[name])
        for name in flat.nodes  # flattening put each after what it needs
        if name in needed
    }
    consumers: dict[str, list[str]] = {name: [] for name in steps}
    for name, step in steps.items():
        for source in step.sources:
            consumers[source].append(name)
    return Plan(steps, {name: tuple(waiting) for name, waiting in consumers.items()}, outputs)


def _filled(graph: Graph, arguments: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {parameter.name: parameter.default for parameter in graph.parameters if not parameter.required}
    return defaults | dict(arguments)


def _flatten(
    graph: Graph, registry: Registry, arguments: Mapping[str, Any], prefix: str, flat: _Flat
) -> dict[str, str]:
    if prefix.count("/") > _DEPTH:
        raise GraphInvalid(f"Graph '{graph.id}' contains itself.", graph=graph.id)
    results: dict[str, str] = {}
    # Inner graphs must be expanded before the nodes that use their results are rewritten.
    for name in graphlib.TopologicalSorter({n: set(node.sources()) for n, node in graph.nodes.items()}).static_order():
        node = graph.nodes[name]
        found = graph.processes.get(node.process) or registry.get(node.process)
        filled = {key: _fill(value, arguments, results) for key, value in node.arguments.items()}
        if isinstance(found, Graph):
            inner = _flatten(found, registry, _filled(found, filled), f"{prefix}{name}/", flat)
            results[name] = next(iter(inner.values()))
        else:
            defaults = {item.name: item.default for item in found.parameters if not item.required}
            flat.nodes[prefix + name] = (found, defaults | filled)
            results[name] = prefix + name
    return {output: results[node] for output, node in graph.outputs.items()}


def _fill(value: Any, arguments: Mapping[str, Any], results: Mapping[str, str]) -> Any:
    if isinstance(value, (str, float, int)):
        return value
    if isinstance(value, Mapping):
        if len(value) == 1 and "from_parameter" in value:
            return arguments[value["from_parameter"]]
        if len(value) == 1 and "from_node" in value:
            return {"from_node": results[value["from_node"]]}
        if "process_graph" in value:
            return _fill_child(value, arguments)
        return {key: _fill(item, arguments, results) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_fill(item, arguments, results) for item in value]
    return value


def _fill_child(value: Any, arguments: Mapping[str, Any]) -> Any:
    # A child process sees its own parameters first, and behind them those of the graph it stands in.
    if isinstance(value, Mapping):
        name = value.get("from_parameter") if len(value) == 1 else None
        if name is not None:
            return arguments[name] if name in arguments and name not in _CHILD_PARAMETERS else value
        return {key: _fill_child(item, arguments) for key, item in value.items()}
    return [_fill_child(item, arguments) for item in value] if isinstance(value, (list, tuple)) else value


def sources_of(value: Any) -> list[str]:
    """Return the steps whose results stand in an argument."""
    if isinstance(value, (str, float, int)):
        return []
    if isinstance(value, Mapping):
        if "process_graph" in value:
            return []
        if len(value) == 1 and "from_node" in value:
            return [value["from_node"]]
        return [source for item in value.values() for source in sources_of(item)]
    if isinstance(value, list):
        return [source for item in value for source in sources_of(item)]
    return []


def _needed(outputs: Any, sources: Mapping[str, tuple[str, ...]]) -> set[str]:
    needed: set[str] = set()
    stack = list(outputs)
    while stack:
        name = stack.pop()
        if name not in needed:
            needed.add(name)
            stack.extend(sources[name])
    return needed
