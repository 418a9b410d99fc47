"""The face as the server sees it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gemel.base.errors import GemelError
from gemel.faces.stac._app import build
from gemel.faces.stac._context import PREFIX
from gemel.faces.stac._errors import of_error
from gemel.server import Hosting

_PUBLIC = ("/api", "/api.html", "/conformance")


class StacApi:
    """STAC API 1.0.0 (see `gemel.server.Face`)."""

    prefix = PREFIX
    roots: Sequence[str] = (PREFIX,)

    def app(self, hosting: Hosting) -> ASGIApp:
        """Return the app below the prefix."""
        return build(hosting)

    def root_routes(self, hosting: Hosting) -> Sequence[BaseRoute]:
        """Return the landing page at the prefix itself, without the slash that a mounted app would ask for."""
        return [Route(PREFIX, _Landing(build(hosting)), methods=["GET"])]

    def is_public(self, method: str, path: str) -> bool:
        """Return whether a path says what the API can, and nothing of what is in it: the engine is closed by default."""
        return method in ("GET", "HEAD") and path.removeprefix(PREFIX) in _PUBLIC

    def shown(self, credentials: str) -> str:
        """Return the engine's token in a bearer token of the API: the token itself."""
        return credentials

    def refuse(self, request: Request, error: GemelError) -> Response:
        """Return the refusal in STAC's shape."""
        return of_error(error)


class _Landing:
    """Answers at the prefix as the app does at its root."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "path": "/", "root_path": ""}, receive, send)
