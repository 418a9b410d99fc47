"""Files of a workspace: whole or not at all, and never outside of their folder."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import GemelError, InvalidInput, NotFound, OutOfBounds
from gemel.core.workspace import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "workspace")


def put(files: Files, path: str, data: bytes) -> None:
    with files.receiving(path) as incoming:
        incoming.write(data)


def test_what_was_received_is_read_again(files):
    put(files, "a/b.txt", b"one")
    stream, found = files.open("a/b.txt")
    with stream:
        assert stream.read() == b"one" and found.size == 3
    assert [item.path for item in files.list()] == ["a/b.txt"]


def test_a_file_that_fails_on_the_way_leaves_the_old_one(files):
    put(files, "a.txt", b"old")
    with pytest.raises(RuntimeError), files.receiving("a.txt") as incoming:
        incoming.write(b"ne")
        raise RuntimeError
    with pytest.raises(OutOfBounds), files.receiving("a.txt", 5) as incoming:
        incoming.write(b"too long")
    assert files.open("a.txt")[0].read() == b"old" and len(list(files.folder.iterdir())) == 1


def test_of_two_who_write_at_once_one_wins_whole(files):
    payloads = [bytes([number]) * 200_000 for number in range(8)]
    threads = [threading.Thread(target=put, args=(files, "same.bin", payload)) for payload in payloads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stream, _ = files.open("same.bin")
    with stream:
        assert stream.read() in payloads
    assert [item.path for item in files.list()] == ["same.bin"]


@pytest.mark.parametrize(
    "path", ["", ".", "..", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a\\b", "a:b", "a\nb", "a\0b"]
)
def test_a_path_that_leads_elsewhere_is_none(files, path):
    for attempt in (files.open, files.delete, lambda name: put(files, name, b"x")):
        with pytest.raises(InvalidInput):
            attempt(path)


@given(path=st.text(max_size=40))
def test_no_text_is_a_way_out(tmp_path_factory, path):
    place = tmp_path_factory.mktemp("w")
    files = Files(place / "workspace")
    try:
        put(files, path, b"x")
    except GemelError:
        pass
    except OSError:
        pytest.fail("an error of the system got through")
    else:
        (found,) = files.list()
        assert found.path == path
    assert {item.name for item in place.iterdir()} <= {"workspace"}


def test_links_and_folders_are_not_files(files, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    put(files, "real/a.txt", b"a")
    (files.folder / "link").symlink_to(secret)
    (files.folder / "way-out").symlink_to(tmp_path)
    os.mkfifo(files.folder / "pipe")
    for name in ("link", "way-out/secret", "pipe", "real"):
        with pytest.raises(InvalidInput):
            files.open(name)
        with pytest.raises(InvalidInput):
            files.delete(name)
        with pytest.raises(InvalidInput):
            put(files, name, b"y")
    assert secret.read_text() == "x" and [item.path for item in files.list()] == ["real/a.txt"]


def test_a_missing_file_is_not_found(files):
    for attempt in (files.open, files.describe, files.delete):
        with pytest.raises(NotFound):
            attempt("nothing/here.txt")


def test_empty_folders_go_with_their_last_file(files):
    put(files, "a/b/c.txt", b"1")
    put(files, "a/d.txt", b"2")
    files.delete("a/b/c.txt")
    assert not (files.folder / "a" / "b").exists() and (files.folder / "a").exists()
