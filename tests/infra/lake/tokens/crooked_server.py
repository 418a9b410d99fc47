"""A server that answers what a test wants: for issuers that fail in ways that a real one does not."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

JSON = {"Content-Type": "application/json"}
Answer = tuple[int, dict[str, str], bytes]


class Crooked:
    """A server that answers what a test wants: for issuers that fail in ways that a real one does not."""

    def __init__(self) -> None:
        self.answer: Callable[[Any, bytes], Answer | None] = lambda request, body: (500, {}, b"")
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.url = ""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    crooked: Crooked

    def do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.crooked.requests.append((self.command, self.path, dict(self.headers), body))
        told = self.crooked.answer(self, body)
        if told is None:
            self.close_connection = True
            return
        status, headers, content = told
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(content)), "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def crooked() -> Iterator[Crooked]:
    server = Crooked()
    methods = {
        f"do_{name}": _Handler.do for name in ("GET", "HEAD", "POST", "PUT", "PROPFIND", "MKCOL", "MOVE", "DELETE")
    }
    handler = type("Handler", (_Handler,), {"crooked": server, **methods})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        server.url = f"http://127.0.0.1:{listening.server_address[1]}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        listening.shutdown()
        thread.join()


def answering(document: Any, status: int = 200, **headers: str) -> Callable[[Any, bytes], Answer]:
    """Return what answers each request with a JSON document."""
    return lambda request, body: (status, JSON | headers, json.dumps(document).encode())


def given(value: str = "opaque-value", **more: Any) -> Callable[[Any, bytes], Answer]:
    """Return what answers each request with a token for ten minutes."""
    return answering({"access_token": value, "token_type": "Bearer", "expires_in": 600, **more})


def jwt(**claimed: Any) -> str:
    """Return what looks like a JSON Web Token; nobody signed it."""
    parts = [json.dumps(item).encode() for item in ({"alg": "none"}, claimed)]
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "sig"])
