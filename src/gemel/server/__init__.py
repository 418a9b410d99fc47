"""The server: an ASGI app on loopback, closed by default, that hosts the native API and whatever pages it is given."""

from gemel.server._app import Pages, create_app
from gemel.server._serve import bind, serve

__all__ = ["Pages", "bind", "create_app", "serve"]
