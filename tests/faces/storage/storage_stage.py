"""What the tests of the storage element share: an engine that serves one, raw requests, parsed answers."""

from __future__ import annotations

import contextlib
import hashlib
import io
import random
import socket
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import parse_headers
from pathlib import Path

import httpx2

from gemel.core.engine import Service
from stage import PATIENCE, Serving

MARKER = "Perf Marker\n"


@dataclass(frozen=True)
class Place:
    """A serving storage element and one local storage on it."""

    serving: Serving
    name: str
    folder: Path

    @property
    def url(self) -> str:
        return f"{self.serving.url}/dav/{self.name}"

    @property
    def token(self) -> str:
        return self.serving.token

    def client(self, token: str | None = None, **headers: str) -> httpx2.Client:
        shown = {"Authorization": f"Bearer {token or self.token}"}
        return httpx2.Client(base_url=self.url, headers=shown | headers, timeout=PATIENCE)

    def macaroon(self, path: str = "", activity: str = "DOWNLOAD,LIST", token: str | None = None, *more: str) -> str:
        """Return a macaroon that the element mints."""
        with self.client(token, **{"Content-Type": "application/macaroon-request"}) as client:
            answer = client.post(path or "/", json={"caveats": [f"activity:{activity}", *more], "validity": "PT10M"})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["macaroon"])

    def left(self) -> list[str]:
        """Return everything that lies in the folder, files that are being written among them."""
        if not self.folder.exists():
            return []
        return sorted(item.relative_to(self.folder).as_posix() for item in self.folder.rglob("*") if item.is_file())


def noise(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


def adler32(content: bytes) -> str:
    return f"{zlib.adler32(content):08x}"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Raw:
    """An answer as it came over the wire."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def raw(place: Place, request: bytes, *, stop_after: int | None = None) -> Raw:
    """Return the answer to bytes that no client library would send; the connection is asked to close."""
    host = place.serving.url.removeprefix("http://")
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port)), PATIENCE) as line:
        line.sendall(request.replace(b"$HOST", host.encode()).replace(b"$TOKEN", place.token.encode()))
        if stop_after is not None:
            line.shutdown(socket.SHUT_WR)
        received = line.makefile("rb")
        status = received.readline()
        headers = parse_headers(received) if status else {}
        return Raw(int(status.split()[1]) if status else 0, dict(headers.items()), received.read())


def spoken(method: bytes, target: bytes, *lines: bytes) -> bytes:
    """Return a request with the engine's token."""
    head = [method + b" " + target + b" HTTP/1.1", b"Host: $HOST", b"Authorization: Bearer $TOKEN", *lines]
    return b"\r\n".join([*head, b"Connection: close", b"", b""])


def third_party(client: httpx2.Client, path: str, **headers: str) -> tuple[int, str, list[str]]:
    """Return status, verdict and markers of a third-party copy."""
    answer = client.request("COPY", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    if answer.status_code != 202:
        return answer.status_code, answer.text, []
    *markers, verdict = answer.text.split("End\n")
    assert all(item.startswith(MARKER) for item in markers), answer.text
    assert verdict.count("\n") == 1 and verdict.split(":")[0] in ("success", "failure"), verdict
    return answer.status_code, verdict.strip(), markers


@contextlib.contextmanager
def answering(answer: Callable[[socket.socket, bytes], None]) -> Iterator[str]:
    """Yield the address of a server that gives every connection's first request to `answer`."""
    import threading

    listener = socket.create_server(("127.0.0.1", 0))

    def one(line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                part = line.recv(65536)
                if not part:
                    return
                head += part
            answer(line, head)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = listener.accept()
                threading.Thread(target=one, args=(line,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(PATIENCE)


def local_storage(service: Service, name: str, folder: Path) -> None:
    service.engine.storages.add(name, "local", {"folder": str(folder)})


def stream(content: bytes) -> io.BytesIO:
    return io.BytesIO(content)
