"""The routes: the root, and every path below it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from gemel.base.errors import GemelError
from gemel.faces.sensorthings._entities import PROPERTIES, Entity
from gemel.faces.sensorthings._errors import of_error, read_only
from gemel.faces.sensorthings._options import asked_of
from gemel.faces.sensorthings._path import Found, find
from gemel.faces.sensorthings._render import PREFIX, Document, Rendering, written
from gemel.faces.sensorthings._world import Twins, World
from gemel.server import Hosting

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_REQUIREMENTS = "http://www.opengis.net/spec/iot_sensing/1.1/req"
#: Requirements of OGC 18-088 that are met. `request-data/built-in-query-functions` is not: geometries are not compared.
CONFORMANCE = [
    f"{_REQUIREMENTS}/{name}"
    for name in (
        "datamodel",
        "resource-path/resource-path-to-entities",
        "request-data/order",
        "request-data/expand",
        "request-data/select",
        "request-data/status-code",
        "request-data/query-status-code",
        "request-data/orderby",
        "request-data/skip",
        "request-data/top",
        "request-data/filter",
        "request-data/built-in-filter-operations",
        "request-data/pagination",
        "request-data/count",
    )
]
Answer = Callable[[Request], Response]


def build(hosting: Hosting) -> ASGIApp:
    """Return the app below the prefix."""
    twins = Twins(hosting.service.engine)

    def answer(request: Request) -> Response:
        path = str(request.path_params["path"])
        if not path.strip("/"):
            return _root(request)
        rendering = Rendering(World(hosting.service.engine, twins), _address(request))
        return _answered(find(path, rendering.world), rendering, path, request.url.query)

    return Router(routes=[_route("/{path:path}", answer)])


def root_route(hosting: Hosting) -> Route:
    """Return the route of the prefix itself."""
    return _route(PREFIX, _root)


def _route(path: str, answer: Answer) -> Route:
    async def endpoint(request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return read_only(request.method)
        try:
            return await run_in_threadpool(answer, request)
        except GemelError as error:
            return of_error(error)

    return Route(path, endpoint, methods=_METHODS)


def _root(request: Request) -> Response:
    root = _address(request)
    sets = [{"name": name, "url": f"{root}/{name}"} for name in PROPERTIES]
    return _json({"value": sets, "serverSettings": {"conformance": CONFORMANCE}})


def _answered(found: Found, rendering: Rendering, path: str, query: str) -> Response:
    thing = found.thing
    if found.name is not None:
        return _property(found)
    options = asked_of(query, thing.kind)
    if isinstance(thing, Entity):
        if found.form:
            return _json({"@iot.selfLink": rendering.address(thing)})
        return _json(rendering.entity(thing, options))
    address = f"{rendering.root}/{_escaped(path.strip('/'))}"
    if found.form:
        return _json(rendering.references(thing, options, address))
    return _json(rendering.page(thing, options, address))


def _property(found: Found) -> Response:
    value = written(found.thing)
    if value is None:
        return Response(status_code=204)
    if found.form:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return Response(text, media_type="text/plain")
    return _json({str(found.name): value})


def _address(request: Request) -> str:
    """Return the address of the root; the gate has checked the host."""
    return f"{request.url.scheme}://{request.headers.get('host', '')}{PREFIX}"


def _escaped(path: str) -> str:
    # Only what a path cannot hold: parentheses and quotes of ids stay readable.
    return path.replace("%", "%25").replace(" ", "%20").replace("?", "%3F").replace("#", "%23")


def _json(document: Document | Any) -> Response:
    return Response(json.dumps(document, ensure_ascii=False, allow_nan=False), media_type="application/json")
