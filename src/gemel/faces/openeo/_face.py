"""The face as the server sees it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from gemel.base.errors import GemelError, Unauthenticated
from gemel.faces.openeo._app import build
from gemel.faces.openeo._context import API_VERSION, PREFIX, root
from gemel.faces.openeo._errors import Problem, answer, problem_of
from gemel.server import Hosting

WELL_KNOWN = "/.well-known/openeo"
# Routes that the API lets anyone read: its own description and what can be done with it, nobody's data.
_PUBLIC = re.compile(
    r"/?|/(conformance|file_formats|udf_runtimes|service_types|processes|credentials/(oidc|basic))"
    r"|/collections(/.+)?"
)
_BASIC = "basic//"


class OpenEO:
    """openEO API 1.2.0 (see `gemel.server.Face`)."""

    prefix = PREFIX
    roots: Sequence[str] = (WELL_KNOWN,)

    def app(self, hosting: Hosting) -> ASGIApp:
        """Return the app below the prefix."""
        return build(hosting)

    def root_routes(self, hosting: Hosting) -> Sequence[BaseRoute]:
        """Return the route by which clients find out where the API is."""
        return [Route(WELL_KNOWN, _well_known, methods=["GET"])]

    def is_public(self, method: str, path: str) -> bool:
        """Return whether anyone may read this path."""
        if method not in ("GET", "HEAD"):
            return False
        return path == WELL_KNOWN or _PUBLIC.fullmatch(path.removeprefix(PREFIX)) is not None

    def shown(self, credentials: str) -> str:
        """Return the engine's token in a bearer token of the API (`basic//TOKEN`)."""
        return credentials.removeprefix(_BASIC)

    def refuse(self, request: Request, error: GemelError) -> Response:
        """Return the refusal in openEO's shape."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if not isinstance(error, Unauthenticated) or not value:
            return answer(problem_of(error))
        if scheme.lower() != "bearer":
            return answer(Problem(403, "AuthenticationSchemeInvalid", "Send the token as a bearer token."))
        if value.startswith("oidc/"):
            message = "This engine does not accept tokens of identity providers yet."
            return answer(Problem(403, "TokenInvalid", message))
        return answer(Problem(403, "TokenInvalid", "This is not the engine's token. It may have been replaced."))


def _well_known(request: Request) -> Response:
    # The compliance suite joins paths to this address as they are, so it ends with a slash.
    version = {"url": f"{root(request)}{PREFIX}/", "api_version": API_VERSION, "production": False}
    return JSONResponse({"versions": [version]})
