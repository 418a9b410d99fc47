"""The face as the server sees it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from gemel.base.errors import GemelError
from gemel.faces.oscar._app import PREFIX, calling, managing
from gemel.faces.oscar._errors import of_error
from gemel.server import Hosting


class OscarFace:
    """OSCAR's services (see `gemel.server.Face`)."""

    prefix = PREFIX
    prefixes: Sequence[str] = ("/run", "/job")
    roots: Sequence[str] = ()
    guards_itself = True

    def app(self, hosting: Hosting) -> ASGIApp:
        """Return the app below `/system`."""
        return managing(hosting)

    def root_routes(self, hosting: Hosting) -> Sequence[BaseRoute]:
        """Return the routes by which services are called."""
        return calling(hosting)

    def is_public(self, method: str, path: str) -> bool:
        """Return False: the app itself asks for a token, in the ways that OSCAR's clients show one."""
        return False

    def shown(self, credentials: str) -> str:
        """Return the engine's token in a bearer token: the token itself."""
        return credentials

    def refuse(self, request: Request, error: GemelError) -> Response:
        """Return the refusal in a line of text."""
        return of_error(error)
