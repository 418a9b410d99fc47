"""Pinning: a run names exact versions of models, so that what `champion` means later changes nothing in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from gemel.base.errors import InvalidInput
from gemel.core.graph._graph import Graph, Node
from gemel.core.graph._process import Parameter
from gemel.core.graph._registry import Registry
from gemel.core.graph._surroundings import Surroundings, surroundings


def pinned(
    graph: Graph, registry: Registry, arguments: Mapping[str, Any], place: Surroundings
) -> tuple[Graph, dict[str, Any]]:
    """Return graph and arguments with each reference to a model replaced by that of the version it means now.

    Raises:
        NotFound: A model is not registered.
        InvalidInput: A model is named outside of an engine.
    """

    def pin(reference: str) -> str:
        return place.registered().pin(place.full(reference))

    given = {item.name: item.default for item in graph.parameters if not item.required} | dict(arguments)
    found = _replaced(graph.parameters, given, pin)
    nodes = {name: _pinned_node(graph, node, registry, pin) for name, node in graph.nodes.items()}
    changed = {name: node for name, node in nodes.items() if node is not graph.nodes[name]}
    return replace(graph, nodes=nodes) if changed else graph, dict(arguments) | found


def pinned_model(reference: str) -> Any:
    """Return the dataset of the model that a pinned reference means.

    Raises:
        InvalidInput: The reference is not pinned: it stands inside of a graph that another one uses.
    """
    if "#" not in reference:
        raise InvalidInput(
            f"The model '{reference}' is named inside of a graph that another graph uses.",
            hint="Make it a parameter of both graphs, with this as its default.",
        )
    return surroundings().model(reference)


def _pinned_node(graph: Graph, node: Node, registry: Registry, pin: Callable[[str], str]) -> Node:
    process = graph.processes.get(node.process) or registry.find(node.process)
    changed = _replaced(process.parameters, node.arguments, pin) if process is not None else {}
    return replace(node, arguments=dict(node.arguments) | changed) if changed else node


def _replaced(
    parameters: Iterable[Parameter], arguments: Mapping[str, Any], pin: Callable[[str], str]
) -> dict[str, str]:
    return {
        item.name: pin(arguments[item.name])
        for item in parameters
        if "model" in item.type.kinds and isinstance(arguments.get(item.name), str)
    }
