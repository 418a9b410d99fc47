"""The app below the prefix: all routes, errors in openEO's shape, and a limit on bodies."""

from __future__ import annotations

import re

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gemel.faces.openeo import _discovery, _files, _jobs, _processes, _processing, _services
from gemel.faces.openeo._context import Context
from gemel.faces.openeo._errors import add_errors
from gemel.server import Hosting

# A process graph of this size has tens of thousands of nodes; uploaded files have a limit of their own.
LARGEST_BODY = 8 << 20
_FILE = re.compile(r"/+files/(.+)", re.DOTALL)
_SLASHES = re.compile(r"/{2,}")


def build(hosting: Hosting) -> ASGIApp:
    """Return the app of the API."""
    context = Context(hosting)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    router = APIRouter()
    for part in (_jobs, _processes, _processing, _files, _services):
        part.add_routes(router, context)
    _discovery.add_routes(router, context)
    app.include_router(router)
    add_errors(app)
    return _Tolerant(app)


class _Tolerant:
    """Takes doubled slashes for single ones, which clients write that join paths, and refuses huge JSON bodies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = scope.get("root_path", "")
        place = scope["path"].removeprefix(start)
        file = _FILE.fullmatch(place)
        # What names a file is taken as it is: there, an empty part is a mistake and not a way of writing.
        scope = {**scope, "path": start + (f"/files/{file[1]}" if file else _SLASHES.sub("/", place))}
        if file:
            await self._app(scope, receive, send)
            return
        await self._limited(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > LARGEST_BODY:
                raise HTTPException(413, f"A request may have {LARGEST_BODY} bytes.")
            return message

        await self._app(scope, counted, send)
