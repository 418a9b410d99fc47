"""Training buffers: what opens a batch, what it holds, and that nothing goes before training succeeded."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nats_server import NatsServer, nats_program
from training_process import SPEC, START, event

from gemel.base.errors import Conflict, InvalidInput, NotFound, ResultCorrupt, StoreFull
from gemel.core.stream import Event, JetStreamLog, SqlEventLog
from gemel.core.stream.buffers import BufferSpec, TrainingBuffer
from gemel.core.stream.buffers._batch import Moments
from gemel.core.stream.triggers import Drift, Volume

PROGRAM = Path(__file__).with_name("training_process.py")


@pytest.fixture
def log(store):
    opened = SqlEventLog(store)
    yield opened
    opened.close()


def held(log) -> list[str]:
    return [kept.id for kept in log.read("gauge", limit=10_000)]


def fill(log, begin: int, end: int) -> None:
    log.append_many("gauge", [event(number) for number in range(begin, end)])


def test_a_batch_opens_when_there_is_enough_and_has_its_events_and_no_others(store, log):
    buffer = TrainingBuffer(store, log, "brook", SPEC)
    fill(log, 0, 19)
    assert buffer.look() is None and buffer.waiting() == 19
    fill(log, 19, 33)
    batch = buffer.look()
    assert (batch.number, batch.state, batch.events, batch.reason) == (1, "open", 20, "volume")
    assert buffer.look() == batch and buffer.waiting() == 13, "what comes meanwhile is the next one's"
    values = buffer.data(batch)
    assert values["level"].tolist() == [number * 0.5 for number in range(20)]
    assert np.isnan(values["flow"]).nonzero()[0].tolist() == [0, 7, 14]
    first = np.datetime64(START.replace(tzinfo=None), "us")
    assert values["time"].tolist() == (first + np.arange(20) * np.timedelta64(60_000_000, "us")).tolist()


def test_statistics_and_digest_are_those_of_the_values_and_stay_when_the_events_are_gone(store, log):
    buffer = TrainingBuffer(store, log, "brook", SPEC)
    fill(log, 0, 25)
    batch = buffer.look()
    flow = np.array([number % 13 for number in range(20) if number % 7])
    expected = {"count": 17, "mean": flow.mean(), "variance": flow.var(ddof=1), "min": 1, "max": 12, "nulls": 3}
    expected["min"], expected["max"] = flow.min(), flow.max()
    assert batch.statistics["flow"] == pytest.approx(expected)
    done = buffer.done(buffer.training(batch, "r1"), "r1")
    assert held(log) == [f"e{number}" for number in range(20, 25)]
    assert (done.state, done.run, done.digest, done.statistics) == ("done", "r1", batch.digest, batch.statistics)
    assert buffer.get(1) == done and buffer.done(batch, "r1") == done, "said twice is said once"
    with pytest.raises(Conflict, match="let go"):
        buffer.data(done)


def test_nobody_removes_what_a_buffer_needs_and_it_removes_nothing_that_others_need(store, log):
    buffer, other = TrainingBuffer(store, log, "brook", SPEC), log.group("gauge", "live")
    fill(log, 0, 30)
    other.ack(*other.take(25))
    assert log.trim("gauge", 10_000) == 0 and len(held(log)) == 30
    batch = buffer.look()
    assert log.trim("gauge", 10_000) == 0
    buffer.done(batch, "r1")
    assert held(log)[0] == "e20"
    slow = log.group("gauge", "slow")
    fill(log, 30, 60)
    buffer.done(buffer.look(), "r2")
    assert held(log)[0] == "e20", "'slow' has not seen them"
    slow.ack(*slow.take(100))
    other.ack(*other.take(100))
    buffer.done(buffer.look() or buffer.fire("asked"), "r3")
    assert held(log) == []


def test_after_a_failure_the_same_events_can_be_tried_again(store, log):
    buffer = TrainingBuffer(store, log, "brook", SPEC)
    fill(log, 0, 50)
    batch = buffer.look()
    failed = buffer.failed(buffer.training(batch, "r1"), "r1", {"code": "run.step-failed", "message": "diverged"})
    assert failed.state == "failed" and failed.error["message"] == "diverged" and failed.ended is not None
    assert buffer.look() is None and buffer.unfinished() == failed and len(held(log)) == 50
    with pytest.raises(Conflict):
        buffer.training(batch, "r2")
    again = buffer.again(failed)
    assert buffer.look() == again and again.digest == batch.digest and again.error is None
    assert len(buffer.data(again)["time"]) == 20
    buffer.done(buffer.training(again, "r2"), "r2")
    assert buffer.look().number == 2 and len(held(log)) == 30
    with pytest.raises(Conflict):
        buffer.failed(again, "r2", {})


def test_drift_opens_a_batch_with_all_that_came_before(store, log):
    spec = BufferSpec("d", "gauge", ("level",), drift=Drift("level", reference=50, window=10, level=1e-4))
    buffer = TrainingBuffer(store, log, "brook", spec)
    dice = np.random.default_rng(2)
    values = [*dice.normal(0, 1, 100), *dice.normal(5, 1, 30)]
    log.append_many("gauge", [event(number, level=float(value)) for number, value in enumerate(values)])
    batch = buffer.look()
    assert (batch.reason, batch.events) == ("drift", 110)
    buffer.done(batch, "r")
    assert buffer.look() is None and len(held(log)) == 20


def test_a_bound_opens_a_batch_at_the_latest(store, log):
    buffer = TrainingBuffer(store, log, "brook", BufferSpec("b", "gauge", ("level",), most_events=8))
    fill(log, 0, 20)
    sizes = []
    while batch := buffer.look():
        sizes.append((batch.reason, batch.events))
        buffer.done(batch, "r")
    assert sizes == [("bound", 8), ("bound", 8)] and len(held(log)) == 4


def test_the_bound_counts_from_the_last_batch_whatever_opened_it(store, log):
    buffer = TrainingBuffer(store, log, "brook", BufferSpec("b", "gauge", ("level",), Volume(events=5), most_events=8))
    fill(log, 0, 20)
    sizes = []
    while batch := buffer.look():
        sizes.append((batch.reason, batch.events))
        buffer.done(batch, "r")
    assert sizes == [("volume", 5)] * 4


def test_age_opens_a_batch_though_nothing_comes(store, log):
    buffer = TrainingBuffer(store, log, "brook", BufferSpec("a", "gauge", ("level",), Volume(age="1 h")))
    fill(log, 0, 5)
    assert buffer.look(START + timedelta(minutes=59)) is None
    assert buffer.look(START + timedelta(minutes=60)).events == 5


def test_a_batch_can_be_asked_for(store, log):
    buffer = TrainingBuffer(store, log, "brook", SPEC)
    assert buffer.fire("button") is None
    fill(log, 0, 5)
    buffer.look()
    fill(log, 5, 12)
    batch = buffer.fire("new sensor")
    assert (batch.reason, batch.events) == ("new sensor", 12)
    with pytest.raises(Conflict, match="not finished"):
        buffer.fire("button")
    buffer.done(batch, "r")
    fill(log, 12, 33)
    assert (buffer.look().events, buffer.waiting()) == (20, 1), "the count began anew"
    with pytest.raises(NotFound):
        buffer.get(9)
    assert [each.number for each in buffer.batches()] == [1, 2]


def test_while_training_fails_a_bounded_stream_fills_and_says_so(store, log):
    log.limit("gauge", events=40)
    buffer = TrainingBuffer(store, log, "brook", SPEC)
    fill(log, 0, 40)
    batch = buffer.look()
    buffer.failed(batch, "r1", {"message": "no"})
    with pytest.raises(StoreFull):
        fill(log, 40, 41)
    buffer.done(buffer.again(batch), "r2")
    fill(log, 40, 41)


def test_events_that_are_not_those_of_the_batch_are_noticed(store, log):
    buffer = TrainingBuffer(store, log, "brook", SPEC)
    fill(log, 0, 20)
    batch = buffer.look()
    log.forget("gauge")
    with pytest.raises(ResultCorrupt, match="not those"):
        buffer.data(batch)


def test_blocks_of_samples_are_rows(store, log):
    buffer = TrainingBuffer(store, log, "brook", BufferSpec("s", "gauge", ("u", "v"), Volume(events=2)))
    data = {"samples": {"u": [1, 2, 3], "v": [4, None, "x"]}, "period": 0.5}
    log.append_many("gauge", [event(0, **data), event(1, u=5)])
    values = buffer.data(buffer.look())
    assert values["u"].tolist() == [1, 2, 3, 5]
    assert values["v"].tolist() == pytest.approx([4, np.nan, np.nan, np.nan], nan_ok=True)
    seconds = (values["time"] - np.datetime64(START.replace(tzinfo=None))) / np.timedelta64(1, "s")
    assert seconds.tolist() == [0, 0.5, 1.0, 60]


@pytest.mark.parametrize("broken", [{"name": ""}, {"fields": ()}, {"most_events": 0}])
def test_a_buffer_that_could_never_work_is_refused(broken):
    with pytest.raises(InvalidInput):
        BufferSpec(**({"name": "b", "stream": "s", "fields": ("x",)} | broken))


def test_the_digest_is_of_the_events_alone(store, log):
    """Other streams in between, other positions, another page: the same events have the same digest."""
    buffer = TrainingBuffer(store, log, "brook", SPEC)
    fill(log, 0, 20)
    for number in range(20):
        log.append("elsewhere", event(number))
        log.append("copy", Event(**{**vars(event(number)), "position": 0}))
    copied = TrainingBuffer(store, log, "brook", BufferSpec("c", "copy", SPEC.fields, SPEC.volume))
    assert buffer.look().digest == copied.look().digest
    log.append_many("other", [event(number) for number in range(1, 21)])
    other = TrainingBuffer(store, log, "brook", BufferSpec("o", "other", SPEC.fields, SPEC.volume))
    assert other.look().digest != copied.look().digest


def test_a_buffer_works_the_same_with_a_broker(store, tmp_path):
    server = NatsServer(tmp_path, nats_program())
    server.start()
    try:
        broker = JetStreamLog(server.url)
        fill(broker, 0, 50)
        buffer, sizes = TrainingBuffer(store, broker, "brook", SPEC), []
        while batch := buffer.look():
            sizes.append((batch.events, len(buffer.data(batch)["time"])))
            assert broker.trim("gauge", 10_000) == 0, "they are needed"
            buffer.done(batch, "r")
        assert sizes == [(20, 20), (20, 20)] and held(broker) == [f"e{number}" for number in range(40, 50)]
        assert broker.group("gauge", "brook/buffer/rain").pending() == 10
        broker.close()
    finally:
        server.kill()


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.slow
def test_killed_between_any_two_steps_the_same_batches_are_made_and_nothing_goes_early(store, log, monkeypatch):
    """Die at the n-th access to journal or log, for every n until there is none left to die at; then go on anew."""
    left = [0]

    def dying(call):
        def wrapped(*args, **more):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return call(*args, **more)

        return wrapped

    for name in ("read", "trim", "group"):
        monkeypatch.setattr(log, name, dying(getattr(log, name)))
    monkeypatch.setattr(store, "write", dying(store.write))

    def train(spec: BufferSpec, digests: dict[int, str]) -> None:
        buffer = TrainingBuffer(store, log, "brook", spec)
        while batch := buffer.look() or buffer.unfinished():
            assert digests.setdefault(batch.number, batch.digest) == batch.digest
            assert len(buffer.data(batch)["time"]) == 20
            buffer.done(buffer.training(batch, "r"), "r")

    reached, died_at, known = True, 0, []
    while reached:
        died_at += 1
        stream, digests = f"gauge{died_at}", {}
        log.append_many(stream, [event(number) for number in range(50)])
        spec = BufferSpec(stream, stream, SPEC.fields, SPEC.volume)
        left[0], reached = died_at, False
        try:
            train(spec, digests)
        except Killed:
            reached = True
        left[0] = 0  # counts below zero from here on: nothing dies
        train(spec, digests)
        known.append(digests)
        assert [kept.id for kept in log.read(stream)] == [f"e{number}" for number in range(40, 50)], died_at
        assert log.group(stream, f"brook/buffer/{stream}").pending() == 10
    assert died_at > 20 and all(digests == known[0] for digests in known) and list(known[0]) == [1, 2]


@pytest.mark.chaos
@pytest.mark.slow
def test_a_training_process_killed_at_random_makes_each_batch_once(store, store_url, log):
    dice, told = random.Random(4), {}
    whole = TrainingBuffer(store, log, "other", BufferSpec("rain", "gauge", SPEC.fields, SPEC.volume))
    fill(log, 0, 210)
    for attempt in range(4):
        running = subprocess.Popen([sys.executable, PROGRAM, store_url, "210"], stdout=subprocess.PIPE, text=True)
        assert running.stdout.readline() == "ready\n"
        if attempt < 3:
            threading.Event().wait(dice.uniform(0.0, 0.1))
            running.kill()
        lines = []
        for line in running.stdout:
            lines.append(line.split())
            if line == "idle\n":
                break
        running.kill()
        running.wait()
        running.stdout.close()
        told |= {int(words[1]): words[2] for words in lines if words[0] == "done" and len(words) == 3}
    mine = TrainingBuffer(store, log, "brook", SPEC).batches()
    assert [(batch.number, batch.state, batch.events) for batch in mine] == [(n, "done", 20) for n in range(1, 11)]
    assert all(told[batch.number] == batch.digest for batch in mine if batch.number in told)
    for batch in mine:  # the other twin's buffer kept every event in the log: its batches are the same
        same = whole.look()
        assert (same.number, same.digest) == (batch.number, batch.digest)
        whole.done(same, "r")


@settings(max_examples=60)
@given(st.lists(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=30), max_size=6))
def test_moments_joined_from_parts_are_those_of_the_whole(parts):
    moments = Moments()
    for part in parts:
        moments.add(np.array(part, float))
    values = np.array([value for part in parts for value in part if value is not None])
    found = moments.document()
    assert (found["count"], found["nulls"]) == (len(values), sum(value is None for part in parts for value in part))
    if len(values) > 1:
        scale = max(1.0, float(np.abs(values).max()))
        assert found["mean"] == pytest.approx(values.mean(), rel=1e-9, abs=1e-9 * scale)
        assert found["variance"] == pytest.approx(values.var(ddof=1), rel=1e-9, abs=1e-9 * scale**2)
        assert (found["min"], found["max"]) == (values.min(), values.max())
    elif not len(values):
        assert found["mean"] is found["variance"] is found["min"] is found["max"] is None
