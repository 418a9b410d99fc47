"""What every route of the face works with: the catalogue, addresses, links."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from gemel.infra.lake.catalogue import Catalogue, digest

PREFIX = "/stac"
JSON = "application/json"
GEOJSON = "application/geo+json"
SCHEMA = "application/schema+json"
Document = dict[str, Any]
# Members of links that this server knows better than whoever wrote the document.
_OWN_LINKS = {"self", "root", "parent", "collection", "items", "item", "child"}


@dataclass(frozen=True)
class Asked:
    """One request, read whole.

    Attributes:
        request: As the framework has it.
        catalogue: What it is about.
        body: JSON of its body, or None.
    """

    request: Request
    catalogue: Catalogue
    body: Any

    def path(self, name: str) -> str:
        """Return a part of the request's path."""
        return str(self.request.path_params[name])

    def address(self, *parts: str) -> str:
        """Return the absolute address of a path of the face; the gate has checked the host."""
        place = "/".join(quote(part, safe="") for part in parts)
        start = f"{self.request.url.scheme}://{self.request.headers.get('host', '')}{PREFIX}"
        return f"{start}/{place}" if place else start

    def link(self, rel: str, *parts: str, type: str = JSON, **more: Any) -> Document:
        """Return a link to a path of the face."""
        return {"rel": rel, "href": self.address(*parts), "type": type, **more}

    @property
    def expected(self) -> str | None:
        """Return the digest that `If-Match` asks for, or None for any."""
        tag = self.request.headers.get("if-match", "*").strip()
        return None if tag == "*" else tag.removeprefix("W/").strip('"')


def collection_document(asked: Asked, document: Mapping[str, Any]) -> Document:
    """Return a Collection with the links of this server."""
    id = str(document["id"])
    place = ("collections", id)
    links = [
        asked.link("self", *place),
        asked.link("root"),
        asked.link("parent"),
        asked.link("items", *place, "items", type=GEOJSON),
        asked.link("http://www.opengis.net/def/rel/ogc/1.0/queryables", *place, "queryables", type=SCHEMA),
    ]
    return {**document, "links": [*links, *_foreign(document)]}


def item_document(asked: Asked, document: Mapping[str, Any]) -> Document:
    """Return an Item with the links of this server."""
    collection, id = str(document["collection"]), str(document["id"])
    links = [
        asked.link("self", "collections", collection, "items", id, type=GEOJSON),
        asked.link("root"),
        asked.link("parent", "collections", collection),
        asked.link("collection", "collections", collection),
    ]
    assets = {name: _reachable(asked, asset) for name, asset in dict(document.get("assets") or {}).items()}
    return {**document, "links": [*links, *(_reachable(asked, link) for link in _foreign(document))], "assets": assets}


def _reachable(asked: Asked, document: Any) -> Any:
    """Return a link or an asset with the whole address of what this server itself has."""
    href = document.get("href") if isinstance(document, Mapping) else None
    if not isinstance(href, str) or not href.startswith("/api/"):
        return document
    return {**document, "href": asked.address().removesuffix(PREFIX) + href}


def answered(document: Any, media: str = JSON, status: int = 200, tag: Mapping[str, Any] | None = None) -> Response:
    """Return a JSON answer; `tag` is the document as it is stored, whose digest becomes the `ETag`."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    headers = {"ETag": f'"{digest(tag)}"'} if tag is not None else {}
    return Response(text, status, headers, media)


def _foreign(document: Mapping[str, Any]) -> list[Any]:
    found = [link for link in document.get("links") or () if isinstance(link, Mapping)]
    return [link for link in found if link.get("rel") not in _OWN_LINKS]
