"""Collections and items, read and changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from gemel.base.errors import InvalidInput
from gemel.faces.stac._context import GEOJSON, Asked, Document, answered, collection_document, item_document
from gemel.infra.lake.catalogue import digest


def collections(asked: Asked) -> Response:
    """Return every collection."""
    found = [collection_document(asked, document) for document in asked.catalogue.collections()]
    links = [asked.link("self", "collections"), asked.link("root"), asked.link("parent")]
    return answered({"collections": found, "links": links, "numberMatched": len(found), "numberReturned": len(found)})


def collection(asked: Asked) -> Response:
    """Return a collection."""
    document = asked.catalogue.collection(asked.path("collection"))
    return answered(collection_document(asked, document), tag=document)


def item(asked: Asked) -> Response:
    """Return an item."""
    document = asked.catalogue.item(asked.path("collection"), asked.path("item"))
    return answered(item_document(asked, document), GEOJSON, tag=document)


def add_collection(asked: Asked) -> Response:
    """Return a collection after it was put here."""
    document = _object(asked.body)
    asked.catalogue.put_collection(document, new=True)
    return _kept(asked, document["id"], 201)


def replace_collection(asked: Asked) -> Response:
    """Return a collection after it took the place of the one before."""
    id, document = asked.path("collection"), _object(asked.body)
    _same(document, id)
    asked.catalogue.put_collection(document, new=False, expected=asked.expected)
    return _kept(asked, id)


def change_collection(asked: Asked) -> Response:
    """Return a collection after a merge patch (RFC 7396)."""
    id = asked.path("collection")
    before = asked.catalogue.collection(id)
    document = merged(before, _object(asked.body))
    _same(document, id)
    # What another one changes between reading and writing must not be lost.
    asked.catalogue.put_collection(document, new=False, expected=asked.expected or digest(before))
    return _kept(asked, id)


def delete_collection(asked: Asked) -> Response:
    """Return nothing after a collection was deleted with its items."""
    asked.catalogue.delete_collection(asked.path("collection"), expected=asked.expected)
    return Response(status_code=204)


def add_items(asked: Asked) -> Response:
    """Return an item after it was put here, or nothing after several were."""
    id, document = asked.path("collection"), _object(asked.body)
    if document.get("type") != "FeatureCollection":
        asked.catalogue.put_item(id, document, new=True)
        return _kept_item(asked, id, document["id"], 201)
    features = document.get("features")
    if not isinstance(features, list):
        raise InvalidInput("The FeatureCollection has no list of features.")
    asked.catalogue.put_items(id, features, new=True)
    return Response(status_code=201, headers={"Location": asked.address("collections", id, "items")})


def replace_item(asked: Asked) -> Response:
    """Return an item after it took the place of the one before."""
    id, document = asked.path("item"), _object(asked.body)
    _same(document, id)
    asked.catalogue.put_item(asked.path("collection"), document, new=False, expected=asked.expected)
    return _kept_item(asked, asked.path("collection"), id)


def change_item(asked: Asked) -> Response:
    """Return an item after a merge patch (RFC 7396)."""
    place, id = asked.path("collection"), asked.path("item")
    before = asked.catalogue.item(place, id)
    document = merged(before, _object(asked.body))
    _same(document, id)
    asked.catalogue.put_item(place, document, new=False, expected=asked.expected or digest(before))
    return _kept_item(asked, place, id)


def delete_item(asked: Asked) -> Response:
    """Return nothing after an item was deleted."""
    asked.catalogue.delete_item(asked.path("collection"), asked.path("item"), expected=asked.expected)
    return Response(status_code=204)


def merged(document: Any, patch: Any) -> Any:
    """Return a document after a JSON merge patch (RFC 7396, section 2).

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}})
    {'a': {'c': 2, 'd': 3}}
    """
    if not isinstance(patch, Mapping):
        return patch
    found = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def _object(body: Any) -> Document:
    if not isinstance(body, dict):
        raise InvalidInput("The body is a JSON object.")
    return body


def _same(document: Document, id: str) -> None:
    if document.get("id") != id:
        raise InvalidInput(f"The document's id {document.get('id')!r} is not '{id}', which the address names.")


def _kept(asked: Asked, id: str, status: int = 200) -> Response:
    document = asked.catalogue.collection(id)
    answer = answered(collection_document(asked, document), status=status, tag=document)
    answer.headers["Location"] = asked.address("collections", id)
    return answer


def _kept_item(asked: Asked, collection: str, id: str, status: int = 200) -> Response:
    document = asked.catalogue.item(collection, id)
    answer = answered(item_document(asked, document), GEOJSON, status, document)
    answer.headers["Location"] = asked.address("collections", collection, "items", id)
    return answer
