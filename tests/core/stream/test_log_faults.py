"""What the event log keeps when things go wrong: killed processes, poison, a full disk, a broker that restarts."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sql
from nats_server import NatsServer, nats_program

from gemel.base.errors import Conflict, InvalidInput, StoreFull, StoreUnavailable
from gemel.core.stream import Event, JetStreamLog, SqlEventLog
from gemel.infra.store import open_store, schema

pytestmark = pytest.mark.slow

START = datetime(2001, 1, 1, tzinfo=UTC)
PROGRAM = Path(__file__).with_name("log_processes.py")
PATIENCE = 30.0


def event(number: int, **data) -> Event:
    return Event(f"e{number}", "test", "/test", START + timedelta(days=number), data or {"number": number})


@contextlib.contextmanager
def process(role: str, url: str, count: int = 0) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen([sys.executable, PROGRAM, role, url, str(count)], stdout=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here (that needs root): {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_what_a_killed_consumer_held_comes_again_once(store, store_url):
    log = SqlEventLog(store)
    log.append_many("a", [event(number) for number in range(6)])
    with process("hold", store_url, 4) as holder:
        assert holder.stdout.readline().split() == ["took", "e0", "e1", "e2", "e3"]
        group = log.group("a", "g", ack_wait=600.0)
        assert [item.event.id for item in group.take(10)] == ["e4", "e5"]
        assert group.take(10) == [], "its holder lives"
        holder.kill()
        holder.wait()
        again = group.take(10, PATIENCE)  # long before ack_wait
    assert [(item.event.id, item.attempt) for item in again] == [(f"e{n}", 2) for n in range(4)]
    group.ack(*again)
    assert group.take(10) == [] and group.pending() == 2
    log.close()


@pytest.mark.chaos
@pytest.mark.slow
def test_effects_happen_once_however_often_both_ends_are_killed(store, store_url):
    count, kills, dice = 300, 12, random.Random(5)
    done = set()
    for number in range(kills + 1):
        with process("consume", store_url) as consumer, process("produce", store_url, count) as producer:
            if number < kills:
                for _ in range(dice.randrange(1, 25)):
                    consumer.stdout.readline()
                consumer.kill()
                producer.kill()
                continue
            done = set(producer.stdout.read().split())
            log = SqlEventLog(store)
            group, until = log.group("a", "g", ack_wait=600.0, attempts=1000), time.monotonic() + PATIENCE
            while group.pending():
                assert time.monotonic() < until, group.pending()
                threading.Event().wait(0.05)
            log.close()
    with store.read() as connection:
        effects = connection.execute(sql.select(schema.logs.c.node)).scalars().all()
    assert len(done) == count
    assert sorted(effects) == sorted(done)


def test_an_effect_and_its_acknowledgement_are_written_together_or_not_at_all(store):
    log = SqlEventLog(store)
    log.append("a", event(1))
    first, second = log.group("a", "g", ack_wait=0.05), log.group("a", "g", ack_wait=600.0)
    (mine,) = first.take(1)
    with pytest.raises(ZeroDivisionError), store.write() as connection:
        first.ack(mine, connection=connection)
        raise ZeroDivisionError
    assert first.pending() == 1
    (theirs,) = second.take(1, PATIENCE)
    with pytest.raises(Conflict), store.write() as connection:
        connection.execute(schema.engines.insert(), _engine("late"))
        first.ack(mine, connection=connection)
    with store.write() as connection:
        connection.execute(schema.engines.insert(), _engine("in time"))
        second.ack(theirs, connection=connection)
    with store.read() as connection:
        assert connection.execute(sql.select(schema.engines.c.id)).scalars().all() == ["in time"]
    assert first.pending() == 0
    log.close()


def test_an_event_that_kills_its_consumers_takes_no_other_with_it(store):
    log = SqlEventLog(store)
    log.append_many("a", [event(number) for number in range(5)])
    done = []
    for _ in range(20):
        group = log.group("a", "g", attempts=3)
        taken = group.take(10)
        if not taken:
            break
        if "e2" not in [item.event.id for item in taken]:
            group.ack(*taken)
            done += [item.event.id for item in taken]
        group.close()  # as if it had died with all it held
    assert sorted(done) == ["e0", "e1", "e3", "e4"]
    assert [item.data["event"]["id"] for item in log.read("a.dead")] == ["e2"]
    log.close()


def test_many_who_append_together_share_commits_and_lose_nothing(store):
    log = SqlEventLog(store)
    with ThreadPoolExecutor(8) as pool:

        def write(base: int) -> list[int | None]:
            return [log.append(f"s{base % 2}", event(base * 1000 + number)) for number in range(25)]

        positions = [position for found in pool.map(write, range(8)) for position in found]
    assert len(set(positions)) == 200 and None not in positions
    assert len(log.read("s0")) == len(log.read("s1")) == 100
    log.close()


def test_one_full_stream_does_not_hold_up_another(store):
    log = SqlEventLog(store)
    log.limit("full", events=1)
    log.append("full", event(0))
    with ThreadPoolExecutor(8) as pool:
        full = [pool.submit(log.append, "full", event(number)) for number in range(1, 9)]
        free = [pool.submit(log.append, "free", event(number)) for number in range(1, 9)]
    assert all(isinstance(item.exception(), StoreFull) for item in full)
    assert all(item.result() for item in free) and len(log.read("free")) == 8
    log.close()


def test_a_full_disk_refuses_and_keeps_what_was_acknowledged(small_disk):
    store = open_store(f"sqlite:///{small_disk / 'gemel.db'}")
    log = SqlEventLog(store)
    kept = []
    with pytest.raises(StoreFull) as caught:
        for number in range(1000):
            log.append("a", event(number, x="x" * 20_000))
            kept.append(f"e{number}")
    assert "full" in caught.value.message and kept
    assert [item.id for item in log.read("a", limit=10_000)] == kept
    log.close()
    store.close()


def test_pipes_of_the_dead_are_removed(store, store_url):
    log = SqlEventLog(store)
    folder = log.bell._folder
    with process("hold", store_url, 1) as holder:
        log.append("a", event(1))
        holder.stdout.readline()
        assert len(list(folder.glob("*/*"))) == 1
    log.append("a", event(2))
    assert list(folder.glob("*/*")) == []
    log.close()


def test_without_pipes_readers_look_again(store, monkeypatch):
    log = SqlEventLog(store)
    log.bell._folder = None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(log.wait, "a", 0, PATIENCE)
        log.append("a", event(1))
        assert [item.id for item in waiting.result(PATIENCE)] == ["e1"]
    log.close()


@pytest.fixture
def nats(tmp_path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path, nats_program())
    server.start()
    yield server
    server.kill()


@pytest.mark.slow
def test_a_broker_that_is_killed_and_restarted_loses_nothing_acknowledged(nats):
    log = JetStreamLog(nats.url)
    group = log.group("a", "g", ack_wait=1.0)
    acknowledged = log.append_many("a", [event(number) for number in range(50)])
    group.ack(*group.take(20, 5.0))
    nats.kill()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(log.append, "a", event(50))
        nats.start()
        assert sending.result(PATIENCE)
    assert log.append("a", event(7)) is None, "ids are known after the restart"
    assert [item.position for item in log.read("a")][:50] == acknowledged
    seen, until = set(), time.monotonic() + PATIENCE
    while len(seen) < 31:
        assert time.monotonic() < until, seen
        taken = group.take(100, 0.5)
        group.ack(*taken)
        seen |= {item.event.id for item in taken}
    assert seen == {f"e{number}" for number in range(20, 51)}
    log.close()


@pytest.mark.slow
def test_a_broker_that_is_away_is_told(nats):
    log = JetStreamLog(nats.url)
    log.append("a", event(1))
    with pytest.raises(InvalidInput, match="transaction"):
        log.group("a", "g").ack(connection=object())
    log.close()
    nats.kill()
    with pytest.raises(StoreUnavailable, match="does not answer"):
        JetStreamLog(nats.url)


def _engine(name: str) -> dict:
    return {"id": name, "host": "h", "pid": 1, "started": 1.5, "lease_until": 2.5}
