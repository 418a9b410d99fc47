"""A real HTTP server for the lake's tests: files of a folder with ranges and ETags, and what a test routes by hand."""

from __future__ import annotations

import hashlib
import http.server
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import numpy as np
import pytest
import xarray as xr

from gemel.infra.lake._axes import parsed_crs, with_grid

# What the tests of several folders share: a lake, and the servers of storages.
sys.path[:0] = [str(Path(__file__).with_name(name)) for name in ("datasets", "storages")]

# A script that made the frames beside it, with writers that are not installed here.
collect_ignore = ["data"]


class Site:
    """A web site of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.routes: dict[str, Callable[[dict[str, str], Any], tuple[int, Any]]] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.address = ""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        self._answer(None)

    def do_HEAD(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self, body: Any) -> None:
        parts = urlsplit(self.path)
        self.site.requests.append((self.command, parts.path, self.headers.get("Range", "")))
        if parts.path in self.site.routes:
            status, document = self.site.routes[parts.path](dict(parse_qsl(parts.query)), body)
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            self._send(status, content, {})
            return
        path = self.site.folder / unquote(parts.path).lstrip("/")
        if not path.is_file():
            self._send(404, b"", {})
            return
        self._send_file(path)

    def _send_file(self, path: Path) -> None:
        content = path.read_bytes()
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()[:16]}"', "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range")
        if not wanted:
            self._send(200, content, headers)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start = int(first) if first else len(content) - int(last)
        stop = min(int(last), len(content) - 1) if first and last else len(content) - 1
        if start >= len(content):
            self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        headers["Content-Range"] = f"bytes {start}-{stop}/{len(content)}"
        self._send(206, content[start : stop + 1], headers)

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that hang up once they have what they want."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Serve a fresh folder on a loopback port."""
    folder = tmp_path / "site"
    folder.mkdir()
    found = Site(folder)
    handler = type("Handler", (_Handler,), {"site": found})
    server = _Server(("127.0.0.1", 0), handler)
    found.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def cube() -> xr.DataArray:
    """Return a synthetic cube of two days, three bands and 4 x 5 cells of 10 m in UTM zone 32."""
    values = np.arange(2 * 3 * 4 * 5, dtype="float32").reshape(2, 3, 4, 5)
    coords = {
        "t": np.array(["2020-01-01", "2020-01-02"], "M8[ns]"),
        "bands": ["B02", "B03", "B04"],
        "y": 5_000_035.0 - 10.0 * np.arange(4),
        "x": 500_005.0 + 10.0 * np.arange(5),
    }
    made = xr.DataArray(values, coords, ("t", "bands", "y", "x"), name="light", attrs={"units": "W m-2"})
    return with_grid(made, parsed_crs(32632))
