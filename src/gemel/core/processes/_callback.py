"""Child processes: the small graphs that processes such as `array_apply` call for each element."""

from __future__ import annotations

import functools
import graphlib
from collections.abc import Callable, Mapping
from typing import Any

from gemel.base.errors import GraphInvalid
from gemel.core.graph import Graph, Process, Registry

Callback = Callable[..., Any]


def callback(child: Any, registry: Registry | None = None) -> Callback:
    """Return a function that evaluates a child process graph with named arguments.

    Args:
        child: ``{"process_graph": {…}}`` as it stands in a graph, or a Python callable, returned as it is.
        registry: Where its processes are looked up; default those of installed plugins.

    Raises:
        GraphInvalid: It is not a process graph, or its steps wait for each other.
        NotFound: A process is unknown.
    """
    if callable(child):
        return child
    graph = Graph.from_json(child)
    known = registry or _default()
    try:
        order = list(
            graphlib.TopologicalSorter({n: set(node.sources()) for n, node in graph.nodes.items()}).static_order()
        )
    except graphlib.CycleError as error:
        raise GraphInvalid("The steps of the child process wait for each other.") from error
    processes = {name: known.get(graph.nodes[name].process) for name in order}
    result = next(iter(graph.outputs.values()), order[-1])

    def evaluate(**arguments: Any) -> Any:
        values: dict[str, Any] = {}
        for name in order:
            found = processes[name]
            assert isinstance(found, Process)
            filled = {key: _filled(item, arguments, values) for key, item in graph.nodes[name].arguments.items()}
            values[name] = found.function(**_renamed(found, filled))
        return values[result]

    return evaluate


@functools.cache
def _default() -> Registry:
    return Registry()


def _renamed(process: Process, arguments: Mapping[str, Any]) -> dict[str, Any]:
    known = {parameter.name for parameter in process.parameters}
    return {name: value for name, value in arguments.items() if name in known}


def _filled(value: Any, arguments: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if len(value) == 1:
            kind, name = next(iter(value.items()))
            # Early drafts of the standard said from_argument; graphs written then are still about.
            if kind in ("from_parameter", "from_argument"):
                return arguments.get(name)
            if kind == "from_node":
                return values[name]
        return {key: _filled(item, arguments, values) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(item, arguments, values) for item in value]
    return value
