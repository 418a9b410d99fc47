"""Workers: files arrive, failures are tried again, whatever is killed is taken up, and nothing is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from gemel.infra.lake.mover import Mover, Patience


def put_many(lake, folder: Path, count: int, size: int = 200_000) -> list[str]:
    folder.mkdir(exist_ok=True)
    names = []
    for number in range(count):
        path = folder / f"{number}.bin"
        path.write_bytes(random.Random(number).randbytes(size))
        lake.datasets.put(path, f"many:{number}")
        names.append(f"many:{number}")
    return names


def test_a_group_is_moved_with_its_ways_told(any_lake, tmp_path):
    names = put_many(any_lake, tmp_path / "in", 5)
    any_lake.datasets.group("many:all", names)
    asked = any_lake.mover.request(["many:all"], "archive", only=True)
    told: list[int] = []
    done = any_lake.mover.work([item.id for item in asked], progress=lambda found: told.append(len(found)))
    assert [(item.state, item.way, item.source) for item in done] == [("done", "stream", "home")] * 5
    assert {item.reason for item in done} == {"'home' is a folder of this machine"}
    assert all(item.bandwidth > 0 and item.moved == item.size == 200_000 for item in done)
    assert told and set(told) == {5}
    assert {item.storage for name in names for item in any_lake.datasets.get(name).replicas} == {"archive"}
    assert len(any_lake.on_disk()) == 5


def test_a_server_that_is_away_is_asked_again_and_what_is_denied_is_not(lake, rain, dav, tmp_path):
    lake.datasets.put(rain, "a:b")
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    lake.storages.add("closed", "webdav", dav.options | {"password": f"file:{wrong}"})
    lake.storages.add("away", "webdav", {"url": "http://127.0.0.1:9"})
    mover = Mover(lake.datasets, lake.storages, lake.queue, Patience(attempts=3, first=0.01))
    asked = [lake.mover.request(["a:b"], storage)[0].id for storage in ("away", "closed")]
    away, closed = mover.work(asked)
    assert (away.state, away.attempts) == ("failed", 3) and "store.unavailable" in away.error
    # A token may be renewed meanwhile, so that what is not known who asks is tried again, too.
    assert closed.state == "failed" and "access.unauthenticated" in closed.error
    assert len(lake.on_disk()) == 1


def test_a_transfer_is_cancelled_in_the_middle_and_leaves_nothing(lake, rain, monkeypatch):
    lake.datasets.put(rain, "a:b")
    (asked,) = lake.mover.request(["a:b"], "archive")
    begun, go_on = threading.Event(), threading.Event()
    storage, write = lake.storages.get("archive"), lake.storages.get("archive").write

    def slow(path, stream, size=None):
        begun.set()
        assert go_on.wait(30)
        return write(path, stream, size)

    monkeypatch.setattr(storage, "write", slow)
    worker = threading.Thread(target=lake.mover.take)
    worker.start()
    assert begun.wait(30)
    lake.queue.cancel(asked.id)
    # The worker's sign of life is what tells it.
    while lake.queue.get(asked.id).state == "running" and not go_on.is_set():
        held = lake.queue.get(asked.id)
        if held.cancel and not lake.queue.beat(held, 2.0, 0):
            threading.Event().wait(0.8)  # one beat of its heart, at a third of the lease
            go_on.set()
    worker.join()
    assert lake.queue.get(asked.id).state == "cancelled"
    assert len(lake.on_disk()) == 1 and len(lake.datasets.get("a:b").replicas) == 1


_WORKER = """
    import sys, threading
    from pathlib import Path
    sys.path[:0] = {paths!r}
    from lake_of_tests import Lake
    lake = Lake({url!r}, Path({home!r}))
    lake.mover.start(2)
    print("ready", flush=True)
    threading.Event().wait()
"""


def _worker(lake) -> subprocess.Popen[str]:
    paths = [str(Path(__file__).parents[1] / folder) for folder in ("datasets", "storages")]
    code = textwrap.dedent(_WORKER).format(paths=paths, url=str(lake.store.engine.url), home=str(lake.home))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
@pytest.mark.chaos
def test_two_workers_that_are_killed_again_and_again_lose_and_double_nothing(lake, tmp_path):
    names = put_many(lake, tmp_path / "in", 60, size=400_000)
    asked = lake.mover.request(names, "archive", only=True)
    chance = random.Random(4)
    for _ in range(6):
        pair = [_worker(lake), _worker(lake)]
        threading.Event().wait(chance.uniform(0.05, 0.5))
        for process in pair:
            process.send_signal(signal.SIGKILL)
            process.wait()
    done = lake.mover.work([item.id for item in asked])
    assert {item.state for item in done} == {"done"}
    lake.datasets.sweep(stale=-1)
    assert {finding.outcome for finding in lake.datasets.verify(repair=False)} == {"good"}
    assert all([replica.storage for replica in lake.datasets.get(name).replicas] == ["archive"] for name in names)
    assert len(lake.on_disk()) == 60


@pytest.mark.chaos
def test_a_worker_that_slept_too_long_does_not_double_what_another_brought(lake, rain, monkeypatch):
    lake.datasets.put(rain, "a:b")
    (asked,) = lake.mover.request(["a:b"], "archive")
    write = type(lake.storages.get("archive")).write
    slept: list[str] = []

    def sleepy(storage, path, stream, size=None):
        if not slept:
            slept.append(path)
            # As if this process had been stopped for longer than its lease: another one does the work meanwhile.
            with lake.store.write() as connection:
                connection.exec_driver_sql("UPDATE transfers SET lease_until = 0")
            other = Mover(lake.datasets, lake.storages, lake.queue)
            assert other.take()
        return write(storage, path, stream, size)

    monkeypatch.setattr(type(lake.storages.get("archive")), "write", sleepy)
    assert lake.mover.take()
    assert lake.queue.get(asked.id).state == "done"
    assert sorted(item.storage for item in lake.datasets.get("a:b").replicas) == ["archive", "home"]
    assert len(lake.on_disk()) == 2
