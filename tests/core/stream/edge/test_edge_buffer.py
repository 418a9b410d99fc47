"""The edge: what it lets through, what it keeps when the line is down, and that kill -9 at either end loses nothing."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gemel.base.errors import InvalidInput, StoreFull
from gemel.core.stream import Event, SourceContext, SqlEventLog
from gemel.core.stream.edge import EdgeBuffer, Filters, forward
from gemel.core.stream.sources import Webhook
from gemel.infra.store import open_store

START = datetime(2001, 1, 1, tzinfo=UTC)
PROGRAM = Path(__file__).with_name("edge_process.py")
PATIENCE = 40.0


def event(number: int, **data) -> Event:
    return Event(
        f"e{number}", "gemel.observation", "/gauge", START + timedelta(seconds=number), data or {"flow": number}
    )


def until(condition, seconds: float = PATIENCE):
    deadline, never = time.monotonic() + seconds, threading.Event()
    while time.monotonic() < deadline:
        if found := condition():
            return found
        never.wait(0.02)
    raise AssertionError("this never came true")


class Engine:
    """A stand-in for an engine's address of a source: the real webhook and the real log behind a small server."""

    def __init__(self, url: str, port: int = 0) -> None:
        self.log = SqlEventLog(open_store(url))
        self.webhook = Webhook(SourceContext("gauge", "/gauge", {}, lambda *_: None))
        self.instead: list[int] = []
        self.refuse: set[str] = set()
        self.lose = 0
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_) -> None:
                """Say nothing."""

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = engine.take({name.lower(): value for name, value in self.headers.items()}, body)
                if status:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

        class Server(ThreadingHTTPServer):
            daemon_threads, block_on_close, allow_reuse_address = True, False, True

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/sources/gauge/events"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def take(self, headers, body) -> int:
        assert headers["content-encoding"] == "gzip" and headers["authorization"] == "Bearer t0ken"
        if self.instead:
            return self.instead.pop(0)
        if any(item["id"] in self.refuse for item in json.loads(gzip.decompress(body))):
            return 422
        self.log.append_many("gauge", self.webhook.receive(headers, body))
        if self.lose:
            self.lose -= 1
            return 0  # kept, and the answer is lost
        return 202

    def ids(self) -> list[str]:
        return [item.id for item in self.log.read("gauge", limit=100_000)]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.log.close()


@pytest.fixture
def engine(sqlite_url):
    found = Engine(sqlite_url)
    yield found
    found.close()


@contextlib.contextmanager
def forwarding(buffer: EdgeBuffer, url: str):
    stop = threading.Event()
    thread = threading.Thread(target=forward, args=(buffer, url, "t0ken", stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_what_is_put_is_handed_on_in_order(tmp_path, engine):
    buffer = EdgeBuffer(tmp_path / "edge.db")
    for start in range(0, 2000, 700):
        buffer.put([event(number) for number in range(start, min(start + 700, 2000))])
    with forwarding(buffer, engine.url):
        until(lambda: buffer.status()["waiting"] == 0)
    assert engine.ids() == [f"e{number}" for number in range(2000)]
    assert engine.log.last("gauge")[0].data == {"flow": 1999}
    buffer.close()


def test_lost_answers_and_failures_cost_nothing(tmp_path, engine, caplog):
    buffer = EdgeBuffer(tmp_path / "edge.db")
    engine.instead, engine.lose = [503, 507, 401], 1
    buffer.put([event(number) for number in range(10)])
    with forwarding(buffer, engine.url):
        until(lambda: buffer.status()["waiting"] == 0)
    assert engine.ids() == [f"e{number}" for number in range(10)]
    assert "status 507" in caplog.text and "t0ken" not in caplog.text
    buffer.close()


def test_what_the_engine_refuses_is_kept_with_its_reason_and_holds_nothing_up(tmp_path, engine):
    buffer = EdgeBuffer(tmp_path / "edge.db")
    engine.refuse = {"e3", "e7"}
    buffer.put([event(number) for number in range(10)])
    with forwarding(buffer, engine.url):
        until(lambda: buffer.status()["waiting"] == 0)
    assert engine.ids() == [f"e{number}" for number in range(10) if number not in (3, 7)]
    assert [(item.id, "422" in reason) for reason, item in buffer.refused()] == [("e3", True), ("e7", True)]
    buffer.close()


def test_a_full_buffer_refuses_and_the_source_waits_until_the_line_is_up(tmp_path, engine):
    buffer = EdgeBuffer(tmp_path / "edge.db", most_bytes=3000)
    noise = random.Random(1)
    events = [event(number, flow=number, noise=noise.random()) for number in range(1000)]

    class Gauge:
        asked = 0

        def events(self, after):
            for start in range(0, 1000, 50):
                yield events[start : start + 50]
                self.asked = start + 50

    with pytest.raises(StoreFull):
        buffer.put(events)
    assert buffer.status()["waiting"] == 0
    gauge, stop = Gauge(), threading.Event()
    feeder = threading.Thread(target=buffer.feed, args=(gauge, stop, 0.02), daemon=True)
    feeder.start()
    until(lambda: buffer.status()["bytes"] > 1000)
    threading.Event().wait(0.3)  # time enough for a source that is not held back
    assert gauge.asked < 1000
    with forwarding(buffer, engine.url):
        feeder.join(PATIENCE)
        until(lambda: buffer.status()["waiting"] == 0)
    assert engine.ids() == [item.id for item in events]
    buffer.close()


def test_what_was_put_is_there_when_it_is_opened_again(tmp_path):
    buffer = EdgeBuffer(tmp_path / "edge.db", Filters(deadband={"flow": 5}))
    assert buffer.put([event(0), event(3), event(6)]) == 2
    buffer.close()
    again = EdgeBuffer(tmp_path / "edge.db", Filters(deadband={"flow": 5}))
    assert again.oldest().events == [event(0), event(6)] and again.newest() == event(6).time
    # What the filters know lasts, too.
    assert again.put([event(8)]) == 0 and again.status()["dropped"] == 2
    again.close()


def test_similar_events_are_packed_to_a_fraction(tmp_path):
    buffer = EdgeBuffer(tmp_path / "edge.db")
    events = [event(number, flow=number % 10, unit="m3 s-1") for number in range(500)]
    buffer.put(events)
    plain = len(json.dumps([item.document() for item in events]))
    assert buffer.status()["bytes"] * 5 < plain
    buffer.close()


@given(some.lists(some.floats(-100, 100) | some.none(), max_size=60), some.floats(0, 50))
def test_a_deadband_is_never_wrong_by_more_than_itself(values, band):
    rules, state, last = Filters(deadband={"flow": band}), {}, None
    for number, value in enumerate(values):
        if rules.passed(event(number, flow=value), state):
            last = value
        # Whoever holds on to the last value that passed is never further off.
        assert (last is None) == (value is None)
        assert value is None or abs(value - last) <= band


def test_rules_of_bounds_changes_every_and_the_longest_silence():
    def through(rules: Filters, values) -> list[int]:
        state: dict = {}
        return [n for n, value in enumerate(values) if rules.passed(event(n, flow=value), state)]

    nan = float("nan")
    assert through(Filters(), [1, 1, None]) == [0, 1, 2]
    assert through(Filters(bounds={"flow": (0, 10)}), [1, -1, 10, 11, None, nan, True, "x"]) == [0, 2]
    assert through(Filters(changed=("flow",)), ["a", "a", "b", None, None, "a"]) == [0, 2, 3, 5]
    assert through(Filters(every=3), range(8)) == [0, 3, 6]
    assert through(Filters(deadband={"flow": 1}, longest=timedelta(seconds=3)), [5] * 8) == [0, 3, 6]


@pytest.mark.parametrize(
    "rules",
    [
        {"every": 0},
        {"every": True},
        {"deadband": {"a": -1}},
        {"deadband": {"a": float("nan")}},
        {"bounds": {"a": (2, 1)}},
    ],
)
def test_rules_that_make_no_sense_are_refused(rules):
    with pytest.raises(InvalidInput):
        Filters(**rules)


@pytest.mark.slow
@pytest.mark.chaos
def test_kill_9_of_the_edge_and_an_engine_that_goes_away_lose_nothing(tmp_path, sqlite_url):
    engine = Engine(sqlite_url)
    count, chance = 2000, random.Random(7)
    command = [sys.executable, str(PROGRAM), str(tmp_path / "edge.db"), engine.url, str(count), str(tmp_path / "acked")]
    try:
        for turn in range(6):
            running = subprocess.Popen(command)
            before = len(engine.ids())
            until(lambda there=engine, known=before: known < len(there.ids()) or known >= count)
            threading.Event().wait(chance.uniform(0, 0.2))
            running.kill()
            running.wait()
            if turn % 2:
                port = engine.port
                engine.close()
                engine = Engine(sqlite_url, port)
        running = subprocess.Popen(command)
        until(lambda: len(engine.ids()) >= count)
        running.kill()
        running.wait()
        assert engine.ids() == [f"e{number}" for number in range(count)]
    finally:
        engine.close()
