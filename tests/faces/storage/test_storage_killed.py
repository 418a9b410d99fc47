"""A server that is killed in the middle of an upload or a copy leaves nothing under the file's name."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from storage_stage import Place, answering, noise, spoken, third_party

from stage import until, up

pytestmark = pytest.mark.chaos
CONTENT = noise(2_000_000)


@contextlib.contextmanager
def started(home: Path) -> Iterator[tuple[Place, subprocess.Popen[str]]]:
    with up(home=home, cwd=home) as (serving, process):
        yield Place(serving, "home", home / "data"), process


@pytest.fixture
def killed_home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def test_killed_in_the_middle_nothing_is_half_written_and_what_was_there_stays(killed_home: Path) -> None:
    def slow(line: socket.socket, request: bytes) -> None:
        if not request.startswith(b"HEAD"):
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n" + CONTENT)
            with contextlib.suppress(OSError):
                line.recv(1)

    with contextlib.ExitStack() as stack:
        address = stack.enter_context(answering(slow))
        place, process = stack.enter_context(started(killed_home))
        with place.client() as client:
            for name in ("put", "copy"):
                assert client.put(f"/{name}/kept", content=b"as it was").status_code == 201
        for name in ("kept", "new"):
            line = stack.enter_context(socket.create_connection(_address(place)))
            line.sendall(_upload(place, f"put/{name}"))
            copies = stack.enter_context(place.client())
            stack.enter_context(copies.stream("COPY", f"/copy/{name}", headers={"Source": f"{address}/f"}))
        until(lambda: sum(".writing-" in item for item in place.left()) == 4)
        process.kill()
        process.wait()
    with started(killed_home) as (place, _), place.client() as client:
        for folder in ("put", "copy"):
            assert client.get(f"/{folder}/kept").content == b"as it was"
            assert client.get(f"/{folder}/new").status_code == 404
            listed = client.request("PROPFIND", f"/{folder}/", headers={"Depth": "1"}).text
            assert listed.count("<D:response>") == 2 and "writing" not in listed
        _age(place)
        for folder in ("put", "copy"):
            client.request("PROPFIND", f"/{folder}/", headers={"Depth": "1"})
        assert place.left() == ["copy/kept", "put/kept"]
        assert third_party(client, "/copy/new", Source=f"{place.url}/put/kept",
                           TransferHeaderAuthorization=f"Bearer {place.token}")[1] == "success: Created"  # fmt: skip


def test_a_server_that_stops_does_not_wait_for_what_goes_on(killed_home: Path) -> None:
    def hanging(line: socket.socket, request: bytes) -> None:
        if not request.startswith(b"HEAD"):
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n" + CONTENT)
            with contextlib.suppress(OSError):
                line.recv(1)

    with contextlib.ExitStack() as stack:
        address = stack.enter_context(answering(hanging))
        place, process = stack.enter_context(started(killed_home))
        client = stack.enter_context(place.client())
        copying = stack.enter_context(client.stream("COPY", "/copied", headers={"Source": f"{address}/f"}))
        line = stack.enter_context(socket.create_connection(_address(place)))
        line.sendall(_upload(place, "put"))
        until(lambda: len(place.left()) == 2)
        process.terminate()
        # Five seconds are given to requests; clients and sources are given up after sixty.
        process.wait(20)
        assert copying.read().endswith(b"failure: The transfer was cancelled.\n")
        assert b" 503 " in line.recv(100)
    assert place.left() == []


def test_a_copy_is_not_taken_for_the_user_who_started_the_engine(killed_home: Path) -> None:
    with started(killed_home) as (place, _):
        with httpx2.Client() as same_user:
            assert same_user.get(f"{place.serving.url}/").status_code == 200
        with place.client(place.macaroon("/", "UPLOAD,DOWNLOAD")) as client:
            for more in ({}, {"TransferHeaderVia": ""}):
                verdict = third_party(client, "/page", Source=f"{place.serving.url}/", **more)[1]
                assert verdict.startswith("failure:") and "401" in verdict
        assert place.left() == []


def _address(place: Place) -> tuple[str, int]:
    host, port = place.serving.url.removeprefix("http://").split(":")
    return host, int(port)


def _upload(place: Place, path: str) -> bytes:
    """Return the begin of an upload that never ends."""
    request = spoken(b"PUT", f"/dav/home/{path}".encode(), b"Content-Length: 90000000") + CONTENT
    host = "{}:{}".format(*_address(place)).encode()
    return request.replace(b"$HOST", host).replace(b"$TOKEN", place.token.encode())


def _age(place: Place) -> None:
    """Make what was left look as it will in two days."""
    past = time.time() - 2 * 86_400
    for item in place.folder.rglob(".writing-*"):
        os.utime(item, (past, past))
