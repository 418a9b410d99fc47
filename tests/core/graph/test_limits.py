"""Limits: a step that takes too long, dies or is cancelled is stopped with all it started, and its run says so."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gemel.core.graph import RunControl, capture_logs, graph, process, progress

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def _fresh_calls() -> None:
    CALLS.clear()


@process
def source(n: int) -> float:
    """A number."""
    CALLS.append(f"source {n}")
    return float(n)


@process
def tenfold(x: float) -> float:
    """Ten times as much."""
    CALLS.append("tenfold")
    return 10 * x


@process(timeout=20)
def apart(x: float) -> float:
    """Twice as much, in a process of its own."""
    logging.getLogger("apart").info("working on %s", x)
    progress(0.5, "half way")
    return 2 * x + 0 * os.getpid()


def test_a_limited_step_tells_progress_and_logs_from_its_own_process(sqlite_bench):
    capture_logs()

    @graph
    def limited() -> float:
        return apart(4.0)

    told: list[dict[str, Any]] = []
    run = sqlite_bench.run(limited, control=RunControl(notify=told.append))
    assert sqlite_bench.value(run) == 8.0
    assert {"step": "apart1", "state": "running", "fraction": 0.5, "message": "half way"} in told
    assert "working on 4.0" in [line["message"] for line in sqlite_bench.journal.logs(run.id)]


@process(timeout=2.5)
def endless(folder: str) -> float:
    """Starts a child, writes down both ids, and never ends."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(folder, "ids").write_text(f"{os.getpid()} {child.pid}")
    while True:
        child.poll()


def test_timeout_kills_the_step_and_its_children(bench, tmp_path):
    @graph
    def stuck(folder: str) -> float:
        return endless(folder)

    begun = time.monotonic()
    run = bench.run(stuck, {"folder": str(tmp_path)})
    assert time.monotonic() - begun < 20
    assert run.state == "failed"
    assert run.error["code"] == "run.timeout"
    assert "limit of 2.5 s" in run.error["message"] and "timeout" in run.error["hint"]
    for pid in map(int, (tmp_path / "ids").read_text().split()):
        assert _gone(pid), f"process {pid} outlived its step"


@process(timeout=60)
def dying(x: float) -> float:
    """Dies without a word."""
    os._exit(7)


def test_a_step_whose_process_dies_is_told(sqlite_bench):
    @graph
    def crashing() -> float:
        return dying(1.0)

    run = sqlite_bench.run(crashing)
    assert "exit code 7" in run.error["message"]


class TwoPart(Exception):
    """An exception that pickle cannot bring back."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


@process(timeout=60)
def awkward(x: float) -> float:
    """Raises what does not travel."""
    raise TwoPart("this", "that")


def test_an_error_that_does_not_travel_is_told_in_words(sqlite_bench):
    @graph
    def failing() -> float:
        return awkward(1.0)

    assert "TwoPart: this and that" in sqlite_bench.run(failing).error["message"]


def test_cancel_stops_before_the_next_step(bench):
    control = RunControl()

    @process
    def last_wish(x: float) -> float:
        control.cancelled.set()
        return x

    @graph
    def long_run() -> float:
        return tenfold(last_wish(source(1)))

    run = bench.run(long_run, control=control)
    assert run.state == "cancelled"
    assert CALLS == ["source 1"]
    assert bench.states(run)["last_wish1"] == ("finished", False)
    # What was finished before the cancel is not computed again.
    again = bench.run(long_run)
    assert again.state == "finished" and bench.states(again)["source1"] == ("finished", True)


def test_cancel_reaches_a_step_that_reports_progress(sqlite_bench):
    control = RunControl()
    started = threading.Event()

    @process
    def patient(x: float) -> float:
        started.set()
        control.cancelled.wait(30)
        progress(0.1)
        CALLS.append("went on")
        return x

    @graph
    def waiting() -> float:
        return patient(1.0)

    stopper = threading.Thread(target=lambda: started.wait(30) and control.cancelled.set())
    stopper.start()
    run = sqlite_bench.run(waiting, control=control)
    stopper.join()
    assert run.state == "cancelled" and CALLS == []
    assert sqlite_bench.states(run)["patient1"] == ("cancelled", False)


def test_cancel_kills_a_step_in_its_own_process(sqlite_bench, tmp_path):
    control = RunControl()

    @graph
    def stuck(folder: str) -> float:
        return endless(folder)

    def stop() -> None:
        while not (tmp_path / "ids").exists():
            started.wait(0.02)
        control.cancelled.set()

    started = threading.Event()
    stopper = threading.Thread(target=stop)
    stopper.start()
    run = sqlite_bench.run(stuck, {"folder": str(tmp_path)}, control)
    stopper.join()
    assert run.state == "cancelled"
    assert all(_gone(int(pid)) for pid in (tmp_path / "ids").read_text().split())


def _gone(pid: int) -> bool:
    for _ in range(500):
        try:
            if "Z" in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]:
                return True
        except FileNotFoundError:
            return True
        threading.Event().wait(0.01)
    return False
