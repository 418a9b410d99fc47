"""A hundred files between two sites, one of which dies in the middle."""

from __future__ import annotations

import random
import threading

import pytest

from gemel.infra.lake.mover import Mover, Patience

pytestmark = [pytest.mark.slow, pytest.mark.chaos]


def test_a_hundred_files_arrive_though_a_server_is_killed_and_started_again(grid):
    lake, names = grid.lake, []
    for number in range(100):
        # They lie there already, and east's own word is all that is known of them.
        (grid.pair.a.folder / f"{number}.bin").write_bytes(random.Random(number).randbytes(300_000))
        lake.datasets.register(f"grid:{number}", "east", f"{number}.bin")
        names.append(f"grid:{number}")
    asked = [item.id for item in lake.mover.request(names, "west")]
    mover = Mover(lake.datasets, lake.storages, lake.queue, Patience(attempts=20, first=0.1, most=1.0, lease=5.0))
    killed: list[int] = []

    def die(found) -> None:
        done = sum(item.state == "done" for item in found)
        if done >= 30 and not killed:
            killed.append(done)
            grid.pair.b.kill()
            threading.Timer(1.0, grid.pair.b.start).start()

    done = mover.work(asked, progress=die, workers=3)
    assert killed and killed[0] < 100
    assert {item.state for item in done} == {"done"}, [item.error for item in done if item.state != "done"]
    assert max(item.attempts for item in done) > 1
    assert {item.way for item in done} <= {"pull", "push", "stream"}
    # Those before the kill; once a way failed it is left alone for a while, in which files pass through instead.
    assert sum(item.way == "pull" for item in done) >= killed[0]
    lake.datasets.sweep(stale=-1)
    for number in range(100):
        record = lake.datasets.get(f"grid:{number}")
        assert record.state == "verified" and record.digests["adler32"].confirmed
        (there,) = (grid.pair.b.folder / item.path for item in record.replicas if item.storage == "west")
        assert there.read_bytes() == random.Random(number).randbytes(300_000)
    assert len([path for path in grid.pair.b.folder.rglob("*") if path.is_file()]) == 100
