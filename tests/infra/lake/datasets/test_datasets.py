"""What people rely on: names, digests, copies that are proven, repair, and nothing half-written."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import zlib
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import Conflict, InvalidInput, NotFound, ResultCorrupt, StoreFull
from gemel.infra.lake.datasets import Facts, Name
from gemel.infra.lake.transport import Hashed


class _Chunks:
    """A stream that comes in the pieces given, however much is asked for."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def read(self, size: int = -1, /) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_digests_do_not_depend_on_how_bytes_come(pieces):
    whole = b"".join(pieces)
    with Hashed(_Chunks(pieces), {"md5": hashlib.md5(whole).hexdigest()}) as stream:
        assert stream.read() == whole
        seen = stream.seen()
    assert seen.size == len(whole)
    assert seen.digests["sha256"] == hashlib.sha256(whole).hexdigest()
    assert int(seen.digests["adler32"], 16) == zlib.adler32(whole)


_ODD = ["", "rain", ":rain", "a:", "a:b:c", "a: b", "A:b", "a:*", "a:nul\0", "a:b\nc", "a:\u202egnp", "a:\ud800"]
_TRICKS = ["a:b/c", "a:..", "a:.", "a:\\b", "../a:b"]
_LONG = [f"a:{'n' * 201}", f"{'a' * 61}:b", f"a:{'ä' * 101}"]


@pytest.mark.parametrize("text", [*_ODD, *_TRICKS, *_LONG])
def test_names_that_cannot_be_are_refused_in_words(text):
    with pytest.raises(InvalidInput) as refused:
        Name.parse(text)
    assert "scope:name" in str(refused.value.hint)


def test_names_with_blanks_and_letters_of_all_kinds_work(lake, rain):
    composed, apart = "fulda:Über flut µ.nc", "fulda:U\u0308ber flut µ.nc"
    lake.datasets.put(rain, apart)
    assert str(lake.datasets.get(composed).name) == composed
    with pytest.raises(Conflict):
        lake.datasets.put(rain, composed)


def test_what_is_put_is_known_found_and_got(any_lake, rain, tmp_path):
    facts = Facts({"variable": "rain", "year": 2020}, "CC-BY-4.0", timedelta(days=30))
    record = any_lake.datasets.put(rain, "fulda:rain.bin", facts=facts)
    content = rain.read_bytes()
    assert record.state == "verified" and record.size == len(content)
    assert record.digests["sha256"].value == hashlib.sha256(content).hexdigest()
    assert record.digests["adler32"].value == f"{zlib.adler32(content):08x}"
    assert {digest.origin for digest in record.digests.values()} == {"stream"}
    assert record.expires - record.created == pytest.approx(30 * 86400, abs=5)
    any_lake.datasets.put(rain, "rhine:flow.bin", storage="archive")
    found = {query: [str(item.name) for item in any_lake.datasets.find([query])] for query in _QUERIES}
    assert found == _QUERIES
    any_lake.datasets.fetch("fulda:rain.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == content
    with pytest.raises(Conflict, match="already"):
        any_lake.datasets.fetch("fulda:rain.bin", tmp_path / "back.bin")


_QUERIES = {
    "": ["fulda:rain.bin", "rhine:flow.bin"],
    "fulda:*": ["fulda:rain.bin"],
    "flow": ["rhine:flow.bin"],
    "variable=rain": ["fulda:rain.bin"],
    "year=2020 variable=snow": [],
    "storage=archive": ["rhine:flow.bin"],
    "licence=CC-*": ["fulda:rain.bin"],
    "state=verified kind=file": ["fulda:rain.bin", "rhine:flow.bin"],
}


def test_files_are_in_datasets_and_datasets_in_containers(any_lake, rain):
    datasets = any_lake.datasets
    for name in ("a:1", "a:2"):
        datasets.put(rain, name)
    datasets.group("a:day", ["a:1", "a:2"])
    datasets.group("a:all", ["a:day"], kind="container")
    assert [str(item.name) for item in datasets.files("a:all")] == ["a:1", "a:2"]
    assert datasets.group("a:day", ["a:2"]).members == (Name("a", "1"), Name("a", "2"))
    for group, member, kind in [
        ("a:all", "a:1", "container"),
        ("a:all", "a:all", "container"),
        ("a:1", "a:2", "dataset"),
    ]:
        with pytest.raises(InvalidInput):
            datasets.group(group, [member], kind=kind)
    with pytest.raises(NotFound, match="a:3"):
        datasets.group("a:day", ["a:3"])
    moved = datasets.move("a:all", "archive")
    assert [[replica.storage for replica in item.replicas] for item in moved] == [["archive"], ["archive"]]


def test_a_digest_that_is_not_the_files_keeps_nothing(lake, rain):
    wrong = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(ResultCorrupt, match="sha256"):
        lake.datasets.put(rain, "a:b", digests={"sha256": wrong})
    assert lake.datasets.find() == [] and lake.on_disk() == []
    right = hashlib.md5(rain.read_bytes()).hexdigest()
    record = lake.datasets.put(rain, "a:b", digests={"md5": right.upper()})
    assert (record.digests["md5"].value, record.digests["md5"].origin) == (right, "given")
    with pytest.raises(InvalidInput, match="hexadecimal"):
        lake.datasets.put(rain, "a:c", digests={"sha256": "12"})


def test_a_bit_flip_is_refused_found_and_repaired(any_lake, rain, tmp_path):
    datasets = any_lake.datasets
    datasets.put(rain, "a:b")
    datasets.copy("a:b", "archive")
    _flip(any_lake.path("a:b", "home"))
    datasets.fetch("a:b", tmp_path / "good.bin")  # from the other replica
    assert (tmp_path / "good.bin").read_bytes() == rain.read_bytes()
    findings = {item.storage: item.outcome for item in datasets.verify()}
    assert findings == {"archive": "good", "home": "repaired"}
    assert any_lake.path("a:b", "home").read_bytes() == rain.read_bytes()
    assert len(any_lake.on_disk()) == 2
    assert {item.outcome for item in datasets.verify()} == {"good"}


def test_where_all_replicas_are_wrong_it_is_said_and_nothing_is_given(lake, rain, tmp_path):
    lake.datasets.put(rain, "a:b")
    _flip(lake.path("a:b", "home"))
    with pytest.raises(ResultCorrupt):
        lake.datasets.fetch("a:b", tmp_path / "out.bin")
    assert not list(tmp_path.glob("*out*")) and not list(tmp_path.glob(".writing*"))
    with pytest.raises(ResultCorrupt):
        lake.datasets.move("a:b", "archive")
    assert [path.is_relative_to(lake.home) for path in lake.on_disk()] == [True]
    assert [item.outcome for item in lake.datasets.verify()] == ["damaged"]
    assert lake.datasets.get("a:b").state == "unverified"
    lake.path("a:b", "home").write_bytes(rain.read_bytes())
    assert [item.outcome for item in lake.datasets.verify()] == ["good"]
    assert lake.datasets.get("a:b").state == "verified"


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_registered_file_is_verified_by_reading_it_and_is_never_deleted(lake, rain, tmp_path):
    foreign = tmp_path / "archive" / "2019" / "old.bin"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(rain.read_bytes())
    record = lake.datasets.register("a:old", "archive", "2019/old.bin")
    assert (record.state, dict(record.digests)) == ("unverified", {})
    assert lake.datasets.copy("a:old", "home")[0].state == "verified"
    digest = lake.datasets.get("a:old").digests["sha256"]
    assert (digest.value, digest.origin) == (hashlib.sha256(rain.read_bytes()).hexdigest(), "stream")
    lake.datasets.move("a:old", "home")
    lake.datasets.remove("a:old")
    assert lake.on_disk() == [foreign]


def test_missing_things_are_named(lake, rain, tmp_path):
    lake.datasets.put(rain, "fulda:rain")
    with pytest.raises(NotFound) as error:
        lake.datasets.get("fulda:rian")
    assert "fulda:rain" in str(error.value.hint)
    with pytest.raises(NotFound, match="storage 'archvie'"):
        lake.datasets.put(rain, "a:b", storage="archvie")
    with pytest.raises(NotFound, match="no file"):
        lake.datasets.put(tmp_path / "nothing", "a:b")
    with pytest.raises(Conflict, match="replicas lie"):
        lake.datasets.move("fulda:rain", "archive")
        lake.storages.remove("archive")


_KILLED = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {here!r})
    from lake_of_tests import Lake
    from gemel.infra.lake.datasets import _transfers
    from gemel.infra.lake.storages import LocalStorage
    lake = Lake({url!r}, Path({home!r}))
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)
    {where}
    {what}
"""
_PLACES = {
    "in the middle of writing": "lake.datasets._transfers._touching = lambda *_: lambda done: die() if done > 1_500_000 else None",
    "before the copy is compared": "_transfers.Sightings.add = die",
    "before the journal knows": "lake.datasets._records.settle = lake.datasets._records.create = die",
    "before the old one is dropped": "_transfers.Transfers.sweep = die",
    "after the old file went": "lake.datasets._records.forget = die",
}


def _killed(lake, where: str, what: str) -> None:
    code = textwrap.dedent(_KILLED).format(
        here=str(Path(__file__).parent), url=str(lake.store.engine.url), home=str(lake.home), where=where, what=what
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), timeout=60
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.mark.chaos
@pytest.mark.parametrize("where", _PLACES)
def test_a_move_that_is_killed_loses_and_doubles_nothing(lake, rain, where):
    lake.datasets.put(rain, "a:b")
    _killed(lake, _PLACES[where], "lake.datasets.move('a:b', 'archive')")
    # Whatever was killed, there is a whole replica at this moment.
    assert {item.outcome for item in lake.datasets.verify(["a:b"], repair=False)} == {"good"}
    lake.datasets.sweep(stale=-1)
    (record,) = lake.datasets.move("a:b", "archive")
    assert [replica.storage for replica in record.replicas] == ["archive"]
    assert [path.read_bytes() == rain.read_bytes() for path in lake.on_disk()] == [True]
    assert not list(lake.home.rglob(".writing-*"))


@pytest.mark.chaos
@pytest.mark.parametrize("where", ["in the middle of writing", "before the journal knows"])
def test_a_put_that_is_killed_can_be_done_again(lake, rain, where):
    _killed(lake, _PLACES[where], f"lake.datasets.put(Path({str(rain)!r}), 'a:b', storage='archive')")
    assert lake.datasets.find() == []
    lake.datasets.put(rain, "a:b", storage="archive")
    lake.datasets.sweep(stale=-1)
    assert [path.read_bytes() == rain.read_bytes() for path in lake.on_disk()] == [True]


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here (that needs root): {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_error_and_leaves_nothing(lake, rain, small_disk):
    lake.add_folder("small", small_disk / "data")
    with pytest.raises(StoreFull, match="small"):
        lake.datasets.put(rain, "a:b", storage="small")
    assert lake.datasets.find() == [] and lake.on_disk() == []
    lake.datasets.put(rain, "a:b")
    with pytest.raises(StoreFull):
        lake.datasets.move("a:b", "small")
    assert [item.outcome for item in lake.datasets.verify()] == ["good"] and len(lake.on_disk()) == 1
    with pytest.raises(StoreFull):
        lake.datasets.fetch("a:b", small_disk / "out.bin")
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []
