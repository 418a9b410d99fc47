"""When X run G: each cause makes one run, whatever it is, however often it is told, whoever works on it."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from tank_stage import lines, send, write_tank

from gemel.base.clock import utc_now
from gemel.base.errors import Conflict, InvalidInput, NotFound, TwinInvalid
from gemel.core.engine import Service
from gemel.core.stream.triggers import CAUSES
from stage import until


def live(engine, here, more="", triggers=""):
    write_tank(here, more, triggers)
    engine.go_live(engine.twin("tank"))
    engine.serve()
    return engine


def causes(engine):
    return engine.log.read(CAUSES)


def fired(engine, count):
    """Return the runs of causes, once there are so many and all have ended."""
    journal = engine.runs.journal

    def found():
        return [run for run in journal.list(twin="tank", limit=1000) if (run.cause or "").startswith("causes/")]

    until(lambda: len(found()) >= count and all(run.finished for run in found()))
    return found()


def test_so_many_observations_make_a_run(engine, here):
    volume = '[[triggers]]\non = "level"\nvolume = { events = 5 }\nrun = "note"\nparameters = { what = "five" }\n'
    live(engine, here, triggers=volume)
    assert send(engine, range(12)) == (12, 0)
    runs = fired(engine, 2)
    assert [run.state for run in runs] == ["finished"] * 2
    assert 1 <= lines(here).count("five") <= 2  # once, where the second run found the step of the first
    assert send(engine, range(12)) == (0, 12)
    assert send(engine, range(3), begin=12) == (3, 0)
    assert len(fired(engine, 3)) == 3 and len(causes(engine)) == 3


def test_an_event_about_the_twin_makes_a_run_that_is_given_the_event(engine, here):
    live(engine, here, triggers='[[triggers]]\nevent = "gemel.twin.updated"\nrun = "heed"\n')
    send(engine, [1.0, 2.0, 3.0])
    fired(engine, 3)
    ids = [event.id for event in engine.log.read("twins/tank") if event.type == "gemel.twin.updated"]
    assert sorted(line for line in lines(here) if line.startswith("updated")) == sorted(ids)


def test_a_dataset_in_the_lake_makes_a_run_once_for_those_whose_name_fits(sqlite_engine, here, tmp_path):
    engine = live(sqlite_engine, here, triggers='[[triggers]]\ndataset = "rain:*"\nrun = "heed"\n')
    file = tmp_path / "rain.txt"
    file.write_text("1 mm")
    service = Service(engine)
    service.data.put(file, "rain:monday")
    service.data.put(file, "snow:monday")
    runs = fired(engine, 1)
    assert {dict(event.data)["given"]["event"]["subject"] for event in causes(engine)} == {"rain:monday"}
    assert len(runs) == len(causes(engine))


def test_drift_of_a_variable_makes_a_run(sqlite_engine, here):
    drift = '[[triggers]]\non = "level"\nrun = "note"\n'
    drift += 'drift = { variable = "level", reference = 40, window = 20 }\nparameters = { what = "drifted" }\n'
    engine = live(sqlite_engine, here, triggers=drift)
    send(engine, [float(number % 7) for number in range(100)])
    assert causes(engine) == []
    send(engine, [float(number % 7) + 30.0 for number in range(40)], begin=100)
    fired(engine, 1)
    assert lines(here).count("drifted") == len(causes(engine)) == 1


def test_a_clock_makes_a_run_for_each_instant(sqlite_engine, here):
    engine = live(sqlite_engine, here)
    begun = utc_now()
    document = {"name": "often", "every": "200 ms", "missed": "all", "run": "note", "parameters": {"what": "tick"}}
    Service(engine).triggers.add("tank", document)
    fired(engine, 5)
    Service(engine).triggers.remove("tank", "often")
    instants = [event.time for event in causes(engine)]
    assert len(set(instants)) == len(instants)
    steps = {later - earlier for earlier, later in itertools.pairwise(instants)}
    assert steps == {timedelta(milliseconds=200)} and instants[0] > begun


def test_a_call_makes_a_run_and_the_same_key_no_second_one(engine, here):
    live(engine, here, triggers='[[triggers]]\nname = "ask"\ncall = true\nrun = "note"\n')
    triggers = Service(engine).triggers
    first = triggers.call("tank", "ask", {"what": "called"}, key="monday")
    again = triggers.call("tank", "ask", {"what": "called"}, key="monday")
    assert first["id"] == again["id"]
    fired(engine, 1)
    until(lambda: triggers.causes("tank")[0]["state"] == "finished")
    assert lines(here) == ["called"] and len(triggers.causes("tank")) == 1


def test_a_check_that_fails_makes_a_run(sqlite_engine, here):
    check = '[[checks]]\nid = "never"\nkind = "holds"\ngraph = "note"\non = "nowhere"\n'
    engine = live(sqlite_engine, here, triggers=check + '[[triggers]]\ncheck = "never"\nrun = "heed"\n')
    report = engine.check(engine.twin("tank"))
    assert not report.passed
    fired(engine, 1)
    assert [line for line in lines(here) if line.startswith("check-")] == [f"check-{report.id}-never"]


def test_a_run_that_fails_is_told_and_not_made_again(sqlite_engine, here):
    engine = live(sqlite_engine, here, triggers='[[triggers]]\nname = "ask"\ncall = true\nrun = "note"\n')
    Service(engine).triggers.call("tank", "ask", {"what": "poison"})
    (run,) = fired(engine, 1)
    assert run.state == "failed"
    told = until(lambda: [item for item in engine.log.read("twins/tank") if item.type == "gemel.trigger.failed"])
    assert told[0].data["run"] == run.id and "poison" in told[0].data["error"]["message"]


def test_a_cause_that_cannot_be_worked_on_becomes_a_dead_letter_and_others_go_on(sqlite_engine, here, monkeypatch):
    monkeypatch.setattr("gemel.core.engine._firing._ATTEMPTS", 2)
    engine = live(sqlite_engine, here, triggers='[[triggers]]\nname = "ask"\ncall = true\nrun = "note"\n')
    service = Service(engine)
    service.triggers.call("tank", "ask", {"no such": 1})
    service.triggers.call("tank", "ask", {"what": "fine"})
    until(lambda: lines(here) == ["fine"])
    letters = until(lambda: service.streams.dead(CAUSES))
    assert "no such" in letters[0]["data"]["reason"]
    assert service.streams.replay(CAUSES, [letters[0]["position"]]) == {"replayed": 1, "left": 0}
    until(lambda: len(service.streams.dead(CAUSES)) == 2)


def test_two_engines_make_one_run_for_each_cause(store_url, new_engine, here):
    triggers = '[[triggers]]\non = "level"\nvolume = { events = 1 }\nrun = "note"\nparameters = { what = "one" }\n'
    write_tank(here, triggers=triggers)
    engines = [new_engine(store_url) for _ in range(2)]
    for engine in engines:
        engine.go_live(engine.twin("tank"))
        engine.serve()
    for number, engine in enumerate(engines):
        send(engine, range(10), begin=10 * number)
    assert len(fired(engines[0], 20)) == 20
    assert len(causes(engines[1])) == 20


@pytest.mark.parametrize(
    ("document", "error", "says"),
    [
        ({"run": "note"}, InvalidInput, "exactly one of"),
        ({"run": "note", "every": "1 h", "cron": "* * * * *"}, InvalidInput, "exactly one of"),
        ({"run": "note", "cron": "61 * * * *"}, InvalidInput, "cron"),
        ({"run": "note", "cron": "* * * * *", "zone": "Moon/Crater"}, InvalidInput, "zone"),
        ({"run": "nothing", "every": "1 h"}, NotFound, "nothing"),
        ({"run": "note", "on": "gauge", "volume": {"events": 3}}, NotFound, "gauge"),
        ({"run": "note", "on": "level", "volume": {}}, InvalidInput, "at least one of"),
        ({"run": "note", "on": "level"}, InvalidInput, "twin.toml"),
        ({"run": "note", "call": True, "zone": "UTC"}, InvalidInput, "zone"),
        ({"run": "note", "call": True, "soon": 1}, InvalidInput, "soon"),
    ],
)
def test_a_trigger_that_makes_no_sense_is_refused(sqlite_engine, here, document, error, says):
    write_tank(here)
    with pytest.raises(error) as refused:
        Service(sqlite_engine).triggers.add("tank", document)
    assert says in f"{refused.value.message} {refused.value.hint}"
    assert [item for item in Service(sqlite_engine).triggers.list() if item["stored"]] == []


def test_a_trigger_is_added_once_and_one_of_the_package_stays(sqlite_engine, here):
    write_tank(here, triggers='[[triggers]]\nname = "ask"\ncall = true\nrun = "note"\n')
    triggers = Service(sqlite_engine).triggers
    triggers.add("tank", {"name": "hourly", "every": "1 h", "run": "note"})
    with pytest.raises(Conflict):
        triggers.add("tank", {"name": "hourly", "every": "2 h", "run": "note"})
    with pytest.raises(Conflict):
        triggers.remove("tank", "ask")
    assert [item["name"] for item in triggers.list("tank")] == ["update-level-update", "ask", "hourly"]
    triggers.remove("tank", "hourly")
    with pytest.raises(NotFound):
        triggers.get("tank", "hourly")


def test_a_twin_whose_trigger_names_two_reasons_is_refused(sqlite_engine, here):
    write_tank(here, triggers='[[triggers]]\ncall = true\nevery = "1 h"\nrun = "note"\n')
    with pytest.raises(TwinInvalid, match="exactly one of"):
        sqlite_engine.twin("tank")
