"""A Process: a named, versioned, typed function with an openEO description made from its hints and docstring."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, overload

import docstring_parser

from gemel.base.errors import InvalidInput
from gemel.core.graph._recording import record_call
from gemel.core.graph._types import ValueType, hints_of, type_of_hint


@dataclass(frozen=True)
class Parameter:
    """One parameter of a process or graph."""

    name: str
    type: ValueType = field(default_factory=ValueType)
    description: str = ""
    required: bool = True
    default: Any = None

    def describe(self) -> dict[str, Any]:
        """Return the openEO parameter object."""
        document: dict[str, Any] = {"name": self.name, "description": self.description, "schema": self.type.schema()}
        return document if self.required else document | {"optional": True, "default": self.default}

    @classmethod
    def from_description(cls, document: dict[str, Any]) -> Parameter:
        """Return the parameter that an openEO parameter object describes."""
        return cls(
            document["name"],
            ValueType.from_schema(document.get("schema")),
            document.get("description", ""),
            not document.get("optional", False),
            document.get("default"),
        )


@dataclass(frozen=True)
class Retry:
    """How often and when a failed step is tried again.

    Attributes:
        attempts: Tries in all, 1 for none but the first.
        delay: Seconds before the second try.
        factor: Each further wait is longer by this factor.
        on: Exceptions worth a new try; anything else fails at once.
    """

    attempts: int = 1
    delay: float = 0.5
    factor: float = 2.0
    on: tuple[type[Exception], ...] = (OSError,)


@dataclass(frozen=True)
class Process:
    """A named, versioned, typed function; calling it runs it, or records a step while a graph is being written.

    Attributes:
        durable: Whether its result is stored; a light process (arithmetic, selection) stays lazy instead.
        timeout: Seconds after which a running step is killed, or None. A step with a limit runs in a process of its own.
        contract: Of a process that a standard defines: the standard's parameter and return schemas and exceptions (members
            `parameters`, `returns`, `exceptions` of an openEO description); they take the place of those read from hints.
        fingerprint: Returns, from the step's literal arguments by name, a JSON value that tells the state of whatever
            the process reads beside them (a collection's content, say); it becomes part of the step's key.
        fuse: Returns, from a step of this process and those it is computed together with, the latter with a chain of them
            replaced by one step of the same result, or None where there is no such chain.
    """

    id: str
    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    returns: ValueType
    summary: str = ""
    description: str = ""
    returns_description: str = ""
    version: str = "1"
    categories: tuple[str, ...] = ()
    durable: bool = True
    retry: Retry = field(default_factory=Retry)
    timeout: float | None = None
    contract: Mapping[str, Any] | None = None
    fingerprint: Callable[..., Any] | None = None
    fuse: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the function's result, or the recorded step when called inside a graph."""
        return record_call(self, args, kwargs)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the call's arguments by parameter name, without defaults.

        Raises:
            InvalidInput: Too many arguments, or one with an unknown name.
        """
        try:
            return dict(inspect.signature(self.function).bind_partial(*args, **kwargs).arguments)
        except TypeError as error:
            raise InvalidInput(f"Process '{self.id}': {error}.", process=self.id) from error

    def describe(self) -> dict[str, Any]:
        """Return the openEO process description; what a contract says takes the place of what hints say."""
        described: dict[str, Any] = {
            "id": self.id,
            "summary": self.summary,
            "description": self.description or self.summary or self.id,
            "categories": list(self.categories),
            "parameters": [parameter.describe() for parameter in self.parameters],
            "returns": {"description": self.returns_description, "schema": self.returns.schema()},
            "version": self.version,
        }
        return described if self.contract is None else described | self._contracted(self.contract)

    def _contracted(self, contract: Mapping[str, Any]) -> dict[str, Any]:
        texts = {parameter.name: parameter.description for parameter in self.parameters}
        promised: dict[str, Any] = {
            name: content for name, content in contract.items() if name not in ("parameters", "returns", "categories")
        }
        if "parameters" in contract:
            promised["parameters"] = [
                {"description": texts.get(item["name"], "")} | item for item in contract["parameters"]
            ]
        if "returns" in contract:
            promised["returns"] = {"description": self.returns_description} | contract["returns"]
        return promised


@overload
def process(function: Callable[..., Any], /) -> Process: ...


@overload
def process(**options: Any) -> Callable[[Callable[..., Any]], Process]: ...


def process(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Return the Process made of a typed Python function; used as a decorator, bare or with options.

    Args:
        function: The function; its hints become types and units, its Google-style docstring the description.
        **options: `id`, `version`, `categories`, `durable`, `retry`, `timeout`, `contract`, `fingerprint`, `fuse` of `Process`.

    Raises:
        InvalidInput: A parameter has no hint, or a hint that cannot travel between processes.

    >>> from gemel.core.graph import Field
    >>> @process
    ... def halve(flow: Field["m3 s-1"]) -> Field["m3 s-1"]:
    ...     '''Half the flow.'''
    ...     return flow / 2
    >>> halve.describe()["returns"]["schema"]["unit"], halve(3.0)
    ('m3 s-1', 1.5)
    """
    if function is None:
        return functools.partial(process, **options)
    doc = docstring_parser.parse(function.__doc__ or "")
    texts = {item.arg_name: item.description or "" for item in doc.params}
    hints = hints_of(function)
    name = options.pop("id", function.__name__)
    return Process(
        id=name,
        function=function,
        parameters=tuple(_parameters(function, hints, texts, name)),
        returns=type_of_hint(hints.get("return", Any)),
        summary=doc.short_description or "",
        description="\n\n".join(part for part in (doc.short_description, doc.long_description) if part),
        returns_description=(doc.returns.description or "") if doc.returns else "",
        **options,
    )


def _parameters(
    function: Callable[..., Any], hints: dict[str, Any], texts: dict[str, str], process_id: str
) -> list[Parameter]:
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise InvalidInput(f"Process '{process_id}' takes *{name}; every parameter needs a name of its own.")
        if name not in hints:
            hint = f"Write {name}: Field['mm d-1'], {name}: float, or another type."
            raise InvalidInput(f"Parameter '{name}' of process '{process_id}' has no type hint.", hint=hint)
        required = parameter.default is parameter.empty
        default = None if required else parameter.default
        found.append(Parameter(name, type_of_hint(hints[name]), texts.get(name, ""), required, default))
    return found
