"""Resource paths (OGC 18-088, section 9.2): from a set to an entity, to what it is related to, to a property, to its value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemel.base.errors import InvalidInput, NotFound
from gemel.faces.sensorthings._entities import LINKS, PROPERTIES, Collection, Entity
from gemel.faces.sensorthings._world import World

_SEGMENT = re.compile(r"/?(?P<name>[$\w@.%-]+)(?:\((?P<id>'(?:[^']|'')*'|[^()'/]*)\))?(?=/|$)")
_MOST_SEGMENTS = 20


@dataclass(frozen=True)
class Found:
    """What a path leads to.

    Attributes:
        thing: A set, an entity, or a value.
        name: Of the property, when it is a value.
        form: "" for JSON, `$value` for the bare value, `$ref` for links.
    """

    thing: Collection | Entity | Any
    name: str | None = None
    form: str = ""


def find(path: str, world: World) -> Found:
    """Return what a path below the root leads to.

    Raises:
        NotFound: Nothing.
        InvalidInput: It cannot be read.
    """
    segments = _segments(path)
    form = segments.pop()[0] if segments[-1][0] in ("$value", "$ref") else ""
    if not segments or segments[0][0] not in PROPERTIES:
        raise NotFound(f"There is nothing at '{path[:200]}'.", hint="The root lists the sets.")
    name, id = segments[0]
    here: Any = world.all(name) if id is None else world.get(name, id)
    for place, (name, id) in enumerate(segments[1:], 1):
        if isinstance(here, Entity) and name in LINKS[here.kind]:
            here = _followed(here, name, id, world)
        else:
            return Found(_value(here, segments[place:], path), segments[-1][0], _fitting(form, "$value", path))
    return Found(here, None, _fitting(form, "$ref", path))


def _followed(entity: Entity, name: str, id: str | None, world: World) -> Any:
    found = world.related(entity, name)
    if id is None:
        return found
    if isinstance(found, Entity):
        raise InvalidInput(f"'{name}' leads to one entity: it takes no id.")
    return found.get(id)


def _value(here: Any, names: list[tuple[str, str | None]], path: str) -> Any:
    first = names[0][0]
    if not isinstance(here, Entity) or first not in PROPERTIES[here.kind] or any(id is not None for _, id in names):
        raise NotFound(f"There is nothing at '{path[:200]}'.")
    value = here.properties.get(first)
    for name, _ in names[1:]:
        if not isinstance(value, Mapping) or name not in value:
            raise NotFound(f"There is nothing at '{path[:200]}'.")
        value = value[name]
    return value


def _fitting(form: str, wanted: str, path: str) -> str:
    if form not in ("", wanted):
        raise InvalidInput(f"'{path[:200]}' has no {form}.")
    return form


def _segments(path: str) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    at, text = 0, path.strip("/")
    while at < len(text):
        match = _SEGMENT.match(text, at)
        if match is None or len(found) >= _MOST_SEGMENTS:
            raise NotFound(f"There is nothing at '{path[:200]}'.")
        id = match["id"]
        found.append((match["name"], None if id is None else _plain(id)))
        at = match.end()
    return found or [("", None)]


def _plain(id: str) -> str:
    return id[1:-1].replace("''", "'") if id.startswith("'") else id
