"""From what was seen to causes: each of them once, however often the process that watches is killed."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from watching_process import START, WATCHERS, timed, watches

from gemel.base.errors import Conflict, NotFound, StoreFull
from gemel.core.stream import Event, SqlEventLog
from gemel.core.stream.triggers import (
    CAUSES,
    Clock,
    Each,
    Firing,
    Marks,
    Selection,
    StoredTriggers,
    TimedWatch,
    Volume,
    Watch,
    cause,
    watch_clock,
    watch_stream,
)

PROGRAM = Path(__file__).with_name("watching_process.py")


def event(number: int) -> Event:
    level = float(number % 50) + (100.0 if number >= 200 else 0.0)
    return Event(f"e{number}", "gemel.observation", "/gauge", START + timedelta(minutes=10 * number), {"level": level})


def watch(watcher, name="t", **more) -> Watch:
    return Watch("gauge", "brook", name, watcher, lambda firing: cause("brook", name, firing, "update"), **more)


def expected(events: list[Event]) -> set[str]:
    fired = [cause("brook", name, firing).id for name, w in WATCHERS.items() for firing in w.observe({}, events)[1]]
    hours = int((events[-1].time - START) / timedelta(hours=1))
    ticks = [START + timedelta(hours=number) for number in range(hours + 1)]
    return {*fired, *(f"brook/hourly/{tick:%Y-%m-%dT%H:%M:%S}Z" for tick in ticks)}


def test_a_cause_names_its_trigger_and_stays_the_same_event():
    firing = Firing("event", "e1", START, {"event": event(1).document()})
    told = cause("brook", "flood", firing, "update")
    assert (told.id, told.type, told.subject, told.time) == ("brook/flood/e1", "gemel.cause", "brook", START)
    assert dict(told.data) == {
        "twin": "brook", "trigger": "flood", "graph": "update", "kind": "event", "key": "e1", "given": firing.given
    }  # fmt: skip
    long = [cause("brook", "flood", Firing("event", "x" * 199 + end, START)).id for end in "ab"]
    assert len(set(long)) == 2 and all(len(id) <= 200 for id in long)


def test_a_step_looks_on_from_where_the_last_one_ended(store):
    log, marks = SqlEventLog(store), Marks(store)
    log.append_many("gauge", [event(number) for number in range(10)])
    counting = watch(Volume(events=4))
    assert [watch_stream(log, marks, counting, limit=3) for _ in range(5)] == [(3, 0), (3, 1), (3, 1), (1, 0), (0, 0)]
    assert [told.data["given"]["events"] for told in log.read(CAUSES)] == [4, 4]
    assert marks.load("brook", "t")["document"]["events"] == 2
    log.close()


def test_a_new_trigger_begins_with_what_comes_from_now_on_when_told_so(store):
    log, marks = SqlEventLog(store), Marks(store)
    log.append_many("gauge", [event(number) for number in range(5)])
    fresh, whole = watch(Each(), "fresh", begin="new"), watch(Each(), "whole")
    assert watch_stream(log, marks, fresh) == (0, 0) and watch_stream(log, marks, whole) == (5, 5)
    log.append("gauge", event(5))
    assert watch_stream(log, marks, fresh) == (1, 1)
    log.close()


def test_only_what_is_selected_counts(store):
    log, marks = SqlEventLog(store), Marks(store)
    log.append_many("gauge", [event(number) for number in range(10)])
    assert watch_stream(log, marks, watch(Volume(events=2), selection=Selection(where={"level": (6, None)}))) == (10, 2)
    log.close()


def test_a_volume_fires_by_age_in_silence_and_once(store):
    log, marks = SqlEventLog(store), Marks(store)
    log.append_many("gauge", [event(0), event(1)])
    slow = watch(Volume(age="1 d"))
    assert watch_stream(log, marks, slow, now=START + timedelta(hours=23)) == (2, 0)
    late = START + timedelta(hours=25)
    assert [watch_stream(log, marks, slow, now=late) for _ in range(3)] == [(0, 1), (0, 0), (0, 0)]
    log.close()


def test_while_causes_cannot_be_kept_the_mark_does_not_move(store):
    log, marks = SqlEventLog(store), Marks(store)
    log.append_many("gauge", [event(number) for number in range(4)])
    log.limit(CAUSES, events=2)
    with pytest.raises(StoreFull):
        watch_stream(log, marks, watch(Each()))
    assert log.read(CAUSES) == [] and marks.load("brook", "t")["position"] == 0
    log.limit(CAUSES)
    assert watch_stream(log, marks, watch(Each())) == (4, 4)
    log.close()


def test_a_clock_gives_each_instant_once_though_it_is_set_back(store):
    log, marks = SqlEventLog(store), Marks(store)
    hourly = TimedWatch("brook", "h", Clock(every="1 h"), lambda firing: cause("brook", "h", firing, "forecast"))
    times = [0, 61, 30, 65, 119, 60, 121, 600, 0, 600]
    due = [watch_clock(log, marks, hourly, START + timedelta(minutes=minutes)) for minutes in times]
    assert [len(some) for some in due] == [0, 1, 0, 0, 0, 0, 1, 1, 0, 0]
    keys = [told.data["key"] for told in log.read(CAUSES)]
    assert keys == ["2001-01-01T01:00:00Z", "2001-01-01T02:00:00Z", "2001-01-01T10:00:00Z"]
    log.close()


def test_a_mark_can_be_part_of_the_callers_transaction(store):
    marks = Marks(store)
    with pytest.raises(ZeroDivisionError), store.write() as connection:
        marks.save("brook", "t", {"position": 1}, connection)
        raise ZeroDivisionError
    assert marks.load("brook", "t") == {}
    marks.save("brook", "t", {"position": 2})
    marks.save("brook", "u", {"position": 3})
    marks.forget("brook", "t")
    assert (marks.load("brook", "t"), marks.load("brook", "u")) == ({}, {"position": 3})


def test_triggers_added_at_run_time_are_kept_by_name(store):
    triggers = StoredTriggers(store)
    added = triggers.add("brook", "flood", {"on": "gauge", "run": "update"})
    assert triggers.get("brook", "flood") == added and added.document == {"on": "gauge", "run": "update"}
    with pytest.raises(Conflict, match="flood"):
        triggers.add("brook", "flood", {})
    triggers.add("river", "flood", {})
    triggers.add("brook", "drought", {})
    assert [(each.twin, each.name) for each in triggers.list()] == [
        ("brook", "drought"), ("brook", "flood"), ("river", "flood")
    ]  # fmt: skip
    Marks(store).save("brook", "flood", {"position": 5})
    triggers.remove("brook", "flood")
    assert Marks(store).load("brook", "flood") == {}, "one of the same name begins anew"
    for ask in (triggers.get, triggers.remove):
        with pytest.raises(NotFound, match="flod"):
            ask("brook", "flod")
    assert [each.name for each in triggers.list("brook")] == ["drought"]


@contextlib.contextmanager
def watching(url: str):
    running = subprocess.Popen([sys.executable, PROGRAM, url, "13"], stdout=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


@pytest.mark.chaos
@pytest.mark.slow
def test_each_cause_is_there_once_however_often_the_watcher_is_killed(store, store_url):
    log, dice = SqlEventLog(store), random.Random(8)
    events, kills = [event(number) for number in range(320)], 4
    for number in range(kills):
        with watching(store_url) as watcher:
            assert watcher.stdout.readline() == "ready\n"
            portion = len(events) // kills
            # It is killed while it looks: between the causes and the mark, before them, or after.
            log.append_many("gauge", events[number * portion : (number + 1) * portion])
            threading.Event().wait(dice.uniform(0.0, 0.08))
    kept = [told.id for told in log.read(CAUSES, limit=10_000)]
    # Two at once, each moving the other's marks: what one does again the log knows already.
    with watching(store_url), watching(store_url) as watcher:
        while watcher.stdout.readline() != "idle\n":
            pass
    positioned = log.read("gauge", limit=10_000)
    ids = [told.id for told in log.read(CAUSES, limit=10_000)]
    assert len(ids) == len(set(ids)) and set(ids) == expected(list(positioned)) and ids[: len(kept)] == kept
    log.close()


@pytest.mark.slow
def test_a_step_that_ends_between_causes_and_mark_is_done_again_without_a_double(store):
    log = SqlEventLog(store)
    log.append_many("gauge", [event(number) for number in range(320)])

    class Dying(Marks):
        """Dies each second time, when the causes are durable and the mark is not."""

        saves = 0

        def save(self, *args, **more):
            Dying.saves += 1
            if Dying.saves % 2 == 0:
                raise SystemExit
            super().save(*args, **more)

    for _ in range(2 * 60):
        for one in watches():
            with contextlib.suppress(SystemExit):
                watch_stream(log, Dying(store), one, 13)
        with contextlib.suppress(SystemExit):
            watch_clock(log, Dying(store), timed(), event(319).time)
    ids = [told.id for told in log.read(CAUSES, limit=10_000)]
    assert len(ids) == len(set(ids)) and set(ids) == expected(list(log.read("gauge", limit=10_000)))
    log.close()
