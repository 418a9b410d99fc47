"""One page of a set: filtered, ordered, and with the place where the next one begins."""

from __future__ import annotations

import base64
import functools
import heapq
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gemel.base.clock import iso, parse_instant
from gemel.base.errors import InvalidInput
from gemel.faces.sensorthings._entities import Collection, Entity, Rank
from gemel.faces.sensorthings._filter import Path, earliest
from gemel.faces.sensorthings._options import Options
from gemel.faces.sensorthings._values import order, worth
from gemel.faces.sensorthings._world import World

_MOST_PASSED_OVER = 100_000


@dataclass(frozen=True)
class Page:
    """Some entities of a set.

    Attributes:
        entities: In their order.
        count: Of all that pass the filter, None when nobody asked.
        token: Where the next page begins, None when there is none.
    """

    entities: list[Entity]
    count: int | None
    token: str | None


def page_of(collection: Collection, options: Options, world: World) -> Page:
    """Return a page of a set.

    A page is found by what its predecessor ended with, not by counting: entities that come in between shift nothing.
    A set is read through for every page that is ordered by something; no more than a page of it is held.

    Raises:
        InvalidInput: The token is none of ours, or too many entities are to be passed over in an order.
    """
    after = None if options.token is None else _opened(options.token, len(options.order))
    if options.order:
        found = _ordered(collection, options, world, after)
    else:
        passing = _passing(collection, options, world, None if after is None else after[1])
        found = list(itertools.islice(passing, options.skip, options.skip + options.top + 1))
    count = sum(1 for _ in _passing(collection, options, world, None)) if options.count else None
    more = len(found) > options.top > 0
    shown = found[: options.top]
    return Page(shown, count, _token(shown[-1], options, world) if more else None)


def _passing(
    collection: Collection, options: Options, world: World, after: Rank | None, since: datetime | None = None
) -> Iterator[Entity]:
    wanted = options.filter
    told = earliest(wanted) if wanted is not None else None
    since = max((bound for bound in (told, since) if bound is not None), default=None)
    for entity in collection.entities(after, since):
        if wanted is None or worth(wanted, entity, world) is True:
            yield entity


def _ordered(
    collection: Collection, options: Options, world: World, after: tuple[list[Any], Rank] | None
) -> list[Entity]:
    if options.skip > _MOST_PASSED_OVER:
        hint = "Follow @iot.nextLink."
        raise InvalidInput(f"In an order, {_MOST_PASSED_OVER:,} entities at most can be skipped.", hint=hint)
    begin = None if after is None else _key(options, after[0], after[1])
    keyed = (
        (_key(options, _values(entity, options, world), entity.rank), entity)
        for entity in _passing(collection, options, world, None, _reached(options, after))
    )
    left = ((key, entity) for key, entity in keyed if begin is None or begin < key)
    least = heapq.nsmallest(options.skip + options.top + 1, left, key=lambda pair: pair[0])
    return [entity for _, entity in least[options.skip :]]


def _reached(options: Options, after: tuple[list[Any], Rank] | None) -> datetime | None:
    """Return the instant that earlier pages reached, where they are in the order of time."""
    in_time = options.order[0] == (Path(("phenomenonTime",)), False)
    time = after[0][0] if after is not None and in_time else None
    return time if isinstance(time, datetime) else None


def _values(entity: Entity, options: Options, world: World) -> list[Any]:
    return [worth(node, entity, world) for node, _ in options.order]


def _key(options: Options, values: list[Any], rank: Rank) -> tuple[Any, ...]:
    directed = zip(values, options.order, strict=True)
    return (*(_Down(order(value)) if down else order(value) for value, (_, down) in directed), rank)


@functools.total_ordering
class _Down:
    """Something that is ordered the other way round."""

    __slots__ = ("of",)

    def __init__(self, of: tuple[int, Any]) -> None:
        self.of = of

    def __lt__(self, other: _Down) -> bool:
        return other.of < self.of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Down) and other.of == self.of

    def __hash__(self) -> int:
        return hash(self.of)


def _token(entity: Entity, options: Options, world: World) -> str:
    told = [_written(value) for value in _values(entity, options, world)]
    text = json.dumps([told, *entity.rank], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _opened(token: str, count: int) -> tuple[list[Any], Rank]:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        values, series, position = json.loads(text)
        told = [_read(value) for value in values]
        fits = len(told) == count and isinstance(series, str) and type(position) is int and 0 <= position < 1 << 63
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, InvalidInput) as error:
        raise InvalidInput("The $skiptoken is none of ours.", hint="Follow @iot.nextLink as it is.") from error
    if not fits:
        raise InvalidInput("The $skiptoken belongs to another order.", hint="Follow @iot.nextLink as it is.")
    return told, (series, position)


def _written(value: Any) -> Any:
    return {"t": iso(value)} if isinstance(value, datetime) else {"v": value}


def _read(value: Any) -> Any:
    return parse_instant(value["t"]) if "t" in value else value["v"]
