"""What a request asks of a set: filter, order, page, selection, expansion."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from gemel.base.errors import InvalidInput
from gemel.faces.sensorthings._entities import LINKS, PROPERTIES
from gemel.faces.sensorthings._errors import unsupported
from gemel.faces.sensorthings._filter import Node, parse_filter, parse_order

PAGE, LARGEST_PAGE = 100, 5000
_DEEPEST = 4
_KNOWN = ("$filter", "$orderby", "$top", "$skip", "$count", "$select", "$expand", "$resultFormat", "$skiptoken")
_ODATA = ("$apply", "$compute", "$search", "$format", "$levels", "$index", "$schemaversion", "$deltatoken")
_ZONE = re.compile(r"(T\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\+(?=\d\d:?\d\d)", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Options:
    """The options of one set, or of one entity.

    Attributes:
        filter: What entities must be.
        order: By what they are ordered, each with whether descending; by rank in the end.
        top: Most of them on a page.
        skip: How many are passed over first.
        token: Where the page begins, from an earlier page.
        count: Whether they are counted.
        select: Names of what is shown; None for all.
        expand: Options of the related entities that are shown whole, by navigation property.
        array: Whether observations are shown as data arrays (OGC 18-088, section 12).
        raw: The options as they were written.
    """

    filter: Node | None = None
    order: tuple[tuple[Node, bool], ...] = ()
    top: int = PAGE
    skip: int = 0
    token: str | None = None
    count: bool = False
    select: tuple[str, ...] | None = None
    expand: Mapping[str, Options] = field(default_factory=dict)
    array: bool = False
    raw: Mapping[str, str] = field(default_factory=dict)


def asked_of(query: str, kind: str) -> Options:
    """Return the options in a query string, about entities of a kind.

    Raises:
        InvalidInput: One of them makes no sense; `reason` says when it is only not supported here.
    """
    # Clients that do not escape the plus sign of a time zone would have a blank there.
    pairs = parse_qsl(_ZONE.sub(r"\1%2B", query), keep_blank_values=True)
    return _options([(name, value) for name, value in pairs if name.startswith("$")], kind, 0)


def _options(pairs: Iterable[tuple[str, str]], kind: str, depth: int) -> Options:
    raw: dict[str, str] = {}
    for name, value in pairs:
        if name in _ODATA:
            raise unsupported(f"The option {name}")
        if name not in _KNOWN:
            raise InvalidInput(f"There is no option {name}.", hint=f"Known: {', '.join(_KNOWN)}.")
        if name in raw:
            raise InvalidInput(f"The option {name} is given twice.")
        raw[name] = value
    readers: dict[str, tuple[str, Callable[[str], Any]]] = {
        "$filter": ("filter", lambda text: parse_filter(text, kind)),
        "$orderby": ("order", lambda text: tuple(parse_order(text, kind))),
        "$top": ("top", lambda text: min(_whole("$top", text), LARGEST_PAGE)),
        "$skip": ("skip", lambda text: _whole("$skip", text)),
        "$count": ("count", _truth),
        "$select": ("select", lambda text: _selected(text, kind)),
        "$expand": ("expand", lambda text: _expanded(text, kind, depth)),
        "$resultFormat": ("array", lambda text: _array(text, kind)),
        "$skiptoken": ("token", str),
    }
    read = {readers[name][0]: readers[name][1](value) for name, value in raw.items()}
    return Options(**read, raw=raw)


def _whole(name: str, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise InvalidInput(f"{name}={text[:40]} is not a whole number from 0 to 999999999.")
    return int(text)


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidInput(f"$count={text[:40]} is neither true nor false.")
    return text == "true"


def _array(text: str, kind: str) -> bool:
    if text != "dataArray":
        raise unsupported(f"$resultFormat={text[:40]}")
    if kind != "Observations":
        raise InvalidInput(f"There are no data arrays of {kind}.")
    return True


def _selected(text: str, kind: str) -> tuple[str, ...]:
    names = tuple("@iot.id" if name.strip() == "id" else name.strip() for name in text.split(","))
    known = ("@iot.id", "@iot.selfLink", *PROPERTIES[kind], *LINKS[kind])
    for name in names:
        if name not in known:
            raise InvalidInput(f"{kind} have no property '{name[:60]}' to select.", hint=f"Known: {', '.join(known)}.")
    return names


def _expanded(text: str, kind: str, depth: int) -> dict[str, Options]:
    if depth >= _DEEPEST:
        raise InvalidInput(f"$expand goes deeper than {_DEEPEST} steps.", hint="Ask in several requests.")
    found: dict[str, Options] = {}
    for part in _split(text, ","):
        path, inner = _opened(part.strip())
        name, _, rest = path.partition("/")
        if name not in LINKS[kind]:
            known = ", ".join(LINKS[kind])
            raise InvalidInput(f"{kind} have no relation '{name[:60]}' to expand.", hint=f"Known: {known}.")
        if name in found:
            raise InvalidInput(f"$expand names '{name}' twice.", hint="Put what follows into its parentheses.")
        pairs = [_pair(option) for option in _split(inner, ";") if option.strip()]
        if rest:
            # What stands behind the last name of a path is about that.
            pairs = [("$expand", f"{rest}({inner})" if inner else rest)]
        found[name] = _options(pairs, LINKS[kind][name][0], depth + 1)
    return found


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.strip().partition("=")
    if not equals:
        raise InvalidInput(f"'{text[:60]}' in $expand is no option.", hint="$expand=Datastreams($top=1;$select=name)")
    return name, value


def _opened(text: str) -> tuple[str, str]:
    path, bracket, inner = text.partition("(")
    if bracket and not inner.endswith(")"):
        raise InvalidInput(f"'{text[:60]}' in $expand has no end.")
    return path.strip(), inner[:-1] if bracket else ""


def _split(text: str, mark: str) -> list[str]:
    """Return the parts of a text between marks that stand outside of parentheses and quotes."""
    parts, depth, quoted = [""], 0, False
    for letter in text:
        quoted ^= letter == "'"
        depth += 0 if quoted else (letter == "(") - (letter == ")")
        if letter == mark and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
