"""Every event of a stream is one call of the function that listens to it: no event without, none with two."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from function_work import at_work, lines, new_functions
from nats_server import NatsServer, nats_program

from gemel.core.stream import Event, JetStreamLog, SqlEventLog
from gemel.core.stream.functions import FunctionSpec
from gemel.infra.store import open_store
from stage import until

pytestmark = pytest.mark.slow
STREAM = "twins/brook/gauge"
NOON = datetime(2001, 1, 1, 12, tzinfo=UTC)


def gauged(number: int) -> Event:
    return Event(f"e{number}", "gemel.observation", "/gauge", NOON, {"flow": float(number), "more": True})


def spec(side, **options) -> FunctionSpec:
    wanted = {"on": STREAM, "arguments": {"side": str(side)}, "concurrency": 2} | options
    return FunctionSpec("seen", process="seen", **wanted)


def test_each_event_is_one_call(store, tmp_path):
    side, log = tmp_path / "side", SqlEventLog(store)
    log.append(STREAM, gauged(0))
    with at_work(store, log=log) as functions:
        functions.deploy(spec(side))
        for number in range(1, 21):
            log.append(STREAM, gauged(number))
        log.append(STREAM, gauged(5))  # a duplicate
        until(lambda: functions.status()["seen"]["finished"] == 20)
        assert sorted(lines(side)) == sorted(f"e{number} {number}" for number in range(1, 21))
        causes = {call.cause for call in functions.calls("seen")}
        assert causes == {f"{STREAM}/{event.position}" for event in log.read(STREAM, 1)}
    assert log.group(STREAM, "function/seen").pending() == 0
    log.close()


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_all_events_are_called_for_where_that_is_wanted(store, tmp_path):
    log = SqlEventLog(store)
    log.append_many(STREAM, [gauged(number) for number in range(5)])
    with at_work(store, log=log) as functions:
        functions.deploy(spec(tmp_path / "side", begin="all"))
        until(lambda: functions.status()["seen"]["finished"] == 5)
    log.close()


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_events_wait_while_nobody_works_and_while_too_many_calls_wait(store, tmp_path):
    log = SqlEventLog(store)
    idle = new_functions(store, log)
    idle.deploy(spec(tmp_path / "side", queue=3))
    log.append_many(STREAM, [gauged(number) for number in range(10)])
    assert idle.calls("seen") == []
    blocked = tmp_path / "gate"
    fixed = {"gate": str(blocked), "side": str(tmp_path / "held")}
    idle.update(FunctionSpec("seen", process="gated", on=STREAM, queue=3, arguments=fixed))
    with at_work(store, log=log) as functions:
        until(lambda: functions.status()["seen"]["problem"])
        assert "wait already" in functions.status()["seen"]["problem"]
        assert len(functions.calls("seen")) <= 4
        assert log.group(STREAM, "function/seen").pending() >= 6
    log.close()


def test_two_engines_make_one_call_of_each_event(store, tmp_path):
    side, log, other = tmp_path / "side", SqlEventLog(store), SqlEventLog(store)
    with at_work(store, log=log, engine="engine-1") as functions, at_work(store, log=other, engine="engine-2"):
        functions.deploy(spec(side))
        for number in range(40):
            log.append(STREAM, gauged(number))
        until(lambda: functions.status()["seen"]["finished"] == 40)
        assert sorted(lines(side)) == sorted(f"e{number} {number}" for number in range(40))
    log.close()
    other.close()


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_removed_function_makes_no_further_calls(store, tmp_path):
    log = SqlEventLog(store)
    with at_work(store, log=log) as functions:
        functions.deploy(spec(tmp_path / "side"))
        log.append(STREAM, gauged(1))
        until(lambda: functions.status()["seen"]["finished"] == 1)
        functions.remove("seen")
        until(lambda: not functions._listening)
        log.append(STREAM, gauged(2))
        assert functions.calls() == []
    log.close()


def test_events_of_a_broker_are_called_for_once_each(sqlite_url, tmp_path):
    server, store = NatsServer(tmp_path, nats_program()), open_store(sqlite_url)
    server.start()
    try:
        log, side = JetStreamLog(server.url), tmp_path / "side"
        with at_work(store, log=log) as functions:
            functions.deploy(spec(side))
            log.append_many(STREAM, [gauged(number) for number in range(20)])
            until(lambda: functions.status()["seen"]["finished"] == 20)
            assert sorted(lines(side)) == sorted(f"e{number} {number}" for number in range(20))
        log.close()
    finally:
        server.kill()
        store.close()
