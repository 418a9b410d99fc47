"""The face as the server sees it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from gemel.base.errors import GemelError
from gemel.faces.sensorthings._app import build, root_route
from gemel.faces.sensorthings._errors import of_error
from gemel.faces.sensorthings._render import PREFIX
from gemel.server import Hosting


class SensorThingsFace:
    """Part 1, Sensing, of SensorThings 1.1 (see `gemel.server.Face`)."""

    prefix = PREFIX
    roots: Sequence[str] = (PREFIX,)

    def app(self, hosting: Hosting) -> ASGIApp:
        """Return the app below the prefix."""
        return build(hosting)

    def root_routes(self, hosting: Hosting) -> Sequence[BaseRoute]:
        """Return the service root at the prefix itself, without the slash that a mounted app would ask for."""
        return [root_route(hosting)]

    def is_public(self, method: str, path: str) -> bool:
        """Return False: the root names what is observed, and the engine is closed by default."""
        return False

    def shown(self, credentials: str) -> str:
        """Return the engine's token in a bearer token: the token itself."""
        return credentials

    def refuse(self, request: Request, error: GemelError) -> Response:
        """Return the refusal in OData's shape."""
        return of_error(error)
