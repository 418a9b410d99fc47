"""Windows: what they hold, when they are complete, what they do about gaps, late events, silence and floods."""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput, NotFound, StoreFull
from gemel.core.stream import Event, SqlEventLog
from gemel.core.stream.windows import StreamRule, Windows, WindowSpec

START = datetime(2024, 1, 1, tzinfo=UTC)


class Watch:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def event(seconds: float, position: int = 0, **data) -> Event:
    return Event(f"{seconds}/{position}", "gemel.observation", "/s", at(seconds), data, None, position)


def block(seconds: float, period: float, values, field: str = "v", position: int = 0) -> Event:
    return event(seconds, position, samples={field: list(values)}, period=period)


def rules(*names: str, period: str | None = None) -> tuple[StreamRule, ...]:
    return tuple(StreamRule(name, ("v",), period) for name in names)


def one(length: str = "10 s", period: str | None = "1 s", **more) -> WindowSpec:
    return WindowSpec("w", rules("a", period=period), length, **more)


def seconds_of(result, stream: str = "a") -> list[float]:
    return ((result.times[stream] - np.datetime64(START.replace(tzinfo=None), "ns")) / np.timedelta64(1, "s")).tolist()


def push_all(windows: Windows, stream: str, *events: Event) -> list:
    return [result for one_event in events for result in windows.push(stream, one_event)]


def test_tumbling_windows_begin_at_full_lengths_and_hold_their_begin_not_their_end():
    windows = Windows(one())
    assert push_all(windows, "a", event(3, v=1.0), event(9.9, v=2.0)) == []
    (first,) = windows.push("a", event(10, v=3.0))
    assert (first.begin, first.end, first.counts) == (at(0), at(10), {"a": 2})
    assert seconds_of(first) == [3.0, 9.9] and first.data["a.v"].tolist() == [1.0, 2.0]
    (second,) = windows.finish()
    assert second.begin == at(10) and second.data["a.v"].tolist() == [3.0]
    assert windows.finish() == []


def test_sliding_windows_overlap():
    windows = Windows(one(every="5 s"))
    results = push_all(windows, "a", *(event(second, v=float(second)) for second in range(21)))
    assert [(result.begin - START).seconds for result in results[1:]] == [0, 5, 10]
    assert results[0].begin == at(-5) and results[0].data["a.v"].tolist() == [0, 1, 2, 3, 4]
    assert results[2].data["a.v"].tolist() == [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]


def test_a_window_waits_for_the_slowest_stream_and_for_its_lateness():
    windows = Windows(WindowSpec("w", rules("a", "b"), "10 s", lateness="3 s"))
    assert push_all(windows, "a", event(1, v=1.0), event(50, v=2.0)) == [] and windows.watermark is None
    assert windows.push("b", event(12.9, v=5.0)) == []
    assert windows.watermark == at(9.9)
    assert windows.push("b", event(7, v=4.0)) == [], "an earlier event does not set the watermark back"
    (result,) = windows.push("b", event(13, v=6.0))
    assert result.data["a.v"].tolist() == [1.0] and result.data["b.v"].tolist() == [4.0]


def test_windows_without_a_sample_are_passed_over():
    windows = Windows(one())
    results = push_all(windows, "a", event(1, v=1.0), event(86400 * 365 * 30, v=2.0))
    assert [result.begin for result in results + windows.finish()] == [at(0), at(86400 * 365 * 30)]


def test_late_events_are_counted_and_told_and_change_nothing():
    windows = Windows(one(lateness="2 s", late="tell"))
    push_all(windows, "a", event(5, v=1.0), event(12, v=2.0))
    late, block_of_both = event(9, v=9.0), block(8, 1.0, [7, 7, 7, 8])
    assert windows.push("a", late) == [] and windows.push("a", block_of_both) == []
    assert [(told.event, told.samples) for told in windows.take_late()] == [(late, 1), (block_of_both, 2)]
    assert windows.late == {"a": 3} and windows.take_late() == []
    (rest,) = windows.finish()
    assert rest.data["a.v"].tolist() == [7.0, 8.0, 2.0], "the samples that are in time are taken"
    silent = Windows(one())
    push_all(silent, "a", event(5, v=1.0), event(12, v=2.0), event(9, v=9.0))
    assert silent.late == {"a": 1} and silent.take_late() == []


def test_a_silent_stream_holds_the_others_back_until_it_is_idle():
    clock = Watch()
    for idle, expected in ((None, 0), ("30 s", 2)):
        clock.now = 0.0
        windows = Windows(WindowSpec("w", rules("a", "b"), "10 s", idle=idle), clock=clock)
        windows.push("b", event(1, v=1.0))
        clock.now = 20.0
        assert push_all(windows, "a", event(2, v=2.0), event(25, v=3.0)) == []
        clock.now = 31.0
        assert len(windows.advance() + windows.finish() * (expected > 0)) == expected
    clock.now = 0.0
    windows = Windows(WindowSpec("w", rules("a", "b"), "10 s", idle="30 s"), clock=clock)
    windows.push("b", event(1, v=1.0))
    clock.now = 31.0
    (first,) = push_all(windows, "a", event(2, v=2.0), event(15, v=3.0))
    assert first.counts == {"a": 1, "b": 1}
    windows.push("b", event(4, v=1.0))
    assert windows.late == {"a": 0, "b": 1}, "one that speaks again is late when its windows are over"
    assert windows.push("a", event(99, v=3.0)) == [], "and holds back again"


def test_when_all_are_silent_nothing_moves():
    clock = Watch()
    windows = Windows(WindowSpec("w", rules("a", "b"), "10 s", idle="30 s"), clock=clock)
    windows.push("a", event(1, v=1.0))
    windows.push("a", event(25, v=1.0))
    clock.now = 100.0
    assert windows.advance() == []


def test_a_stream_too_far_ahead_is_held_back_and_loses_nothing():
    spec = WindowSpec("w", (StreamRule("slow", ("v",), "1 s"), StreamRule("fast", ("v",), "0.1 s")), "10 s", most=400)
    windows, sent, results, refused, most = Windows(spec), 0, [], 0, 0
    for second in range(100):
        # The fast one has ten times its share ready at each turn.
        while sent < 1000 and windows.ready("fast", 10):
            results += windows.push("fast", block(sent / 10, 0.1, range(sent, sent + 10)))
            sent += 10
        if sent < 1000:
            refused += 1
            with pytest.raises(StoreFull, match="fast") as told:
                windows.push("fast", block(sent / 10, 0.1, range(10)))
            assert "slow" in told.value.hint
        most = max(most, len(windows._held["fast"]))
        results += windows.push("slow", event(second, v=float(second)))
    while sent < 1000:
        results += windows.push("fast", block(sent / 10, 0.1, range(sent, sent + 10)))
        sent += 10
    results += windows.finish()
    assert refused > 10 and most <= 400 and windows._held["fast"]._times.size <= 400
    assert np.concatenate([result.data["fast.v"] for result in results]).tolist() == list(range(1000))


def test_one_that_is_held_back_waits_for_a_dead_one_until_that_is_idle():
    clock = Watch()
    windows = Windows(WindowSpec("w", rules("a", "dead"), "10 s", most=50, idle="30 s"), clock=clock)
    windows.push("dead", event(0, v=0.0))
    sent, results = 0, []
    while sent < 200:
        clock.now += 1.0
        assert clock.now < 1000, "stuck"
        if windows.ready("a"):
            results += windows.push("a", event(sent, v=float(sent)))
            sent += 1
        results += windows.advance()
    assert len(results) >= 18 and sum(result.counts["a"] for result in results + windows.finish()) == 200


def test_a_window_that_does_not_fit_into_memory_is_refused_with_what_to_do():
    windows = Windows(one(period=None, most=5))
    push_all(windows, "a", *(event(second, v=1.0) for second in range(5)))
    with pytest.raises(StoreFull, match="takes no more") as told:
        windows.push("a", event(5, v=1.0))
    assert "most" in told.value.hint
    with pytest.raises(InvalidInput, match="at once"):
        windows.push("a", block(6, 0.1, range(6)))


@pytest.mark.parametrize(
    ("gap", "expected"), [("null", range(10)), ("hold", [0, 0, 2, 2, 2, 5, 5, 5, 8, 9]), ("linear", range(10))]
)
def test_between_samples_values_are_linear_or_held(gap, expected):
    # Samples are up to 3 s apart, one and a half periods: that is no gap yet.
    windows = Windows(one(period="2 s", gap=gap, align="1 s"))
    result = push_all(windows, "a", *(event(second, v=float(second)) for second in (0, 2, 5, 8, 9, 11, 30)))[0]
    assert result.data["a.v"].tolist() == list(expected)
    assert result.gaps == {"a.v": 0} and seconds_of(result) == list(range(10))


def test_a_gap_is_null_or_bridged_or_left_out_as_was_said():
    samples = [event(second, v=float(second)) for second in (0, 1, 2, 7, 8, 9, 10, 30)]
    found = {}
    for gap in ("null", "hold", "linear", "drop"):
        windows = Windows(one(gap=gap, align="1 s"))
        result = (push_all(windows, "a", *samples) + windows.finish())[0]
        found[gap] = (seconds_of(result), result.data["a.v"].tolist(), result.gaps["a.v"])
    nan = pytest.approx(float("nan"), nan_ok=True)
    everything = [float(second) for second in range(10)]
    assert found["null"] == (everything, [0, 1, 2, nan, nan, nan, nan, 7, 8, 9], 4)
    assert found["hold"] == (everything, [0, 1, 2, 2, 2, 2, 2, 7, 8, 9], 3)  # at 3 s the value is 1 s old: no gap
    assert found["linear"] == (everything, everything, 4)
    assert found["drop"] == ([0, 1, 2, 7, 8, 9], [0, 1, 2, 7, 8, 9], 4)


def test_nulls_are_gaps_and_values_of_one_instant_come_together():
    spec = WindowSpec("w", (StreamRule("a", ("u", "v"), "1 s"),), "4 s", align="1 s")
    windows = Windows(spec)
    push_all(
        windows,
        "a",
        event(0, u=1.0, v=None),
        event(0, v=5.0),
        event(1, u=None, v=6.0),
        event(2, u=3.0),
        event(2, u=4.0),
    )
    (result, *_) = push_all(windows, "a", event(3, u=5.0, v=1.0), event(40, u=0.0, v=0.0)) + windows.finish()
    assert result.data["a.u"].tolist() == pytest.approx([1.0, np.nan, 4.0, 5.0], nan_ok=True), "the later word counts"
    assert result.data["a.v"].tolist() == pytest.approx([5.0, 6.0, np.nan, 1.0], nan_ok=True)
    assert result.counts == {"a": 4}


def test_a_result_is_told_as_an_event_that_any_log_takes(store):
    windows = Windows(one(align="1 s"))
    (result, *_) = push_all(
        windows, "a", *(event(second, second + 1, v=0.5) for second in (0, 1, 2, 3, 7, 8, 9, 10)), event(30, v=1.0)
    )
    told, log = result.event("/twins/brook/w"), SqlEventLog(store)
    assert (told.id, told.type, told.time) == ("w@2024-01-01T00:00:00Z", "gemel.window", at(10))
    assert log.append("w", told) and log.append("w", result.event("/twins/brook/w")) is None
    (kept,) = log.read("w")
    assert kept.data["data"]["a.v"] == [0.5, 0.5, 0.5, 0.5, None, None, None, 0.5, 0.5, 0.5]
    assert (
        kept.data["offsets"] == list(range(10))
        and kept.data["gaps"] == {"a.v": 3}
        and kept.data["positions"] == {"a": [1, 10]}
    )
    log.close()


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"every": "20 s"}, "further apart"),
        ({"gap": "guess"}, "gap"),
        ({"gap": "linear"}, "grid"),
        ({"align": "3 s"}, "whole number"),
        ({"most": 9}, "too few"),
        ({"length": "1 d"}, "more than an event can tell"),
        ({"length": "0 s"}, "period"),
        ({"late": "ignore"}, "late"),
    ],
)
def test_what_could_never_work_is_refused_before_the_first_event(given, word):
    with pytest.raises(InvalidInput, match=word):
        Windows(one(**({"length": "10 s"} | given)))
    with pytest.raises(InvalidInput, match="different names"):
        WindowSpec("w", rules("a", "a"), "1 s")
    assert one(length="1 d", told=False).span == 86_400 * 10**9


@pytest.mark.parametrize(
    "broken",
    [
        event(1, v="high"),
        event(1, samples={"v": [1, 2]}),
        event(1, samples={"v": [1, 2]}, period=-1),
        event(1, samples={"v": [1, 2]}, period=1e300),
        event(1, samples={"v": ["x"]}, period=1),
        Event("far", "t", "/s", datetime(9000, 1, 1, tzinfo=UTC), {"v": 1.0}),
        event(1, samples={"u": [1]}, period=1),
        event(1, samples=[1, 2], period=1),
        event(1, samples={"v": 3}, period=1),
    ],
)
def test_an_event_that_cannot_be_read_is_refused_and_changes_nothing(broken):
    windows = Windows(one())
    windows.push("a", event(0, v=1.0))
    with pytest.raises(InvalidInput):
        windows.push("a", broken)
    with pytest.raises(NotFound):
        windows.push("b", event(1, v=1.0))
    with pytest.raises(InvalidInput):
        windows.push_many("a", [event(1, v=1.0), broken])
    assert windows.push("a", event(2, samples={"v": []})) == [], "an empty block is none"
    assert [result.counts for result in windows.finish()] == [{"a": 1}]


def test_after_a_kill_windows_are_made_again_from_the_log_and_told_once(store):
    """Killed after any event: what the log says in the end is what it would have said without."""
    spec = WindowSpec(
        "w", rules("a", "b", period="1 s"), "10 s", every="5 s", lateness="3 s", gap="linear", align="1 s"
    )
    dice, log = random.Random(3), SqlEventLog(store)
    times = {name: [second + dice.uniform(0, 2) for second in range(60) if dice.random() > 0.2] for name in "ab"}
    for name, instants in times.items():
        log.append_many(name, [event(instant, v=dice.random()) for instant in instants])
    records = {name: log.read(name) for name in "ab"}

    def told(kills: set[int]) -> list[Event]:
        stream, windows, document, count = f"w{len(kills)}", Windows(spec), {}, 0
        queue = {name: list(records[name]) for name in "ab"}
        while any(queue.values()):
            name = min((name for name in "ab" if queue[name]), key=lambda name: queue[name][0].time)
            count += 1
            results = windows.push(name, queue[name].pop(0))
            log.append_many(stream, [result.event("/w") for result in results])
            if count in kills:  # before the document is kept: some windows are made twice
                windows = Windows(spec, json.loads(json.dumps(document)))
                after = windows.resume_from()
                queue = {name: [e for e in records[name] if e.position > after[name]] for name in "ab"}
            elif count % 3 == 0:
                document = windows.document()
        log.append_many(stream, [result.event("/w") for result in windows.finish()])
        return log.read(stream)

    whole, broken = told(set()), told({5, 17, 18, 40, 61, 80})
    assert len(whole) == 14 and [e.document() for e in whole] == [e.document() for e in broken]
    log.close()


def by_hand(record: dict, spec: WindowSpec) -> dict:
    """Return {begin in seconds: {stream: [(time, value)]}} of a whole record, searched by hand."""
    step, span, windows = spec.step / 1e9, spec.span / 1e9, {}
    for name, samples in record.items():
        for second, value in sorted(dict(samples).items()):
            number = int(np.floor((second - span) / step)) + 1
            while number * step <= second:
                windows.setdefault(number * step, {s: [] for s in record})[name].append((second, value))
                number += 1
    return windows


def on_grid_by_hand(samples: dict, instant: float, spec: WindowSpec, rule: StreamRule) -> float:
    apart, across = spec.apart(rule) / 1e9, spec.bridge(rule) / 1e9
    before = [(s, v) for s, v in samples.items() if s <= instant]
    after = [(s, v) for s, v in samples.items() if s >= instant]
    if spec.gap == "hold":
        return max(before)[1] if before and instant - max(before)[0] <= across else np.nan
    if not before or not after:
        return np.nan
    (s0, v0), (s1, v1) = max(before), min(after)
    if s1 - s0 > (across if spec.gap == "linear" else apart):
        return np.nan
    return v0 if s0 == s1 else v0 + (v1 - v0) * (instant - s0) / (s1 - s0)


# Eighths of a second are exact in binary and in microseconds.
RECORDS = st.lists(st.lists(st.tuples(st.integers(0, 480), st.integers(-9, 9)), max_size=40), min_size=1, max_size=4)


@settings(max_examples=150)
@given(
    RECORDS,
    st.sampled_from(["10 s", "5 s", "2 s"]),
    st.sampled_from([(None, "null"), ("1 s", "null"), ("1 s", "hold"), ("1 s", "linear"), ("1 s", "drop")]),
    st.sampled_from([None, "1 s", "3 s"]),
    st.randoms(use_true_random=False),
)
def test_in_any_order_within_the_lateness_windows_are_those_of_the_whole_record(record, every, policy, period, dice):
    align, gap = policy
    names = [f"s{number}" for number in range(len(record))]
    given = {
        name: [(tick / 8, float(value)) for tick, value in samples] for name, samples in zip(names, record, strict=True)
    }
    spec = WindowSpec("w", rules(*names, period=period), "10 s", every, "8 s", gap, align)
    windows, results = Windows(spec), []
    # Each event comes up to 8 s later than newer ones of its stream.
    given = {
        name: sorted(samples, key=lambda sample: sample[0] + dice.uniform(0, 7.9)) for name, samples in given.items()
    }
    queues = {name: list(samples) for name, samples in given.items() if samples}
    while queues:
        name = dice.choice(sorted(queues))
        count = dice.randint(1, 3)
        results += windows.push_many(name, [event(second, v=value) for second, value in queues[name][:count]])
        queues[name] = queues[name][count:]
        queues = {name: left for name, left in queues.items() if left}
    results += windows.finish()
    expected = by_hand(given, spec)
    assert sum(windows.late.values()) == 0
    assert [(result.begin - START).total_seconds() for result in results] == sorted(expected)
    for result in results:
        begin = (result.begin - START).total_seconds()
        assert result.counts == {name: len(samples) for name, samples in expected[begin].items()}
        if align is None:
            for name in names:
                assert (
                    list(zip(seconds_of(result, name), result.data[f"{name}.v"].tolist(), strict=True))
                    == expected[begin][name]
                )
            continue
        grid = [begin + second for second in range(10)]
        hand = {
            r.name: [on_grid_by_hand(dict(given[r.name]), instant, spec, r) for instant in grid] for r in spec.streams
        }
        if gap == "drop":
            whole = [n for n in range(10) if all(np.isfinite(values[n]) for values in hand.values())]
            hand = {name: [values[n] for n in whole] for name, values in hand.items()}
        for name in names:
            assert result.data[f"{name}.v"].tolist() == pytest.approx(hand[name], nan_ok=True, abs=1e-12)


def test_32_streams_of_different_rates_out_of_order_with_gaps_are_as_pandas_cuts_the_whole_record():
    dice, generator = random.Random(1), np.random.default_rng(1)
    names = [f"s{number}" for number in range(32)]
    periods = {name: 0.25 * (1 + number % 7) for number, name in enumerate(names)}
    record = {}
    for name in names:
        instants = np.arange(0, 120, periods[name])
        hole = dice.uniform(0, 110)
        kept = instants[(instants < hole) | (instants > hole + dice.uniform(0, 20))]
        record[name] = pd.Series(
            generator.normal(size=len(kept)), index=pd.Timestamp(START) + pd.to_timedelta(kept, unit="s")
        )
    spec = WindowSpec(
        "w", tuple(StreamRule(name, ("v",), f"{periods[name]} s") for name in names), "10 s", lateness="5 s"
    )
    arrivals = [
        (when + pd.Timedelta(seconds=dice.uniform(0, 4.9)), name, when, value)
        for name, series in record.items()
        for when, value in series.items()
    ]
    windows, results = Windows(spec), []
    for _, name, when, value in sorted(arrivals):
        results += windows.push(name, Event(f"{name}{when}", "t", "/s", when.to_pydatetime(), {"v": value}))
    results += windows.finish()
    assert len(results) == 12 and sum(windows.late.values()) == 0
    for name, series in record.items():
        groups = dict(list(series.groupby(series.index.floor("10s"))))
        for result in results:
            whole = groups.get(pd.Timestamp(result.begin), series.iloc[:0])
            assert result.data[f"{name}.v"].tolist() == whole.tolist()
            assert result.counts[name] == len(whole)


def test_ten_streams_of_16_khz_are_aligned_much_faster_than_they_come():
    names = [f"m{number}" for number in range(10)]
    spec = WindowSpec("w", rules(*names, period="16 kHz"), "1 s", align="16 kHz", told=False)
    windows, seconds = Windows(spec), 6
    wave = np.sin(np.arange(1600) / 25.0)
    blocks = [[block(tenth / 10, 1 / 16_000, wave.tolist()) for tenth in range(10 * seconds + 1)] for _ in names]
    begin, results = time.process_time(), []
    for tenth in range(10 * seconds + 1):
        for name, events in zip(names, blocks, strict=True):
            results += windows.push(name, events[tenth])
    took = time.process_time() - begin
    assert len(results) == seconds and all(result.counts["m3"] == 16_000 for result in results)
    for result in results:
        assert all(np.array_equal(result.data[f"{name}.v"], np.tile(wave, 10)) for name in names)
    assert sum(held._times.size for held in windows._held.values()) < 10 * 16_000 * 4, (
        "memory does not grow with the record"
    )
    # Measured: 100 times real time and more, by the processor's time, since other work shares the machine.
    assert seconds / took > 25, f"{seconds / took:.1f} times real time"
