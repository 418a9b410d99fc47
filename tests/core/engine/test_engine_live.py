"""A twin in step with its physical twin: each observation makes one update, whatever happens to source, store, engine."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gemel.base import plugins
from gemel.base.errors import Conflict, InvalidInput, NotFound, StoreUnavailable, TwinInvalid
from gemel.core.engine import LiveTwin, Service
from gemel.core.stream import Event, SqlEventLog
from stage import FIRST_DAY, install_plugin, until, write_brook, write_flows


def day(number: int) -> datetime:
    return datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC) + timedelta(days=number)


def observation(number: int, flow: float | None, name: str | None = None) -> Event:
    instant = day(number)
    return Event(name or f"gauge@{instant.isoformat()}", "gemel.observation", "/gauge", instant, {"flow": flow})


def followed(engine, **options):
    live = engine.go_live(engine.twin("brook"), options or None)
    live.wait_finished()
    return live


def known(engine):
    state = engine.states.latest("brook")
    return engine.results.load(engine.results.get(state.document["state"]["from_result"]))


def told(engine, kind: str) -> list[dict]:
    return [dict(event.data) for event in engine.log.read("twins/brook") if event.type == f"gemel.twin.{kind}"]


def test_every_observation_makes_exactly_one_update(engine, here):
    flows = [float(number % 7) for number in range(20)]
    write_brook(here, flows)
    status = followed(engine).status()
    assert known(engine) == {"days": 20, "total": sum(flows), "flow": flows[-1]}
    assert (status.sequence, status.clock, status.last_observation) == (20, day(19), day(19))
    assert (status.late, status.duplicates, status.gaps, status.problem) == (0, 0, 0, None)
    runs = engine.runs.journal.list(twin="brook", limit=100)
    assert len(runs) == 20 and {run.state for run in runs} == {"finished"}
    assert len({run.cause for run in runs}) == 20
    assert [update["sequence"] for update in told(engine, "updated")] == list(range(1, 21))
    assert (here / "side.txt").read_text().count("\n") == 20


def test_the_next_engine_goes_on_where_the_last_one_stopped(store_url, new_engine, here):
    folder = write_brook(here, [1.0, 2.0, 3.0])
    first = new_engine(store_url)
    followed(first)
    first.close()
    write_flows(folder / "gauge.csv", [1.0, 2.0, 3.0, 4.0, 5.0])
    second = new_engine(store_url)
    status = followed(second).status()
    assert known(second) == {"days": 5, "total": 15.0, "flow": 5.0}
    assert status.sequence == 5 and status.duplicates == 0 and status.gaps == 0
    assert [update["sequence"] for update in told(second, "updated")] == [1, 2, 3, 4, 5]


def test_what_the_state_was_on_a_day_can_be_asked_later(sqlite_engine, here):
    write_brook(here, [1.0, 2.0, 3.0])
    followed(sqlite_engine)
    found = sqlite_engine.states.as_of("brook", day(1) + timedelta(hours=12))
    assert found.sequence == 2 and found.valid == day(1)
    assert sqlite_engine.states.as_of("brook", day(-1)) is None


def test_a_missing_value_and_a_missing_day_are_gaps_and_the_state_moves_on(engine, here):
    write_brook(here, {0: 1.0, 1: None, 2: 3.0, 5: 4.0})
    status = followed(engine).status()
    assert status.gaps == 2 and status.sequence == 4 and status.problem is None
    assert known(engine) == {"days": 4, "total": 8.0, "flow": 4.0}
    assert engine.log.read("twins/brook/gauge")[1].data == {"flow": None}


def test_a_late_observation_is_kept_and_counted_and_changes_nothing(engine, here):
    write_brook(here, {0: 1.0, 2: 3.0})
    live = followed(engine)
    assert engine.log.append("twins/brook/gauge", observation(1, 2.0)) is not None
    until(lambda: live.status().late == 1)
    live.wait_finished()  # a late observation, though the last of all, keeps nobody waiting
    assert known(engine) == {"days": 2, "total": 4.0, "flow": 3.0}
    assert told(engine, "late-observation") == [
        {"observation": "2001-01-02T00:00:00Z", "state": "2001-01-03T00:00:00Z"}
    ]
    assert len(engine.log.read("twins/brook/gauge")) == 3


STUTTER = """
from datetime import UTC, datetime, timedelta
from gemel.core.stream import Event

class Plugin:
    def __init__(self, context):
        self.context = context

    def events(self, after):
        for number in (0, 1, 1, 2, 0, 3, 3):
            instant = datetime(2001, 1, 1, tzinfo=UTC) + timedelta(days=number)
            yield Event(f"gauge@{number}", "gemel.observation", self.context.uri, instant, {"flow": float(number)})
        yield Event("late", "gemel.observation", self.context.uri, datetime(2001, 1, 2, 12, tzinfo=UTC), {"flow": 9.0})
        if self.context.options.get("breaks"):
            raise OSError("the line went dead")
"""


@pytest.fixture
def stutter(tmp_path, monkeypatch):
    """Register a source that tells some things twice and some too late."""
    install_plugin(tmp_path / "site", "sources", "stutter", STUTTER)
    monkeypatch.syspath_prepend(tmp_path / "site")
    plugins.plugins.cache_clear()
    yield
    plugins.plugins.cache_clear()


STUTTERING = {'kind = "replay"\ndataset = "record"\nreader = "gauged"\nspeed = "max"': 'kind = "stutter"'}


def test_what_a_source_tells_twice_counts_once(engine, here, stutter):
    write_brook(here, **STUTTERING)
    status = followed(engine).status()
    assert (status.duplicates, status.late, status.gaps) == (3, 1, 0)
    assert known(engine) == {"days": 4, "total": 6.0, "flow": 3.0}
    assert status.problem is None


def test_a_source_that_breaks_is_a_problem_with_its_name_and_what_it_told_is_kept(sqlite_engine, here, stutter):
    write_brook(here, **{old: new + "\nbreaks = true" for old, new in STUTTERING.items()})
    live = sqlite_engine.go_live(sqlite_engine.twin("brook"))
    until(lambda: live.status().sequence == 4 and live.status().problem)
    assert "gauge" in live.status().problem["message"] and "the line went dead" in live.status().problem["message"]
    assert Service(sqlite_engine).health()["status"] == "degraded"
    assert told(sqlite_engine, "problem")[0]["where"] == "Source 'gauge'"


def test_a_record_that_cannot_be_read_is_a_problem_and_no_traceback(sqlite_engine, here):
    folder = write_brook(here)
    (folder / "gauge.csv").write_bytes(b"\x00\xff no table")
    live = sqlite_engine.go_live(sqlite_engine.twin("brook"))
    until(lambda: live.status().problem)
    assert "gauge" in live.status().problem["message"]


def test_misfit_beyond_the_promised_fidelity_is_told_once_and_so_is_its_end(engine, here):
    write_brook(here, [1.0, 101.0, 102.0, None, 2.0, 3.0])
    live = followed(engine)
    assert [misfit["observed"] for misfit in told(engine, "diverged")] == [101.0]
    # Without an observation nothing can be said, which is not a divergence; and NaN is no number in JSON.
    assert [misfit["observed"] for misfit in told(engine, "converged")] == [None]
    assert told(engine, "converged")[0]["value"] is None
    found = live.status().misfit
    assert found["declared"] == "10 %" and found["diverged"] is False and found["modelled"] == 1.0


def test_alerts_are_told_with_the_run_that_gave_them(engine, here):
    write_brook(here, [1.0, 60.0, 2.0])
    followed(engine)
    (alert,) = told(engine, "alert")
    assert alert["level"] == "high" and alert["probability"] == 0.9
    assert engine.runs.journal.get(alert["run"]).id == engine.states.history("brook", 2)[0].run


def test_silence_is_told(sqlite_engine, here):
    # At a thousand days a second the next one is due at once; none comes, and the twin says that it is late.
    write_brook(here, [1.0, 2.0])
    live = sqlite_engine.go_live(sqlite_engine.twin("brook"), {"speed": "1000 d/s"})
    states = until(lambda: [item["state"] for item in told(sqlite_engine, "freshness")][:2] == ["in-step", "late"])
    assert states and live.status().freshness in ("late", "silent")


def test_a_failing_update_stops_nothing_and_shows_until_one_works_again(store_url, new_engine, here):
    folder = write_brook(here, [1.0, -1.0])
    first = new_engine(store_url)
    live = first.go_live(first.twin("brook"))
    until(lambda: live.status().problem)
    assert "the gauge is broken" in live.status().problem["message"]
    assert Service(first).health()["problems"][0]["twin"] == "brook"
    assert known(first)["days"] == 1
    assert first.finish(first.start(first.twin("brook"))).state == "finished"
    first.close()
    write_flows(folder / "gauge.csv", [1.0, -1.0, 3.0])
    second = new_engine(store_url)
    live = second.go_live(second.twin("brook"))
    until(lambda: live.status().sequence == 2)
    until(lambda: live.status().problem is None)
    assert known(second) == {"days": 2, "total": 4.0, "flow": 3.0}
    assert Service(second).health()["status"] == "ok"
    assert Counter(run.state for run in second.runs.journal.list(twin="brook") if run.cause) == {
        "finished": 2,
        "failed": 1,
    }


def test_two_engines_on_one_store_share_the_work_without_doing_it_twice(store_url, new_engine, here):
    flows = [float(number) for number in range(25)]
    write_brook(here, flows)
    engines = [new_engine(store_url) for _ in range(2)]
    lives = [engine.go_live(engine.twin("brook")) for engine in engines]
    for live in lives:
        live.wait_finished()
    until(lambda: engines[0].states.latest("brook").sequence == 25)
    assert known(engines[1]) == {"days": 25, "total": sum(flows), "flow": 24.0}
    assert len(engines[0].runs.journal.list(twin="brook", limit=100)) == 25
    assert [update["sequence"] for update in told(engines[0], "updated")] == list(range(1, 26))
    for live in lives:
        assert live.status().late == 0 and live.status().problem is None
    assert sum(live.status().duplicates for live in lives) <= 25


class Shaky(SqlEventLog):
    """A log whose disk is full, or away, at every third call."""

    calls = 0

    def _shake(self) -> None:
        self.calls += 1
        if self.calls % 3 == 0:
            raise StoreUnavailable("The disk is away for a moment.")

    def append(self, stream, event):
        self._shake()
        return super().append(stream, event)

    def wait(self, stream, after, timeout):
        self._shake()
        return super().wait(stream, after, timeout)


def test_a_store_that_is_away_for_a_moment_costs_no_observation(sqlite_engine, here):
    write_brook(here, [1.0, 2.0, 3.0])
    log = Shaky(sqlite_engine._store)
    twin = sqlite_engine.twin("brook")
    live = LiveTwin(twin, replace(sqlite_engine.live_parts, log=log))
    live.start()
    until(lambda: live.status().sequence == 3)
    live.stop()
    assert log.calls >= 3
    assert known(sqlite_engine) == {"days": 3, "total": 6.0, "flow": 3.0}


def test_what_a_dead_engine_did_not_tell_is_told_by_the_next(store_url, new_engine, here):
    write_brook(here, [1.0, 101.0])
    first = new_engine(store_url)
    followed(first)
    first.close()
    # As after a kill between saving the state and telling of it.
    second = new_engine(store_url)
    second.log.forget("twins/brook")
    status = followed(second).status()
    until(lambda: told(second, "alert"))
    assert [update["sequence"] for update in told(second, "updated")] == [2]
    assert len(told(second, "alert")) == len(told(second, "diverged")) == 1
    assert status.sequence == 2


def test_beginning_again_follows_everything_anew_and_tells_it(engine, here):
    write_brook(here, [1.0, 2.0])
    live = followed(engine)
    with pytest.raises(Conflict):
        engine.begin_again(engine.twin("brook"))
    live.stop()
    engine._live.clear()
    engine.begin_again(engine.twin("brook"))
    assert engine.states.latest("brook") is None
    followed(engine)
    assert known(engine) == {"days": 2, "total": 3.0, "flow": 2.0}
    assert [update["sequence"] for update in told(engine, "updated")] == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("old", "new", "error", "says"),
    [
        ('reader = "gauged"', 'raeder = "gauged"', InvalidInput, "Did you mean 'reader'"),
        ('reader = "gauged"', "", InvalidInput, "reader"),
        ('speed = "max"', 'speed = "quick"', InvalidInput, "1 d/s"),
        ('speed = "max"', 'speed = "1 d/"', InvalidInput, "1 d/s"),
        ('speed = "max"', 'speed = "0 d/s"', InvalidInput, "1 d/s"),
        ('speed = "max"', 'start = "yesterday"', InvalidInput, "yesterday"),
        ('speed = "max"', 'count = "many"', InvalidInput, "count"),
        ('speed = "max"', 'start = "{begin}"', TwinInvalid, "begin"),
        ('kind = "replay"', 'kind = "replya"', NotFound, "Did you mean 'replay'"),
        ('on = "gauge"\nrun', 'on = "gage"\nrun', TwinInvalid, "gage"),
        ('run = "update"', 'run = "updated"', NotFound, "Did you mean 'update'"),
    ],
)
def test_a_source_that_makes_no_sense_is_refused_at_once(sqlite_engine, here, old, new, error, says):
    write_brook(here, [1.0], **{old: new})
    with pytest.raises(error) as refused:
        sqlite_engine.go_live(sqlite_engine.twin("brook"))
    assert says in f"{refused.value.message} {refused.value.hint}"
    assert not sqlite_engine.is_live("brook")


def test_a_twin_without_a_source_cannot_go_live(sqlite_engine, here):
    folder = write_brook(here)
    text = (folder / "twin.toml").read_text()
    (folder / "twin.toml").write_text(text.replace('[[triggers]]\non = "gauge"\nrun = "update"\n', ""))
    with pytest.raises(NotFound, match="no source with a trigger"):
        sqlite_engine.go_live(sqlite_engine.twin("brook"))
    assert sqlite_engine.status(sqlite_engine.twin("brook")).freshness == "not-live"


def test_an_output_that_is_no_misfit_is_a_problem_and_the_twin_goes_on(sqlite_engine, here):
    folder = write_brook(here, [60.0, 61.0])
    code = (folder / "twin.py").read_text()
    (folder / "twin.py").write_text(code.replace('"misfit": misfit_of(now)', '"misfit": alerts_of(now)'))
    live = sqlite_engine.go_live(sqlite_engine.twin("brook"))
    until(lambda: live.status().sequence == 2 and live.status().problem)
    assert known(sqlite_engine) == {"days": 2, "total": 121.0, "flow": 61.0}
