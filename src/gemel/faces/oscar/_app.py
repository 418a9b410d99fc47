"""The routes: who may use them, bodies read up to a limit, and work done in threads of its own."""

from __future__ import annotations

import asyncio
import base64
import functools
import hmac
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gemel.base.errors import GemelError, InvalidInput, NotFound, Unauthenticated
from gemel.base.sizes import spoken_size
from gemel.core.stream.functions import LARGEST, Functions
from gemel.faces.oscar import _calling, _managing
from gemel.faces.oscar._asked import Asked
from gemel.faces.oscar._errors import framework, of_error
from gemel.server import Hosting

PREFIX = "/system"
_LARGEST_BODY = LARGEST * 4 // 3 + 65_536  # base64 makes three bytes four, and lines of it a little more
_MANAGING, _CALLING = 8, 64  # threads; those that call wait for results
Handler = Callable[[Asked], Response]

_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/info", _managing.info),
    ("GET", "/config", _managing.config),
    ("GET", "/config/", _managing.config),
    ("GET", "/status", _managing.status),
    ("GET", "/services", _managing.services),
    ("POST", "/services", _managing.create),
    ("PUT", "/services", _managing.update),
    ("GET", "/services/{name}", _managing.service),
    ("DELETE", "/services/{name}", _managing.remove),
    ("GET", "/logs/{name}", _managing.jobs),
    ("DELETE", "/logs/{name}", _managing.remove_jobs),
    ("GET", "/logs/{name}/{job}", _managing.logs),
    ("DELETE", "/logs/{name}/{job}", _managing.remove_job),
)


@dataclass(frozen=True)
class _Door:
    """What all requests share."""

    functions: Functions
    hosting: Hosting
    threads: ThreadPoolExecutor

    async def work(self, work: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.threads, functools.partial(work, *args))


def managing(hosting: Hosting) -> ASGIApp:
    """Return the app below `/system`, for the owner alone."""
    door = _door(hosting, _MANAGING, "gemel-oscar")
    by_path: dict[str, dict[str, Handler]] = {}
    for method, path, handler in _ROUTES:
        by_path.setdefault(path, {})[method] = handler
    routes = [
        Route(path, _endpoint(door, handlers, _require_owner), methods=list(handlers))
        for path, handlers in by_path.items()
    ]
    return _Guarded(Starlette(routes=routes, exception_handlers={HTTPException: framework}), door)


def calling(hosting: Hosting) -> list[BaseRoute]:
    """Return the routes by which services are called, for whoever shows the service's token, and the owner."""
    door = _door(hosting, _CALLING, "gemel-oscar-calls")
    return [
        Route(path, _endpoint(door, {"POST": handler}, _require_caller), methods=["POST"])
        for path, handler in (("/run/{name}", _calling.run), ("/job/{name}", _calling.job))
    ]


def _door(hosting: Hosting, threads: int, name: str) -> _Door:
    return _Door(hosting.service.engine.functions, hosting, ThreadPoolExecutor(threads, thread_name_prefix=name))


class _Guarded:
    """Tells strangers nothing, not even what is not there."""

    def __init__(self, app: ASGIApp, door: _Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            _require_owner(self._door, Request(scope))
        except GemelError as error:
            await of_error(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _endpoint(
    door: _Door, handlers: dict[str, Handler], require: Callable[[_Door, Request], None]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            await door.work(require, door, request)
            body = await _body(request) if request.method in ("POST", "PUT") else b""
            stopping: threading.Event | None = getattr(request.app.state, "stopping", None)
            asked = Asked(door.functions, request.path_params, request.query_params, body, stopping)
            found: Response = await door.work(handlers["GET" if request.method == "HEAD" else request.method], asked)
            return found
        except GemelError as error:
            return of_error(error)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it

    return endpoint


def _require_owner(door: _Door, request: Request) -> None:
    """Return nothing for the engine's owner, known by a bearer token or as the password of whatever user."""
    if not _is_owner(door, request):
        raise Unauthenticated("OSCAR's interface asks for the engine's token.", hint="As a bearer token or a password.")


def _require_caller(door: _Door, request: Request) -> None:
    """Return nothing for the owner, and for whoever shows the token of the service that is called."""
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if _is_owner(door, request):
        return
    try:
        token = door.functions.get(request.path_params["name"]).token
    except NotFound:
        token = ""
    right = scheme.lower() == "bearer" and bool(token) and hmac.compare_digest(shown.strip().encode(), token.encode())
    if not right:
        raise Unauthenticated("A service asks for its token.", hint="GET /system/services/NAME tells it to the owner.")


def _is_owner(door: _Door, request: Request) -> bool:
    if request.scope["actor"].is_owner:
        return True
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        _, _, password = base64.b64decode(shown.strip(), validate=True).decode().partition(":")
    except ValueError:  # no base64, or no text in it
        return False
    return door.hosting.authoriser.actor(password).is_owner


async def _body(request: Request) -> bytes:
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > _LARGEST_BODY:
            raise InvalidInput(f"A request may have {spoken_size(_LARGEST_BODY)}.")
    return bytes(found)
