"""The app below the prefix: its routes, bodies read up to a limit, errors in STAC's shape."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gemel.base.errors import GemelError, InvalidInput
from gemel.faces.stac import _discovery, _records, _searching
from gemel.faces.stac._context import Asked
from gemel.faces.stac._errors import framework, ours, unexpected
from gemel.infra.lake.catalogue import Catalogue
from gemel.server import Hosting

LARGEST_BODY = 64 << 20  # a FeatureCollection of some ten thousand items
_DEEPEST = 200
Handler = Callable[[Asked], Response]

_ITEM = "/collections/{collection}/items/{item}"
_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/", _discovery.landing),
    ("GET", "/conformance", _discovery.conformance),
    ("GET", "/api", _discovery.description),
    ("GET", "/api.html", _discovery.page),
    ("GET", "/queryables", _discovery.queryables),
    ("GET", "/search", _searching.find),
    ("POST", "/search", _searching.find),
    ("GET", "/collections", _records.collections),
    ("POST", "/collections", _records.add_collection),
    ("GET", "/collections/{collection}", _records.collection),
    ("PUT", "/collections/{collection}", _records.replace_collection),
    ("PATCH", "/collections/{collection}", _records.change_collection),
    ("DELETE", "/collections/{collection}", _records.delete_collection),
    ("GET", "/collections/{collection}/queryables", _discovery.queryables),
    ("GET", "/collections/{collection}/items", _searching.items),
    ("POST", "/collections/{collection}/items", _records.add_items),
    ("GET", _ITEM, _records.item),
    ("PUT", _ITEM, _records.replace_item),
    ("PATCH", _ITEM, _records.change_item),
    ("DELETE", _ITEM, _records.delete_item),
)


def build(hosting: Hosting) -> Starlette:
    """Return the app of the API."""
    catalogue = hosting.service.engine.catalogue
    by_path: dict[str, dict[str, Handler]] = {}
    for method, path, handler in _ROUTES:
        by_path.setdefault(path, {})[method] = handler
    routes = [_route(path, handlers, catalogue) for path, handlers in by_path.items()]
    handlers = {GemelError: ours, HTTPException: framework, Exception: unexpected}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.described = _discovery.routes_of(list(app.routes))
    return app


def _route(path: str, handlers: dict[str, Handler], catalogue: Catalogue) -> Route:
    async def endpoint(request: Request) -> Response:
        body = await _body(request) if request.method in ("POST", "PUT", "PATCH") else None
        handler = handlers["GET" if request.method == "HEAD" else request.method]
        return await run_in_threadpool(_handled, handler, request, catalogue, body)

    summary = next(iter(handlers.values())).__name__.replace("_", " ")
    return Route(path, endpoint, methods=list(handlers), name=summary)


def _handled(handler: Handler, request: Request, catalogue: Catalogue, body: bytes | None) -> Response:
    return handler(Asked(request, catalogue, None if body is None else _json(body)))


def _json(body: bytes) -> object:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("The body is not UTF-8.") from error
    return _searching.parsed(text, "The body")


async def _body(request: Request) -> bytes:
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > LARGEST_BODY:
            raise HTTPException(413, f"A request may have {LARGEST_BODY} bytes.")
    return bytes(found)
