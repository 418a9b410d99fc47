"""Functions in processes of their own: results, errors, limits, and no orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gemel.infra.compute import Stopped, run_isolated, tell_engine


def test_the_result_of_any_function_comes_back():
    factor = 3
    assert run_isolated(lambda x: [x * factor, os.getpid()], {"x": 2}, timeout=60)[0] == 6
    assert run_isolated(lambda x: [x * factor, os.getpid()], {"x": 2}, timeout=60)[1] != os.getpid()


def test_a_large_value_travels_both_ways():
    data = b"rain" * (1 << 20)
    assert run_isolated(lambda data: data[::-1], {"data": data}, timeout=60) == data[::-1]


def test_the_function_s_own_error_is_raised():
    def fail() -> None:
        raise KeyError("gauge")

    with pytest.raises(KeyError, match="gauge"):
        run_isolated(fail, {}, timeout=60)


def test_leaving_by_exit_is_an_error():
    with pytest.raises(RuntimeError, match="SystemExit"):
        run_isolated(lambda: sys.exit(3), {}, timeout=60)


def test_what_is_told_on_the_way_is_heard_in_order():
    def talk() -> str:
        for part in range(3):
            tell_engine("progress", part / 3, "working")
        return "done"

    heard: list = []
    assert run_isolated(talk, {}, timeout=60, hear=lambda kind, content: heard.append((kind, content))) == "done"
    assert heard == [("progress", (part / 3, "working")) for part in range(3)]


def test_telling_where_no_engine_listens_does_nothing():
    tell_engine("progress", 0.5, "alone")


def test_printing_does_not_reach_the_engine_s_standard_output(capfd):
    run_isolated(lambda: print("noise"), {}, timeout=60)
    told = capfd.readouterr()
    assert told.out == "" and "noise" in told.err


def test_the_limit_counts_from_the_start_of_the_function():
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        run_isolated(lambda: time.sleep(600), {}, timeout=0.3)
    assert time.monotonic() - begun < 60


def test_stopping_on_demand():
    with pytest.raises(Stopped):
        run_isolated(lambda: time.sleep(600), {}, timeout=60, stopped=lambda: True)


ENGINE = """
import sys, time
from pathlib import Path
from gemel.infra.compute import run_isolated
def work(folder):
    import os, subprocess, sys, time
    from pathlib import Path
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(folder, "part").write_text(f"{os.getpid()} {child.pid}")
    Path(folder, "part").rename(Path(folder, "ids"))
    time.sleep(600)
run_isolated(work, {"folder": sys.argv[1]}, timeout=600)
"""


def test_a_killed_engine_leaves_no_step_running(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", ENGINE, str(tmp_path)]) as engine:
        _until(lambda: (tmp_path / "ids").exists(), "the step started")
        engine.send_signal(signal.SIGKILL)
    for pid in map(int, (tmp_path / "ids").read_text().split()):
        _until(lambda pid=pid: _gone(pid), f"process {pid} ended")


def _until(met, what: str) -> None:
    for _ in range(3000):
        if met():
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"waited in vain: {what}")


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
