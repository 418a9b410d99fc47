"""Checking a graph before anything runs: every finding at once, each naming its node."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from gemel.base import units
from gemel.base.errors import GemelError, GraphInvalid, InvalidInput, did_you_mean
from gemel.core.graph._graph import Graph, Node
from gemel.core.graph._process import Parameter, Process
from gemel.core.graph._registry import Registry
from gemel.core.graph._types import ValueType


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a graph.

    Attributes:
        node: Id of the node, or an empty text for the graph as a whole.
        argument: Name of the argument, or an empty text.
        code: Stable slug: `unknown-process`, `missing-argument`, `unknown-argument`, `wrong-type`, `unit-mismatch`,
            `unknown-node`, `unknown-parameter`, `cycle`, `no-result`, `broken-process`.
        message: What is wrong.
        hint: What to do about it.
    """

    node: str
    argument: str
    code: str
    message: str
    hint: str = ""


def validate(graph: Graph, registry: Registry, arguments: Mapping[str, Any] | None = None) -> list[Finding]:
    """Return everything that is wrong with `graph`, and with the `arguments` it is to run with when given.

    A graph used as a process is looked into as well; its findings carry the path of the node, like ``inner1/add1``.
    """
    findings = _validated(graph, registry, ())
    if arguments is not None:
        findings += _argument_findings(graph, arguments)
    return findings


def _validated(graph: Graph, registry: Registry, above: tuple[int, ...]) -> list[Finding]:
    findings = list(_structure(graph))
    known: dict[str, Process | Graph] = {}
    for process_id in dict.fromkeys(node.process for node in graph.nodes.values()):
        nodes = [name for name, node in graph.nodes.items() if node.process == process_id]
        try:
            found = graph.processes.get(process_id) or registry.get(process_id)
        except GemelError as error:
            code = "unknown-process" if error.code == "not-found" else "broken-process"
            findings += [Finding(name, "", code, error.message, error.hint or "") for name in nodes]
            continue
        known[process_id] = found
        if isinstance(found, Graph):
            findings += _inner_findings(nodes[0], found, registry, (*above, id(graph)))
    offered = {name: known[node.process].returns for name, node in graph.nodes.items() if node.process in known}
    declared = {parameter.name: parameter.type for parameter in graph.parameters}
    for name, node in graph.nodes.items():
        if node.process in known:
            findings += _node_findings(name, node, known[node.process], (graph, offered, declared))
        for argument, value in node.arguments.items():
            findings += _child_findings(f"{name}.{argument}", value, registry)
    return findings


def _child_findings(place: str, value: Any, registry: Registry) -> list[Finding]:
    """Return what is wrong with a child process; what its parameters are called is the business of who calls it."""
    if not isinstance(value, Mapping) or "process_graph" not in value:
        return []
    try:
        child = Graph.from_json(value)
    except InvalidInput as error:
        return [Finding(place, "", "wrong-type", error.message, error.hint or "")]
    found = [finding for finding in _validated(child, registry, ()) if finding.code != "unknown-parameter"]
    return [replace(finding, node=f"{place}/{finding.node}".rstrip("/")) for finding in found]


def _inner_findings(name: str, inner: Graph, registry: Registry, above: tuple[int, ...]) -> list[Finding]:
    if id(inner) in above:
        return [Finding(name, "", "cycle", f"Graph '{inner.id}' contains itself.")]
    return [replace(found, node=f"{name}/{found.node}") for found in _validated(inner, registry, above)]


def require_valid(graph: Graph, registry: Registry, arguments: Mapping[str, Any] | None = None) -> None:
    """Return nothing when the graph is sound.

    Raises:
        GraphInvalid: With all findings in its context and the first ones in its message.
    """
    findings = validate(graph, registry, arguments)
    if findings:
        shown = " ".join(f"[{_place(finding)}] {finding.message}" for finding in findings[:5])
        more = f" And {len(findings) - 5} more." if len(findings) > 5 else ""
        hint = next((finding.hint for finding in findings if finding.hint), None)
        raise GraphInvalid(
            f"Graph '{graph.id}': {shown}{more}",
            hint=hint,
            graph=graph.id,
            findings=[asdict(finding) for finding in findings],
        )


def _place(finding: Finding) -> str:
    return ".".join(part for part in (finding.node or "graph", finding.argument) if part)


def _structure(graph: Graph) -> Iterator[Finding]:
    if not graph.outputs:
        yield Finding("", "", "no-result", "No node is marked as result.", 'Add "result": true to one node.')
    for output, node in graph.outputs.items():
        if node not in graph.nodes:
            yield Finding(node, "", "unknown-node", f"Output '{output}' names a node that is not there.")
    try:
        graphlib.TopologicalSorter({name: set(node.sources()) for name, node in graph.nodes.items()}).prepare()
    except graphlib.CycleError as error:
        circle = list(reversed(error.args[1]))
        yield Finding(circle[0], "", "cycle", f"The steps wait for each other: {' → '.join(circle)}.")


def _node_findings(
    name: str, node: Node, process: Process | Graph, context: tuple[Graph, dict[str, ValueType], dict[str, ValueType]]
) -> Iterator[Finding]:
    known = {parameter.name: parameter for parameter in process.parameters}
    for argument in node.arguments.keys() - known.keys():
        hint = did_you_mean(argument, known) or f"It takes: {', '.join(known) or 'no arguments'}."
        yield Finding(name, argument, "unknown-argument", f"'{process.id}' has no parameter '{argument}'.", hint)
    for parameter in process.parameters:
        if parameter.name in node.arguments:
            yield from _value_findings(name, parameter, node.arguments[parameter.name], context)
        elif parameter.required:
            message = f"'{process.id}' needs '{parameter.name}' ({parameter.type.spoken()})."
            yield Finding(name, parameter.name, "missing-argument", message)


def _value_findings(
    name: str,
    parameter: Parameter,
    value: Any,
    context: tuple[Graph, dict[str, ValueType], dict[str, ValueType]],
) -> Iterator[Finding]:
    graph, offered, declared = context
    kind = next(iter(value)) if isinstance(value, Mapping) and len(value) == 1 else None
    if kind == "from_node":
        source = value[kind]
        if source not in graph.nodes:
            hint = did_you_mean(str(source), graph.nodes)
            yield Finding(name, parameter.name, "unknown-node", f"There is no node '{source}'.", hint)
        elif source in offered:
            yield from _edge_findings(name, parameter, offered[source], f"node '{source}'")
    elif kind == "from_parameter":
        if value[kind] not in declared:
            hint = did_you_mean(str(value[kind]), declared)
            message = f"The graph has no parameter '{value[kind]}'."
            yield Finding(name, parameter.name, "unknown-parameter", message, hint)
        else:
            yield from _edge_findings(name, parameter, declared[value[kind]], f"parameter '{value[kind]}'")
    elif not _holds_reference(value):
        complaint = parameter.type.complaint(value)
        if complaint:
            yield Finding(name, parameter.name, "wrong-type", f"{parameter.name}: {complaint}.")


def _edge_findings(name: str, parameter: Parameter, offered: ValueType, source: str) -> Iterator[Finding]:
    wanted = parameter.type
    if not wanted.accepts(offered):
        message = f"'{parameter.name}' takes {wanted.spoken()}, and {source} gives {offered.spoken()}."
        yield Finding(name, parameter.name, "wrong-type", message)
    elif wanted.unit and offered.unit:
        try:
            if units.convertible(offered.unit, wanted.unit):
                return
            hint = "The two measure different things."
        except InvalidInput as error:
            hint = f"{error.message} {error.hint}"
        message = f"'{parameter.name}' is in {wanted.unit}, and {source} gives {offered.unit}."
        yield Finding(name, parameter.name, "unit-mismatch", message, hint)


def _argument_findings(graph: Graph, arguments: Mapping[str, Any]) -> Iterator[Finding]:
    known = {parameter.name: parameter for parameter in graph.parameters}
    for name in arguments.keys() - known.keys():
        hint = did_you_mean(name, known) or f"It takes: {', '.join(known) or 'no parameters'}."
        yield Finding("", name, "unknown-parameter", f"Graph '{graph.id}' has no parameter '{name}'.", hint)
    for parameter in graph.parameters:
        if parameter.name not in arguments:
            if parameter.required:
                message = f"The graph needs '{parameter.name}' ({parameter.type.spoken()})."
                yield Finding("", parameter.name, "missing-argument", message)
            continue
        complaint = parameter.type.complaint(arguments[parameter.name])
        if complaint:
            yield Finding("", parameter.name, "wrong-type", f"{parameter.name}: {complaint}.")


def _holds_reference(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool({"from_node", "from_parameter", "process_graph"} & set(value)) or any(
            map(_holds_reference, value.values())
        )
    return isinstance(value, list) and any(map(_holds_reference, value))
