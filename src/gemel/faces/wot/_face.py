"""The face as the server sees it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from gemel.base.errors import GemelError
from gemel.faces.wot._app import build, well_known
from gemel.faces.wot._asked import PREFIX
from gemel.faces.wot._errors import of_error
from gemel.server import Hosting

_WELL_KNOWN = "/.well-known/wot"


class WotFace:
    """Thing Descriptions and what their forms lead to (see `gemel.server.Face`)."""

    prefix = PREFIX
    roots: Sequence[str] = (_WELL_KNOWN,)

    def app(self, hosting: Hosting) -> ASGIApp:
        """Return the app below the prefix."""
        return build(hosting)

    def root_routes(self, hosting: Hosting) -> Sequence[BaseRoute]:
        """Return the introduction of WoT Discovery (W3C 2023, section 6.2.2): the engine's own description."""
        return [well_known(hosting, _WELL_KNOWN)]

    def is_public(self, method: str, path: str) -> bool:
        """Return False: descriptions tell what is observed where, and the engine is closed by default."""
        return False

    def shown(self, credentials: str) -> str:
        """Return the engine's token in a bearer token: the token itself."""
        return credentials

    def refuse(self, request: Request, error: GemelError) -> Response:
        """Return the refusal as a problem document."""
        return of_error(error)
