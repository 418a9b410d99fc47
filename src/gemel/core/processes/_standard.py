"""The decorator of the library: a process with the contract that the openEO specification gives it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any, overload

from gemel.base.errors import not_found
from gemel.core.cubes import Reach, works_on
from gemel.core.graph import Parameter, Process, process
from gemel.core.processes._exceptions import MESSAGES


@overload
def standard(function: Callable[..., Any], /) -> Process: ...


@overload
def standard(*, on: Reach | None = None, wider: Sequence[str] = (), **options: Any) -> Callable[[Any], Process]: ...


def standard(function: Any = None, /, *, on: Any = None, wider: Sequence[str] = (), **options: Any) -> Any:
    """Return the process that the specification calls by `id` (default the function's name), made of a function.

    Schemas, categories, flags and names of exceptions come from the contract; the words from the docstring. What the
    contract refuses as an argument is refused before anything runs.

    Args:
        function: The function; its parameters are those of the specification, in its order.
        on: What it works on beside plain values (see `gemel.core.cubes.works_on`).
        wider: Parameters that take more than their schema says, as the specification's text or tests want it (NaN for
            what lies outside of a domain, say); the schema is served, and the hint decides.
        **options: `id`, `durable` (default false) and the other options of `gemel.core.graph.process`.

    Raises:
        NotFound: The specification knows no such process.

    >>> @standard(id="absolute")
    ... def absolute(x: float | None) -> float | None:
    ...     '''Absolute value.'''
    ...     return None if x is None else abs(x)
    >>> absolute.describe()["parameters"][0]["schema"]
    {'type': ['number', 'null']}
    """
    if function is None:
        return functools.partial(standard, on=on, wider=wider, **options)
    marked = function if on is None else works_on(on)(function)
    return contracted(process(**({"durable": False} | options))(marked), wider)


def contracted(bare: Process, wider: Sequence[str] = ()) -> Process:
    """Return a process with the contract of its id; parameters in `wider` are checked by their hints alone.

    Raises:
        NotFound: The specification knows no such process.
    """
    known = contracts()
    if bare.id not in known:
        raise not_found("process of the specification", bare.id, known)
    contract = known[bare.id]
    schemas = {item["name"]: _accepted(item) for item in contract["parameters"] if item["name"] not in wider}
    parameters = tuple(_contracted(parameter, schemas) for parameter in bare.parameters)
    served = {name: content for name, content in contract.items() if name != "exceptions"}
    if "exceptions" in contract:
        served["exceptions"] = {name: {"message": MESSAGES[name]} for name in contract["exceptions"]}
    return replace(bare, parameters=parameters, categories=tuple(contract["categories"]), contract=served)


@functools.cache
def contracts() -> Mapping[str, Any]:
    """Return the contracts of all processes of the specification by id, read once (see `docs/make_contract.py`)."""
    text = resources.files("gemel.core.processes").joinpath("_contract.json").read_text(encoding="utf-8")
    return json.loads(text)


def _accepted(parameter: Mapping[str, Any]) -> Any:
    schema = parameter["schema"]
    if not parameter.get("optional") or parameter.get("default") is not None:
        return schema
    # Who writes down the default says no more than who leaves it out.
    return [*(schema if isinstance(schema, list) else [schema]), {"type": "null"}]


def _contracted(parameter: Parameter, schemas: Mapping[str, Any]) -> Parameter:
    if parameter.name not in schemas:
        return parameter
    return replace(parameter, type=replace(parameter.type, contract=schemas[parameter.name]))
