"""What arrives in a watched folder or bucket is registered, whole and once."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from gemel.base.errors import InvalidInput, NotFound
from gemel.infra.lake.watching import Watcher, Watches
from gemel.infra.store import schema


@pytest.fixture
def watcher(any_lake):
    return Watcher(Watches(any_lake.store, schema.metadata.tables), any_lake.datasets, any_lake.storages, quiet=0.0)


def names(lake) -> list[str]:
    return [str(record.name) for record in lake.datasets.find() if record.kind == "file"]


def old(path: Path) -> Path:
    """Return a file that was written a minute ago."""
    os.utime(path, (time.time() - 60, time.time() - 60))
    return path


def test_files_are_registered_once_with_their_facts(any_lake, watcher, tmp_path):
    folder = any_lake.add_folder("inbox", tmp_path / "inbox")
    (folder / "gauge" / "2020").mkdir(parents=True)
    old_one = folder / "gauge" / "2020" / "flow.nc"
    old_one.write_bytes(b"flow")
    old(old_one)
    (folder / "gauge" / "notes.txt").write_bytes(b"other")
    (folder / "elsewhere.nc").write_bytes(b"not watched")
    watch = watcher.watches.add("inbox", "gauge", "hydro", pattern="*.nc", into="hydro:all", licence="CC-BY-4.0")
    assert [str(record.name) for record in watcher.scan()] == ["hydro:2020.flow.nc"]
    assert watcher.scan() == []
    (record,) = any_lake.datasets.find(["hydro:*flow*"])
    assert record.licence == "CC-BY-4.0" and record.metadata["watch"] == watch.id
    assert [str(name) for name in any_lake.datasets.get("hydro:all").members] == ["hydro:2020.flow.nc"]
    # Another one of the same path is another version: datasets never change.
    old_one.write_bytes(b"flow, corrected")
    old(old_one)
    assert [str(record.name) for record in watcher.scan()] == ["hydro:2020.flow.nc@2"]
    assert [item.outcome for item in any_lake.datasets.verify(["hydro:2020.flow.nc@2"])] == ["good"]


def test_a_file_that_is_still_being_written_is_waited_for(any_lake, tmp_path):
    watches = Watches(any_lake.store, schema.metadata.tables)
    watcher = Watcher(watches, any_lake.datasets, any_lake.storages, quiet=0.2)
    folder = any_lake.add_folder("inbox", tmp_path / "inbox")
    watches.add("inbox", "", "hydro")
    growing = folder / "big.bin"
    growing.write_bytes(b"a" * 10)
    assert watcher.scan() == []
    growing.write_bytes(b"a" * 20)
    assert watcher.scan() == []
    until = time.monotonic() + 20
    while not (found := watcher.scan()):
        assert time.monotonic() < until
    assert found[0].size == 20
    assert names(any_lake) == ["hydro:big.bin"]


def test_a_watch_that_cannot_be_looked_at_says_so_and_the_others_go_on(any_lake, watcher, tmp_path):
    any_lake.storages.add("away", "webdav", {"url": "http://127.0.0.1:9"})
    folder = any_lake.add_folder("inbox", tmp_path / "inbox")
    (folder / "a.nc").write_bytes(b"a")
    old(folder / "a.nc")
    away, near = watcher.watches.add("away", "", "far"), watcher.watches.add("inbox", "", "near")
    assert [str(record.name) for record in watcher.scan()] == ["near:a.nc"]
    assert "cannot be reached" in watcher.watches.get(away.id).problem
    assert watcher.watches.get(near.id).problem is None
    watcher.watches.remove(away.id)
    with pytest.raises(NotFound):
        watcher.watches.get(away.id)


def test_names_that_cannot_be_are_refused_once_and_do_no_harm(any_lake, watcher, tmp_path):
    folder = any_lake.add_folder("inbox", tmp_path / "inbox")
    for name in ("what?.nc", "fine.nc"):
        (folder / name).write_bytes(b"x")
        old(folder / name)
    watcher.watches.add("inbox", "", "hydro")
    assert [str(record.name) for record in watcher.scan()] == ["hydro:fine.nc"]
    assert watcher.scan() == []
    with pytest.raises(InvalidInput):
        watcher.watches.add("inbox", "../out", "hydro")
    with pytest.raises(InvalidInput):
        watcher.watches.add("inbox", "", "NO SCOPE")


def test_objects_of_a_bucket_are_registered_from_notifications_and_from_looking(any_lake, watcher, s3):
    any_lake.storages.add("bucket", "s3", s3.options)
    storage = any_lake.storages.get("bucket")
    watcher.watches.add("bucket", "in", "sat")
    for path in ("in/scene 1+2.tif", "in/scene 3.tif", "out/other.tif"):
        storage.write(path, io.BytesIO(path.encode()))
    told = {
        "Records": [
            {
                "eventName": "s3:ObjectCreated:Put",
                "s3": {"bucket": {"name": "bucket"}, "object": {"key": quote_plus(path)}},
            }
            for path in ("in/scene 1+2.tif", "out/other.tif")
        ]
    }
    assert [str(record.name) for record in watcher.notified(told)] == ["sat:scene 1+2.tif"]
    assert watcher.notified(told) == []
    assert [str(record.name) for record in watcher.scan()] == ["sat:scene 3.tif"]
    for wrong in ({}, {"Records": 3}, {"Records": [{"s3": {}}]}):
        with pytest.raises(InvalidInput, match="Records"):
            watcher.notified(wrong)
    for path in ("in/scene 1+2.tif", "in/scene 3.tif", "out/other.tif"):
        storage.delete(path)


_SCAN = """
    import os, signal, sys
    from pathlib import Path
    sys.path[:0] = {paths!r}
    from lake_of_tests import Lake
    from gemel.infra.lake.watching import Watcher, Watches
    from gemel.infra.store import schema
    lake = Lake({url!r}, Path({home!r}))
    watches = Watches(lake.store, schema.metadata.tables)
    watches.note = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    Watcher(watches, lake.datasets, lake.storages, quiet=0.0).scan()
"""


@pytest.mark.chaos
def test_a_scan_that_is_killed_before_it_could_note_registers_nothing_twice(lake, tmp_path):
    folder = lake.add_folder("inbox", tmp_path / "inbox")
    watcher = Watcher(Watches(lake.store, schema.metadata.tables), lake.datasets, lake.storages, quiet=0.0)
    watcher.watches.add("inbox", "", "hydro", into="hydro:all")
    for number in range(3):
        (folder / f"{number}.nc").write_bytes(b"x")
        old(folder / f"{number}.nc")
    paths = [str(Path(__file__).parents[1] / name) for name in ("datasets", "storages")]
    code = textwrap.dedent(_SCAN).format(paths=paths, url=str(lake.store.engine.url), home=str(lake.home))
    for _ in range(2):
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        assert len(names(lake)) == 1
    watcher.scan()
    assert names(lake) == [f"hydro:{number}.nc" for number in range(3)]
    assert len(lake.datasets.get("hydro:all").members) == 3


def test_ten_thousand_files_are_registered_in_one_call(lake, tmp_path):
    folder = lake.add_folder("old", tmp_path / "old")
    for number in range(10_000):
        (folder / f"{number:05d}.txt").write_bytes(b"x")
    assert len(lake.datasets.register_all("legacy", "old", "")) == 10_000
    assert lake.datasets.register_all("legacy", "old", "") == []
    assert len(lake.datasets.find(["legacy:*7.txt"])) == 1000
    assert lake.datasets.changes.last() == 10_000
