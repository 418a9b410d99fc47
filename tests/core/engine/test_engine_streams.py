"""What comes in: nothing is lost or counted twice, what is no observation is kept apart, windows and buffers follow."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from tank_stage import BATCH, BEGIN, levels, lines, send, write_tank

from gemel.base.clock import iso
from gemel.base.errors import Denied, InvalidInput, NotFound, StoreFull
from gemel.core.engine import Service
from stage import until

WINDOW = """
[windows.both]
length = "10 min"
align = "1 min"
gap = "linear"
streams = { level = { fields = ["level"], period = "1 min" }, flow = { fields = ["level"], period = "2 min" } }

[[triggers]]
on = "both"
run = "look"
"""
BUFFER = """
[buffers.lessons]
on = "level"
run = "train"
fields = ["level"]
volume = { events = 10 }
"""


def live(engine, here, more="", triggers="", **changes):
    folder = write_tank(here, more, triggers)
    text = (folder / "twin.toml").read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "twin.toml").write_text(text)
    return engine.go_live(engine.twin("tank"))


def test_states_say_when_they_hold_when_they_were_known_where_from_and_how_sure(engine, here):
    before = datetime.now(UTC)
    twin = live(engine, here)
    send(engine, [1.0, 2.0, 3.0])
    until(lambda: twin.status().sequence == 3)
    streams = Service(engine).streams
    latest = streams.state("tank")
    assert latest["valid"] == iso(BEGIN + timedelta(minutes=2)) and latest["known"] > iso(before)
    assert latest["source"] == "/twins/tank/sources/level" and latest["uncertainty"] == {
        "level": {"standard_error": 0.1, "unit": "m"}
    }
    assert streams.state("tank", valid=iso(BEGIN + timedelta(seconds=90)))["sequence"] == 2
    second = streams.states("tank")[1]
    assert streams.state("tank", known=second["known"])["sequence"] == 2
    with pytest.raises(NotFound):
        streams.state("tank", valid="2023-12-31")


def test_two_sources_may_step_the_state_at_the_same_instants(engine, here):
    twin = live(engine, here, triggers='[[triggers]]\non = "flow"\nrun = "update"\n')
    send(engine, [1.0, 2.0, 3.0], source="level")
    send(engine, [10.0, 20.0, 30.0], source="flow")
    until(lambda: twin.status().sequence == 6)
    state = engine.states.latest("tank")
    assert engine.results.load(engine.results.get(state.document["state"]["from_result"])) == {
        "count": 6,
        "total": 66.0,
    }
    assert twin.status().late == 0 and twin.status().problem is None


def test_what_is_no_observation_is_a_dead_letter_with_the_reason_and_the_rest_goes_on(engine, here):
    twin = live(engine, here)
    future = json.dumps(
        [
            {
                "specversion": "1.0",
                "id": "tomorrow",
                "type": "gemel.observation",
                "source": "/tests",
                "time": iso(datetime.now(UTC) + timedelta(days=1)),
                "data": {"level": 1.0},
            }
        ]
    )
    assert twin.receive("level", BATCH, future.encode()).rejected == 1
    huge = json.loads(levels([1.0]))
    huge[0]["data"]["note"] = "x" * 1_100_000
    with pytest.raises(InvalidInput, match="1,000,000"):
        twin.receive("level", BATCH, json.dumps(huge).encode())
    assert send(engine, [2.0], begin=1) == (1, 0)
    until(lambda: twin.status().sequence == 1)
    reasons = [letter["data"]["reason"] for letter in Service(engine).streams.dead("twins/tank/level")]
    assert len(reasons) == 1 and "ahead of the clock" in reasons[0]
    assert twin.status().rejected == 1
    with pytest.raises(InvalidInput, match="payloads that are no events"):
        positions = [letter["position"] for letter in Service(engine).streams.dead("twins/tank/level")]
        Service(engine).streams.replay("twins/tank/level", positions)


def test_a_bounded_stream_lets_go_of_what_is_worked_on_and_refuses_what_it_cannot_hold(engine, here):
    twin = live(
        engine, here, **{'[sources.level]\nkind = "webhook"': '[sources.level]\nkind = "webhook"\nlimit_events = 50'}
    )
    for begin in range(0, 200, 20):
        send(engine, range(begin, begin + 20), begin=begin)
        until(lambda begin=begin: twin.status().sequence == begin + 20)
    assert len(engine.log.read("twins/tank/level")) <= 50
    assert twin.status().problem is None
    with pytest.raises(StoreFull):
        send(engine, range(60), begin=1000)
    assert send(engine, range(10), begin=1000) == (10, 0)


def test_windows_put_sources_side_by_side_and_each_makes_one_run(engine, here):
    live(engine, here, triggers=WINDOW)
    send(engine, [float(number) for number in range(46)], source="level")
    send(engine, [float(number) for number in range(46)], source="flow")
    found = until(lambda: len(engine.log.read("twins/tank/both")) >= 3 and engine.log.read("twins/tank/both"))
    first = found[0]
    assert first.type == "gemel.window" and first.data["begin"] == iso(BEGIN)
    assert first.data["data"]["level.level"] == [float(number) for number in range(10)]
    until(lambda: lines(here).count(f"window {iso(BEGIN)}") == 1)
    until(lambda: len([line for line in lines(here) if line.startswith("window")]) == len(found))


def test_windows_go_on_in_the_next_engine_without_a_gap_or_a_double(store_url, new_engine, here):
    first = new_engine(store_url)
    live(first, here, triggers=WINDOW)
    for source in ("level", "flow"):
        send(first, [float(number) for number in range(35)], source=source)
    until(lambda: len(first.log.read("twins/tank/both")) >= 2)
    first.close()
    second = new_engine(store_url)
    second.go_live(second.twin("tank"))
    for source in ("level", "flow"):
        send(second, [float(number) for number in range(35, 66)], begin=35, source=source)
    until(lambda: len(second.log.read("twins/tank/both")) >= 5)
    begins = [event.data["begin"] for event in second.log.read("twins/tank/both")]
    assert begins == [iso(BEGIN + timedelta(minutes=10 * number)) for number in range(len(begins))]


def test_a_buffer_trains_when_there_is_enough_and_lets_go_only_after_success(engine, here):
    twin = live(engine, here, more=BUFFER)
    send(engine, [float(number) for number in range(12)])
    told = until(lambda: [item for item in engine.log.read("twins/tank") if item.type == "gemel.buffer.trained"])
    assert told[0].data["events"] == 10 and told[0].data["statistics"]["level"]["mean"] == 4.5
    run = engine.runs.journal.get(told[0].data["run"])
    assert engine.output(run, "model") == {"mean": 4.5, "count": 10}
    until(lambda: [event.id for event in engine.log.read("twins/tank/level")] == ["level-10", "level-11"])
    until(lambda: twin.status().sequence == 12)
    until(lambda: twin.status().parts["buffers"][0]["waiting"] == 2)
    (buffer,) = twin.status().parts["buffers"]
    assert [batch["state"] for batch in buffer["batches"]] == ["done"]


def test_a_training_that_fails_keeps_its_data_and_can_be_tried_again(sqlite_engine, here):
    twin = live(sqlite_engine, here, more=BUFFER)
    send(sqlite_engine, [*range(9), 1000.0])
    until(lambda: [item for item in sqlite_engine.log.read("twins/tank") if item.type == "gemel.buffer.failed"])
    assert len(sqlite_engine.log.read("twins/tank/level")) == 10
    assert "cannot be" in twin.status().problem["message"]
    assert Service(sqlite_engine).health()["status"] == "degraded"
    assert twin.buffers["lessons"].again().number == 1
    until(
        lambda: (
            len([item for item in sqlite_engine.runs.journal.list(twin="tank") if "buffers" in (item.cause or "")]) == 2
        )
    )


def test_people_send_to_streams_of_their_own_and_not_to_the_engines(sqlite_engine):
    streams = Service(sqlite_engine).streams
    events = json.loads(levels([1.0, 2.0]))
    assert streams.send("alarms", events)["accepted"] == 2
    assert streams.send("alarms", events) == {"accepted": 0, "duplicates": 2, "position": None}
    assert [event["id"] for event in streams.events("alarms")] == ["level-0", "level-1"]
    assert [event["id"] for event in streams.events("alarms", after=-1)] == ["level-1"]
    assert [item["name"] for item in streams.streams()] == ["alarms"]
    for name in ("lake", "causes", "twins/tank/level"):
        with pytest.raises(Denied):
            streams.send(name, events)
    with pytest.raises(NotFound, match="alarm"):
        streams.stream("alarm")


def test_a_source_that_nobody_sends_to_refuses_and_so_does_one_that_is_not_there(sqlite_engine, here):
    live(
        sqlite_engine,
        here,
        **{'[sources.flow]\nkind = "webhook"': '[sources.flow]\nkind = "folder"\npath = "somewhere"'},
    )
    with pytest.raises(InvalidInput, match="takes nothing from others"):
        send(sqlite_engine, [1.0], source="flow")
    with pytest.raises(NotFound, match="gauge"):
        send(sqlite_engine, [1.0], source="gauge")


def test_more_than_the_twin_can_take_in_is_kept_told_and_worked_off(sqlite_engine, here, monkeypatch):
    monkeypatch.setattr("gemel.core.engine._live._MANY", 60)
    twin = live(sqlite_engine, here)
    assert send(sqlite_engine, [1.0] * 200) == (200, 0)
    until(lambda: "Steps" in twin.status().problems)
    assert Service(sqlite_engine).health()["problems"][0]["code"] == "twin.behind"
    assert twin.status().waiting == 60  # and not counted further
    until(lambda: twin.status().sequence == 200)
    until(lambda: Service(sqlite_engine).health()["status"] == "ok")
    until(lambda: twin.status().waiting == 0)
    assert twin.status().lag == 0.0


def test_an_engine_that_stands_by_takes_what_is_sent_to_it_and_takes_over(store_url, new_engine, here):
    write_tank(here)
    first, second = new_engine(store_url), new_engine(store_url)
    twins = [engine.go_live(engine.twin("tank")) for engine in (first, second)]
    assert [twin.status().standing_by for twin in twins] == [False, True]
    send(second, [1.0, 2.0])
    until(lambda: twins[0].status().sequence == 2)
    first.close()
    until(lambda: not twins[1].status().standing_by)
    send(second, [3.0], begin=2)
    until(lambda: twins[1].status().sequence == 3)
    assert [state.cause for state in second.states.history("tank", 9)] == [
        event.position for event in second.log.read("twins/tank/level")
    ]


def test_a_clock_that_jumps_reorders_nothing(sqlite_engine, here, monkeypatch):
    twin = live(sqlite_engine, here)
    send(sqlite_engine, [1.0])
    until(lambda: twin.status().sequence == 1)
    known = sqlite_engine.states.latest("tank").known
    earlier = datetime.now(UTC).timestamp() - 86_400
    monkeypatch.setattr("time.time", lambda: earlier)
    send(sqlite_engine, [2.0], begin=1)
    until(lambda: twin.status().sequence == 2)
    assert sqlite_engine.states.latest("tank").known >= known
    assert [event.data["level"] for event in sqlite_engine.log.read("twins/tank/level")] == [1.0, 2.0]
    assert sqlite_engine.log.since("twins/tank/level", known - timedelta(hours=1)) == 0


def test_a_disk_that_is_full_refuses_and_nothing_is_half_written(sqlite_engine, here, monkeypatch):
    twin = live(sqlite_engine, here)
    append = sqlite_engine.log.append_many

    def full(stream, events):
        raise StoreFull("The disk is full.")

    monkeypatch.setattr(sqlite_engine.log, "append_many", full)
    with pytest.raises(StoreFull):
        send(sqlite_engine, [1.0])
    monkeypatch.setattr(sqlite_engine.log, "append_many", append)
    assert send(sqlite_engine, [1.0]) == (1, 0)
    until(lambda: twin.status().sequence == 1)
    assert twin.status().problem is None and twin.status().duplicates == 0
