"""Whether a document fulfils a filter: true, false, or unknown (None) where a value is missing, as in SQL."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import shapely

from gemel.base.errors import InvalidInput
from gemel.infra.lake.catalogue._cql2 import COMPARISONS, Node
from gemel.infra.lake.catalogue._documents import Document, Span, seconds, shape

# Relations of intervals after Allen (1983), with the names and the closed ends of OGC 21-065r2, annex on temporal operators.
_RELATIONS: dict[str, Callable[[Span, Span], bool]] = {
    "t_after": lambda a, b: a.begin > b.ending,
    "t_before": lambda a, b: a.ending < b.begin,
    "t_contains": lambda a, b: a.begin < b.begin and a.ending > b.ending,
    "t_disjoint": lambda a, b: a.begin > b.ending or a.ending < b.begin,
    "t_during": lambda a, b: a.begin > b.begin and a.ending < b.ending,
    "t_equals": lambda a, b: a.begin == b.begin and a.ending == b.ending,
    "t_finishedby": lambda a, b: a.begin < b.begin and a.ending == b.ending,
    "t_finishes": lambda a, b: a.begin > b.begin and a.ending == b.ending,
    "t_intersects": lambda a, b: a.begin <= b.ending and a.ending >= b.begin,
    "t_meets": lambda a, b: a.ending == b.begin,
    "t_metby": lambda a, b: a.begin == b.ending,
    "t_overlappedby": lambda a, b: b.begin < a.begin < b.ending < a.ending,
    "t_overlaps": lambda a, b: a.begin < b.begin < a.ending < b.ending,
    "t_startedby": lambda a, b: a.begin == b.begin and a.ending > b.ending,
    "t_starts": lambda a, b: a.begin == b.begin and a.ending < b.ending,
}
_TOP = ("id", "collection", "geometry", "bbox", "type", "stac_version")


def holds(node: Node, item: Document) -> bool | None:
    """Return whether `item` fulfils the condition `node`; None where that cannot be known.

    >>> holds({"op": "<", "args": [{"property": "n"}, 3]}, {"properties": {"n": 2}})
    True
    """
    if isinstance(node, bool):
        return node
    op, arguments = node["op"], node["args"]
    if op in ("and", "or"):
        return _joined(op, [holds(item_, item) for item_ in arguments])
    if op == "not":
        found = holds(arguments[0], item)
        return None if found is None else not found
    if op == "isnull":
        return _value(arguments[0], item) is None
    if op.startswith("s_"):
        return _spatial(op, *(_geometry(argument, item) for argument in arguments))
    if op.startswith("t_"):
        first, second = (_span(argument, item) for argument in arguments)
        return None if first is None or second is None else _RELATIONS[op](first, second)
    return _scalar(op, arguments, item)


def readied(node: Node) -> Node:
    """Return a filter whose geometries are read once, for `holds` to be asked of many documents."""
    if not isinstance(node, Mapping) or "op" not in node:
        return node
    if node["op"].startswith("s_"):
        return {"op": node["op"], "args": [_prepared(item) for item in node["args"]]}
    return {"op": node["op"], "args": [readied(item) for item in node["args"]]}


def _prepared(node: Node) -> Node:
    if not isinstance(node, Mapping) or "property" in node:
        return node
    found = shape(node)
    shapely.prepare(found)
    return found


def path_of(name: str) -> list[str]:
    """Return the keys that lead to a property in an Item."""
    return name.split(".") if name.split(".")[0] in ("assets", *_TOP) else ["properties", *name.split(".")]


def reach(document: Any, path: list[str]) -> Any:
    """Return what lies at a path, or None."""
    for key in path:
        if not isinstance(document, Mapping):
            return None
        document = document.get(key)
    return document


def pattern_of(text: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    r"""Return a LIKE pattern as a regular expression: % any text, _ any character, \ takes the next one as it is."""
    parts, escaped = [], False
    for letter in re.sub(r"%+", "%", text):
        if letter == "\\" and not escaped:
            escaped = True
            continue
        plain = escaped or letter not in "%_"
        parts.append(re.escape(letter) if plain else ".*" if letter == "%" else ".")
        escaped = False
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _joined(op: str, found: list[bool | None]) -> bool | None:
    decisive = op == "or"
    if decisive in found:
        return decisive
    return None if None in found else not decisive


def _scalar(op: str, arguments: list[Node], item: Document) -> bool | None:
    left = _value(arguments[0], item)
    if op == "in":
        return _joined("or", [_compared("=", left, _value(other, item)) for other in arguments[1]])
    if op == "between":
        low, high = (_value(other, item) for other in arguments[1:])
        return _joined("and", [_compared(">=", left, low), _compared("<=", left, high)])
    right = _value(arguments[1], item)
    if op == "like":
        if not isinstance(left, str) or not isinstance(right, str):
            return None
        return pattern_of(right).fullmatch(left) is not None
    return _compared(op, left, right)


def _compared(op: str, left: Any, right: Any) -> bool | None:
    assert op in COMPARISONS
    if left is None or right is None:
        return None
    if isinstance(left, Span) or isinstance(right, Span):
        left, right = _as_span(left), _as_span(right)
        return None if left is None or right is None else COMPARISONS[op](left.begin, right.begin)
    # Values of different kinds are not comparable; a truth value is no number.
    kinds = [bool if isinstance(side, bool) else str if isinstance(side, str) else float for side in (left, right)]
    if kinds[0] is not kinds[1] or isinstance(left, (list, Mapping)) or isinstance(right, (list, Mapping)):
        return None
    return bool(COMPARISONS[op](left, right))


def _value(node: Node, item: Document) -> Any:
    if not isinstance(node, Mapping):
        return node
    if "property" in node:
        if node["property"] == "datetime":
            return _span(node, item)
        return reach(item, path_of(node["property"]))
    if node.get("op") == "casei":
        found = _value(node["args"][0], item)
        return found.casefold() if isinstance(found, str) else found
    return _literal(node)


def _literal(node: Mapping[str, Any]) -> Any:
    if "interval" in node:
        return None
    found = seconds(node.get("timestamp", node.get("date")))
    return Span(found, found)


def _as_span(value: Any) -> Span | None:
    if isinstance(value, Span):
        return value
    try:
        found = seconds(value)
    except InvalidInput:
        return None
    return Span(found, found)


def _span(node: Node, item: Document) -> Span | None:
    if not isinstance(node, Mapping):
        return _as_span(node)
    if "interval" in node:
        return _interval(node["interval"], item)
    if "property" not in node:
        found = _literal(node)
        return found if isinstance(found, Span) else None
    if node["property"] != "datetime":
        return _as_span(reach(item, path_of(node["property"])))
    properties = item.get("properties") or {}
    first, last = _as_span(properties.get("start_datetime")), _as_span(properties.get("end_datetime"))
    if first is not None and last is not None:
        return Span(first.begin, last.begin)
    return _as_span(properties.get("datetime"))


def _interval(ends: list[Any], item: Document) -> Span | None:
    found = []
    for end, open_value in zip(ends, (-math.inf, math.inf), strict=True):
        if end == "..":
            found.append(open_value)
            continue
        at = _span(end, item)
        if at is None:
            return None
        found.append(at.begin)
    return Span(found[0], found[1])


def _geometry(node: Node, item: Document) -> Any:
    if isinstance(node, shapely.Geometry):
        return node
    if isinstance(node, Mapping) and "property" in node:
        found = reach(item, path_of(node["property"]))
        return None if found is None else _shape(found)
    return None


def _shape(found: Any) -> Any:
    try:
        return shape(found, strict=False)
    except InvalidInput:
        return None


def _spatial(op: str, left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    try:
        return bool(getattr(shapely, op.removeprefix("s_"))(left, right))
    except shapely.errors.GEOSException:
        return None
