"""Running the app on an address until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from gemel.base.errors import PortInUse

_GRACE_SECONDS = 5


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket on the address.

    Raises:
        PortInUse: Another program listens there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers at once only over sockets that name their protocol; others wait 40 ms for the client.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            message = f"Port {port} on {host} is in use by another program."
            raise PortInUse(message, hint=f"gemel up --port {port + 1}", port=port) from error
        raise PortInUse(
            f"Cannot listen on {host}:{port}: {error.strerror}.", hint="gemel up --host 127.0.0.1"
        ) from error
    listener.listen(128)
    return listener


def serve(app: FastAPI, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve `app` until interrupted; `ready` is called once the first request can be answered."""
    config = uvicorn.Config(
        app, log_level="warning", lifespan="off", timeout_graceful_shutdown=_GRACE_SECONDS, server_header=False
    )
    server = _Server(config, app, ready)
    asyncio.run(server.serve(sockets=[listener]))


class _Server(uvicorn.Server):
    """Tells when it is ready, and lets open event streams end when it stops."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._gemel = app
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the event streams, then the rest."""
        self._gemel.state.stopping.set()
        await super().shutdown(sockets)
