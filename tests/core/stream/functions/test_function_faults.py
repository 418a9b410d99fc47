"""Engines are killed while calls run: the next one finishes each, once; poison is put aside, and heals when replayed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from function_work import found, lines, new_functions

from gemel.core.stream import Event, SqlEventLog
from gemel.core.stream.functions import Functions, FunctionSpec
from gemel.infra.store import Store, open_store
from stage import until

pytestmark = [pytest.mark.slow, pytest.mark.chaos]
ENGINE = """
import sys, threading
sys.path[:0] = sys.argv[2].split(":")
from test_function_faults import engine
with engine(sys.argv[1]):
    print("ready", flush=True)
    threading.Event().wait()
"""


def is_alive(engine: str) -> bool:
    pid = int(engine.partition("-")[2])
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@contextlib.contextmanager
def engine(url: str) -> Iterator[Functions]:
    """Yield started functions of an engine that is known by its process."""
    store = open_store(url)
    functions = Functions(store, SqlEventLog(store), engine=f"engine-{os.getpid()}", alive=is_alive, find=found)
    functions.start()
    try:
        yield functions
    finally:
        functions.stop()
        store.close()


@contextlib.contextmanager
def other(url: str) -> Iterator[subprocess.Popen[str]]:
    """Yield an engine in a process of its own, killed with -9 at the end."""
    command = [sys.executable, "-c", ENGINE, url, ":".join(sys.path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def instances_of(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if path.name.isdigit() and int((path / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.name))
    return found


def test_every_call_ends_once_however_often_its_engine_is_killed(store_url, tmp_path):
    store, chance = open_store(store_url), random.Random(5)
    setup = new_functions(store)
    fixed = {"side": str(tmp_path / "side")}
    setup.deploy(
        FunctionSpec("f", process="doubled", on="rain", concurrency=2, attempts=50, backoff=0.0, arguments=fixed)
    )
    log, sent = SqlEventLog(store), 0
    for _ in range(3):
        with other(store_url):
            for _ in range(10):
                log.append("rain", Event(f"e{sent}", "t", "/gauge", _noon(), {"number": sent}))
                sent += 1
            enough = len(lines(tmp_path / "side")) + chance.randrange(1, 10)
            until(partial(_done, setup, sent, tmp_path / "side", enough))
    with engine(store_url) as functions:
        until(lambda: _done(functions, sent))
        calls = functions.calls("f", limit=1000)
        assert len(calls) == sent == len({call.cause for call in calls})
        assert sorted(float(functions.output(call.id)) for call in calls) == [2.0 * number for number in range(sent)]
        assert {call.state for call in calls} == {"finished"}
    log.close()
    store.close()


def _done(functions: Functions, sent: int, side: Path | None = None, enough: int = 0) -> bool:
    return functions.status()["f"]["finished"] == sent or (side is not None and len(lines(side)) >= enough)


def _noon() -> datetime:
    return datetime(2001, 1, 1, 12, tzinfo=UTC)


def test_a_killed_engine_leaves_no_instance_and_no_script_running(sqlite_url, tmp_path):
    store: Store = open_store(sqlite_url)
    side, gate = tmp_path / "side", tmp_path / "gate"
    setup = new_functions(store)
    fixed = {"gate": str(gate), "side": str(side)}
    setup.deploy(FunctionSpec("held", process="gated", arguments=fixed))
    setup.deploy(FunctionSpec("script", script="sleep 600"))
    call, script = setup.invoke("held").id, setup.invoke("script").id
    with other(sqlite_url) as process:
        until(lambda: lines(side) and setup.call(script).state == "running" and len(instances_of(process.pid)) == 2)
        children = instances_of(process.pid)
    until(lambda: not any(Path(f"/proc/{pid}/stat").exists() and is_alive(f"x-{pid}") for pid in children))
    setup.remove("script")
    gate.touch()
    with engine(sqlite_url) as functions:
        ended = functions.wait(call, 60)
        assert (ended.state, ended.attempts) == ("finished", 2)
    store.close()


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_poison_is_put_aside_and_heals_when_it_is_replayed(store_url, tmp_path):
    store, cure = open_store(store_url), tmp_path / "cure"
    with engine(store_url) as functions:
        spec = FunctionSpec(
            "ill", process="healed", arguments={"cure": str(cure)}, attempts=2, backoff=0.01, concurrency=2
        )
        functions.deploy(spec)
        ids = [functions.invoke("ill", json.dumps({"number": number}).encode()).id for number in range(4)]
        dead = [functions.wait(id, 60) for id in ids]
        assert {(call.state, call.attempts, call.error["message"]) for call in dead} == {
            ("failed", 2, "RuntimeError: still ill")
        }
        letters = functions._log.read("functions/ill.dead")
        assert sorted(letter.data["call"] for letter in letters) == sorted(ids)
        assert functions.replay("ill", ids[0]) == [ids[0]]
        assert functions.wait(ids[0], 60).state == "failed", "still ill, and dead once more"
        assert len(functions._log.read("functions/ill.dead")) == 5
        cure.touch()
        assert sorted(functions.replay("ill")) == sorted(ids)
        assert [functions.output(functions.wait(id, 60).id) for id in ids] == [b"0", b"1", b"2", b"3"]
        assert functions.dead("ill") == [] and functions.call(ids[0]).error is None
    store.close()


def test_a_poison_call_that_kills_its_instance_does_not_stop_the_others(sqlite_url, tmp_path):
    with engine(sqlite_url) as functions:
        functions.deploy(FunctionSpec("m", process="moody", attempts=2, backoff=0.0))
        moods = ["well", "vanishes", "well", "segfaults", "well"]
        ids = [functions.invoke("m", json.dumps({"mood": mood}).encode()).id for mood in moods]
        states = [functions.wait(id, 60).state for id in ids]
    assert states == ["finished", "failed", "finished", "failed", "finished"]
