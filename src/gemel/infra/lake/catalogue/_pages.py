"""Finding a page: the statement, the way to it that costs least, and what only Python can decide."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import shapely
import sqlalchemy as sql
from shapely import affinity
from sqlalchemy.engine import Connection

from gemel.base.errors import InvalidInput
from gemel.infra.lake.catalogue._documents import Box, Document, shape
from gemel.infra.lake.catalogue._evaluate import holds, readied
from gemel.infra.lake.catalogue._filters import Translator, bounds_of, conjuncts
from gemel.infra.lake.catalogue._search import LARGEST_LIMIT, Page, Place, Search, read_token, written_token
from gemel.infra.lake.catalogue._tables import BOXES, ITEMS

Condition = Any

_FEW = 2000  # so many hits in the index of boxes are faster looked up and sorted than met along the index of times
_BATCH = 256
_COUNTED = 10_000


@dataclass(frozen=True)
class _Key:
    """One expression of the order; `name` is the property it is of, empty for the row's number."""

    expression: Any
    descending: bool
    name: str

    @property
    def nullable(self) -> bool:
        return self.name not in ("", "id", "collection", "datetime")


@dataclass(frozen=True)
class _Plan:
    conditions: list[Condition]
    filters: list[Condition]
    tests: list[Callable[[Document], bool]]
    keys: list[_Key]


class Finder:
    """Answers searches over one connection after another.

    Args:
        dialect: `sqlite` or `postgresql`.
    """

    def __init__(self, dialect: str) -> None:
        self.translator = Translator(dialect)
        self.dialect = dialect

    def page(self, connection: Connection, search: Search) -> Page:
        """Return one page of what a search finds.

        Raises:
            InvalidInput: A part of the search is malformed, or its token is not its own.
        """
        limit = min(search.limit, LARGEST_LIMIT)
        if limit < 1:
            raise InvalidInput(f"limit={search.limit} is not a number of items of a page.", hint="1 or more.")
        plan = self._plan(connection, search)
        place = None if search.token is None else read_token(search.token, search.sort, len(plan.keys))
        backward = place is not None and place.backward
        rows = self._rows(connection, plan, place, limit + 1)
        more, rows = len(rows) > limit, rows[:limit]
        if backward:
            rows.reverse()
        after = bool(rows) and (more or backward)
        before = bool(rows) and (more if backward else place is not None)
        alone = place is None and not more
        return Page(
            [document for document, _ in rows],
            written_token(Place(rows[-1][1], False), search.sort) if after else None,
            written_token(Place(rows[0][1], True), search.sort) if before else None,
            len(rows) if alone else self._count(connection, plan),
        )

    def _plan(self, connection: Connection, search: Search) -> _Plan:
        conditions, filters, tests = self._asked(search), [], []
        boxes = [search.box] if search.box is not None else []
        if search.geometry is not None:
            geometry = shape(search.geometry)
            shapely.prepare(geometry)
            boxes.append(geometry.bounds)
            tests.append(lambda item: _meets(item, geometry))
        for part in conjuncts(search.filter) if search.filter is not None else []:
            condition = self.translator.condition(part)
            if condition is not None:
                filters.append(condition)
                continue
            bounds = bounds_of(part)
            boxes += [bounds] if bounds is not None else []
            ready = readied(part)
            tests.append(lambda item, ready=ready: holds(ready, item) is True)  # type: ignore[misc]
        for one in boxes:
            conditions += self._touching(connection, one, search)
        return _Plan(conditions, filters, tests, self._keys(search))

    def _asked(self, search: Search) -> list[Condition]:
        conditions: list[Condition] = []
        if search.ids is not None:
            conditions.append(ITEMS.c.id.in_(search.ids))
        if search.collections is not None:
            conditions.append(ITEMS.c.collection.in_(search.collections))
        if search.times is not None:
            for column, limit, sign in (
                (ITEMS.c.begin, search.times.ending, -1),
                (ITEMS.c.ending, search.times.begin, 1),
            ):
                if abs(limit) != float("inf"):
                    conditions.append(column <= limit if sign < 0 else column >= limit)
        return conditions

    def _keys(self, search: Search) -> list[_Key]:
        keys: list[_Key] = []
        descending = True
        for sort in search.sort:
            descending = sort.descending
            keys.append(_Key(self.translator.key(sort.name), descending, sort.name))
            if sort.name == "datetime":
                keys.append(_Key(ITEMS.c.ending, descending, "datetime"))
        if not search.sort:
            keys = [_Key(column, True, "datetime") for column in (ITEMS.c.begin, ITEMS.c.ending)]
        # The row's number settles what is left equal, so that no item is on two pages or on none.
        return [*keys, _Key(ITEMS.c.number, descending, "")]

    def _touching(self, connection: Connection, box: Box, search: Search) -> list[Condition]:
        turns = _turns(box)
        exact = sql.or_(*(_overlap(ITEMS, turn) for turn in turns))
        if self.dialect != "sqlite":
            return [sql.or_(*(_gist(turn) for turn in turns)), exact]
        parts = [sql.select(BOXES.c.number).where(_overlap(BOXES, turn), *_within(search)) for turn in turns]
        hits = sql.union_all(*parts) if len(parts) > 1 else parts[0]
        probe = sql.select(sql.func.count()).select_from(hits.limit(_FEW).subquery())
        few = connection.execute(probe).scalar_one() < _FEW
        return [ITEMS.c.number.in_(hits), exact] if few else [exact]

    def _rows(
        self, connection: Connection, plan: _Plan, place: Place | None, wanted: int
    ) -> list[tuple[dict[str, Any], tuple[Any, ...]]]:
        backward = place is not None and place.backward
        ordered = [part for key in plan.keys for part in _order(key, backward)]
        base = sql.select(ITEMS.c.document, *(key.expression for key in plan.keys)).where(
            *plan.conditions, *plan.filters
        )
        size = max(_BATCH, wanted) if plan.tests else wanted
        found: list[tuple[dict[str, Any], tuple[Any, ...]]] = []
        while True:
            statement = base if place is None else base.where(self._beyond(plan.keys, place))
            rows = connection.execute(statement.order_by(*ordered).limit(size)).all()
            for row in rows:
                document = json.loads(row[0])
                if all(test(document) for test in plan.tests):
                    found.append((document, tuple(row[1:])))
            if len(found) >= wanted or len(rows) < size:
                return found[:wanted]
            place = Place(tuple(rows[-1][1:]), backward)

    def _beyond(self, keys: Sequence[_Key], place: Place) -> Condition:
        values = [
            None if value is None else self.translator.key_value(key.name or "datetime", value)
            for key, value in zip(keys, place.keys, strict=True)
        ]
        down = {key.descending != place.backward for key in keys}
        if len(down) == 1 and not any(key.nullable for key in keys) and None not in place.keys:
            left, right = sql.tuple_(*(key.expression for key in keys)), sql.tuple_(*values)
            return left < right if down == {True} else left > right
        choices = []
        for position, key in enumerate(keys):
            same = [_same(other, value) for other, value in zip(keys[:position], values[:position], strict=True)]
            choices.append(sql.and_(*same, _past(key, values[position], place.backward)))
        return sql.or_(*choices)

    def _count(self, connection: Connection, plan: _Plan) -> int | None:
        """Return how many items there are; None where more documents would have to be read than is worth it."""
        found = self._counted(connection, plan.conditions)
        if found is None or not (plan.filters or plan.tests):
            return found
        return None if plan.tests else self._counted(connection, [*plan.conditions, *plan.filters])

    def _counted(self, connection: Connection, conditions: list[Condition]) -> int | None:
        some: Any = sql.select(sql.literal_column("1")).select_from(ITEMS).where(*conditions).limit(_COUNTED + 1)
        found = int(connection.execute(sql.select(sql.func.count()).select_from(some.subquery())).scalar_one())
        return found if found <= _COUNTED else None


def _turns(box: Box) -> list[Box]:
    """Return the box as it lies on each turn of the globe that items are on (west from -180, east up to 540)."""
    west, south, east, north = box
    turned = [(west + turn, south, east + turn, north) for turn in (-720.0, -360.0, 0.0, 360.0, 720.0)]
    return [turn for turn in turned if turn[2] >= -180 and turn[0] <= 540]


def _overlap(table: Any, box: Box) -> Condition:
    west, south, east, north = box
    columns = table.c
    return sql.and_(columns.west <= east, columns.east >= west, columns.south <= north, columns.north >= south)


def _within(search: Search) -> list[Condition]:
    if search.times is None:
        return []
    return [BOXES.c.begin <= search.times.ending, BOXES.c.ending >= search.times.begin]


def _gist(box: Box) -> Condition:
    west, south, east, north = box
    corner = sql.func.box(sql.func.point(ITEMS.c.east, ITEMS.c.north), sql.func.point(ITEMS.c.west, ITEMS.c.south))
    numbers = [sql.cast(sql.literal(value), sql.Double) for value in (east, north, west, south)]
    asked = sql.func.box(sql.func.point(*numbers[:2]), sql.func.point(*numbers[2:]))
    return corner.op("&&", is_comparison=True)(asked)


def _order(key: _Key, backward: bool) -> list[Any]:
    direction = sql.desc if key.descending != backward else sql.asc
    ordered = [direction(key.expression)]
    if key.nullable:
        missing = sql.case((key.expression.is_(None), 1), else_=0)
        ordered.insert(0, sql.desc(missing) if backward else sql.asc(missing))
    return ordered


def _same(key: _Key, value: Any) -> Condition:
    return key.expression.is_(None) if value is None else key.expression == value


def _past(key: _Key, value: Any, backward: bool) -> Condition:
    """Return whether an item comes after one with `value`, or before it when going backward; what is missing is last."""
    if value is None:
        return key.expression.is_not(None) if backward else sql.false()
    beyond: Condition = key.expression < value if key.descending != backward else key.expression > value
    return beyond if backward or not key.nullable else sql.or_(beyond, key.expression.is_(None))


def _meets(item: Document, geometry: Any) -> bool:
    found = item.get("geometry")
    if found is None:
        return False
    own = shape(found, strict=False)
    try:
        if own.intersects(geometry):
            return True
        # A geometry that runs on beyond the antimeridian instead of being cut there also lies a turn further.
        west, _, east, _ = own.bounds
        turns = [turn for turn, beyond in ((-360.0, east > 180), (360.0, west < -180)) if beyond]
        return any(affinity.translate(own, turn).intersects(geometry) for turn in turns)
    except shapely.errors.GEOSException:
        return bool(shapely.make_valid(own).intersects(geometry))
