"""A Graph: the openEO process graph, written as Python or JSON, and round-tripping between the two."""

from __future__ import annotations

import functools
import inspect
import json
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, overload

import docstring_parser

from gemel.base.errors import GraphInvalid, InvalidInput
from gemel.base.ids import digest_json
from gemel.core.graph._process import Parameter
from gemel.core.graph._recording import Argument, Step, record_call, recording
from gemel.core.graph._types import ValueType, hints_of, type_of_hint


@dataclass(frozen=True)
class Node:
    """One step of a graph: which process, with which arguments."""

    process: str
    arguments: Mapping[str, Any]
    description: str = ""

    def sources(self) -> Iterator[str]:
        """Yield the ids of the nodes whose results this node uses."""
        for argument in self.arguments.values():
            yield from _references(argument, "from_node")


@dataclass(frozen=True)
class Graph:
    """A directed acyclic graph of processes with parameters and named outputs.

    Attributes:
        id: Name under which the graph can be used as a process.
        nodes: The steps by node id.
        outputs: Node id by output name; the first is the graph's result in the sense of openEO.
        parameters: What must be given to run it.
        processes: Processes met while recording (empty for a graph read from JSON).
    """

    id: str
    nodes: Mapping[str, Node]
    outputs: Mapping[str, str]
    parameters: tuple[Parameter, ...] = ()
    summary: str = ""
    description: str = ""
    returns: ValueType = field(default_factory=ValueType)
    processes: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def function(self) -> Callable[..., Any]:
        """Return a function that explains that a graph needs an engine."""

        def refuse(*_args: Any, **_kwargs: Any) -> Any:
            raise InvalidInput(f"Graph '{self.id}' is run by an engine.", hint="gemel run TWIN, or call its processes.")

        return refuse

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the step recorded for this graph used as a process inside another."""
        return record_call(self, args, kwargs)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by parameter name.

        Raises:
            InvalidInput: More positional arguments than parameters.
        """
        names = [parameter.name for parameter in self.parameters]
        if len(args) > len(names):
            raise InvalidInput(f"Graph '{self.id}' takes {len(names)} arguments, not {len(args)}.")
        return dict(zip(names, args, strict=False)) | kwargs

    @functools.cached_property
    def digest(self) -> str:
        """Return the digest of the graph's JSON."""
        return digest_json(self.to_json())

    def describe(self) -> dict[str, Any]:
        """Return the openEO description of the graph as a user-defined process."""
        return self.to_json()

    def to_json(self) -> dict[str, Any]:
        """Return the openEO user-defined process; `outputs` names the results beside the one openEO knows."""
        result = next(iter(self.outputs.values()), None)
        nodes: dict[str, Any] = {}
        for name, node in self.nodes.items():
            nodes[name] = {"process_id": node.process, "arguments": dict(node.arguments)}
            if node.description:
                nodes[name]["description"] = node.description
            if name == result:
                nodes[name]["result"] = True
        return {
            "id": self.id,
            "summary": self.summary,
            "description": self.description or self.summary,
            "parameters": [parameter.describe() for parameter in self.parameters],
            "returns": {"description": "", "schema": self.returns.schema()},
            "process_graph": nodes,
            "outputs": dict(self.outputs),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | str) -> Graph:
        """Return the graph in an openEO JSON document: a process with `process_graph`, or the bare node map.

        Raises:
            GraphInvalid: The text is not JSON or has not the shape of a process graph.
        """
        parsed = _parsed(document)
        raw = parsed.get("process_graph", parsed if "parameters" not in parsed else None)
        if not isinstance(raw, Mapping) or not raw:
            raise GraphInvalid("The document has no process graph.", hint='Expected {"process_graph": {…}}.')
        nodes = {str(name): _node(str(name), node) for name, node in raw.items()}
        outputs = parsed.get("outputs") if "process_graph" in parsed else None
        try:
            parameters = tuple(Parameter.from_description(item) for item in parsed.get("parameters") or ())
        except (KeyError, TypeError, AttributeError) as error:
            raise GraphInvalid(
                "A parameter of the graph has no name.", hint='Write {"name": …, "schema": …}.'
            ) from error
        return cls(
            id=str(parsed.get("id") or "graph") if "process_graph" in parsed else "graph",
            nodes=nodes,
            outputs=dict(outputs) if outputs else _result_of(raw),
            parameters=parameters,
            summary=parsed.get("summary") or "" if "process_graph" in parsed else "",
            description=parsed.get("description") or "" if "process_graph" in parsed else "",
            returns=ValueType.from_schema((parsed.get("returns") or {}).get("schema")),
        )


@overload
def graph(function: Callable[..., Any], /) -> Graph: ...


@overload
def graph(*, id: str | None = None) -> Callable[[Callable[..., Any]], Graph]: ...


def graph(function: Callable[..., Any] | None = None, /, *, id: str | None = None) -> Any:
    """Return the Graph recorded from a Python function whose body calls processes; used as a decorator.

    The function's parameters become the graph's; it returns one step, or a dictionary of named outputs.

    Raises:
        InvalidInput: The function returns something that is not a step.

    >>> from gemel.core.graph import process
    >>> @process
    ... def double(x: float) -> float:
    ...     return 2 * x
    >>> @graph
    ... def quadruple(x: float) -> float:
    ...     return double(double(x))
    >>> list(quadruple.nodes)
    ['double1', 'double2']
    """
    if function is None:
        return functools.partial(graph, id=id)
    name = id or function.__name__
    doc = docstring_parser.parse(function.__doc__ or "")
    texts = {item.arg_name: item.description or "" for item in doc.params}
    hints = hints_of(function)
    parameters = tuple(_parameter(item, hints, texts) for item in inspect.signature(function).parameters.values())
    with recording() as recorder:
        returned = function(**{parameter.name: Argument(parameter.name) for parameter in parameters})
    return Graph(
        id=name,
        nodes={node: Node(raw["process_id"], raw["arguments"]) for node, raw in recorder.nodes.items()},
        outputs=_outputs(returned, name),
        parameters=parameters,
        summary=doc.short_description or "",
        description="\n\n".join(part for part in (doc.short_description, doc.long_description) if part),
        returns=type_of_hint(hints["return"]) if "return" in hints else ValueType(),
        processes=recorder.used,
    )


def _parameter(item: inspect.Parameter, hints: dict[str, Any], texts: dict[str, str]) -> Parameter:
    required = item.default is item.empty
    value_type = type_of_hint(hints.get(item.name, Any))
    return Parameter(item.name, value_type, texts.get(item.name, ""), required, None if required else item.default)


def _outputs(returned: Any, name: str) -> dict[str, str]:
    named = returned if isinstance(returned, dict) else {"result": returned}
    if not named or not all(isinstance(step, Step) for step in named.values()):
        raise InvalidInput(f"Graph '{name}' must return a step, or a dictionary of steps by name.")
    return {output: step.node for output, step in named.items()}


def _parsed(document: Mapping[str, Any] | str) -> Mapping[str, Any]:
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise GraphInvalid(f"The graph is not JSON: {error.msg} at {where}.") from error
    if not isinstance(document, Mapping):
        raise GraphInvalid("A graph is a JSON object.", hint='Expected {"process_graph": {…}}.')
    if isinstance(document.get("process"), Mapping):
        return typing.cast("Mapping[str, Any]", document["process"])
    return document


def _node(name: str, raw: Any) -> Node:
    if not isinstance(raw, Mapping) or not isinstance(raw.get("process_id"), str):
        raise GraphInvalid(f"Node '{name}' has no process_id.", hint='Write {"process_id": …, "arguments": {…}}.')
    arguments = raw.get("arguments", {})
    if not isinstance(arguments, Mapping):
        raise GraphInvalid(f"The arguments of node '{name}' are not an object.")
    return Node(raw["process_id"], dict(arguments), raw.get("description") or "")


def _result_of(raw: Mapping[str, Any]) -> dict[str, str]:
    marked = [str(name) for name, node in raw.items() if isinstance(node, Mapping) and node.get("result")]
    if len(marked) > 1:
        raise GraphInvalid(f"More than one node is marked as result: {', '.join(marked)}.")
    return {"result": marked[0]} if marked else {}


def _references(argument: Any, kind: str) -> Iterator[str]:
    if isinstance(argument, Mapping):
        if set(argument) == {kind} and isinstance(argument[kind], str):
            yield argument[kind]
        elif "process_graph" not in argument:
            for item in argument.values():
                yield from _references(item, kind)
    elif isinstance(argument, (list, tuple)):
        for item in argument:
            yield from _references(item, kind)
