"""Events and their log: CloudEvents in and out, once each, in order, readable from anywhere, and readers that wake."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput
from gemel.core.stream import Event, SqlEventLog
from gemel.infra.store import open_store

START = datetime(2001, 1, 1, tzinfo=UTC)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.builds(
    Event,
    id=st.text(min_size=1),
    type=st.text(min_size=1),
    source=st.text(min_size=1),
    time=st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC)),
    data=st.dictionaries(st.text(), JSON, max_size=4),
    subject=st.none() | st.text(),
)


def _beyond_postgresql(written: Event) -> bool:
    # PostgreSQL keeps no NUL in a text, and columns end somewhere.
    texts = (written.id, written.type, written.source, written.subject or "")
    return any("\0" in text or len(text) > 200 for text in texts)


def event(number: int, **data) -> Event:
    return Event(f"e{number}", "test", "/test", START + timedelta(days=number), data or {"number": number})


@given(EVENTS)
def test_an_event_is_the_same_after_a_journey_as_a_document(written):
    assert Event.from_document(json.loads(json.dumps(written.document()))) == written


@pytest.mark.parametrize("missing", ["id", "type", "source", "time"])
def test_an_event_without_what_cloudevents_requires_is_refused_by_name(missing):
    document = event(1).document()
    for broken in ({**document, missing: None}, {**document, missing: 3}, {**document, missing: ""}):
        with pytest.raises(InvalidInput, match=missing):
            Event.from_document(broken)
    with pytest.raises(InvalidInput):
        Event.from_document(event(1).document() | {"time": "tomorrow"})
    with pytest.raises(InvalidInput, match="data"):
        Event.from_document(event(1).document() | {"data": [1]})


def test_events_are_kept_in_order_and_each_id_once(store):
    log = SqlEventLog(store)
    positions = [log.append("a", event(number)) for number in range(5)]
    assert log.append("a", event(3, other="text")) is None, "the first of an id is kept"
    assert positions == sorted(positions) and len(set(positions)) == 5
    found = log.read("a")
    assert [item.id for item in found] == ["e0", "e1", "e2", "e3", "e4"]
    assert [item.position for item in found] == positions
    assert found[3].data == {"number": 3} and found[3].time == START + timedelta(days=3)


def test_streams_do_not_mix_and_the_same_id_may_be_in_each(store):
    log = SqlEventLog(store)
    log.append("a", event(1))
    assert log.append("b", event(1)) is not None
    assert len(log.read("a")) == len(log.read("b")) == 1
    log.forget("a")
    assert log.read("a") == [] and len(log.read("b")) == 1
    assert log.append("a", event(1)) > log.read("b")[0].position, "a position is never given twice"


def test_reading_goes_on_after_a_position(store):
    log = SqlEventLog(store)
    positions = [log.append("a", event(number)) for number in range(10)]
    assert [item.id for item in log.read("a", positions[6])] == ["e7", "e8", "e9"]
    assert [item.id for item in log.read("a", positions[1], limit=2)] == ["e2", "e3"]
    assert [item.id for item in log.last("a", 2)] == ["e8", "e9"]
    assert log.read("a", positions[-1]) == [] and log.last("nothing") == []


def test_what_is_not_a_number_becomes_null(store):
    log = SqlEventLog(store)
    log.append("a", event(1, flow=float("nan"), more=[float("inf"), 1.5], deep={"x": float("-inf")}))
    assert log.read("a")[0].data == {"flow": None, "more": [None, 1.5], "deep": {"x": None}}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(EVENTS)
def test_the_log_keeps_an_event_as_it_is(store, written):
    assume(not _beyond_postgresql(written))
    log = SqlEventLog(store)
    log.forget("a")
    position = log.append("a", written)
    (found,) = log.read("a")
    assert (found.id, found.type, found.source, found.subject) == (
        written.id, written.type, written.source, written.subject,
    )  # fmt: skip
    assert found.data == written.data and found.position == position
    # Seconds as a double keep microseconds for the coming centuries.
    assert abs(found.time - written.time) <= timedelta(microseconds=1)


def test_a_waiting_reader_wakes_when_something_is_appended(store):
    log = SqlEventLog(store)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(log.wait, "a", 0, 60.0)
        log.append("b", event(1))
        begun = time.monotonic()
        log.append("a", event(2))
        assert [item.id for item in waiting.result(30)] == ["e2"]
        assert time.monotonic() - begun < 30


def test_waiting_ends_when_the_time_is_up(store):
    assert SqlEventLog(store).wait("a", 0, 0.0) == []
    begun = time.monotonic()
    assert SqlEventLog(store).wait("a", 0, 0.05) == []
    assert time.monotonic() - begun >= 0.05


def test_a_reader_in_another_process_hears_too(store, store_url):
    other = open_store(store_url)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(SqlEventLog(other).wait, "a", 0, 60.0)
        SqlEventLog(store).append("a", event(1))
        assert [item.id for item in waiting.result(30)] == ["e1"]
    other.close()


def test_a_reader_that_follows_many_writers_misses_nothing(store, store_url):
    # Positions are given before a transaction ends; a later position must never be seen before an earlier one.
    logs = [SqlEventLog(open_store(store_url)) for _ in range(4)]
    seen, done = [], threading.Event()

    def follow():
        log, position = SqlEventLog(store), 0
        while True:
            ended = done.is_set()
            found = log.wait("a", position, 0.05)
            seen.extend(item.id for item in found)
            position = found[-1].position if found else position
            if ended and not found:
                return

    with ThreadPoolExecutor(5) as pool:
        reader = pool.submit(follow)
        writers = [
            pool.submit(lambda log=log, base=100 * place: [log.append("a", event(base + n)) for n in range(40)])
            for place, log in enumerate(logs)
        ]
        for writer in writers:
            writer.result(60)
        done.set()
        reader.result(60)
    for log in logs:
        log._store.close()
    assert len(seen) == len(set(seen)) == 160
