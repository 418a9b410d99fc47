"""Searches as the STAC API spells them, in an address or in a body, and pages with their links."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from gemel.base.errors import InvalidInput
from gemel.faces.stac._context import GEOJSON, Asked, Document, answered, item_document
from gemel.infra.lake.catalogue import (
    Page,
    Search,
    box,
    checked,
    chosen,
    parse_sort,
    parse_text,
    shape,
    sort_keys,
    span,
)

_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_MOST = 10_000
_DEFAULT_FIELDS = (
    *("type", "stac_version", "id", "collection", "geometry", "bbox", "links", "assets"),
    *("properties.datetime", "properties.start_datetime", "properties.end_datetime"),
)


def find(asked: Asked) -> Response:
    """Return a page of items, by an address or a body."""
    posted = asked.request.method == "POST"
    said = _object(asked.body) if posted else dict(asked.request.query_params)
    return _found(asked, said, _search(said, posted), ("search",))


def items(asked: Asked) -> Response:
    """Return a page of the items of a collection."""
    id = asked.path("collection")
    asked.catalogue.collection(id)
    said = dict(asked.request.query_params)
    narrowed = replace(_search(said, False), collections=(id,))
    return _found(asked, said, narrowed, ("collections", id, "items"), asked.link("collection", "collections", id))


def _found(asked: Asked, said: Document, search: Search, place: tuple[str, ...], *more: Document) -> Response:
    include, exclude = _fields(said["fields"]) if "fields" in said else ([], [])
    page = asked.catalogue.search(search)
    documents: list[Document] = [item_document(asked, item) for item in page.items]
    if include or exclude:
        documents = [chosen(item, include, exclude) for item in documents]
    document: Document = {
        "type": "FeatureCollection",
        "features": documents,
        "links": [*_links(asked, said, page, place), *more],
        "numberReturned": len(documents),
    }
    return answered(document if page.matched is None else document | {"numberMatched": page.matched}, GEOJSON)


def _links(asked: Asked, said: Document, page: Page, place: tuple[str, ...]) -> list[Document]:
    posted = asked.request.method == "POST"
    here = asked.link("self", *place, type=GEOJSON)
    if posted:
        here |= {"method": "POST", "body": said}
    elif said:
        here["href"] += f"?{urlencode(said)}"
    links = [here, asked.link("root"), asked.link("parent")]
    for rel, token in (("next", page.next), ("prev", page.previous)):
        if token is None:
            continue
        link = asked.link(rel, *place, type=GEOJSON, method="POST" if posted else "GET")
        turned = said | {"token": token}
        if posted:
            link |= {"body": turned, "merge": False}
        else:
            link["href"] += f"?{urlencode(turned)}"
        links.append(link)
    return links


def _search(said: Document, posted: bool) -> Search:
    ids, collections = (_names(said.get(name), name, posted) for name in ("ids", "collections"))
    area, geometry = _box(said.get("bbox"), posted), _geometry(said.get("intersects"), posted)
    if area is not None and geometry is not None:
        raise InvalidInput("bbox and intersects cannot be asked for together.", hint="Leave one out.")
    when = said.get("datetime")
    token = said.get("token")
    if token is not None and not isinstance(token, str):
        raise InvalidInput("The token is a text.")
    return Search(
        ids=ids,
        collections=collections,
        box=area,
        geometry=geometry,
        times=None if when in (None, "") else span(when),
        filter=_filter(said),
        sort=_sort(said.get("sortby"), posted),
        limit=_limit(said.get("limit")),
        token=token,
    )


def _names(value: Any, name: str, posted: bool) -> tuple[str, ...] | None:
    if value is None or value == "":
        return None
    # A single text stands for a list of one: clients, the official validator among them, send it.
    found = [value] if posted and isinstance(value, str) else value if posted else str(value).split(",")
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise InvalidInput(f"{name} is a list of texts.")
    if len(found) > _MOST:
        raise InvalidInput(f"{name} has more than {_MOST} entries.")
    # An empty list asks for nothing in particular, as the official servers have it.
    return tuple(found) or None


def _box(value: Any, posted: bool) -> Any:
    if value is None or value == "":
        return None
    if posted:
        return box(value)
    try:
        return box([float(part) for part in str(value).split(",")])
    except ValueError as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"bbox={value} has something that is not a number.") from error


def _geometry(value: Any, posted: bool) -> Any:
    if value is None or value == "":
        return None
    found = value if posted else parsed(str(value), "intersects")
    shape(found)
    return found


def _filter(said: Document) -> Any:
    value = said.get("filter")
    if value is None or value == "":
        return None
    crs = said.get("filter-crs", _CRS84)
    if crs != _CRS84:
        raise InvalidInput(f"filter-crs={crs} is not supported.", hint=_CRS84)
    language = said.get("filter-lang") or ("cql2-text" if isinstance(value, str) else "cql2-json")
    if language == "cql2-text" and isinstance(value, str):
        return parse_text(value)
    if language == "cql2-json":
        return checked(parsed(value, "filter") if isinstance(value, str) else value)
    raise InvalidInput(f"filter-lang={language} is not supported for this filter.", hint="cql2-text or cql2-json")


def _sort(value: Any, posted: bool) -> Any:
    if value is None or value == "":
        return ()
    if isinstance(value, str) and not posted:
        return parse_sort(value)
    right = isinstance(value, list) and all(
        isinstance(key, Mapping)
        and isinstance(key.get("field"), str)
        and str(key.get("direction", "asc")).lower() in ("asc", "desc")
        for key in value
    )
    if not right:
        raise InvalidInput("sortby is a list of fields.", hint='[{"field": "id", "direction": "desc"}]')
    return sort_keys([(key["field"], str(key.get("direction", "asc")).lower() == "desc") for key in value])


def _limit(value: Any) -> int:
    if value is None or value == "":
        return Search().limit
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) < 1:
        raise InvalidInput(f"limit={text[:40]} is not a number of items of a page.", hint="A whole number from 1 on.")
    return int(text)


def _fields(value: Any) -> tuple[list[str], list[str]]:
    """Return what is included and excluded, by the table of the fields extension 1.0.0 (section "Include/Exclude")."""
    if isinstance(value, str):
        parts = [part.strip() for part in value.split(",") if part.strip()]
        shown = [part.removeprefix("+").strip() for part in parts if not part.startswith("-")]
        hidden = [part[1:] for part in parts if part.startswith("-")]
        return (shown, hidden) if parts else (list(_DEFAULT_FIELDS), [])
    lists = isinstance(value, Mapping) and all(_texts(value.get(name) or []) for name in ("include", "exclude"))
    if not lists:
        raise InvalidInput("fields is an object with lists of names.", hint='{"include": ["id"], "exclude": []}')
    include, exclude = (list(value.get(name) or []) for name in ("include", "exclude"))
    if not include and ("include" in value or not exclude):
        return [name for name in _DEFAULT_FIELDS if name not in exclude], exclude
    return include, exclude


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def parsed(text: str, name: str) -> Any:
    """Return the JSON in a text.

    Raises:
        InvalidInput: It is not JSON.
    """
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} is not JSON: {str(error) or type(error).__name__}.") from error


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(f"{text} is no number of JSON, or too large a one")
    return found


def _object(body: Any) -> Document:
    if not isinstance(body, dict):
        raise InvalidInput("The body of a search is a JSON object.")
    return body
