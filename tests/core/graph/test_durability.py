"""Damage: a corrupted result is found and computed again, and a full disk loses nothing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sql
import xarray as xr

from gemel.base.errors import ResultCorrupt, StoreFull
from gemel.core.graph import Field, graph, process
from gemel.infra.store import schema

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def _fresh_calls() -> None:
    CALLS.clear()


@process
def flow(n: int) -> Field:
    """A field of `n` numbers."""
    CALLS.append("flow")
    return xr.DataArray(np.arange(float(n)), dims="time")


@process
def peak(data: Field, more: float) -> float:
    """The greatest of them, and more."""
    CALLS.append("peak")
    return float(data.max()) + more


@graph
def peaks(n: int, more: float) -> dict:
    """Peak of a flow, and the flow itself."""
    found = flow(n)
    return {"peak": peak(found, more), "flow": found}


@graph
def only_peak(n: int, more: float) -> float:
    """Peak of a flow."""
    return peak(flow(n), more)


def _key(run, process: str) -> str:
    return next(step.key for step in run.steps if step.process == process)


def _damage_row(bench, key: str) -> None:
    with bench.store.write() as connection:
        connection.execute(sql.update(schema.results).where(schema.results.c.key == key).values(inline=b"damaged"))


def _damage_file(bench, key: str) -> None:
    path = bench.files.path(bench.results.get(key).digest)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def _remove_file(bench, key: str) -> None:
    bench.files.path(bench.results.get(key).digest).unlink()


@pytest.fixture(params=[(_damage_row, 65536), (_damage_file, 0), (_remove_file, 0)], ids=["row", "file", "no-file"])
def damaged(request: pytest.FixtureRequest, new_bench: Callable, store_url: str):
    """Return an engine and the way in which its stored results are damaged."""
    damage, inline_limit = request.param
    return new_bench(store_url, inline_limit=inline_limit), damage


def test_a_damaged_input_is_found_when_it_is_needed_and_computed_again(damaged):
    bench, damage = damaged
    run = bench.run(only_peak, {"n": 5, "more": 0.0})
    damage(bench, _key(run, "flow"))
    CALLS.clear()
    again = bench.run(only_peak, {"n": 5, "more": 1.0})
    assert again.state == "finished", again.error
    assert bench.value(again) == 5.0
    assert CALLS == ["peak", "flow"] or CALLS == ["flow", "peak"]
    # What was computed anew is stored again, and sound.
    np.testing.assert_array_equal(bench.results.load(bench.results.get(_key(run, "flow"))).values, np.arange(5.0))


def test_a_damaged_output_is_found_before_it_is_given_out(damaged):
    bench, damage = damaged
    run = bench.run(peaks, {"n": 5, "more": 0.0})
    damage(bench, _key(run, "flow"))
    CALLS.clear()
    again = bench.run(peaks, {"n": 5, "more": 0.0})
    np.testing.assert_array_equal(bench.value(again, "flow").values, np.arange(5.0))
    assert CALLS == ["flow"]


def test_reading_a_damaged_result_is_refused(damaged):
    bench, damage = damaged
    run = bench.run(peaks, {"n": 5, "more": 0.0})
    damage(bench, _key(run, "flow"))
    with pytest.raises(ResultCorrupt):
        bench.value(run, "flow")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder on a file system of 4 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here (that needs root): {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"\0" * 4096)
    return ballast


def test_a_full_disk_for_results_fails_the_step_and_nothing_is_half_written(small_disk, new_bench, store_url):
    bench = new_bench(store_url, inline_limit=0)
    bench.files.folder = small_disk / "results"
    bench.run(only_peak, {"n": 10, "more": 0.0})
    before = sorted(path for path in bench.files.folder.rglob("*") if path.is_file())
    ballast = _fill(small_disk)
    run = bench.run(only_peak, {"n": 30_000, "more": 0.0})
    assert run.state == "failed"
    assert run.error["context"]["cause"] == StoreFull.code
    assert "space" in run.error["hint"]
    ballast.unlink()
    assert sorted(path for path in bench.files.folder.rglob("*") if path.is_file()) == before
    CALLS.clear()
    again = bench.run(only_peak, {"n": 30_000, "more": 0.0})
    assert again.state == "finished" and bench.value(again) == 29_999.0


def test_a_full_disk_under_the_journal_is_told_and_the_run_goes_on_later(small_disk, new_bench):
    bench = new_bench(f"sqlite:///{small_disk / 'gemel.db'}")
    ballast: list[Path] = []

    @process
    def greedy(data: Field) -> float:
        if not ballast:
            ballast.append(_fill(small_disk))
        return float(data.sum())

    @process
    def last(total: float) -> list:
        # Larger than what the write-ahead log has room for, and still below the inline limit.
        return [total] * 8000

    @graph
    def tight() -> list:
        return last(greedy(flow(3)))

    run_id = bench.create(tight)
    with pytest.raises(StoreFull, match="full"):
        bench.execute(run_id, tight)
    for path in ballast:
        path.unlink()
    kept = bench.journal.get(run_id)
    assert kept.state == "running", "as after a crash: whoever comes next takes it up"
    with bench.store.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    assert bench.journal.adopt(run_id, "engine-2", "engine-1")
    final = bench.execute(run_id, tight)
    assert final.state == "finished" and bench.value(final) == [3.0] * 8000
    assert CALLS == ["flow"], "what was stored before the disk was full is not computed again"


WRITER = """
import resource, signal, sys
from pathlib import Path
from gemel.base.errors import GemelError
from gemel.infra.lake import ContentStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = ContentStore(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    store.put(b"x" * 5000)
except GemelError as error:
    print(type(error).__name__)
"""


def test_a_file_that_may_not_grow_is_an_error_and_leaves_nothing(tmp_path: Path):
    told = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path / "results")], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "StoreUnavailable"
    assert [path for path in (tmp_path / "results").rglob("*") if path.is_file()] == []


def test_what_a_killed_engine_left_half_written_is_swept_after_a_day(tmp_path: Path):
    from gemel.infra.lake import ContentStore

    folder = tmp_path / "results"
    store = ContentStore(folder)
    digest = store.put(b"kept")
    old, young = folder / "staging-old", folder / "staging-young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    ContentStore(folder)
    assert not old.exists() and young.exists() and store.path(digest).read_bytes() == b"kept"
