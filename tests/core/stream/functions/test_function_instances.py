"""Instances: warm between calls, as many as there are calls, gone when idle; one that dies takes only its call along."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from function_work import at_work, lines

from gemel.core.stream.functions import FunctionSpec
from gemel.infra.store import open_store
from stage import until

pytestmark = pytest.mark.slow


@pytest.fixture
def functions(sqlite_url):
    store = open_store(sqlite_url)
    with at_work(store) as working:
        yield working
    store.close()


def say(**arguments) -> bytes:
    return json.dumps(arguments).encode()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_an_instance_keeps_what_it_loaded_between_calls(functions, tmp_path):
    side = tmp_path / "side"
    functions.deploy(FunctionSpec("model", process="modelled", arguments={"side": str(side)}))
    calls = [functions.invoke("model", say(number=number), wait=60) for number in range(4)]
    told = [json.loads(functions.output(call.id)) for call in calls]
    assert [number for number, _, _ in told] == [0, 1, 2, 3]
    assert len({pid for _, pid, _ in told}) == 1 and [uses for _, _, uses in told] == [1, 2, 3, 4]
    assert lines(side) == [f"loaded {told[0][1]}"]


def test_instances_come_with_calls_and_go_when_idle(functions, tmp_path):
    side, gate = tmp_path / "side", tmp_path / "gate"
    fixed = {"gate": str(gate), "side": str(side)}
    functions.deploy(FunctionSpec("held", process="gated", arguments=fixed, concurrency=3, idle=0.3))
    assert functions.status()["held"]["instances"] == 0
    ids = [functions.invoke("held", say(number=number)).id for number in range(8)]
    until(lambda: len(lines(side)) == 3)
    assert functions.status()["held"] | {"running": 3, "queued": 5, "instances": 3} == functions.status()["held"]
    pids = {int(line.split()[2]) for line in lines(side)}
    assert len(pids) == 3 and all(map(alive, pids))
    gate.touch()
    assert all(functions.wait(id, 60).state == "finished" for id in ids)
    assert {int(line.split()[2]) for line in lines(side) if line.startswith("begun")} == pids, "instances are reused"
    until(lambda: functions.status()["held"]["instances"] == 0 and not any(map(alive, pids)))
    assert functions.invoke("held", say(number=9), wait=60).state == "finished", "and it comes back"


def test_a_minimum_stays_and_is_ready_before_the_first_call(functions, tmp_path):
    side = tmp_path / "side"
    functions.deploy(FunctionSpec("model", process="modelled", arguments={"side": str(side)}, minimum=1, idle=0.0))
    (ready,) = until(lambda: [pool._threads for pool in functions._pools.values()])
    pid = json.loads(functions.output(functions.invoke("model", say(), wait=60).id))[1]
    time_up = time.monotonic() + 0.6
    until(lambda: time.monotonic() > time_up)
    assert alive(pid) and len(ready) == 1
    assert json.loads(functions.output(functions.invoke("model", say(), wait=60).id))[1:] == [pid, 2]
    functions.remove("model")
    until(lambda: not alive(pid))


def test_a_change_reaches_the_next_call(functions, tmp_path):
    functions.deploy(FunctionSpec("f", process="doubled", arguments={"number": 1}))
    assert functions.output(functions.invoke("f", wait=60).id) == b"2"
    functions.update(FunctionSpec("f", process="doubled", arguments={"number": 4}))
    until(lambda: functions._pools["f"].spec.arguments == {"number": 4})
    assert functions.output(functions.invoke("f", wait=60).id) == b"8"


def test_a_slow_function_does_not_block_others(functions, tmp_path):
    fixed = {"gate": str(tmp_path / "never"), "side": str(tmp_path / "side")}
    functions.deploy(FunctionSpec("slow", process="gated", arguments=fixed))
    slow = [functions.invoke("slow").id for _ in range(5)]
    until(lambda: lines(tmp_path / "side"))
    functions.deploy(FunctionSpec("quick", process="doubled"))
    for number in range(5):
        assert functions.invoke("quick", say(number=number), wait=60).state == "finished"
    assert {functions.call(id).state for id in slow} == {"running", "queued"}


HARM = {
    "raises": ("ValueError: no water", "ValueError"),
    "exits": ("SystemExit: 3", "SystemExit"),
    "vanishes": ("died: exit code 7", "function.died"),
    "segfaults": ("killed by SIGSEGV", "function.died"),
    "eats": ("out of memory", "MemoryError"),
    "floods": ("more than 10 MB", "input.invalid"),
    "hangs": ("longer than its limit of 1.5 s", "function.timeout"),
}


def test_harm_is_done_to_the_call_alone(functions):
    functions.deploy(FunctionSpec("m", process="moody", attempts=1, timeout=1.5, memory=500_000_000))
    for mood, (message, code) in HARM.items():
        call = functions.invoke("m", say(mood=mood), wait=60)
        assert call.state == "failed" and call.error["code"] == code and message in call.error["message"], mood
        assert functions.output(call.id) is None
        well = functions.invoke("m", say(mood="well"), wait=60)
        assert well.state == "finished" and functions.output(well.id) == b'"well"', f"after {mood}"


def test_what_a_call_printed_is_in_its_log_also_when_it_died(functions):
    functions.deploy(FunctionSpec("m", process="moody", attempts=1))
    raised = functions.invoke("m", say(mood="raises"), wait=60)
    log = functions.logs(raised.id)
    assert log.startswith("about to raise\n") and "ValueError: no water" in log
    assert functions.logs(functions.invoke("m", say(mood="vanishes"), wait=60).id) == "last words\n"
    assert functions.logs(functions.invoke("m", say(mood="well"), wait=60).id) == ""


def test_a_wrong_call_fails_at_once_and_a_failing_one_after_its_attempts(functions, tmp_path):
    side = tmp_path / "side"
    functions.deploy(FunctionSpec("m", process="moody", arguments={"side": str(side)}, attempts=3, backoff=0.02))
    wrong = functions.invoke("m", say(temper="raises"), wait=60)
    assert (wrong.state, wrong.attempts) == ("failed", 1) and "'temper'" in wrong.error["message"]
    call = functions.invoke("m", say(mood="raises"), wait=60)
    assert (call.state, call.attempts, lines(side)) == ("failed", 3, ["raises"] * 3)


def test_the_environment_of_an_instance(functions):
    functions.deploy(FunctionSpec("e", process="echoed", environment={"X": "1"}))
    call = functions.invoke("e", b'{"nested": [1, null, "\\u00e9"]}', wait=60)
    assert json.loads(functions.output(call.id)) == {"nested": [1, None, "é"]}
    (pool,) = functions._pools.values()
    pids = [path.name for path in Path("/proc").iterdir() if path.name.isdigit() and _is_instance(path.name)]
    assert pool.size() == (1, 0) and len(pids) == 1
    assert b"X=1" in Path(f"/proc/{pids[0]}/environ").read_bytes().split(b"\0")


def _is_instance(pid: str) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    except OSError:
        return False
    return b"functions._instance" in command and parent == str(os.getpid())


def test_a_large_input_and_a_large_result_pass(functions):
    functions.deploy(FunctionSpec("e", process="echoed"))
    data = json.dumps("x" * 9_000_000).encode()
    call = functions.invoke("e", data, wait=60)
    assert functions.output(call.id) == data and (call.input_bytes, call.output_bytes) == (len(data), len(data))


def test_stopping_gives_calls_back_as_if_they_had_never_begun(sqlite_url, tmp_path):
    store = open_store(sqlite_url)
    side, gate = tmp_path / "side", tmp_path / "gate"
    with at_work(store) as functions:
        functions.deploy(FunctionSpec("held", process="gated", arguments={"gate": str(gate), "side": str(side)}))
        call = functions.invoke("held", say(number=1))
        until(lambda: lines(side))
        pid = int(lines(side)[0].split()[2])
    assert not alive(pid)
    gate.touch()
    with at_work(store, engine="engine-2") as functions:
        assert functions.call(call.id).attempts in (0, 1)
        ended = functions.wait(call.id, 60)
        assert (ended.state, ended.attempts, ended.engine) == ("finished", 1, "engine-2")
    store.close()
