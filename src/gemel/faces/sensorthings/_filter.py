"""`$filter` and `$orderby`: OData expressions (OData 4.0 URL Conventions, section 5.1.1, as OGC 18-088 narrows them), read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from gemel.base.clock import parse_instant
from gemel.base.errors import InvalidInput
from gemel.faces.sensorthings._entities import LINKS, PROPERTIES
from gemel.faces.sensorthings._errors import unsupported

_MOST_TOKENS = 400
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^']|'')*')
  | (?P<time>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?)(?![\w.])
  | (?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
  | (?P<name>[A-Za-z_@][\w@.]*(?:/[A-Za-z_@][\w@.]*)*)
  | (?P<mark>[(),-])
    )""",
    re.VERBOSE | re.ASCII,
)
# From the loosest to the tightest (OData 4.0 URL Conventions, section 5.1.1.9).
_LEVELS = (
    frozenset({"or"}),
    frozenset({"and"}),
    frozenset({"eq", "ne"}),
    frozenset({"gt", "ge", "lt", "le"}),
    frozenset({"add", "sub"}),
    frozenset({"mul", "div", "mod"}),
)
_WORDS = {"true": True, "false": False, "null": None}
FUNCTIONS = {
    "substringof": 2,
    "endswith": 2,
    "startswith": 2,
    "length": 1,
    "indexof": 2,
    "substring": (2, 3),
    "tolower": 1,
    "toupper": 1,
    "trim": 1,
    "concat": 2,
    "year": 1,
    "month": 1,
    "day": 1,
    "hour": 1,
    "minute": 1,
    "second": 1,
    "fractionalseconds": 1,
    "date": 1,
    "time": 1,
    "totaloffsetminutes": 1,
    "now": 0,
    "mindatetime": 0,
    "maxdatetime": 0,
    "round": 1,
    "floor": 1,
    "ceiling": 1,
}


@dataclass(frozen=True)
class Literal:
    """A value."""

    value: Any


@dataclass(frozen=True)
class Path:
    """A property, maybe of a related entity: its names."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Call:
    """A function and its arguments; operators are called by their own names."""

    name: str
    arguments: tuple[Node, ...]


Node = Literal | Path | Call


def parse_filter(text: str, kind: str) -> Node:
    """Return the expression in `text`, about entities of a kind.

    Raises:
        InvalidInput: It cannot be read, or names what there is not; `reason` says when it is only not supported here.
    """
    reader = _Reader(text, kind)
    found = reader.level(0)
    reader.end()
    return found


def parse_order(text: str, kind: str) -> list[tuple[Node, bool]]:
    """Return (expression, whether descending) of each part of `$orderby`."""
    reader = _Reader(text, kind)
    found = []
    while True:
        node = reader.level(0)
        word = reader.word("asc", "desc")
        found.append((node, word == "desc"))
        if not reader.mark(","):
            reader.end()
            return found


def earliest(node: Node) -> datetime | None:
    """Return an instant before which no phenomenon can pass a filter, or None.

    >>> earliest(parse_filter("result gt 3 and phenomenonTime ge 2024-01-01", "Observations"))
    datetime.datetime(2024, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if not isinstance(node, Call):
        return None
    if node.name in ("and", "or"):
        bounds = [earliest(item) for item in node.arguments]
        known = [item for item in bounds if item is not None]
        if node.name == "and":
            return max(known, default=None)
        return min(known) if known and len(known) == len(bounds) else None
    turned = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge", "eq": "eq"}
    if node.name not in turned:
        return None
    left, right = node.arguments
    name = node.name
    if isinstance(left, Literal):
        left, right, name = right, left, turned[name]
    about_time = left == Path(("phenomenonTime",)) and isinstance(right, Literal) and isinstance(right.value, datetime)
    return right.value if about_time and name in ("gt", "ge", "eq") and isinstance(right, Literal) else None


class _Reader:
    """Reads one expression by recursive descent."""

    def __init__(self, text: str, kind: str) -> None:
        self._text, self._kind = text, kind
        self._tokens, self._at = self._split(text), 0

    def level(self, number: int, depth: int = 0) -> Node:
        """Return an expression of operators at a level of precedence, or tighter."""
        if depth > 60 * len(_LEVELS):
            self._refuse("it is nested too deeply")
        if number == len(_LEVELS):
            return self._unary(depth + 1)
        node = self.level(number + 1, depth + 1)
        while (word := self.word(*_LEVELS[number])) is not None:
            node = Call(word, (node, self.level(number + 1, depth + 1)))
        return node

    def word(self, *words: str) -> str | None:
        """Return the next word when it is one of some, and pass it; None otherwise."""
        kind, text = self._next()
        if kind == "name" and text.lower() in words and text.lower() not in FUNCTIONS:
            self._at += 1
            return text.lower()
        return None

    def mark(self, text: str) -> bool:
        """Return whether the next is this mark, and pass it."""
        found = self._next() == ("mark", text)
        self._at += found
        return found

    def end(self) -> None:
        """Refuse what is left over."""
        if self._at < len(self._tokens):
            self._refuse(f"'{self._tokens[self._at][1]}' is not expected")

    def _unary(self, depth: int) -> Node:
        if self.word("not"):
            return Call("not", (self._unary(depth + 1) if depth < 400 else self._refuse("it is nested too deeply"),))
        if self.mark("-"):
            return Call("neg", (self._atom(depth),))
        return self._atom(depth)

    def _atom(self, depth: int) -> Node:
        if self.mark("("):
            node = self.level(0, depth + 1)
            self._expect(")")
            return node
        kind, text = self._next()
        self._at += 1
        if kind in _LITERALS:
            return Literal(_LITERALS[kind](text))
        if kind != "name":
            self._refuse(f"'{text}' is not expected" if text else "it ends too early")
        if self._next() == ("mark", "("):
            return self._call(text, depth)
        if text in _WORDS:
            return Literal(_WORDS[text])
        return self._path(text)

    def _call(self, name: str, depth: int) -> Node:
        if name.startswith(("geo.", "st_")) or name in ("any", "all", "cast", "isof"):
            raise unsupported(f"The function {name}() in '{self._text}'")
        self._expect("(")
        arguments: list[Node] = []
        while not self.mark(")"):
            if arguments:
                self._expect(",")
            arguments.append(self.level(0, depth + 1))
        wanted = FUNCTIONS.get(name)
        if wanted is None:
            self._refuse(f"there is no function {name}()")
        if len(arguments) not in (wanted if isinstance(wanted, tuple) else (wanted,)):
            self._refuse(f"{name}() takes other arguments")
        return Call(name, tuple(arguments))

    def _path(self, text: str) -> Path:
        names, kind = tuple(text.split("/")), self._kind
        for place, name in enumerate(names):
            if name in ("id", "@iot.id") and place == len(names) - 1:
                break
            if name in PROPERTIES[kind]:
                break  # what follows lies in a JSON value
            if name not in LINKS[kind]:
                self._refuse(f"{kind} have no property '{name}'")
            kind, many = LINKS[kind][name]
            if many or place == len(names) - 1:
                raise unsupported(f"Comparing '{text}', which is no property of one entity,")
        return Path(names)

    def _expect(self, mark: str) -> None:
        if not self.mark(mark):
            self._refuse(f"'{mark}' is missing")

    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _split(self, text: str) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None or len(found) >= _MOST_TOKENS:
                self._refuse(f"'{text[at : at + 20]}' cannot be read" if match is None else "it is too long")
            found.append((str(match.lastgroup), match.group(str(match.lastgroup))))
            at = match.end()
        return found

    def _refuse(self, why: str) -> NoReturn:
        shown = self._text if len(self._text) < 200 else self._text[:200] + "…"
        raise InvalidInput(f"'{shown}' makes no sense here: {why}.")


def _instant(text: str) -> datetime:
    try:
        return parse_instant(text)
    except OverflowError as error:
        raise InvalidInput(f"'{text}' lies outside of the calendar.") from error


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


_LITERALS: Mapping[str, Callable[[str], Any]] = {
    "text": lambda text: text[1:-1].replace("''", "'"),
    "time": _instant,
    "number": _number,
}
