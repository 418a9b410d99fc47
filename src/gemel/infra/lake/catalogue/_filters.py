"""Filters as SQL: what a database can decide alone, and a box for what it can only narrow down."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects.postgresql import JSONB

from gemel.base.errors import InvalidInput
from gemel.infra.lake.catalogue._cql2 import COMPARISONS, Node
from gemel.infra.lake.catalogue._documents import is_number, seconds, shape
from gemel.infra.lake.catalogue._evaluate import path_of
from gemel.infra.lake.catalogue._tables import ITEMS

# What SQLAlchemy makes of operators on expressions has no narrower type.
Condition = Any

_UNKNOWN: Any = sql.literal_column("NULL")
_MIRROR = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
# How the two databases call the JSON types that a Python value can be compared with.
_TYPES: dict[str, dict[type, tuple[str, ...]]] = {
    "sqlite": {bool: ("true", "false"), float: ("integer", "real"), str: ("text",)},
    "postgresql": {bool: ("boolean",), float: ("number",), str: ("string",)},
}
_WITHIN = ("s_intersects", "s_equals", "s_touches", "s_within", "s_overlaps", "s_crosses", "s_contains")


def conjuncts(node: Node) -> list[Node]:
    """Return the conditions of which all must hold."""
    if isinstance(node, Mapping) and node["op"] == "and":
        return [part for item in node["args"] for part in conjuncts(item)]
    return [node]


def bounds_of(node: Node) -> Any:
    """Return a box that the place of whatever fulfils the condition touches, or None where there is none to tell."""
    if not isinstance(node, Mapping) or node["op"] not in _WITHIN:
        return None
    properties = [item for item in node["args"] if isinstance(item, Mapping) and item.get("property") == "geometry"]
    places = [item for item in node["args"] if isinstance(item, Mapping) and "type" in item]
    return shape(places[0]).bounds if properties and places else None


class Translator:
    """Writes conditions for one database.

    Args:
        dialect: `sqlite` or `postgresql`.
    """

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect

    def condition(self, node: Node) -> Condition | None:
        """Return the condition in SQL, with its three values of truth, or None where SQL cannot decide it."""
        if isinstance(node, bool):
            return sql.true() if node else sql.false()
        op, arguments = node["op"], node["args"]
        if op in ("and", "or"):
            parts = [self.condition(item) for item in arguments]
            known = [part for part in parts if part is not None]
            if len(known) < len(parts):
                return None
            return sql.and_(*known) if op == "and" else sql.or_(*known)
        if op == "not":
            inner = self.condition(arguments[0])
            return None if inner is None else sql.not_(inner)
        return self._simple(op, arguments)

    def key(self, name: str) -> Any:
        """Return the expression that items are sorted by for a property."""
        if name in ("id", "collection"):
            return self._column(name)
        if name == "datetime":
            return ITEMS.c.begin
        if self.dialect == "sqlite":
            return sql.func.json_extract(ITEMS.c.document, _sqlite_path(name))
        # JSON's null sorts as a missing value does.
        return sql.func.nullif(self._node(name), sql.cast(sql.literal("null"), JSONB))

    def key_value(self, name: str, value: Any) -> Any:
        """Return a value of a token as `key` compares with it.

        Raises:
            InvalidInput: It is of a kind that this property never has.
        """
        fixed: Any = {"id": str, "collection": str, "datetime": (int, float)}.get(name)
        if fixed is not None or self.dialect == "sqlite":
            plain = isinstance(value, (str, bool)) or is_number(value)
            if (
                not plain
                or not isinstance(value, fixed or (str, int, float))
                or (type(value) is int and abs(value) >= 2**63)
            ):
                raise InvalidInput("The token belongs to another search.", hint="Follow the links as they are.")
            return sql.literal(value)
        return sql.cast(sql.literal(json.dumps(value)), JSONB)

    def _simple(self, op: str, arguments: list[Node]) -> Condition | None:
        name = _name(arguments[0])
        if op == "isnull":
            return None if name is None else self._missing(name)
        if op in COMPARISONS:
            if name is None and _name(arguments[1]) is not None:
                return self._simple(_MIRROR[op], [arguments[1], arguments[0]])
            return None if name is None else self._compared(op, name, arguments[1])
        if name is None:
            return None
        if op == "between":
            parts = [self._compared(">=", name, arguments[1]), self._compared("<=", name, arguments[2])]
        elif op == "in":
            parts = [self._compared("=", name, item) for item in arguments[1]]
        elif op == "like" and isinstance(arguments[1], str):
            return self._like(name, arguments[1])
        else:
            return None
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        return sql.or_(sql.false(), *known) if op == "in" else sql.and_(*known)

    def _compared(self, op: str, name: str, value: Any) -> Condition | None:
        if name == "datetime":
            return self._at(op, value)
        if not isinstance(value, (str, int, float)):
            return None
        kind = bool if isinstance(value, bool) else str if isinstance(value, str) else float
        if name in ("id", "collection"):
            return COMPARISONS[op](self._column(name), value) if kind is str else _UNKNOWN
        right = float(value) if kind is float else value
        if kind is bool and self.dialect == "sqlite":
            right = int(value)
        return self._guarded(name, kind, lambda left: COMPARISONS[op](left, sql.literal(right)))

    def _at(self, op: str, value: Any) -> Condition | None:
        moment = value.get("timestamp", value.get("date")) if isinstance(value, Mapping) else value
        if not isinstance(moment, str):
            return None
        try:
            return COMPARISONS[op](ITEMS.c.begin, seconds(moment))
        except InvalidInput:
            return _UNKNOWN

    def _like(self, name: str, pattern: str) -> Condition | None:
        if name == "datetime":
            return None
        plain = _glob(pattern) if self.dialect == "sqlite" else re.sub(r"%+", "%", pattern)

        def matched(left: Any) -> Any:
            return left.op("GLOB")(plain) if self.dialect == "sqlite" else left.like(plain)

        if pattern.endswith("\\"):
            return None
        return matched(self._column(name)) if name in ("id", "collection") else self._guarded(name, str, matched)

    def _missing(self, name: str) -> Condition:
        if name in ("id", "collection", "datetime"):
            return sql.false()
        if self.dialect == "sqlite":
            kind = sql.func.json_type(ITEMS.c.document, _sqlite_path(name))
        else:
            kind = sql.func.jsonb_typeof(self._node(name))
        return sql.func.coalesce(kind, "null") == "null"

    def _guarded(self, name: str, kind: type, test: Callable[[Any], Any]) -> Condition:
        """Return a test that is unknown for values of another kind: the databases would rank kinds, each in its way."""
        kinds = _TYPES[self.dialect][kind]
        if self.dialect == "sqlite":
            path = _sqlite_path(name)
            found = sql.func.json_type(ITEMS.c.document, path)
            return sql.case((found.in_(kinds), test(sql.func.json_extract(ITEMS.c.document, path))))
        node = self._node(name)
        text = node.op("#>>", return_type=sql.Text())(sql.text("'{}'"))
        left = text.collate("C") if kind is str else sql.cast(text, sql.Double if kind is float else sql.Boolean)
        return sql.case((sql.func.jsonb_typeof(node).in_(kinds), test(left)))

    def _node(self, name: str) -> Any:
        path = sql.cast(sql.literal(path_of(name)), sql.ARRAY(sql.Text))
        return sql.cast(ITEMS.c.document, JSONB).op("#>", return_type=JSONB)(path)

    def _column(self, name: str) -> Any:
        column = ITEMS.c[name]
        return column if self.dialect == "sqlite" else column.collate("C")


def _name(node: Node) -> str | None:
    return node["property"] if isinstance(node, Mapping) and "property" in node else None


def _sqlite_path(name: str) -> str:
    return "$" + "".join(f'."{key}"' for key in path_of(name))


def _glob(pattern: str) -> str:
    r"""Return a LIKE pattern as a GLOB one, which heeds case.

    >>> _glob("S2\\_%*")
    'S2_*[*]'
    """
    parts, escaped = [], False
    for letter in re.sub(r"%+", "%", pattern):
        if letter == "\\" and not escaped:
            escaped = True
            continue
        wild = {"%": "*", "_": "?"}.get(letter)
        parts.append(wild if wild and not escaped else f"[{letter}]" if letter in "*?[" else letter)
        escaped = False
    return "".join(parts)
