"""A search of the catalogue: what is asked, in one checked value, and pages that stay where they are."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gemel.base.errors import InvalidInput
from gemel.infra.lake.catalogue._cql2 import Node
from gemel.infra.lake.catalogue._documents import Box, Span

DEFAULT_LIMIT = 10
LARGEST_LIMIT = 1000
_MOST_KEYS = 8


@dataclass(frozen=True)
class Sort:
    """A property to sort by.

    Attributes:
        name: Its name, without a leading `properties.`.
        descending: Whether the greatest comes first; items that lack it come last either way.
    """

    name: str
    descending: bool = False


@dataclass(frozen=True)
class Search:
    """What items are looked for.

    Attributes:
        ids: Their ids; None for any.
        collections: Their collections; None for any.
        box: A box that theirs touches.
        geometry: A GeoJSON geometry that theirs intersects.
        times: A stretch of time that theirs touches.
        filter: A CQL2 tree (see `parse_text` and `checked`).
        sort: In which order; default the latest first.
        limit: Most items of a page.
        token: Which page, as another page's `next` or `previous` says.
    """

    ids: tuple[str, ...] | None = None
    collections: tuple[str, ...] | None = None
    box: Box | None = None
    geometry: Any = None
    times: Span | None = None
    filter: Node | None = None
    sort: tuple[Sort, ...] = ()
    limit: int = DEFAULT_LIMIT
    token: str | None = None


@dataclass(frozen=True)
class Page:
    """One page of what a search found.

    Attributes:
        items: STAC Items.
        next: Token of the page after this one, or None.
        previous: Token of the page before this one, or None.
        matched: How many items there are on all pages, or None where counting them would cost more than finding them.
    """

    items: list[dict[str, Any]]
    next: str | None
    previous: str | None
    matched: int | None


@dataclass(frozen=True)
class Place:
    """Where a page begins: after the item with these sort keys, or before it."""

    keys: tuple[Any, ...]
    backward: bool


def parse_sort(text: str) -> tuple[Sort, ...]:
    """Return the keys in a `sortby` text.

    Raises:
        InvalidInput: It is malformed.

    >>> parse_sort("-properties.datetime,id")
    (Sort(name='datetime', descending=True), Sort(name='id', descending=False))
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return sort_keys([(part.lstrip("+- "), part.startswith("-")) for part in parts])


def sort_keys(pairs: Sequence[tuple[str, bool]]) -> tuple[Sort, ...]:
    """Return sort keys of (name, whether descending).

    Raises:
        InvalidInput: A name cannot be sorted by, or there are too many.
    """
    names = [name.removeprefix("properties.") for name, _ in pairs]
    wrong = [name for name in names if not name or set(name) & set('"\\\x00') or name in ("geometry", "bbox")]
    if wrong:
        raise InvalidInput(f"'{wrong[0]}' is nothing to sort by.", hint="sortby=-datetime,id")
    if len(names) > _MOST_KEYS:
        raise InvalidInput(f"At most {_MOST_KEYS} properties can be sorted by.")
    return tuple(Sort(name, descending) for name, (_, descending) in zip(names, pairs, strict=True))


def written_token(place: Place, sort: Sequence[Sort]) -> str:
    """Return a place as a token that only fits searches sorted in the same way."""
    text = json.dumps([_mark(sort), int(place.backward), place.keys], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(token: str, sort: Sequence[Sort], width: int) -> Place:
    """Return the place that a token stands for.

    Raises:
        InvalidInput: It is no token of this search.
    """
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        mark, backward, keys = json.loads(base64.b64decode(padded, b"-_", validate=True))
        fits = mark == _mark(sort) and backward in (0, 1) and isinstance(keys, list) and len(keys) == width
    except (ValueError, TypeError, RecursionError, binascii.Error, UnicodeEncodeError) as error:
        raise InvalidInput("The token is not one of this catalogue's.") from error
    if not fits:
        raise InvalidInput("The token belongs to another search.", hint="Follow the links as they are.")
    return Place(tuple(keys), bool(backward))


def _mark(sort: Sequence[Sort]) -> int:
    return zlib.crc32(repr([(key.name, key.descending) for key in sort]).encode())
