"""What a twin can be asked to do: a what-if, a run, a call of a trigger that is there to be called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from gemel.base.errors import InvalidInput, not_found
from gemel.core.engine import Service
from gemel.core.twin import Twin
from gemel.faces.wot._asked import Asked, answered
from gemel.faces.wot._properties import parameter_schema

Document = dict[str, Any]
_WAIT_SECONDS = 30.0
_CALL = "call."


@dataclass(frozen=True)
class Action:
    """Something that a twin does when asked.

    Attributes:
        about: Title, description, `input` and `output` (TD 1.1, section 5.3.1.4).
        invoke: Does it, and returns the answer.
    """

    about: Document
    invoke: Callable[[Asked], Response]


def actions_of(service: Service, twin: Twin) -> dict[str, Action]:
    """Return the actions of a twin by name; triggers are called `call.NAME`."""
    found = {"whatif": _whatif(twin), "run": _run(twin)} if twin.graphs else {}
    called = [item.spec.title for item in service.engine.triggers.all(twin.id) if item.spec.call]
    return found | {f"{_CALL}{name}": _call(twin, name) for name in called}


def action_of(service: Service, twin: Twin, name: str) -> Action:
    """Return one action; raise `NotFound` when the twin has none of that name."""
    known = actions_of(service, twin)
    if name not in known:
        raise not_found(f"action of twin '{twin.id}'", name, known)
    return known[name]


def _whatif(twin: Twin) -> Action:
    graph = twin.graph("whatif" if "whatif" in twin.graphs else None)
    used = {item.name for item in graph.parameters}
    schemas = {name: parameter_schema(spec) for name, spec in twin.manifest.parameters.items() if name in used}
    about = {
        "title": "What if",
        "description": f"Runs '{graph.id}' with other values; after {_WAIT_SECONDS:g} s a run that still goes on is told.",
        "safe": True,
        "idempotent": True,
        "synchronous": True,
        "input": {"type": "object", "properties": schemas, "additionalProperties": False},
        "output": _RUN,
    }

    def invoke(asked: Asked) -> Response:
        run = asked.service.whatif(twin.id, asked.input(), _WAIT_SECONDS)
        return answered(_linked(asked, {name: value for name, value in run.items() if name != "views"}))

    return Action(about, invoke)


def _run(twin: Twin) -> Action:
    properties = {
        "graph": {"type": "string", "enum": list(twin.graphs), "default": twin.main},
        "parameters": {"type": "object", "default": {}},
    }
    about = {
        "title": "Run",
        "description": "Begins a run of one of the twin's graphs; `href` of the answer tells how it goes.",
        "safe": False,
        "idempotent": False,
        "synchronous": False,
        "input": {"type": "object", "properties": properties, "additionalProperties": False},
        "output": _RUN,
    }

    def invoke(asked: Asked) -> Response:
        given = _only(asked.input(), "graph", "parameters")
        run = _linked(asked, asked.service.start(twin.id, given.get("graph"), _table(given, "parameters")))
        return answered(run, status=201, Location=run["href"])

    return Action(about, invoke)


def _call(twin: Twin, name: str) -> Action:
    key = {"type": "string", "description": "The same key gives the same cause, and one run."}
    about = {
        "title": f"Call {name}",
        "description": f"Gives trigger '{name}' a cause; exactly one run comes of it.",
        "safe": False,
        "idempotent": False,
        "synchronous": False,
        "input": {"type": "object", "properties": {"parameters": {"type": "object"}, "key": key}},
        "output": _CAUSE,
    }

    def invoke(asked: Asked) -> Response:
        given = _only(asked.input(), "parameters", "key")
        key = given.get("key")
        if key is not None and not isinstance(key, str):
            raise InvalidInput("The key is no text.")
        return answered(asked.service.triggers.call(twin.id, name, _table(given, "parameters"), key), status=202)

    return Action(about, invoke)


def _only(given: Document, *known: str) -> Document:
    unknown = sorted(given.keys() - set(known))
    if unknown:
        raise InvalidInput(f"The input has unknown members: {', '.join(unknown)}.", hint=f"Known: {', '.join(known)}.")
    return given


def _table(given: Document, name: str) -> Document:
    found = given.get(name) or {}
    if not isinstance(found, dict):
        raise InvalidInput(f"'{name}' is no object.", hint=f'"{name}": {{"name": value}}')
    return found


def _linked(asked: Asked, run: Document) -> Document:
    outputs = [output | {"href": asked.root + output["href"]} for output in run["outputs"]]
    return run | {"href": f"{asked.root}/api/v1/runs/{run['id']}", "outputs": outputs}


_TEXT = {"type": "string"}
_RUN: Document = {
    "type": "object",
    "description": "A run: its outputs have addresses.",
    "properties": {
        "id": _TEXT,
        "graph": _TEXT,
        "state": {"type": "string", "enum": ["queued", "running", "finished", "failed", "cancelled"]},
        "href": {"type": "string", "format": "uri"},
        "outputs": {"type": "array", "items": {"type": "object", "properties": {"name": _TEXT, "href": _TEXT}}},
    },
    "required": ["id", "state", "href", "outputs"],
}
_CAUSE: Document = {
    "type": "object",
    "description": "A cause: `run` is the run that came of it, when it has begun.",
    "properties": {"id": _TEXT, "state": _TEXT, "run": {"oneOf": [_TEXT, {"type": "null"}]}},
    "required": ["id", "state"],
}
