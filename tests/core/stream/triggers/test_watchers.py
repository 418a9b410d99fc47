"""What watchers see: selected events, volumes, drift; the same however many events they are shown at a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput
from gemel.core.stream import Event
from gemel.core.stream.triggers import Drift, Each, Selection, Volume, numbers

START = datetime(2001, 1, 1, tzinfo=UTC)


def event(number: int, subject: str | None = None, **data) -> Event:
    time = START + timedelta(minutes=number)
    return Event(f"e{number}", "gemel.observation", "/gauge", time, data or {"level": float(number)}, subject, number)


def run(watcher, events, size=None):
    """Observe in portions of `size`, the document going through JSON in between as it does in the journal."""
    document, fired = {}, []
    for start in range(0, len(events), size or len(events) or 1):
        document, more = watcher.observe(document, events[start : start + (size or len(events))])
        document, fired = json.loads(json.dumps(document)), [*fired, *more]
    return document, fired


@pytest.mark.parametrize(
    ("selection", "meant"),
    [
        (Selection(), True),
        (Selection(types=("gemel.alert", "gemel.observation")), True),
        (Selection(types=("gemel.alert",)), False),
        (Selection(types=("gemel.*",), subject="rain:*"), True),
        (Selection(subject="snow:*"), False),
        (Selection(where={"level": (1, 3)}), True),
        (Selection(where={"level": (2.5, None)}), False),
        (Selection(where={"level": [None, 2]}), True),
        (Selection(where={"tank.open": True}), True),
        (Selection(where={"tank.open": (0, 1)}), False),
        (Selection(where={"name": "north", "level": 2}), True),
        (Selection(where={"name": "south"}), False),
        (Selection(where={"absent": (None, None)}), False),
    ],
)
def test_a_selection_means_what_all_its_conditions_say(selection, meant):
    shown = event(1, "rain:2001", level=2.0, name="north", tank={"open": True})
    assert selection.matches(shown) is meant


def test_a_condition_that_means_nothing_is_refused():
    with pytest.raises(InvalidInput, match="level"):
        Selection(where={"level": (1, 2, 3)})


def test_each_selected_event_fires_once_and_is_told():
    watcher = Each(Selection(where={"level": (2, 3)}), kind="dataset")
    document, fired = run(watcher, [event(number) for number in range(6)])
    assert [(firing.kind, firing.key, firing.position) for firing in fired] == [
        ("dataset", "e2", 2),
        ("dataset", "e3", 3),
    ]
    assert fired[0].given["event"] == event(2).document() and document == {}


def test_a_volume_counts_from_where_it_fired_last():
    document, fired = run(Volume(events=3), [event(number) for number in range(1, 9)])
    assert [(firing.given["first"], firing.given["last"], firing.given["events"]) for firing in fired] == [
        (1, 3, 3),
        (4, 6, 3),
    ]
    assert document["events"] == 2


def test_a_volume_counts_bytes_of_data():
    _, fired = run(
        Volume(bytes=100), [event(number, text="x" * 27) for number in range(1, 9)]
    )  # {"text": "x…"}: 39 bytes
    assert [(firing.given["last"], firing.given["bytes"]) for firing in fired] == [(3, 117), (6, 117)]


def test_a_volume_by_age_counts_the_events_own_time_and_fires_in_silence_when_told_the_time():
    rule = Volume(age="1 h")
    document, fired = run(rule, [event(number) for number in (1, 30, 61, 70)])
    assert [(firing.given["first"], firing.given["last"]) for firing in fired] == [(1, 61)]
    assert rule.elapsed(document, START + timedelta(minutes=129))[1] == []
    after, (silent,) = rule.elapsed(document, START + timedelta(minutes=130))
    assert after == {} and silent.key == "70" and rule.elapsed(after, START + timedelta(days=9)) == ({}, [])


def test_rules_that_never_or_always_fire_are_refused():
    for broken in ({}, {"events": 0}, {"bytes": -1}, {"age": "soon"}):
        with pytest.raises(InvalidInput):
            Volume(**broken)
    for broken in ({"method": "feeling"}, {"reference": 1}, {"level": 0.0}, {"threshold": 0}, {"window": 30_000}):
        with pytest.raises(InvalidInput):
            Drift("level", **broken)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 500), max_size=60), st.integers(1, 20), st.integers(1, 7))
def test_watchers_see_the_same_in_portions_of_any_size(minutes, size, every):
    events = [
        Event(f"e{n}", "t", "/s", START + timedelta(minutes=m), {"level": m}, None, n + 1)
        for n, m in enumerate(minutes)
    ]
    small = {"reference": 8, "window": 4, "level": 0.05}
    for watcher in (
        Volume(events=every, age="2 h"),
        Drift("level", **small),
        Drift("level", "page-hinkley", **small),
        Each(),
    ):
        assert run(watcher, events, size) == run(watcher, events, 1)


def test_drift_is_seen_soon_after_it_begins_and_the_reference_begins_anew():
    dice = np.random.default_rng(5)
    values = np.concatenate([dice.normal(0, 1, 1000), dice.normal(2, 1, 2000)])
    events = [event(number, level=float(value)) for number, value in enumerate(values, 1)]
    for drift in (Drift("level"), Drift("level", "page-hinkley")):
        _, fired = run(drift, events)
        assert len(fired) == 1, "the new level is the new reference"
        assert 1000 < fired[0].position <= 1100 and fired[0].given["variable"] == "level"


def test_a_change_of_spread_alone_is_drift_for_the_distribution_test():
    dice = np.random.default_rng(6)
    values = np.concatenate([dice.normal(0, 1, 1000), dice.normal(0, 4, 500)])
    _, (firing,) = run(Drift("level"), [event(number, level=float(value)) for number, value in enumerate(values, 1)])
    assert 1000 < firing.position <= 1100 and firing.given["p"] < firing.given["level"] == 0.001


def test_without_drift_false_alarms_are_as_rare_as_was_asked():
    dice = np.random.default_rng(7)
    alarms = windows = 0
    for _ in range(40):
        values = dice.normal(0, 1, 300 + 20 * 50)
        _, fired = run(
            Drift("level", reference=300, window=50, level=0.02),
            [event(n, level=float(v)) for n, v in enumerate(values, 1)],
        )
        alarms, windows = alarms + len(fired), windows + 20
    # Windows share a reference, so their tests are not independent; the mean number of alarms is not touched by that.
    assert alarms <= 0.02 * windows * 2, (alarms, windows)
    quiet = [event(n, level=float(v)) for n, v in enumerate(dice.normal(0, 1, 20_000), 1)]
    assert len(run(Drift("level", "page-hinkley"), quiet)[1]) <= 1


def test_drift_goes_by_the_divided_level_when_several_share_the_chance():
    (one,), (many,) = ([d.level / d.comparisons] for d in (Drift("level"), Drift("level", comparisons=10)))
    assert many == pytest.approx(one / 10)
    values = [*np.linspace(0, 1, 100), *np.linspace(0.3, 1.1, 50)]
    events = [event(number, level=float(value)) for number, value in enumerate(values, 1)]
    fires = {
        c: len(run(Drift("level", reference=100, window=50, level=0.01, comparisons=c), events)[1]) for c in (1, 10_000)
    }
    assert fires == {1: 1, 10_000: 0}


def test_nulls_and_blocks_are_read_as_what_they_are():
    assert numbers(event(1, level=None), "level") == [] and numbers(event(1, level=True), "level") == []
    assert numbers(event(1, samples={"level": [1, None, 2.5]}, period=1), "level") == [1.0, 2.5]
    assert numbers(event(1, tank={"level": 3}), "tank.level") == [3.0]
    blocks = [event(number, samples={"level": [float(number > 6)] * 10}, period=1) for number in range(1, 13)]
    _, fired = run(Drift("level", reference=50, window=10, level=0.001), blocks)
    assert [firing.position for firing in fired] == [7]
