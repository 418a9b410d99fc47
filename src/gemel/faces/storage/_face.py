"""The face as the server sees it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from gemel.base.errors import GemelError
from gemel.faces.storage._app import App
from gemel.faces.storage._asked import Limits
from gemel.faces.storage._errors import of_error
from gemel.faces.storage._places import PREFIX
from gemel.server import Hosting


class StorageElement:
    """WebDAV with HTTP third-party copy (see `gemel.server.Face`).

    Attributes:
        limits: On time and on numbers, for the apps that are made from now on.
    """

    prefix = PREFIX
    roots: Sequence[str] = (PREFIX,)
    guards_itself = True

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()

    def app(self, hosting: Hosting) -> ASGIApp:
        """Return the app below the prefix."""
        return App(hosting, self.limits)

    def root_routes(self, hosting: Hosting) -> Sequence[BaseRoute]:
        """Return the list of storages at the prefix itself, without the slash that a mounted app would ask for."""
        return [Route(PREFIX, App(hosting, self.limits))]

    def is_public(self, method: str, path: str) -> bool:
        """Return False: the app itself says what is free to ask."""
        return False

    def shown(self, credentials: str) -> str:
        """Return the engine's token in a bearer token: the token itself."""
        return credentials

    def refuse(self, request: Request, error: GemelError) -> Response:
        """Return the refusal in a line of text."""
        return of_error(error)
