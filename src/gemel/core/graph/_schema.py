"""Whether a literal fits a JSON schema, in the part of draft 7 that openEO process descriptions use."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

_PLAIN: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: _PLAIN["number"](value) and math.isfinite(value) and float(value).is_integer(),
    "array": lambda value: isinstance(value, (list, tuple)),
    "object": lambda value: isinstance(value, Mapping),
}
# Data that cannot be written as JSON: no literal stands for it.
_NO_LITERAL = frozenset({"datacube", "raster-cube"})


def complaint_about(value: Any, schema: Any) -> str | None:
    """Return why the literal `value` does not fit `schema` (a schema, or a list of alternatives), or None when it fits.

    >>> complaint_about("west", [{"type": "string", "enum": ["wrap"]}, {"type": "number"}])
    "'west' is not one of 'wrap'; nor a number"
    >>> complaint_about(3, {"type": "integer", "minimum": 1}) is None
    True
    """
    alternatives = schema if isinstance(schema, Sequence) else [schema]
    complaints = []
    for alternative in alternatives:
        complaint = next(_complaints(value, alternative), None)
        if complaint is None:
            return None
        complaints.append(complaint)
    shorter = [_nor(text, repr(value)) for text in dict.fromkeys(complaints[1:])]
    return "; ".join([*complaints[:1], *shorter]) or None


def _nor(text: str, value: str) -> str:
    return "nor " + text.removeprefix(f"{value} is not ") if text.startswith(f"{value} is not ") else text


def _complaints(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if value is None and not kinds:
        return
    if kinds and not any(_PLAIN[kind](value) for kind in kinds):
        yield "null is not accepted" if value is None else f"{value!r} is not {spoken(schema)}"
        return
    if schema.get("subtype") in _NO_LITERAL and value is not None:
        yield f"{_short(value)} is not a data cube"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{value!r} is not one of {', '.join(map(repr, schema['enum']))}"
    if "const" in schema and value != schema["const"]:
        yield f"{value!r} is not {schema['const']!r}"
    if "anyOf" in schema:
        complaint = complaint_about(value, schema["anyOf"])
        if complaint:
            yield complaint
    if "not" in schema and complaint_about(value, schema["not"]) is None:
        yield f"{value!r} is not accepted"
    yield from _inner(value, schema)


def _inner(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(value, str):
        yield from _text_complaints(value, schema)
    elif isinstance(value, (list, tuple)):
        yield from _array_complaints(value, schema)
    elif isinstance(value, Mapping):
        yield from _object_complaints(value, schema)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _number_complaints(value, schema)


def _number_complaints(value: float, schema: Mapping[str, Any]) -> Iterator[str]:
    bounds = {"minimum", "maximum", "minimumExclusive", "maximumExclusive"} & set(schema)
    if bounds and math.isnan(value):
        yield "NaN lies within no bounds"
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{value:g} is below the minimum of {schema['minimum']:g}"
    if "maximum" in schema and value > schema["maximum"]:
        yield f"{value:g} is above the maximum of {schema['maximum']:g}"
    if "minimumExclusive" in schema and value <= schema["minimumExclusive"]:
        yield f"{value:g} is not above {schema['minimumExclusive']:g}"
    if "maximumExclusive" in schema and value >= schema["maximumExclusive"]:
        yield f"{value:g} is not below {schema['maximumExclusive']:g}"


def _text_complaints(value: str, schema: Mapping[str, Any]) -> Iterator[str]:
    if len(value) < schema.get("minLength", 0):
        yield "an empty text is not accepted"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{value!r} is not written like {schema['pattern']}"


def _array_complaints(value: Sequence[Any], schema: Mapping[str, Any]) -> Iterator[str]:
    least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
    if not least <= len(value) <= most:
        wanted = f"{least:g}" if least == most else f"at least {least:g}" if len(value) < least else f"at most {most:g}"
        yield f"a list of {len(value)} is not one of {wanted}"
    if schema.get("uniqueItems") and any(item in value[:place] for place, item in enumerate(value)):
        yield f"{_short(value)} holds an item twice"
    for item in value if schema.get("items") else ():
        complaint = complaint_about(item, schema["items"])
        if complaint:
            yield complaint


def _object_complaints(value: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    for name in schema.get("required", ()):
        if name not in value:
            yield f"'{name}' is missing"
    for name, inner in schema.get("properties", {}).items():
        complaint = complaint_about(value[name], inner) if name in value else None
        if complaint:
            yield f"{name}: {complaint}"


def spoken(schema: Mapping[str, Any]) -> str:
    """Return what a schema wants, in words like ``a number or null``."""
    kinds = schema.get("type", "value")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    names = [str(schema.get("subtype") or {"string": "text", "array": "list"}.get(kind, kind)) for kind in kinds]
    return " or ".join(map(_with_article, dict.fromkeys(names)))


def _with_article(word: str) -> str:
    return word if word == "null" else ("an " if word[0] in "aeiou" else "a ") + word


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
