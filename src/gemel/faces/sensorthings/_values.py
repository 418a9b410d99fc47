"""What an OData expression is worth for one entity. Comparisons with null are false, except that null equals null."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from gemel.base.clock import utc_now
from gemel.faces.sensorthings._entities import LINKS, PROPERTIES, Entity
from gemel.faces.sensorthings._filter import Call, Literal, Node, Path
from gemel.faces.sensorthings._world import World


def worth(node: Node, entity: Entity, world: World) -> Any:
    """Return the value of an expression; None where it has none, such as a number divided by zero."""
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, Path):
        return _property(node.names, entity, world)
    if node.name in ("and", "or"):
        # The second is not looked at when the first decides.
        left = worth(node.arguments[0], entity, world) is True
        decided = left is (node.name == "or")
        return left if decided else worth(node.arguments[1], entity, world) is True
    values = [worth(item, entity, world) for item in node.arguments]
    if node.name in _COMPARISONS:
        return _COMPARISONS[node.name](*values)
    if node.name == "not":
        return values[0] is not True
    return None if any(value is None for value in values) else _computed(node, values)


def order(value: Any) -> tuple[int, Any]:
    """Return what a value is ordered by among values of any kind: null first (OData 4.0 Protocol, section 11.2.5.2).

    >>> sorted([3, None, "a", 2.5, True], key=order)
    [None, True, 2.5, 3, 'a']
    """
    kinds: tuple[tuple[type | tuple[type, ...], int], ...] = ((bool, 1), ((int, float), 2), (str, 3), (datetime, 4))
    if value is None:
        return (0, 0)
    for kind, rank in kinds:
        if isinstance(value, kind):
            return (rank, value)
    return (5, json.dumps(value, sort_keys=True, default=str))


def _property(names: tuple[str, ...], entity: Entity, world: World) -> Any:
    name, rest = names[0], names[1:]
    if name in ("id", "@iot.id"):
        return entity.id
    if name in PROPERTIES[entity.kind]:
        value = entity.properties.get(name)
        for part in rest:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value
    assert name in LINKS[entity.kind]
    found = world.related(entity, name)
    return _property(rest, found, world) if isinstance(found, Entity) else None


def _equal(left: Any, right: Any) -> bool:
    return order(left) == order(right)


def _less(left: Any, right: Any) -> bool:
    one, other = order(left), order(right)
    return one[0] == other[0] and 0 < one[0] < 5 and bool(one[1] < other[1])


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": _equal,
    "ne": lambda left, right: not _equal(left, right),
    "lt": _less,
    "gt": lambda left, right: _less(right, left),
    "le": lambda left, right: _less(left, right) or (left is not None and _equal(left, right)),
    "ge": lambda left, right: _less(right, left) or (left is not None and _equal(left, right)),
}


def _computed(node: Call, values: list[Any]) -> Any:
    kinds, function = _FUNCTIONS[node.name]
    fitting = all(_is(kind, value) for kind, value in zip(kinds, values, strict=False))
    if not fitting:
        return None
    try:
        found = function(*values)
    except (ArithmeticError, ValueError):
        return None
    return None if isinstance(found, float) and not math.isfinite(found) else found


def _is(kind: str, value: Any) -> bool:
    if kind == "n":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str if kind == "s" else datetime)


def _round(value: float) -> int:
    # Halves go away from zero (OData 4.0 URL Conventions, section 5.1.1.5.9), not to the even number.
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def _substring(text: str, start: int, length: int | None = None) -> str:
    begin = max(int(start), 0)
    return text[begin:] if length is None else text[begin : begin + max(int(length), 0)]


def _since_midnight(instant: datetime) -> float:
    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    return (instant - midnight) / timedelta(seconds=1)


# By name: kinds of the arguments (number, string, time), and what is done with them.
_FUNCTIONS: Mapping[str, tuple[str, Callable[..., Any]]] = {
    "neg": ("n", lambda value: -value),
    "add": ("nn", lambda left, right: left + right),
    "sub": ("nn", lambda left, right: left - right),
    "mul": ("nn", lambda left, right: left * right),
    "div": ("nn", lambda left, right: left / right),
    "mod": ("nn", math.fmod),
    "round": ("n", _round),
    "floor": ("n", math.floor),
    "ceiling": ("n", math.ceil),
    "substringof": ("ss", lambda part, text: part in text),
    "startswith": ("ss", str.startswith),
    "endswith": ("ss", str.endswith),
    "length": ("s", len),
    "indexof": ("ss", str.find),
    "substring": ("snn", _substring),
    "tolower": ("s", str.lower),
    "toupper": ("s", str.upper),
    "trim": ("s", str.strip),
    "concat": ("ss", lambda left, right: left + right),
    "year": ("t", lambda instant: instant.year),
    "month": ("t", lambda instant: instant.month),
    "day": ("t", lambda instant: instant.day),
    "hour": ("t", lambda instant: instant.hour),
    "minute": ("t", lambda instant: instant.minute),
    "second": ("t", lambda instant: instant.second),
    "fractionalseconds": ("t", lambda instant: instant.microsecond / 1e6),
    "date": ("t", lambda instant: instant.replace(hour=0, minute=0, second=0, microsecond=0)),
    "time": ("t", _since_midnight),
    "totaloffsetminutes": ("t", lambda instant: 0),
    "now": ("", utc_now),
    "mindatetime": ("", lambda: datetime.min.replace(tzinfo=UTC)),
    "maxdatetime": ("", lambda: datetime.max.replace(tzinfo=UTC)),
}
