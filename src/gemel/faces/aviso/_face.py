"""The face as the server sees it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from gemel.base.errors import GemelError
from gemel.faces.aviso._app import PREFIX, build
from gemel.faces.aviso._errors import of_error
from gemel.server import Hosting


class AvisoFace:
    """Notifications as an aviso-server has them (see `gemel.server.Face`)."""

    prefix = PREFIX
    roots: Sequence[str] = ()
    guards_itself = True

    def app(self, hosting: Hosting) -> ASGIApp:
        """Return the app below the prefix."""
        return build(hosting)

    def root_routes(self, hosting: Hosting) -> Sequence[BaseRoute]:
        """Return nothing: there is nothing outside of the prefix."""
        return []

    def is_public(self, method: str, path: str) -> bool:
        """Return False: the app itself asks for a token, in the ways that aviso's clients show one."""
        return False

    def shown(self, credentials: str) -> str:
        """Return the engine's token in a bearer token: the token itself."""
        return credentials

    def refuse(self, request: Request, error: GemelError) -> Response:
        """Return the refusal in aviso's shape."""
        return of_error(error)
