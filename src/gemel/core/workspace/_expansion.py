"""Writing stored processes out: a graph that calls them becomes one that holds their steps, and needs nobody's store."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from gemel.base.errors import GemelError, did_you_mean
from gemel.core.graph import Finding, Graph

Nodes = dict[str, Any]
_DEPTH = 32
# Names that the openEO specification gives to what a process hands to its child process.
_CHILD_PARAMETERS = frozenset({"x", "y", "data", "index", "label", "context", "value", "parameters"})


class Expansion:
    """One graph on its way to being whole.

    Attributes:
        findings: What is wrong about stored processes and namespaces in it.
    """

    def __init__(self, find: Callable[[str], Mapping[str, Any] | None]) -> None:
        self._find = functools.cache(find)
        self.findings: list[Finding] = []

    def expanded(self, process: Mapping[str, Any]) -> dict[str, Any]:
        """Return the process with each call of a stored process replaced by that process' steps."""
        return dict(process) | {"process_graph": self._nodes(process["process_graph"], "", 0)}

    def _nodes(self, nodes: Mapping[str, Any], place: str, depth: int) -> Nodes:
        found: Nodes = {}
        results: dict[str, str] = {}
        for name, raw in nodes.items():
            node = {**raw, "arguments": self._children(raw.get("arguments", {}), f"{place}{name}", depth)}
            inner = self._stored(node, f"{place}{name}")
            if inner is None:
                found[name] = node
            elif depth >= _DEPTH:
                self._complain(f"{place}{name}", "cycle", f"Stored process '{node['process_id']}' contains itself.")
            else:
                results[name] = self._replace(name, node, inner, (found, place, depth))
        return {name: {**node, "arguments": _led(node["arguments"], results)} for name, node in found.items()}

    def _replace(self, name: str, node: Nodes, inner: Mapping[str, Any], where: tuple[Nodes, str, int]) -> str:
        found, place, depth = where
        try:
            graph = Graph.from_json(inner)
        except GemelError as error:
            self._complain(f"{place}{name}", "broken-process", error.message)
            return name
        arguments = self._arguments(graph, node, f"{place}{name}")
        steps = self._nodes(inner["process_graph"], f"{place}{name}/", depth + 1)
        names = {step: f"{name}/{step}" for step in steps}
        for step, content in steps.items():
            filled = _filled(_led(content["arguments"], names), arguments)
            found[names[step]] = {**content, "arguments": filled, "result": False}
        result = next((step for step, content in steps.items() if content.get("result")), None)
        if result is None:
            self._complain(f"{place}{name}", "no-result", f"Stored process '{graph.id}' marks no node as its result.")
            return name
        found[names[result]]["result"] = bool(node.get("result"))
        return names[result]

    def _arguments(self, graph: Graph, node: Nodes, place: str) -> dict[str, Any]:
        known = {parameter.name: parameter for parameter in graph.parameters}
        for name in node["arguments"].keys() - known.keys():
            hint = did_you_mean(name, known) or f"It takes: {', '.join(known) or 'nothing'}."
            message = f"Stored process '{graph.id}' has no parameter '{name}'."
            self.findings.append(Finding(place, name, "unknown-argument", message, hint))
        arguments: dict[str, Any] = {name: item.default for name, item in known.items() if not item.required}
        arguments.update(node["arguments"])
        for name in known.keys() - arguments.keys():
            self.findings.append(
                Finding(place, name, "missing-argument", f"Stored process '{graph.id}' needs '{name}'.")
            )
        return arguments

    def _stored(self, node: Nodes, place: str) -> Mapping[str, Any] | None:
        """Return the stored process that a node calls, or None when it calls a predefined one (or nothing known)."""
        namespace, process = node.pop("namespace", None), node["process_id"]
        if namespace == "backend":
            return None
        if namespace not in (None, "user"):
            self._complain(place, "unknown-process", f"There is no namespace '{namespace}'.", "user, backend or null")
            return None
        found = self._find(process)
        if found is None and namespace == "user":
            self._complain(place, "unknown-process", f"You have no stored process '{process}'.")
        return found

    def _children(self, value: Any, place: str, depth: int) -> Any:
        if isinstance(value, Mapping):
            if isinstance(value.get("process_graph"), Mapping):
                return {**value, "process_graph": self._nodes(value["process_graph"], f"{place}/", depth)}
            return {name: self._children(item, place, depth) for name, item in value.items()}
        return [self._children(item, place, depth) for item in value] if isinstance(value, list) else value

    def _complain(self, node: str, code: str, message: str, hint: str = "") -> None:
        self.findings.append(Finding(node, "", code, message, hint))


def _led(value: Any, names: Mapping[str, str]) -> Any:
    """Return arguments whose references to nodes lead to where those are now."""
    if isinstance(value, Mapping):
        if len(value) == 1 and "from_node" in value:
            return {"from_node": names.get(value["from_node"], value["from_node"])}
        if "process_graph" in value:
            return value
        return {name: _led(item, names) for name, item in value.items()}
    return [_led(item, names) for item in value] if isinstance(value, list) else value


def _filled(value: Any, arguments: Mapping[str, Any], child: bool = False) -> Any:
    """Return arguments with the parameters of the stored process in place of the references to them."""
    if isinstance(value, Mapping):
        name = value.get("from_parameter") if len(value) == 1 else None
        if isinstance(name, str):
            # A child process sees what it is handed first, and behind that the parameters around it.
            return arguments[name] if name in arguments and not (child and name in _CHILD_PARAMETERS) else value
        inside = child or "process_graph" in value
        return {key: _filled(item, arguments, inside) for key, item in value.items()}
    return [_filled(item, arguments, child) for item in value] if isinstance(value, list) else value
