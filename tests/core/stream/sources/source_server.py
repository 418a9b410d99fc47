"""A small HTTP server for the tests' stand-ins: a function of the request answers, and may fail on purpose."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Request:
    """What was asked."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    write: Callable[[bytes], None]
    begin: Callable[..., None]

    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class StandIn:
    """A running stand-in: where it is, what it was asked, and the answers it gives instead of its own, once each."""

    url: str
    asked: list[Request] = field(default_factory=list)
    instead: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)


@contextlib.contextmanager
def standing_in(answer: Callable[[Request], Any]) -> Iterator[StandIn]:
    """Yield a server whose answers are made by a function: JSON values, or None when it wrote the answer itself."""
    found = StandIn("")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(parts.query))
            request = Request(self.command, parts.path, query, headers, body, self._write, self._begin)
            found.asked.append(request)
            if found.instead:
                status, more, content = found.instead.pop(0)
                self._begin(status, **more)
                self._write(content)
                return
            value = answer(request)
            if value is not None:
                self._begin(200, **{"Content-Type": "application/json"})
                self._write(json.dumps(value).encode())

        def do_POST(self) -> None:
            self.do_GET()

        def _begin(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()

        def _write(self, content: bytes) -> None:
            self.wfile.write(content)
            self.wfile.flush()

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: Any) -> None:
            """A client that went is no error here."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
