"""An engine to look at, and a window that notes everything it complains about."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import uvicorn
from playwright.sync_api import Page
from synthetic import build
from synthetic_twin import Synthetic


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@dataclass
class Engine:
    """An engine to look at: the synthetic one, or a real one named by `GEMEL_UI_URL`."""

    url: str
    twin: Synthetic | None
    stop: Callable[[], None]

    def advance(self) -> None:
        """Move the synthetic twin on by a day; a real one moves by itself."""
        if self.twin:
            request = urllib.request.Request(f"{self.url}/synthetic/advance", method="POST")
            with urllib.request.urlopen(request, timeout=10):
                pass


def start() -> Engine:
    twin = Synthetic()
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(build(twin), log_level="critical", ws="none", timeout_graceful_shutdown=1)
    server = _Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    assert server.ready.wait(20)

    def stop() -> None:
        server.should_exit = server.force_exit = True
        thread.join(20)
        listener.close()

    return Engine(f"http://127.0.0.1:{listener.getsockname()[1]}", twin, stop)


@dataclass
class Window:
    """A page, what it complained about, and every address it asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def foreign(self, origin: str) -> list[str]:
        return [address for address in self.requests if urlsplit(address)[:2] != urlsplit(origin)[:2]]
