"""CQL2 in both spellings (OGC 21-065r2) as one tree: the JSON spelling, checked."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from gemel.base.errors import InvalidInput
from gemel.infra.lake.catalogue._documents import box, is_number, seconds, shape

Node = Any

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
SPATIAL = tuple(
    f"s_{name}" for name in ("intersects", "equals", "disjoint", "touches", "within", "overlaps", "crosses", "contains")
)
TEMPORAL = tuple(
    f"t_{name}"
    for name in (
        *("after", "before", "contains", "disjoint", "during", "equals", "finishedby", "finishes", "intersects"),
        *("meets", "metby", "overlappedby", "overlaps", "startedby", "starts"),
    )
)
_TWO = {*COMPARISONS, *SPATIAL, *TEMPORAL, "like", "in"}
_MANY, _ONE = {"and", "or"}, {"not", "isnull", "casei"}
_DEEPEST = 60
_MOST = 2000
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|(?P<text>'(?:[^']|'')*')
    |"(?P<quoted>[^"]+)"|(?P<name>[^\W\d][\w.:\-]*)|(?P<sign><=|>=|<>|[=<>(),+\-]))""",
    re.VERBOSE,
)
_SHAPES = ("POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON", "GEOMETRYCOLLECTION")
_WORDS = {"AND", "OR", "NOT", "LIKE", "BETWEEN", "IN", "IS", "NULL", "TRUE", "FALSE"}


def parse_text(text: str) -> Node:
    """Return the tree of a filter in CQL2 Text.

    Raises:
        InvalidInput: It is malformed; the message tells where.

    >>> parse_text("cloud < 10 AND NOT name LIKE 'S2%'")["args"][1]
    {'op': 'not', 'args': [{'op': 'like', 'args': [{'property': 'name'}, 'S2%']}]}
    """
    return checked(_Parser(text).whole())


def checked(node: Node) -> Node:
    """Return the tree of a filter in CQL2 JSON, operators in small letters, after looking that it can be evaluated.

    Raises:
        InvalidInput: It is malformed or uses what is not supported.
    """
    budget = [_MOST]
    found = _condition(node, 0, budget)
    if budget[0] < 0:
        raise InvalidInput(f"The filter has more than {_MOST} parts.")
    return found


def _condition(node: Node, depth: int, budget: list[int]) -> Node:
    if depth > _DEEPEST:
        raise InvalidInput(f"The filter is nested more than {_DEEPEST} deep.")
    budget[0] -= 1
    if isinstance(node, bool):
        return node
    if not isinstance(node, Mapping) or not isinstance(node.get("op"), str):
        raise InvalidInput(f"The filter has {_shown(node)} where a condition is wanted.", hint='{"op": …, "args": […]}')
    op, arguments = node["op"].lower(), node.get("args")
    if not isinstance(arguments, list):
        raise InvalidInput(f"The operator '{op}' has no list of args.")
    if op == "between" and len(arguments) == 2 and isinstance(arguments[1], list):
        arguments = [arguments[0], *arguments[1]]  # as drafts of the standard had it
    _count(op, arguments)
    if op in _MANY or op == "not":
        return {"op": op, "args": [_condition(item, depth + 1, budget) for item in arguments]}
    return {"op": op, "args": _operands(op, arguments, depth, budget)}


def _count(op: str, arguments: list[Any]) -> None:
    wanted = 2 if op in _TWO else 1 if op in _ONE - {"casei"} else 3 if op == "between" else None
    if op in _MANY:
        if not arguments:
            raise InvalidInput(f"The operator '{op}' has no arguments.")
    elif wanted is None:
        raise InvalidInput(f"The filter's operator '{op}' is not supported.")
    elif len(arguments) != wanted:
        raise InvalidInput(f"The operator '{op}' takes {wanted} arguments, not {len(arguments)}.")


def _operands(op: str, arguments: list[Any], depth: int, budget: list[int]) -> list[Any]:
    if op == "in":
        if not isinstance(arguments[1], list):
            raise InvalidInput("The operator 'in' takes a list of values.")
        budget[0] -= len(arguments[1])
        return [_operand(arguments[0], depth, op), [_operand(item, depth, op) for item in arguments[1]]]
    if op == "like" and not isinstance(_bare(arguments[1]), str):
        raise InvalidInput("The operator 'like' takes a pattern as a text.")
    budget[0] -= len(arguments)
    return [_operand(item, depth, op) for item in arguments]


def _bare(node: Node) -> Node:
    if isinstance(node, Mapping) and node.get("op") == "casei" and isinstance(node.get("args"), list):
        return _bare(node["args"][0]) if node["args"] else None
    return node


def _operand(node: Node, depth: int, op: str) -> Node:
    if depth > _DEEPEST:
        raise InvalidInput(f"The filter is nested more than {_DEEPEST} deep.")
    if isinstance(node, (str, bool)) or is_number(node):
        return node
    if isinstance(node, Mapping):
        if isinstance(node.get("property"), str):
            return {"property": _property(node["property"])}
        if isinstance(node.get("op"), str) and node["op"].lower() == "casei":
            inner = node.get("args")
            if isinstance(inner, list) and len(inner) == 1:
                return {"op": "casei", "args": [_operand(inner[0], depth + 1, op)]}
        if op.startswith("s_"):
            return _place(node)
        if set(node) & {"timestamp", "date", "interval"}:
            return _moment(node)
    raise InvalidInput(f"The operator '{op}' cannot take {_shown(node)}.")


def _property(name: str) -> str:
    if not name or '"' in name or "\\" in name or "\x00" in name:
        raise InvalidInput(f"'{name}' is not the name of a property.")
    return name.removeprefix("properties.")


def _place(node: Mapping[str, Any]) -> Node:
    if "bbox" in node:
        west, south, east, north = box(node["bbox"])
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        return {"type": "Polygon", "coordinates": [ring]}
    shape(node)
    return dict(node)


def _moment(node: Mapping[str, Any]) -> Node:
    ends = node.get("interval")
    if ends is not None:
        if not isinstance(ends, list) or len(ends) != 2:
            raise InvalidInput("An interval in a filter has two ends.")
        plain = [_plain_end(end) for end in ends]
        return {"interval": plain}
    kind = "timestamp" if "timestamp" in node else "date"
    seconds(node[kind])
    return {kind: node[kind]}


def _plain_end(end: Any) -> Any:
    if isinstance(end, Mapping) and isinstance(end.get("property"), str):
        return {"property": _property(end["property"])}
    found = next(iter(end.values()), None) if isinstance(end, Mapping) else end
    if found != "..":
        seconds(found)
    return found


def _shown(node: Node) -> str:
    text = repr(node)
    return text if len(text) <= 60 else f"{text[:57]}…"


class _Parser:
    """A recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.depth = 0
        self.kind, self.value, self.start = "end", "", 0
        self.advance()

    def advance(self) -> None:
        rest = self.text[self.position :]
        if not rest.strip():
            self.kind, self.value, self.start = "end", "", len(self.text)
            return
        found = _TOKEN.match(self.text, self.position)
        if found is None:
            self.start = self.position + len(rest) - len(rest.lstrip())
            self.fail()
        self.kind = str(found.lastgroup)
        self.value, self.start, self.position = found[self.kind], found.start(self.kind), found.end()
        if self.kind == "name" and self.value.upper() in _WORDS:
            self.kind, self.value = "word", self.value.upper()

    def fail(self) -> NoReturn:
        near = self.text[self.start : self.start + 20] or "its end"
        raise InvalidInput(f"The filter cannot be read at character {self.start + 1}, near {near!r}.")

    def take(self, *values: str) -> str | None:
        if self.kind in ("sign", "word") and self.value in values:
            value = self.value
            self.advance()
            return value
        return None

    def expect(self, value: str) -> None:
        if self.take(value) is None:
            self.fail()

    def whole(self) -> Node:
        found = self.either()
        if self.kind != "end":
            self.fail()
        return found

    def either(self) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise InvalidInput(f"The filter is nested more than {_DEEPEST} deep.")
        parts = [self.both()]
        while self.take("OR"):
            parts.append(self.both())
        self.depth -= 1
        return parts[0] if len(parts) == 1 else {"op": "or", "args": parts}

    def both(self) -> Node:
        parts = [self.negated()]
        while self.take("AND"):
            parts.append(self.negated())
        return parts[0] if len(parts) == 1 else {"op": "and", "args": parts}

    def negated(self) -> Node:
        if self.take("NOT"):
            # A chain of NOT is as deep as brackets are.
            self.depth += 1
            if self.depth > _DEEPEST:
                self.fail()
            found = {"op": "not", "args": [self.negated()]}
            self.depth -= 1
            return found
        if self.take("("):
            found = self.either()
            self.expect(")")
            return found
        return self.predicate()

    def predicate(self) -> Node:
        if self.kind == "word" and self.value in ("TRUE", "FALSE"):
            return self.take("TRUE", "FALSE") == "TRUE"
        if self.kind == "name" and self.value.lower() in (*SPATIAL, *TEMPORAL):
            return self.function(self.value.lower())
        left = self.operand()
        sign = self.take(*COMPARISONS)
        if sign:
            return {"op": sign, "args": [left, self.operand()]}
        if self.take("IS"):
            negative = self.take("NOT")
            self.expect("NULL")
            return _maybe_not(negative, {"op": "isNull", "args": [left]})
        negative = self.take("NOT")
        return _maybe_not(negative, self.wordy(left))

    def wordy(self, left: Node) -> Node:
        if self.take("LIKE"):
            return {"op": "like", "args": [left, self.operand()]}
        if self.take("BETWEEN"):
            low = self.operand()
            self.expect("AND")
            return {"op": "between", "args": [left, low, self.operand()]}
        self.expect("IN")
        self.expect("(")
        return {"op": "in", "args": [left, self.listed()]}

    def listed(self) -> list[Node]:
        found = [self.operand()]
        while self.take(","):
            found.append(self.operand())
        self.expect(")")
        return found

    def function(self, name: str) -> Node:
        self.advance()
        self.expect("(")
        return {"op": name, "args": self.listed()}

    def operand(self) -> Node:
        kind, value = self.kind, self.value
        if self.take("-"):
            return -self.number()
        if self.take("+") or kind == "number":
            return self.number()
        if self.take("TRUE", "FALSE"):
            return value == "TRUE"
        if kind == "name" and value.upper() in (*_SHAPES, "BBOX"):
            return self.place(value.upper())
        if kind not in ("text", "quoted", "name"):
            self.fail()
        self.advance()
        if kind == "text":
            return value[1:-1].replace("''", "'")
        if kind == "name" and value.upper() in ("TIMESTAMP", "DATE", "INTERVAL", "CASEI") and self.take("("):
            return _called(value.lower(), self.listed())
        return {"property": value}

    def number(self) -> float | int:
        if self.kind != "number":
            self.fail()
        value = self.value
        self.advance()
        whole = value.isdigit() and len(value) <= 18
        return int(value) if whole else float(value)

    def place(self, kind: str) -> Node:
        self.advance()
        if kind == "BBOX":
            self.expect("(")
            return {"bbox": self.listed()}
        if self.kind == "name" and self.value.upper() == "Z":
            self.advance()
        name = next(item for item in _GEOJSON if item.upper() == kind)
        if kind == "GEOMETRYCOLLECTION":
            return {"type": name, "geometries": self.geometries()}
        return {"type": name, "coordinates": self.coordinates(kind)}

    def geometries(self) -> list[Node]:
        self.expect("(")
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail()
        found = self.listed()
        self.depth -= 1
        return found

    def coordinates(self, kind: str) -> Any:
        self.expect("(")
        deep = {"POINT": 0, "LINESTRING": 1, "MULTIPOINT": 1, "POLYGON": 2, "MULTILINESTRING": 2, "MULTIPOLYGON": 3}
        return self.level(deep[kind])

    def level(self, deep: int) -> Any:
        if deep == 0:
            found = [self.operand()]
            while self.kind == "number" or (self.kind == "sign" and self.value in "+-"):
                found.append(self.operand())
            self.expect(")")
            return found
        found = [self.inner(deep)]
        while self.take(","):
            found.append(self.inner(deep))
        self.expect(")")
        return found

    def inner(self, deep: int) -> Any:
        # A position stands in brackets of its own in nothing but a multipoint, and need not there.
        if deep > 1 or (self.kind == "sign" and self.value == "("):
            self.expect("(")
            return self.level(deep - 1)
        found = [self.operand()]
        while self.kind == "number" or (self.kind == "sign" and self.value in "+-"):
            found.append(self.operand())
        return found


_GEOJSON = (
    *("Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon"),
    "GeometryCollection",
)


def _maybe_not(negative: str | None, node: Node) -> Node:
    return {"op": "not", "args": [node]} if negative else node


def _called(name: str, arguments: list[Node]) -> Node:
    if name == "casei":
        return {"op": "casei", "args": arguments}
    if len(arguments) != (2 if name == "interval" else 1):
        raise InvalidInput(f"{name.upper()} in the filter has {len(arguments)} arguments.")
    return {name: arguments if name == "interval" else arguments[0]}
