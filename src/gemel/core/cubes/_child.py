"""Child processes: the small graphs that processes such as `apply` or `reduce_dimension` evaluate."""

from __future__ import annotations

import functools
import graphlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gemel.base.errors import GraphInvalid, did_you_mean
from gemel.core.cubes._along import CellByCell, reach_of, suits
from gemel.core.graph import Graph, Process, Registry, surroundings

#: A child process: called with its parameters by name.
Callback = Callable[..., Any]

# Processes whose result is in the unit of what they work on.
_SAME_UNIT = frozenset(
    [
        "mean",
        "median",
        "min",
        "max",
        "first",
        "last",
        "quantiles",
        "sd",
        "extrema",
        "sum",
        "cumsum",
        "cummin",
        "cummax",
        "absolute",
        "clip",
        "ceil",
        "floor",
        "int",
        "round",
        "sort",
        "array_element",
        "array_filter",
        "array_interpolate_linear",
        "array_create",
        "array_concat",
        "rearrange",
        "inspect",
        "trim_cube",
        "mask",
        "filter_temporal",
        "filter_bbox",
        "apply_kernel",
    ]
)


@dataclass(frozen=True)
class Child:
    """A child process graph, ready to be evaluated.

    Attributes:
        order: Its nodes, each after those that it needs.
        nodes: Arguments of each node; children of its own among them are `Child`.
        processes: What each node calls.
        result: The node whose value is the result.
    """

    order: tuple[str, ...]
    nodes: Mapping[str, Any]
    processes: Mapping[str, Process | Child]
    result: str

    def __call__(self, **arguments: Any) -> Any:
        """Return the result for the child's parameters given by name.

        Raises:
            GraphInvalid: It speaks of a parameter that it does not get.
            CellByCell: One of its processes does not work on whole arrays.
        """
        values: dict[str, Any] = {}
        for name in self.order:
            found = self.processes[name]
            given = {key: _filled(item, arguments, values) for key, item in self.nodes[name].items()}
            values[name] = found(**given) if isinstance(found, Child) else _called(found, given)
        return values[self.result]

    def within(self, outer: Mapping[str, Any]) -> Callback:
        """Return the child as it stands inside of another one, whose parameters it sees where it has none of that name."""
        return lambda **inner: self(**{**outer, **inner})

    @property
    def same_unit(self) -> bool:
        """Return whether its result is in the unit of what it works on."""
        return all(isinstance(found, Process) and found.id in _SAME_UNIT for found in self.processes.values())


def callback(child: Any, registry: Registry | None = None) -> Callback:
    """Return a function that evaluates a child process graph with named arguments.

    Args:
        child: ``{"process_graph": {…}}`` as it stands in a graph, or a Python callable, returned as it is.
        registry: Where its processes are looked up; default that of the running step, else those of installed plugins.

    Raises:
        GraphInvalid: It is not a process graph, or its steps wait for each other.
        NotFound: A process is unknown.
    """
    if callable(child):
        return child  # type: ignore[no-any-return]
    return _child_of(Graph.from_json(child), registry or surroundings().registry or _default())


def keeps_unit(child: Callback) -> bool:
    """Return whether the result of a child process is in the unit of what it works on."""
    return isinstance(child, Child) and child.same_unit


def _child_of(graph: Graph, registry: Registry) -> Child:
    try:
        order = tuple(
            graphlib.TopologicalSorter({n: set(node.sources()) for n, node in graph.nodes.items()}).static_order()
        )
    except graphlib.CycleError as error:
        raise GraphInvalid("The steps of the child process wait for each other.") from error
    missing = [name for name in order if name not in graph.nodes]
    if missing:
        hint = did_you_mean(missing[0], graph.nodes)
        raise GraphInvalid(f"The child process has no node '{missing[0]}'.", hint=hint)
    found = {name: registry.get(graph.nodes[name].process) for name in order}
    processes = {
        name: item if isinstance(item, Process) else _child_of(item, registry.extended(_processes_of(item)))
        for name, item in found.items()
    }
    nodes = {name: _with_children(dict(graph.nodes[name].arguments), registry) for name in order}
    return Child(order, nodes, processes, next(iter(graph.outputs.values()), order[-1]))


def _with_children(value: Any, registry: Registry) -> Any:
    if isinstance(value, Mapping):
        if "process_graph" in value:
            return _child_of(Graph.from_json(value), registry)
        return {key: _with_children(item, registry) for key, item in value.items()}
    return [_with_children(item, registry) for item in value] if isinstance(value, (list, tuple)) else value


def _processes_of(graph: Graph) -> list[Any]:
    return list(graph.processes.values())


@functools.cache
def _default() -> Registry:
    return Registry()


def _called(process: Process, arguments: Mapping[str, Any]) -> Any:
    known = {parameter.name for parameter in process.parameters}
    given = {name: value for name, value in arguments.items() if name in known}
    missing = [item.name for item in process.parameters if item.required and item.name not in given]
    if missing:
        raise GraphInvalid(f"'{process.id}' in a child process needs '{missing[0]}'.")
    if not suits(reach_of(process.function), given):
        raise CellByCell(process.id)
    return process.function(**given)


def _filled(value: Any, arguments: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if len(value) == 1:
            kind, name = next(iter(value.items()))
            # Early drafts of the standard said from_argument; graphs written then are still about.
            if kind in ("from_parameter", "from_argument"):
                return _parameter(name, arguments)
            if kind == "from_node":
                return values[name]
        return {key: _filled(item, arguments, values) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(item, arguments, values) for item in value]
    return value.within(arguments) if isinstance(value, Child) else value


def _parameter(name: str, arguments: Mapping[str, Any]) -> Any:
    if name not in arguments:
        hint = did_you_mean(name, arguments) or f"It has: {', '.join(arguments)}."
        raise GraphInvalid(f"The child process has no parameter '{name}'.", hint=hint)
    return arguments[name]
