"""What a function is: what it runs, when, in how many instances, and what it may use."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gemel.base.errors import InvalidInput, not_found

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = ("INPUT_FILE_PATH", "TMP_INPUT_DIR", "TMP_OUTPUT_DIR", "STORAGE_OBJECT_KEY", "JOB_UUID")
_LARGEST_SCRIPT = 1_000_000
_LEAST_MEMORY = 64_000_000  # a shell; a process takes several times as much before it computes anything
_DAY = 86_400.0
_BEGINS = ("new", "all")


@dataclass(frozen=True)
class FunctionSpec:
    """A function as it is deployed. It runs a process, a graph of a twin, or a script: one of the three.

    A process or graph takes its arguments from the input of a call, a JSON object; from an event (CloudEvents) it takes
    the members of its data, or the whole of it as `event`. A script runs in a box of its own with OSCAR's contract:
    `INPUT_FILE_PATH`, `TMP_OUTPUT_DIR`, `STORAGE_OBJECT_KEY`.

    Attributes:
        name: By which it is called: 1 to 100 letters, digits, `.`, `_`, `-`.
        process: Id of a process or graph, of the twin where one is named, else of the installed ones.
        graph: Name of a graph of the twin.
        twin: Where the process or graph comes from.
        script: Source code with a `#!` line, or of a POSIX shell.
        on: Stream of which every event is one call.
        begin: Where on the stream a new function begins: "new" (events after its deployment) or "all".
        arguments: Fixed arguments of the process or graph; a call cannot change them.
        concurrency: Most calls at a time, over all engines on the store.
        minimum: Instances that stay when nothing is to do; 0 scales to zero.
        idle: Seconds without a call until an instance goes.
        timeout: Seconds that one call may take.
        attempts: How often a call is tried before it is a dead letter.
        backoff: Seconds before the second attempt; each further wait is twice as long, an hour at most.
        memory: Bytes of data that an instance may hold (a process of the script, where it is one), or None for no limit.
        environment: Variables of its instances.
        queue: Most calls that wait; more are refused.
        keep: How many finished calls are remembered, and with them their causes.
        notes: Whatever a face wants to find again, as JSON.
    """

    name: str
    process: str | None = None
    graph: str | None = None
    twin: str | None = None
    script: str | None = None
    on: str | None = None
    begin: str = "new"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    concurrency: int = 1
    minimum: int = 0
    idle: float = 60.0
    timeout: float = 300.0
    attempts: int = 3
    backoff: float = 1.0
    memory: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    queue: int = 100_000
    keep: int = 10_000
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            InvalidInput: Something is wrong; the message says what.
        """
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidInput(
                f"{str(self.name)[:120]!r} is no name of a function.",
                hint="1 to 100 letters, digits, '.', '_' and '-', beginning with a letter or digit.",
            )
        _check_work(self)
        for name, check in _CHECKS.items():
            check(self, name)
        if self.minimum > self.concurrency:
            raise _wrong(self, "minimum", f"is more than its concurrency of {self.concurrency}")

    def document(self) -> dict[str, Any]:
        """Return the function as JSON, with everything that was not said left out.

        >>> FunctionSpec("sum", process="add", arguments={"y": 1}).document()
        {'name': 'sum', 'process': 'add', 'arguments': {'y': 1}}
        """
        said = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {name: value for name, value in said.items() if name == "name" or value != _DEFAULTS[name]}

    @classmethod
    def from_document(cls, document: Any) -> FunctionSpec:
        """Return the function that a JSON document describes.

        Raises:
            InvalidInput: It is no object, or has a member that is unknown or wrong.
        """
        if not isinstance(document, Mapping):
            raise InvalidInput("A function is described by an object.", hint='{"name": …, "process": …}')
        known = [item.name for item in dataclasses.fields(cls)]
        for name in document:
            if name not in known:
                error = not_found("member of a function's description", str(name), known)
                raise InvalidInput(error.message, hint=error.hint, member=str(name))
        return cls(**{"name": ""} | dict(document))

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after a failed attempt (1 for the first).

        >>> [FunctionSpec("f", process="add", backoff=2.0).delay(attempt) for attempt in (1, 2, 3, 60)]
        [2.0, 4.0, 8.0, 3600.0]
        """
        return min(self.backoff * 2.0 ** min(attempt - 1, 40), 3600.0)


def _wrong(spec: FunctionSpec, name: str, what: str) -> InvalidInput:
    return InvalidInput(f"'{name}' of function '{spec.name}' {what}.", member=name)


def _check_work(spec: FunctionSpec) -> None:
    for name in ("process", "graph", "twin", "script"):
        value = getattr(spec, name)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise _wrong(spec, name, "is no text")
    named = [name for name in ("process", "graph", "script") if getattr(spec, name) is not None]
    if len(named) != 1:
        told = "nothing" if not named else " and ".join(named)
        raise InvalidInput(
            f"Function '{spec.name}' runs {told}; it runs one process, graph or script.",
            hint="Name one of: process, graph, script.",
        )
    if spec.graph is not None and spec.twin is None:
        raise _wrong(spec, "graph", "belongs to a twin, and none is named")
    if spec.script is not None:
        _check_script(spec, spec.script)


def _check_script(spec: FunctionSpec, script: str) -> None:
    if spec.twin is not None or spec.arguments:
        raise _wrong(spec, "script", "takes neither a twin nor arguments; it has its environment and its input")
    if len(script.encode()) > _LARGEST_SCRIPT or "\0" in script:
        raise _wrong(spec, "script", f"is larger than {_LARGEST_SCRIPT:,} bytes or no text")


def _number(least: float, most: float, *, whole: bool = False, optional: bool = False) -> Callable[..., None]:
    def check(spec: FunctionSpec, name: str) -> None:
        value = getattr(spec, name)
        if optional and value is None:
            return
        kinds = int if whole else (int, float)
        right = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
        if not right or not least <= value <= most:
            told = "whole number" if whole else "number"
            raise _wrong(spec, name, f"is {value!r}, and not a {told} from {least:,g} to {most:,g}")

    return check


def _stream(spec: FunctionSpec, name: str) -> None:
    value = getattr(spec, name)
    if value is not None and (not isinstance(value, str) or not 0 < len(value) <= 290 or not value.isprintable()):
        raise _wrong(spec, name, "is no stream: a text of 1 to 290 printable characters")
    if value == f"functions/{spec.name}.dead":
        raise _wrong(spec, name, "is its own dead letters")


def _begin(spec: FunctionSpec, name: str) -> None:
    if spec.begin not in _BEGINS:
        raise _wrong(spec, name, "is neither 'new' nor 'all'")


def _json(spec: FunctionSpec, name: str) -> None:
    value = getattr(spec, name)
    try:
        fits = isinstance(value, Mapping) and json.loads(json.dumps(dict(value), allow_nan=False)) == dict(value)
    except (TypeError, ValueError, RecursionError):
        fits = False
    if not fits:
        raise _wrong(spec, name, "is no JSON object")


def _environment(spec: FunctionSpec, name: str) -> None:
    if not isinstance(spec.environment, Mapping):
        raise _wrong(spec, name, "is no object of names and texts")
    for key, value in spec.environment.items():
        if not isinstance(key, str) or not _VARIABLE.fullmatch(key) or key.startswith("GEMEL_") or key in _OURS:
            raise _wrong(spec, name, f"cannot set {key!r}")
        if not isinstance(value, str) or "\0" in value:
            raise _wrong(spec, name, f"has a {key} that is no text")


_CHECKS: Mapping[str, Callable[[FunctionSpec, str], None]] = {
    "on": _stream,
    "begin": _begin,
    "arguments": _json,
    "concurrency": _number(1, 64, whole=True),
    "minimum": _number(0, 64, whole=True),
    "idle": _number(0, _DAY),
    "timeout": _number(0.01, 7 * _DAY),
    "attempts": _number(1, 100, whole=True),
    "backoff": _number(0, 3600),
    "memory": _number(_LEAST_MEMORY, 2**62, whole=True, optional=True),
    "environment": _environment,
    "queue": _number(1, 10_000_000, whole=True),
    "keep": _number(1, 10_000_000, whole=True),
    "notes": _json,
}
_DEFAULTS: Mapping[str, Any] = {
    item.name: item.default_factory() if callable(item.default_factory) else item.default
    for item in dataclasses.fields(FunctionSpec)
}
