"""The server: an ASGI app on loopback, closed by default, that hosts the native API, the installed faces, and whatever pages it is given."""

from gemel.server._app import Pages, create_app
from gemel.server._faces import Face, Hosting
from gemel.server._problem import STATUS
from gemel.server._serve import bind, serve

__all__ = ["STATUS", "Face", "Hosting", "Pages", "bind", "create_app", "serve"]
