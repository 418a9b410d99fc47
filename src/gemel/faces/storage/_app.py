"""The app below the prefix: one function for each method of HTTP, errors in a line of text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gemel.base.errors import GemelError
from gemel.faces.storage import _copying, _listing, _reading, _writing
from gemel.faces.storage._asked import Asked, Element, Limits
from gemel.faces.storage._errors import Refusal, of_error
from gemel.faces.storage._flow import Broken
from gemel.faces.storage._minting import mint
from gemel.faces.storage._places import spot_of
from gemel.server import Hosting

Handler = Callable[[Asked], Awaitable[Response]]
_HANDLERS: dict[str, Handler] = {
    "GET": _reading.get,
    "HEAD": _reading.get,
    "PUT": _writing.put,
    "DELETE": _writing.delete,
    "MKCOL": _writing.make_folder,
    "MOVE": _writing.move,
    "COPY": _copying.copy,
    "PROPFIND": _listing.find,
    "PROPPATCH": _listing.patch,
    "POST": mint,
}
_ALLOW = ", ".join(["OPTIONS", *_HANDLERS])


class App:
    """The element as an ASGI app.

    Args:
        hosting: The engine.
        limits: On time and on numbers.
    """

    def __init__(self, hosting: Hosting, limits: Limits) -> None:
        self._element = Element(hosting, limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        try:
            answer = await self._answer(scope, receive)
        except Broken:
            # Read by nobody when the client hung up, and by the client when it is the server that stops.
            answer = Refusal(503, "The server stops, or the client did; send it again.").response()
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        # Any client may ask what is possible here, before it shows who it is.
        if scope["method"] == "OPTIONS":
            return Response(status_code=200, headers={"DAV": "1", "Allow": _ALLOW})
        try:
            asked = self._asked(scope, receive)
            handler = _HANDLERS.get(asked.method)
            if handler is None:
                raise Refusal(405, f"{asked.method} is not possible here.", {"Allow": _ALLOW})
            return await handler(asked)
        except Refusal as refusal:
            return refusal.response()
        except GemelError as error:
            return of_error(error)

    def _asked(self, scope: Scope, receive: Receive) -> Asked:
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            # Names of files stand in headers too, as UTF-8 where they are not escaped.
            text, key = value.decode("utf-8", "replace"), name.decode("latin-1").lower()
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        grant = self._element.keys.grant(scope["actor"], headers.get("authorization", ""))
        spot = spot_of(scope["raw_path"].decode("latin-1"))
        stopping = scope["app"].state.stopping
        return Asked(self._element, scope["method"], headers, spot, grant, receive, stopping)
