"""What a STAC document must have to be catalogued, and the row that it is found by."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import shapely
import shapely.geometry

from gemel.base.errors import InvalidInput

Document = Mapping[str, Any]
Box = tuple[float, float, float, float]

_LONGEST_ID = 300
_LARGEST = 1.7e308
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}([Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:\d{2})?)?")


@dataclass(frozen=True)
class Span:
    """A stretch of time in seconds since 1970 (UTC), both ends in it; infinite where open."""

    begin: float
    ending: float


def seconds(text: Any) -> float:
    """Return an RFC 3339 instant, or a date, in seconds since 1970-01-01 UTC.

    Raises:
        InvalidInput: It is neither.

    >>> seconds("1970-01-02T00:00:00.5Z"), seconds("1970-01-02")
    (86400.5, 86400.0)
    """
    if isinstance(text, str) and _INSTANT.fullmatch(text):
        # Python's datetime has microseconds; what is finer is cut.
        clean = re.sub(r"(\.\d{6})\d+", r"\1", text.upper().replace(" ", "T"))
        try:
            found = datetime.fromisoformat(clean)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            pass
    raise InvalidInput(f"{text!r} is not a time.", hint="Write it like 2020-01-31T00:00:00Z.")


def span(text: Any) -> Span:
    """Return the stretch of time in a `datetime` parameter: an instant, or `BEGIN/END` with `..` or nothing for open.

    Raises:
        InvalidInput: It is malformed, open at both ends, or ends before it begins.

    >>> span("2020-01-01T00:00:00Z/..")
    Span(begin=1577836800.0, ending=inf)
    """
    if not isinstance(text, str) or text.count("/") > 1:
        raise InvalidInput(f"{text!r} is no time and no interval.", hint="Write BEGIN/END; .. stands for open.")
    if "/" not in text:
        found = _zoned(text)
        return Span(found, found)
    first, last = text.split("/")
    if first in ("", "..") and last in ("", ".."):
        raise InvalidInput("An interval is open at one end only.")
    begin = -math.inf if first in ("", "..") else _zoned(first)
    ending = math.inf if last in ("", "..") else _zoned(last)
    if begin > ending:
        raise InvalidInput(f"The interval {text} ends before it begins.")
    return Span(begin, ending)


def _zoned(text: str) -> float:
    # RFC 3339, section 5.6: a date, a time with seconds, and a zone. What lacks one of them means several instants.
    if not re.fullmatch(r".{10}[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", text):
        raise InvalidInput(f"{text!r} is not a time with its zone.", hint="Write it like 2020-01-31T00:00:00Z.")
    return seconds(text)


def box(numbers: Any) -> Box:
    """Return west, south, east, north of a bounding box of 4 or 6 numbers; heights are left out.

    East is above 180 when the box crosses the antimeridian.

    Raises:
        InvalidInput: It is no such box.

    >>> box([170, -10, -170, 10]), box([0, 1, -5, 2, 3, 99])
    ((170.0, -10.0, 190.0, 10.0), (0.0, 1.0, 2.0, 3.0))
    """
    fits = isinstance(numbers, (list, tuple)) and len(numbers) in (4, 6)
    if not fits or not all(is_number(value) for value in numbers):
        raise InvalidInput(
            "A bbox has 4 or 6 finite numbers.", hint="west, south, east, north, with heights after south and north."
        )
    values = [float(value) for value in numbers]
    (west, south), (east, north) = values[:2], values[len(values) // 2 :][:2]
    if len(values) == 6 and values[2] > values[5]:
        raise InvalidInput("The bbox has its top below its bottom.")
    if not -90 <= south <= north <= 90:
        raise InvalidInput(f"The bbox has latitudes {south:g} and {north:g}; south to north is wanted, within ±90.")
    if not (-360 <= west <= 360 and -360 <= east <= 360):
        raise InvalidInput("The bbox has longitudes beyond ±360.")
    return west, south, east if east >= west else east + 360.0, north


def shape(geometry: Any, *, strict: bool = True) -> Any:
    """Return a GeoJSON geometry as a shapely one; `strict` refuses polygons that cross themselves.

    Raises:
        InvalidInput: It is none.
    """
    if not isinstance(geometry, Mapping) or not isinstance(geometry.get("type"), str):
        raise InvalidInput("This is not a GeoJSON geometry.", hint='{"type": "Point", "coordinates": [8.5, 50.1]}')
    try:
        found = shapely.from_geojson(json.dumps(geometry))
    except (shapely.errors.GEOSException, ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(f"This is not a valid GeoJSON geometry: {_first_line(error)}.") from error
    if found.is_empty or not all(math.isfinite(value) for value in found.bounds):
        raise InvalidInput("The geometry has no finite coordinates.")
    if strict and not found.is_valid:
        raise InvalidInput(f"The geometry is not valid: {shapely.is_valid_reason(found)}.")
    return found


def collection_id(document: Any) -> str:
    """Return the id of a STAC Collection after seeing that it is one.

    Raises:
        InvalidInput: It is none.
    """
    return _checked(document, "Collection")


def item_row(document: Any, collection: str) -> dict[str, Any]:
    """Return the row of a STAC Item in a collection.

    Raises:
        InvalidInput: It is no Item, is of another collection, or its times or place cannot be used.
    """
    id = _checked(document, "Feature")
    if document.get("collection", collection) != collection:
        message = f"The item '{id}' says that it is of collection '{document['collection']}', not '{collection}'."
        raise InvalidInput(message)
    times = _times(id, document)
    found = _box_of(document)
    west, south, east, north = found or (None, None, None, None)
    return {
        "collection": collection,
        "id": id,
        "begin": times.begin,
        "ending": times.ending,
        "west": west,
        "south": south,
        "east": east,
        "north": north,
        "document": written({**document, "collection": collection}),
    }


def written(document: Document) -> str:
    """Return the JSON text of a document.

    Raises:
        InvalidInput: It holds what JSON cannot, or what a database cannot keep.
    """
    try:
        text = json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(f"The document is not JSON: {_first_line(error)}.") from error
    if "\\u0000" in text:
        raise InvalidInput("The document has a zero character, which no database keeps.")
    return text


def _checked(document: Any, kind: str) -> str:
    named = "Collection" if kind == "Collection" else "Item"
    if not isinstance(document, Mapping) or document.get("type") != kind:
        found = document.get("type") if isinstance(document, Mapping) else None
        raise InvalidInput(f"This is no STAC {named}: its type is {found!r}, not '{kind}'.")
    id = document.get("id")
    if not isinstance(id, str) or not 0 < len(id) <= _LONGEST_ID or any(ord(letter) < 32 for letter in id):
        raise InvalidInput(f"The id of a STAC {named} is a text of 1 to {_LONGEST_ID} printable characters.")
    if not isinstance(document.get("links", []), list) or not isinstance(document.get("assets", {}), Mapping):
        raise InvalidInput(f"The STAC {named} '{id}' has links or assets of a wrong type.")
    return id


def _times(id: str, document: Document) -> Span:
    properties = document.get("properties")
    if not isinstance(properties, Mapping):
        raise InvalidInput(f"The item '{id}' has no properties.")
    instant, first, last = (properties.get(name) for name in ("datetime", "start_datetime", "end_datetime"))
    if first is not None and last is not None:
        found = Span(seconds(first), seconds(last))
        if found.begin > found.ending:
            raise InvalidInput(f"The item '{id}' ends before it begins.")
        return found
    if instant is None:
        raise InvalidInput(f"The item '{id}' has no datetime, and not both start_datetime and end_datetime.")
    moment = seconds(instant)
    return Span(moment, moment)


def _box_of(document: Document) -> Box | None:
    geometry = document.get("geometry")
    if geometry is None:
        return None
    found = shape(geometry, strict=False)
    bounds = list(found.bounds) if document.get("bbox") is None else document["bbox"]
    west, south, east, north = box(bounds)
    turns = -360.0 * math.floor((west + 180.0) / 360.0) if not -180 <= west <= 180 else 0.0
    return west + turns, south, east + turns, north


def is_number(value: Any) -> bool:
    """Return whether a value is a number that a database can hold: finite, and of a size that doubles have."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
