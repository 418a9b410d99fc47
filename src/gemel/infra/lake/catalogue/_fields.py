"""A part of an Item: the members that are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gemel.infra.lake.catalogue._documents import Document
from gemel.infra.lake.catalogue._evaluate import path_of, reach

# Without these it could not be told what the rest belongs to.
_ALWAYS = ("type", "stac_version", "id", "collection")


def chosen(item: Document, include: Iterable[str], exclude: Iterable[str]) -> dict[str, Any]:
    """Return an Item with the members in `include` (all when empty) and without those in `exclude`.

    What is both included and excluded is there; what is excluded within something included is not.

    >>> item = {"type": "Feature", "id": "a", "properties": {"x": 1, "y": 2}, "bbox": []}
    >>> chosen(item, ["properties.x"], [])
    {'type': 'Feature', 'id': 'a', 'properties': {'x': 1}}
    """
    wanted, unwanted = [_path(name) for name in include], [_path(name) for name in exclude]
    found: dict[str, Any] = _copied(item)
    for path in unwanted:
        _drop(found, path)
    if wanted:
        kept = {name: found[name] for name in _ALWAYS if name in found}
        for path in wanted:
            value = reach(found, path)
            _put(kept, path, reach(item, path) if value is None else value)
        return kept
    return found


def _path(name: str) -> list[str]:
    members = ("properties", "links", "stac_extensions")
    return name.split(".") if name.split(".")[0] in members else path_of(name)


def _copied(value: Any) -> Any:
    return {key: _copied(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _drop(document: dict[str, Any], path: list[str]) -> None:
    for key in path[:-1]:
        if not isinstance(document.get(key), dict):
            return
        document = document[key]
    document.pop(path[-1], None)


def _put(document: dict[str, Any], path: list[str], value: Any) -> None:
    if value is None:
        return
    for key in path[:-1]:
        document = document.setdefault(key, {})
    document[path[-1]] = value
