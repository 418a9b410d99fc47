"""The app below the prefix: who may ask, what is asked, and answers in aviso's words."""

from __future__ import annotations

import asyncio
import base64
import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gemel.base.errors import Denied, GemelError, InvalidInput, Unauthenticated
from gemel.base.sizes import spoken_size
from gemel.faces.aviso._asked import Asked, asked_in
from gemel.faces.aviso._errors import framework, new_request_id, of_error
from gemel.faces.aviso._streaming import Listening, Watch
from gemel.faces.aviso._types import EventTypes
from gemel.server import Hosting

PREFIX = "/aviso"
_LARGEST_BODY = 1_000_000
_SHORT, _WAITING = 8, 64  # threads: for questions, and for listeners
_STOPPING = "gemel.stopping"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Door:
    """What all requests share."""

    hosting: Hosting
    types: EventTypes
    short: ThreadPoolExecutor
    waiting: ThreadPoolExecutor

    async def work(self, work: Callable[..., _T], *args: Any) -> _T:
        """Return what blocking work returns."""
        return await asyncio.get_running_loop().run_in_executor(self.short, functools.partial(work, *args))


Handler = Callable[[Door, Request, str], Awaitable[Response]]


def build(hosting: Hosting) -> ASGIApp:
    """Return the app for an engine."""
    short = ThreadPoolExecutor(_SHORT, thread_name_prefix="gemel-aviso")
    waiting = ThreadPoolExecutor(_WAITING, thread_name_prefix="gemel-aviso-listeners")
    door = Door(hosting, EventTypes(hosting.service.engine), short, waiting)
    routes = [
        Route("/health", _endpoint(door, _health, "schema"), methods=["GET"]),
        Route("/api/v1/notification", _endpoint(door, _notify, "notification"), methods=["POST"]),
        Route("/api/v1/watch", _endpoint(door, _watch, "watch"), methods=["POST"]),
        Route("/api/v1/replay", _endpoint(door, _replay, "replay"), methods=["POST"]),
        Route("/api/v1/schema", _endpoint(door, _schemas, "schema"), methods=["GET"]),
        Route("/api/v1/schema/{event_type}", _endpoint(door, _schema, "schema"), methods=["GET"]),
        Route("/api/v1/admin/{path:path}", _endpoint(door, _admin, "schema"), methods=["DELETE", "POST", "GET"]),
    ]
    return _Guarded(Starlette(routes=routes, exception_handlers={HTTPException: framework}), door)


class _Guarded:
    """Tells strangers nothing, not even what is not there."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The app below would hide what the hosting server says of its end.
        stopping = getattr(getattr(scope.get("app"), "state", None), "stopping", None)
        if not _is_owner(self._door, Request(scope)):
            error = Unauthenticated(
                "Authentication is required.", hint="The engine's token, as a bearer token or a password."
            )
            await of_error(error)(scope, receive, send)
            return
        await self._app({**scope, _STOPPING: stopping}, receive, send)


def _is_owner(door: Door, request: Request) -> bool:
    """Return whether the engine's token was shown: as a bearer token, or as the password of whatever user."""
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


def _endpoint(door: Door, handler: Handler, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        request_id = new_request_id()
        try:
            answer = await handler(door, request, request_id)
        except GemelError as error:
            return of_error(error, kind, request_id)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        answer.headers["X-Request-ID"] = request_id
        return answer

    return endpoint


async def _health(door: Door, request: Request, request_id: str) -> Response:
    return Response("OK", media_type="text/plain")


async def _notify(door: Door, request: Request, request_id: str) -> Response:
    asked = asked_in(await _body(request))
    if asked.has_start or asked.has_end:
        raise InvalidInput("A notification has no from_id, from_date, to_id or to_date.")
    await door.work(door.types.notify, asked)
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return JSONResponse({"status": "success", "request_id": request_id, "processed_at": now})


async def _watch(door: Door, request: Request, request_id: str) -> Response:
    asked = asked_in(await _body(request))
    if asked.has_end:
        raise InvalidInput("A watch has no end.", hint="Ask /replay for notifications up to to_id or to_date.")
    listening = await door.work(_listening, door, request, asked, (request_id, "watch"))
    return _stream(listening.watch())


async def _replay(door: Door, request: Request, request_id: str) -> Response:
    asked = asked_in(await _body(request))
    if not asked.has_start:
        raise InvalidInput("Replay endpoint requires either from_id or from_date parameter.")
    listening = await door.work(_listening, door, request, asked, (request_id, "replay"))
    return _stream(listening.replay())


async def _schemas(door: Door, request: Request, request_id: str) -> Response:
    def told() -> dict[str, Any]:
        names = door.types.names()
        schemas = {name: door.types.get(name).schema() for name in names}
        return {"status": "success", "schema": schemas, "event_types": names, "total_schemas": len(names)}

    return JSONResponse(await door.work(told))


async def _schema(door: Door, request: Request, request_id: str) -> Response:
    name = request.path_params["event_type"]
    try:
        schema = (await door.work(door.types.get, name)).schema()
    except InvalidInput as error:
        told = {"message": f"Event type '{name[:100]}' not found", "request_id": request_id}
        return JSONResponse({"status": "error", **told, "available_types": error.context["event_types"]}, 404)
    return JSONResponse({"status": "success", "event_type": name, "schema": schema})


async def _admin(door: Door, request: Request, request_id: str) -> Response:
    raise Denied("Notifications are not deleted here: the engine's log keeps what was told.")


def _listening(door: Door, request: Request, asked: Asked, about: tuple[str, str]) -> Listening:
    request_id, operation = about
    kind = door.types.get(asked.event_type)
    chosen = kind.filter(asked, operation)
    base = f"{request.url.scheme}://{request.url.netloc}{PREFIX}"
    log, stopping = door.hosting.service.engine.log, request.scope.get(_STOPPING)
    return Listening(Watch(log, door.waiting, kind, asked, chosen, base, request_id, stopping))


def _stream(pieces: Any) -> Response:
    return StreamingResponse(pieces, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _body(request: Request) -> bytes:
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > _LARGEST_BODY:
            raise InvalidInput(f"A request may have {spoken_size(_LARGEST_BODY)}.")
    return bytes(found)
