"""The face as the server sees it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from gemel.base.errors import GemelError
from gemel.faces.agent._app import build, of_error
from gemel.server import Hosting

PREFIX = "/agent/v1"


class AgentFace:
    """Tasks for agents of sites (see `gemel.server.Face`)."""

    prefix = PREFIX
    roots: Sequence[str] = ()
    guards_itself = True

    def app(self, hosting: Hosting) -> ASGIApp:
        """Return the app below the prefix; from now on agents can call this engine."""
        return build(hosting)

    def root_routes(self, hosting: Hosting) -> Sequence[BaseRoute]:
        """Return nothing: there is nothing outside of the prefix."""
        return []

    def is_public(self, method: str, path: str) -> bool:
        """Return False: the app itself asks for an agent's token."""
        return False

    def shown(self, credentials: str) -> str:
        """Return the engine's token in a bearer token: the token itself."""
        return credentials

    def refuse(self, request: Request, error: GemelError) -> Response:
        """Return the refusal as JSON."""
        return of_error(error)
