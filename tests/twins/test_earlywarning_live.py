"""The early-warning twin alive: the flood of April 1986 is warned of the day before, and odd observations do no harm."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest

from gemel.base.config import load_settings
from gemel.core.engine import Engine, LiveTwin, open_engine
from gemel.core.stream import Event
from stage import copy_home, trained_home, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("earlywarning")]
DAYS = 31  # from 3 March to 2 April 1986
STREAM = "twins/earlywarning/gauge"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    home = copy_home(trained_home(), tmp_path_factory.mktemp("live") / "home")
    with open_engine(load_settings(home=home)) as opened:
        yield opened


@pytest.fixture(scope="module")
def live(engine: Engine) -> LiveTwin:
    following = engine.go_live(engine.twin("earlywarning"), {"speed": "max", "count": DAYS})
    following.wait_finished()
    return following


def observed(day: str, **data: float | None) -> Event:
    usual = {"precipitation": 1.0, "temperature": 5.0, "pet": 1.0, "discharge": 200.0}
    moment = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return Event(f"gauge@{day}T00:00:00Z", "gemel.observation", "/gauge", moment, usual | data)


def output(engine: Engine, live: LiveTwin, name: str):
    run = live.status().run
    assert run is not None
    return engine.output(engine.runs.journal.get(run), name)


def test_each_day_was_taken_in_once_and_the_flood_was_warned_of_the_day_before(engine, live):
    status = live.status()
    assert (status.sequence, status.gaps, status.late, status.problem) == (DAYS, 0, 0, None)
    assert status.clock == datetime(1986, 4, 2, tzinfo=UTC)
    assert len(engine.states.history("earlywarning", 1000)) == DAYS
    told = [event.data for event in engine.log.read("twins/earlywarning") if event.type == "gemel.twin.alert"]
    warned = [alert for alert in told if alert["event"] == "flood" and alert["issued"].startswith("1986-04-01")]
    assert any(alert["lead_days"] == 1 and alert["valid"].startswith("1986-04-02") for alert in warned)
    assert all(alert["probability"] >= alert["limit"] for alert in told if alert["lead_days"] > 0)


def test_the_state_tells_its_doubt_and_the_misfit_is_that_of_the_newest_observation(engine, live):
    state = engine.states.latest("earlywarning")
    told = state.uncertainty["discharge"]
    assert told["unit"] == "m3 s-1" and 0 < told["standard_error"] < 60
    assert told["quantiles"]["0.05"] < told["quantiles"]["0.5"] < told["quantiles"]["0.95"]
    assert state.uncertainty["production"]["unit"] == "mm"
    misfit = live.status().misfit
    assert misfit is not None and misfit["observed"] == 300.0
    assert misfit["value"] == pytest.approx(abs(300.0 - misfit["modelled"]) / 300.0)
    # The day before, far less was forecast: more than the 20 % that the twin declares.
    assert misfit["modelled"] < 240.0 and misfit["surprise"] > 1.0 and misfit["diverged"]
    kinds = [event.type for event in engine.log.read("twins/earlywarning")]
    assert "gemel.twin.diverged" in kinds and "gemel.twin.converged" in kinds


def test_a_day_without_a_measurement_moves_the_state_on_and_opens_the_interval(engine, live):
    before = output(engine, live, "forecast")["discharge"]
    assert engine.log.append(STREAM, observed("1986-04-03", discharge=None)) is not None
    until(lambda: live.status().sequence == DAYS + 1)
    after = output(engine, live, "forecast")["discharge"]
    assert live.status().problem is None and live.status().clock == datetime(1986, 4, 3, tzinfo=UTC)
    assert np.isfinite(after.values).all()

    def width(plume):
        first = plume.isel(time=0)
        return float(first.sel(quantile=0.95) - first.sel(quantile=0.05)) / float(first.sel(quantile=0.5))

    # Two days ahead of the last measurement is less certain than one, relative to the flow.
    assert width(after) > width(before)
    misfit = live.status().misfit
    assert misfit is not None and misfit["observed"] == 300.0, "that of the newest observation there is"
    state = engine.states.latest("earlywarning")
    earlier = engine.states.get("earlywarning", DAYS)
    relative = [
        s.uncertainty["discharge"]["standard_error"] / s.uncertainty["discharge"]["quantiles"]["0.5"]
        for s in (earlier, state)
    ]
    assert relative[1] > 2 * relative[0]


def test_what_is_told_twice_or_too_late_changes_nothing(engine, live):
    known = engine.states.latest("earlywarning")
    assert engine.log.append(STREAM, observed("1986-04-03", discharge=10.0)) is None
    late = Event("late", "gemel.observation", "/gauge", datetime(1986, 3, 20, tzinfo=UTC), {"discharge": 1.0})
    assert engine.log.append(STREAM, late) is not None
    until(lambda: live.status().late == 1)
    assert engine.states.latest("earlywarning") == known


def test_rain_or_temperature_that_were_not_measured_are_no_end(engine, live):
    sequence = live.status().sequence
    event = observed("1986-04-04", precipitation=None, temperature=None, pet=None, discharge=None)
    assert engine.log.append(STREAM, event) is not None
    until(lambda: live.status().sequence == sequence + 1 or live.status().problem)
    assert live.status().problem is None
    assert np.isfinite(output(engine, live, "forecast")["discharge"].values).all()
