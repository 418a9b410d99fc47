"""What the server is and can: landing page, conformance, the description of its routes, queryables."""

from __future__ import annotations

from html import escape
from importlib.metadata import version
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gemel.faces.stac._context import GEOJSON, JSON, SCHEMA, Asked, Document, answered

OPENAPI = "application/vnd.oai.openapi+json;version=3.0"
_STAC = "https://api.stacspec.org/v1.0.0"
_OGC = "http://www.opengis.net/spec"
CONFORMANCE = [
    f"{_STAC}/core",
    f"{_STAC}/collections",
    f"{_STAC}/ogcapi-features",
    f"{_STAC}/ogcapi-features#sort",
    f"{_STAC}/ogcapi-features#fields",
    f"{_STAC}/item-search",
    f"{_STAC}/item-search#sort",
    f"{_STAC}/item-search#fields",
    f"{_STAC}/item-search#filter",
    f"{_STAC}/ogcapi-features/extensions/transaction",
    f"{_STAC}/collections/extensions/transaction",
    f"{_OGC}/ogcapi-features-1/1.0/conf/core",
    f"{_OGC}/ogcapi-features-1/1.0/conf/oas30",
    f"{_OGC}/ogcapi-features-1/1.0/conf/geojson",
    f"{_OGC}/ogcapi-features-3/1.0/conf/filter",
    f"{_OGC}/ogcapi-features-3/1.0/conf/features-filter",
    f"{_OGC}/ogcapi-features-4/1.0/conf/simpletx",
    f"{_OGC}/cql2/1.0/conf/cql2-text",
    f"{_OGC}/cql2/1.0/conf/cql2-json",
    f"{_OGC}/cql2/1.0/conf/basic-cql2",
    f"{_OGC}/cql2/1.0/conf/advanced-comparison-operators",
    f"{_OGC}/cql2/1.0/conf/case-insensitive-comparison",
    f"{_OGC}/cql2/1.0/conf/basic-spatial-functions",
    f"{_OGC}/cql2/1.0/conf/spatial-functions",
    f"{_OGC}/cql2/1.0/conf/temporal-functions",
]
_QUERYABLES: dict[str, Document] = {
    "id": {"title": "Id of the item", "type": "string"},
    "collection": {"title": "Id of its collection", "type": "string"},
    "geometry": {"title": "Its place", "$ref": "https://geojson.org/schema/Geometry.json"},
    "datetime": {"title": "Its instant, or its span from start to end", "type": "string", "format": "date-time"},
}


def landing(asked: Asked) -> Response:
    """Return the catalogue's own document."""
    collections = asked.catalogue.collections()
    links = [
        asked.link("self"),
        asked.link("root"),
        asked.link("service-desc", "api", type=OPENAPI),
        asked.link("service-doc", "api.html", type="text/html"),
        asked.link("conformance", "conformance"),
        asked.link("data", "collections"),
        asked.link("search", "search", type=GEOJSON, method="GET"),
        asked.link("search", "search", type=GEOJSON, method="POST"),
        asked.link("http://www.opengis.net/def/rel/ogc/1.0/queryables", "queryables", type=SCHEMA),
        *(asked.link("child", "collections", str(item["id"]), title=_title(item)) for item in collections),
    ]
    document = {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": "gemel",
        "title": "The catalogue of this engine",
        "description": "Collections and results that this engine keeps or knows of.",
        "conformsTo": CONFORMANCE,
        "links": links,
    }
    return answered(document)


def conformance(_asked: Asked) -> Response:
    """Return the conformance classes."""
    return answered({"conformsTo": CONFORMANCE})


def queryables(asked: Asked) -> Response:
    """Return what can be filtered by: these properties, and any other by its name."""
    place: tuple[str, ...] = ("queryables",)
    if "collection" in asked.request.path_params:
        asked.catalogue.collection(asked.path("collection"))
        place = ("collections", asked.path("collection"), "queryables")
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": asked.address(*place),
        "type": "object",
        "title": "Queryables",
        "properties": _QUERYABLES,
        "additionalProperties": True,
    }
    return answered(document, SCHEMA)


def description(asked: Asked) -> Response:
    """Return the OpenAPI description of the routes."""
    paths: dict[str, Any] = {}
    for route in asked.request.app.state.described:
        entry = paths.setdefault(route.path, {})
        names = [part.partition(":")[0] for part in _between(route.path)]
        for method in sorted(route.methods - {"HEAD"}):
            entry[method.lower()] = _operation(route, names)
    document = {
        "openapi": "3.0.3",
        "info": {"title": "STAC API of gemel", "version": version("gemel")},
        "servers": [{"url": asked.address()}],
        "paths": paths,
    }
    return answered(document, OPENAPI)


def page(asked: Asked) -> Response:
    """Return the same for people."""
    rows = "".join(
        f"<tr><td>{escape(' '.join(sorted(route.methods - {'HEAD'})))}</td><td>{escape(route.path)}</td>"
        f"<td>{escape(_summary(route))}</td></tr>"
        for route in asked.request.app.state.described
    )
    text = f"<!doctype html><html lang=en><title>STAC API</title><h1>STAC API</h1><table>{rows}</table></html>"
    return Response(text, media_type="text/html")


def routes_of(routes: list[BaseRoute]) -> list[Route]:
    """Return the routes that are described."""
    return [route for route in routes if isinstance(route, Route) and route.path != "/"]


def _title(document: Document) -> str:
    return str(document.get("title") or document["id"])


def _between(path: str) -> list[str]:
    return [part.split("}")[0] for part in path.split("{")[1:]]


def _summary(route: Route) -> str:
    return (getattr(route, "summary", "") or route.name).strip()


def _operation(route: Route, names: list[str]) -> Document:
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    answer = {"description": "The document, or what was found.", "content": {JSON: {"schema": {"type": "object"}}}}
    problem = {"description": "What is wrong: an object with `code` and `description`."}
    return {"summary": _summary(route), "parameters": parameters, "responses": {"200": answer, "default": problem}}
