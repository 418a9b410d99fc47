"""The routes below the prefix."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from gemel.base.errors import GemelError, InvalidInput, NotFound
from gemel.faces.wot._actions import action_of
from gemel.faces.wot._asked import TD, Asked, answered
from gemel.faces.wot._errors import not_allowed, of_error
from gemel.faces.wot._events import observe, subscribe
from gemel.faces.wot._properties import properties_of, property_of
from gemel.faces.wot._things import engine_thing, twin_thing
from gemel.server import Hosting

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_LARGEST_INPUT = 1 << 20
Handler = Callable[[Asked], Response]
Listener = Callable[[Asked], Awaitable[Response]]


def build(hosting: Hosting) -> ASGIApp:
    """Return the app: a plain router, so that the server's own state tells streams when it stops."""
    twin = "/things/{twin}"
    routes = [
        _route(hosting, "/", "GET", _engine),
        _route(hosting, "/things", "GET", _things),
        _route(hosting, twin, "GET", _thing),
        _route(hosting, f"{twin}/properties", "GET", _all_properties),
        _route(hosting, f"{twin}/properties/{{name}}", "GET", _one_property),
        _route(hosting, f"{twin}/actions/{{name}}", "POST", _action),
        _listening(hosting, f"{twin}/properties/{{name}}/observe", observe),
        _listening(hosting, f"{twin}/events/{{name}}", subscribe),
    ]
    return Router(routes=routes, redirect_slashes=False, default=_nothing)


def well_known(hosting: Hosting, path: str) -> Route:
    """Return the route of the introduction."""
    return _route(hosting, path, "GET", _engine)


def _engine(asked: Asked) -> Response:
    return answered(engine_thing(asked), TD)


def _things(asked: Asked) -> Response:
    found = [item["id"] for item in asked.service.twins() if item["problem"] is None]
    return answered([twin_thing(asked, asked.service.engine.twin(id)) for id in found], "application/ld+json")


def _thing(asked: Asked) -> Response:
    return answered(twin_thing(asked, asked.twin), TD)


def _all_properties(asked: Asked) -> Response:
    return answered({name: item.read() for name, item in properties_of(asked.service, asked.twin).items()})


def _one_property(asked: Asked) -> Response:
    return answered(property_of(asked.service, asked.twin, asked.path("name")).read())


def _action(asked: Asked) -> Response:
    return action_of(asked.service, asked.twin, asked.path("name")).invoke(asked)


def _route(hosting: Hosting, path: str, method: str, handler: Handler) -> Route:
    async def work(asked: Asked) -> Response:
        return await run_in_threadpool(handler, asked)

    return _guarded(hosting, path, method, work)


def _listening(hosting: Hosting, path: str, listener: Listener) -> Route:
    return _guarded(hosting, path, "GET", listener)


def _guarded(hosting: Hosting, path: str, method: str, work: Listener) -> Route:
    allowed = ["GET", "HEAD"] if method == "GET" else [method]

    async def endpoint(request: Request) -> Response:
        if request.method not in allowed:
            return not_allowed(request.method, ", ".join(allowed))
        try:
            body = await _body(request) if method == "POST" else b""
            return await work(Asked(request, hosting.service, hosting.links, body))
        except GemelError as error:
            return of_error(error)

    return Route(path, endpoint, methods=_METHODS)


async def _body(request: Request) -> bytes:
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > _LARGEST_INPUT:
            raise InvalidInput(f"An input may have {_LARGEST_INPUT:,} bytes.")
    return bytes(found)


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    error = NotFound(f"There is nothing at {scope['path']}.", hint="GET /wot/things lists what there is.")
    await of_error(error)(scope, receive, send)
