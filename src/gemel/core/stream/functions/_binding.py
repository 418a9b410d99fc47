"""From the bytes of a call to the arguments of a process, and from its value to bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gemel.base.errors import InvalidInput, not_found
from gemel.core.graph import Parameter, encode

EVENT, INPUT = "event", "input"


@dataclass(frozen=True)
class Runnable:
    """What a function runs, found and ready to travel into an instance.

    Attributes:
        parameters: What it takes.
        make: Returns what to call with arguments by name; called once in each instance, so it must be importable there.
    """

    parameters: tuple[Parameter, ...]
    make: Callable[[], Callable[..., Any]]


def require_known(fixed: Collection[str], parameters: Collection[Parameter]) -> None:
    """Return nothing when each fixed argument has a parameter.

    Raises:
        InvalidInput: One has none.
    """
    known = [parameter.name for parameter in parameters]
    for name in fixed:
        if name not in known:
            error = not_found("parameter", name, known)
            raise InvalidInput(error.message, hint=error.hint, parameter=name)


def arguments_of(data: bytes, fixed: Mapping[str, Any], parameters: Collection[Parameter]) -> dict[str, Any]:
    """Return the arguments of a call, by name; what has a default and was not given is left out.

    Args:
        data: Its input: nothing, a JSON object of arguments, a CloudEvents document, or anything at all where there is a
            parameter `input`, which gets JSON as it is and everything else as text.
        fixed: Arguments that are set already.
        parameters: Those of the process.

    Raises:
        InvalidInput: It cannot be read, an argument is unknown, set already, or missing.
    """
    names = {parameter.name for parameter in parameters}
    value = _value(data, text=INPUT in names)
    given = _given(value, names - set(fixed))
    for name in given:
        if name in fixed:
            raise InvalidInput(f"The argument '{name}' is fixed by the function.", argument=name)
    require_known(given, parameters)
    found = dict(fixed) | given
    missing = [item.name for item in parameters if item.required and item.name not in found]
    if missing:
        raise InvalidInput(f"The input has no {', '.join(map(repr, missing))}.", hint='Send {"name": value, …}.')
    return found


def _given(value: Any, open_names: Collection[str]) -> dict[str, Any]:
    if is_event(value):
        # An event says more than any one function wants to know.
        told = value.get("data") if isinstance(value.get("data"), Mapping) else {}
        said = {name: item for name, item in told.items() if name in open_names}
        whole = {name: value for name in (EVENT, INPUT) if name in open_names}
        return said | whole
    if INPUT in open_names and not (isinstance(value, Mapping) and INPUT in value):
        return {INPUT: value}
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput("The input is no JSON object of arguments.", hint='Send {"name": value, …}.')
    return {str(name): item for name, item in value.items()}


def is_event(value: Any) -> bool:
    """Return whether a JSON value is a CloudEvents document.

    >>> is_event({"specversion": "1.0", "id": "1", "type": "t", "source": "s"}), is_event({"id": "1"})
    (True, False)
    """
    return isinstance(value, Mapping) and all(name in value for name in ("specversion", "id", "type", "source"))


def _value(data: bytes, *, text: bool) -> Any:
    if not data.strip():
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        if text:
            return data.decode(errors="replace")
        raise InvalidInput(f"The input is not JSON: {error}.", hint='Send {"name": value, …}.') from error


def output_of(value: Any) -> bytes:
    """Return the value as bytes: bytes as they are, fields and tables as NetCDF, everything else as JSON.

    Raises:
        InvalidInput: It cannot be written.
    """
    return bytes(value) if isinstance(value, (bytes, bytearray)) else encode(value).data
