"""Third-party: the agent fetches and sends by itself, with a token for that one file; bytes do not pass the engine."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from agent_stage import Field
from test_agent_faults import put

from gemel.base.config import load_settings
from gemel.base.errors import InvalidInput, ResultCorrupt
from gemel.core.engine import Service, open_engine
from gemel.infra.lake.transport import Seen
from stage import Serving, serving, until

pytestmark = pytest.mark.slow
CONTENT = random.Random(9).randbytes(3_000_000)


@dataclass
class Element:
    """Another engine's storage element: WebDAV with macaroons."""

    serving: Serving
    home: Path

    def token(self, *activities: str) -> str:
        headers = {"Authorization": f"Bearer {self.serving.token}", "Content-Type": "application/macaroon-request"}
        asked = {"caveats": [f"activity:{','.join(activities)}"], "validity": "PT1H"}
        answer = httpx2.post(f"{self.serving.url}/dav/home/", headers=headers, json=asked)
        return str(answer.json()["macaroon"])


@pytest.fixture
def element(tmp_path: Path) -> Iterator[Element]:
    home = tmp_path / "element"
    settings = load_settings(home=home, environ={}, folder=tmp_path)
    with open_engine(settings) as engine, serving(Service(engine)) as live:
        yield Element(live, home)


def declared(site: Field, element: Element, token: str) -> str:
    file, name = site.home / "dav-token", f"dav-{site.name}"
    file.write_text(token)
    options = {"url": f"{element.serving.url}/dav/home", "token": f"file:{file}"}
    site.engine.storages.add(name, "webdav", options)
    return name


ALL = ("DOWNLOAD", "UPLOAD", "DELETE", "MANAGE", "LIST")


def test_the_agent_fetches_and_sends_and_the_engine_passes_no_bytes(
    site: Field, element: Element, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dav = declared(site, element, element.token(*ALL))
    name = put(site, tmp_path / "in", f"way:{site.name}", CONTENT, dav)
    agent = site.agent()

    def no_bytes(*_: object) -> None:
        raise AssertionError("a byte passes the engine")

    monkeypatch.setattr(type(site.storage), "write", no_bytes)
    monkeypatch.setattr(type(site.storage), "open", no_bytes)
    datasets = site.engine.datasets
    done = datasets.replicate(name, site.name, only=True)
    assert (done.way, done.reason) == ("agent", f"the agent of '{site.name}' fetches it from '{dav}'")
    assert (site.folder / done.replica.path).read_bytes() == CONTENT
    assert {"sha256", "adler32"} <= {key for key, item in done.record.digests.items() if item.confirmed}
    back = datasets.replicate(name, dav, only=True)
    assert (back.way, back.reason) == ("agent", f"the agent of '{site.name}' sends it to '{dav}'")
    assert [path.read_bytes() for path in (element.home / "data").rglob("*") if path.is_file()] == [CONTENT]
    assert site.left() == []
    # No secret is said, or kept at the site.
    assert element.serving.token not in agent.said.read_text()


def test_what_does_not_agree_is_not_kept(site: Field, element: Element, tmp_path: Path) -> None:
    dav = declared(site, element, element.token(*ALL))
    name = put(site, tmp_path / "in", f"wrong:{site.name}", CONTENT, dav)
    (file,) = [path for path in (element.home / "data").rglob("*") if path.is_file()]
    file.write_bytes(CONTENT[:-1] + b"\0")
    site.agent()
    with pytest.raises(ResultCorrupt):
        site.engine.datasets.replicate(name, site.name)
    assert site.left() == []


def test_what_the_token_does_not_allow_is_denied(site: Field, element: Element, tmp_path: Path) -> None:
    dav = declared(site, element, element.token(*ALL))
    name = put(site, tmp_path / "in", f"denied:{site.name}", CONTENT, dav)
    (site.home / "dav-token").write_text(element.token("LIST"))
    site.agent()
    with pytest.raises(PermissionError):
        site.engine.datasets.replicate(name, site.name)
    assert site.left() == []


@dataclass
class Dripping:
    """A server that begins to send a file and stops in the middle, until it is told to send the whole."""

    address: str
    whole: threading.Event


@pytest.fixture
def dripping() -> Iterator[Dripping]:
    listener = socket.create_server(("127.0.0.1", 0))
    lines: list[socket.socket] = []
    whole = threading.Event()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = listener.accept()
                lines.append(line)
                request = line.recv(65536)
                head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
                line.sendall(head.encode())
                if request.startswith(b"GET"):
                    line.sendall(CONTENT if whole.is_set() else CONTENT[:2_000_000])
                if whole.is_set() or not request.startswith(b"GET"):
                    line.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield Dripping(f"http://127.0.0.1:{listener.getsockname()[1]}", whole)
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)
    for line in lines:
        line.close()


@contextlib.contextmanager
def fetching(site: Field, dripping: Dripping, name: str) -> Iterator[str]:
    """Yield the id of a transfer whose file is being written at the site; wait for its end."""
    storage, mover = f"{name}-{site.name}", site.engine.lake.mover
    site.engine.storages.add(storage, "http", {"url": dripping.address})
    site.engine.datasets.register(f"{name}:{site.name}", storage, "file")
    (asked,) = mover.request([f"{name}:{site.name}"], site.name)
    worker = threading.Thread(target=mover.work, args=([asked.id],))
    worker.start()
    until(lambda: any(".writing-" in item for item in site.left()))
    yield asked.id
    worker.join(60)
    assert not worker.is_alive()


def test_an_agent_killed_in_a_fetch_leaves_nothing_and_the_next_one_ends_it(site: Field, dripping: Dripping) -> None:
    agent = site.agent()
    with fetching(site, dripping, "killed") as id:
        agent.kill()
        assert all(".writing-" in item for item in site.left())
        dripping.whole.set()
        site.agent(wait=None)
    found = site.engine.lake.mover.queue.get(id)
    assert (found.state, found.way) == ("done", "agent"), found.error
    (path,) = [item for item in site.left() if ".writing-" not in item]
    assert (site.folder / path).read_bytes() == CONTENT


def test_a_transfer_that_is_cancelled_leaves_nothing_at_the_site(site: Field, dripping: Dripping) -> None:
    site.agent()
    with fetching(site, dripping, "cancelled") as id:
        site.engine.lake.mover.queue.cancel(id)
    assert site.engine.lake.mover.queue.get(id).state == "cancelled"
    dripping.whole.set()
    assert [item for item in site.left() if ".writing-" not in item] == []


def test_addresses_that_serve_secrets_are_not_asked(site: Field) -> None:
    site.agent()
    with pytest.raises(PermissionError, match="not a host"):
        site.storage.fetch_from("file", "http://169.254.169.254/latest", {}, Seen(-1, {}), lambda _: None)
    with pytest.raises(InvalidInput):
        site.storage.fetch_from("file", f"file://{__file__}", {}, Seen(-1, {}), lambda _: None)
    assert site.left() == []
