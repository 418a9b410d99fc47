from __future__ import annotations

import numpy as np
import pytest

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro import (
    alerts,
    calibrate,
    exceedance,
    forecast,
    hindcast,
    initial_state,
    packaged_record,
    replay,
    return_levels,
    train,
)
from gemel.thematic.hydro._weather import EXCLUSION, WINDOW, analogues, weather_archive, weather_matrix

pytestmark = pytest.mark.slow  # a whole model is trained first


def test_shape_units_and_times(model, state):
    predicted = forecast(state, model)
    assert dict(predicted.sizes) == {"quantile": 99, "time": 5, "realization": 50, "origin": 3}
    assert predicted["discharge"].attrs["units"] == "m3 s-1"
    assert str(predicted["issued"].values)[:10] == "1985-12-31"
    assert str(predicted["time"].values[0])[:10] == "1986-01-01"
    assert predicted["lead"].values.tolist() == [1, 2, 3, 4, 5]
    levels = predicted["discharge_quantile"].values
    assert (np.diff(levels, axis=0) >= 0).all()
    assert (levels >= 0).all()


def test_members_and_quantiles_say_the_same(model, state):
    predicted = forecast(state, model)
    median = predicted["discharge_quantile"].sel(quantile=0.5).values
    inside = (predicted["discharge"].values <= median).mean(axis=0)
    # 50 members, one of nine model errors each: their median lies near the issued one.
    assert (np.abs(inside - 0.5) <= 0.15).all()


def test_the_same_seed_gives_the_same_forecast_and_another_does_not(model, state):
    assert forecast(state, model, seed=4).identical(forecast(state, model, seed=4))
    assert not forecast(state, model, seed=4)["discharge"].equals(forecast(state, model, seed=5)["discharge"])


def test_a_past_forecast_does_not_change_when_the_future_does(fulda, model):
    upset = fulda.copy(deep=True)
    later = upset["time"].values > np.datetime64("1985-06-30")
    for name in ("precipitation", "temperature", "discharge"):
        upset[name][later] = 99.0
    ours, theirs = (hindcast(r, model, "1985-06-25/1985-06-30", members=10) for r in (fulda, upset))
    assert ours["discharge_quantile"].equals(theirs["discharge_quantile"])
    assert not ours["observed"].equals(theirs["observed"])


def test_a_hindcast_is_what_the_live_twin_would_have_said(fulda, model):
    start = initial_state(model, "1978-12-31", members=10, seed=2)
    live = forecast(replay(start, fulda.sel(time=slice(None, "1985-03-02")), model), model, seed=2)
    past = hindcast(fulda, model, "1985-03-01/1985-03-03", members=10, seed=2)
    again = past["discharge_quantile"].sel(issued="1985-03-02").values.T
    np.testing.assert_allclose(live["discharge_quantile"].values, again, rtol=1e-12)


def test_shares_of_doubt_sum_to_one_and_weather_gains_with_lead(fulda, model, state):
    shares = []
    for month in range(1, 11):
        days = fulda.sel(time=slice(f"1986-{month:02d}-01", f"1986-{month + 1:02d}-01"))
        ahead = days["time"].values > state["time"].values
        state = replay(state, days.isel(time=ahead), model)
        shares.append(forecast(state, model)["share"])
        assert shares[-1].sum("origin").values == pytest.approx(np.ones(5))
    mean = {o: np.mean([s.sel(origin=o).values for s in shares], axis=0) for o in ("weather", "state")}
    assert mean["weather"][0] < mean["weather"][2]
    assert mean["state"][0] > mean["state"][4], "what is known of the basin is forgotten with time"


def test_more_rain_more_water_and_warmth_melts_snow(model, state):
    usual, wetter = forecast(state, model), forecast(state, model, rain=2.0)
    assert wetter["discharge"].mean() > usual["discharge"].mean()
    assert wetter.attrs["rain_factor"] == 2.0
    frozen = state.copy(deep=True)
    frozen["condition"].loc[{"slot": "snow"}] = 60.0
    means = [float(forecast(frozen, model, temperature=k)["discharge"].mean()) for k in (-5.0, 5.0)]
    assert means[1] > 1.2 * means[0]


@pytest.mark.parametrize("wrong", [{"days": 0}, {"days": 6}, {"rain": -1.0}, {"rain": np.nan}])
def test_impossible_requests(model, state, wrong):
    with pytest.raises(InvalidInput):
        forecast(state, model, **wrong)


def test_analogues_are_of_the_season_and_far_from_the_target(fulda, model):
    for day in ("1983-01-05", "1982-07-20", "1987-12-30"):
        target = np.datetime64(day)
        chosen = model["archive"].values[analogues(model, target, (1.0, 5.0), members=50)]
        away = np.abs((chosen - target) / np.timedelta64(1, "D"))
        assert away.min() > EXCLUSION
        year = away % 365.25
        assert (np.minimum(year, 365.25 - year) <= WINDOW + 2).all()


def test_weather_is_really_that_of_the_analogue(fulda, model):
    day = np.datetime64("1986-02-10")
    chosen = analogues(model, day, (1.0, 3.0), members=5)
    weather = weather_matrix(model, day, float("nan"), chosen)
    past = fulda.sel(time=model["archive"].values[chosen[0]] + np.arange(1, 6).astype("timedelta64[D]"))
    assert weather[0, :, 0].tolist() == past["precipitation"].values.tolist()
    assert weather[0, :, 1].tolist() == past["temperature"].values.tolist()


def test_the_archive_knows_the_training_period_only(fulda, model):
    archive = weather_archive(fulda, model)["archive"].values
    assert archive.min() == np.datetime64("1980-01-01")
    assert archive.max() == np.datetime64("1984-12-31")


def test_exceedance_matches_the_quantiles(model, state):
    predicted = forecast(state, model)
    threshold = float(predicted["discharge_quantile"].sel(quantile=0.8).values[2])
    assert float(exceedance(predicted, threshold)[2]) == pytest.approx(0.2)
    assert exceedance(predicted, 0.0).values.tolist() == [1.0] * 5
    assert exceedance(predicted, 1e6).values.tolist() == [0.0] * 5


def test_alerts_name_what_where_when_and_how_likely(fulda, model, state):
    predicted = forecast(state, model)
    levels = return_levels(fulda, "1980/1984")
    quiet = levels.assign(level=levels["level"] * 1e3)
    assert alerts(predicted, quiet) == []
    loud = levels.assign(level=levels["level"] * 1e-3)
    found = alerts(predicted, loud, limit=0.5, low_flow=1e6)
    assert len(found) == 20
    first = found[0]
    assert (first["event"], first["place"], first["level"]) == ("flood", "Fulda", "2-year")
    assert (first["issued"], first["valid"], first["lead_days"]) == (
        "1985-12-31T00:00:00Z",
        "1986-01-01T00:00:00Z",
        1,
    )
    assert {a["event"] for a in found} == {"flood", "drought"}
    with pytest.raises(InvalidInput):
        alerts(predicted, levels, limit=0.0)


def test_too_short_a_training_period(fulda):
    with pytest.raises(InvalidInput, match="at least 365"):
        calibrate(fulda, "1979/1979")
    with pytest.raises(InvalidInput, match="too few days"):
        calibrate(fulda, "2001/2004")


@pytest.mark.slow
def test_training_looks_at_nothing_outside_its_period(fulda, model):
    upset = fulda.copy(deep=True)
    later = upset["time"].values > np.datetime64("1984-12-31")
    for name in ("precipitation", "temperature", "discharge"):
        upset[name][later] = 99.0
    assert train(upset, "1980/1984", 0).identical(model)


@pytest.mark.slow
def test_a_basin_with_pet_and_without_temperature_runs_the_same_chain():
    record = packaged_record("leaf")
    learned = train(record, "1953-08/1956", 0)
    start = initial_state(learned, record["time"].values[0], members=20)
    now = replay(start, record.isel(time=slice(1, 2000)), learned)
    predicted = forecast(now, learned, rain=1.2)
    assert np.isfinite(predicted["discharge_quantile"].values).all()
    with pytest.raises(InvalidInput, match="no temperature"):
        forecast(now, learned, temperature=1.0)
