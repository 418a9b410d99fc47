"""The basin's filter is the core's: closed forms of one analysis, and doubt that is told as large as it is."""

from __future__ import annotations

import numpy as np
import pytest

from gemel.thematic.hydro import replay, uncertainty, update
from gemel.thematic.hydro._assimilate import CORRECTED, NOISE, setup, stepped
from gemel.thematic.hydro._forcing import forcing

pytestmark = pytest.mark.slow  # a whole model is trained first

DAY = np.datetime64("1986-01-01")


@pytest.fixture(scope="module")
def days(fulda, model, state):
    """The members after the same day, free and corrected, with what the day brought when it was."""
    drivers = forcing(fulda.sel(time=[DAY]), model)[0]
    engine = setup(model)
    free, corrected = (np.array(state["condition"].values) for _ in range(2))
    ahead = stepped(free, drivers, np.nan, (3, DAY), engine).ahead
    observed = float(ahead.mean() + ahead.std())
    return free, corrected, observed, stepped(corrected, drivers, observed, (3, DAY), engine)


def test_one_day_is_corrected_as_the_kalman_filter_of_the_members_would(days):
    free, corrected, observed, day = days
    before = np.column_stack([free[:, CORRECTED], day.ahead])
    covariance, mean = np.cov(before.T), before.mean(axis=0)
    variance = covariance[-1, -1] + NOISE.observation**2
    gain = covariance[:, -1] / variance
    after = np.column_stack([corrected[:, CORRECTED], day.after])
    np.testing.assert_allclose(after.mean(axis=0), mean + gain * (observed - mean[-1]), rtol=1e-9)
    np.testing.assert_allclose(np.cov(after.T), covariance - np.outer(gain, covariance[-1]), rtol=1e-6, atol=1e-9)
    assert day.surprise == pytest.approx((observed - mean[-1]) / np.sqrt(variance))


def test_what_an_observation_does_not_move_stays_as_it_was(days):
    free, corrected, _, _ = days
    others = np.setdiff1d(np.arange(free.shape[1]), CORRECTED)
    np.testing.assert_array_equal(corrected[:, others], free[:, others])
    assert (corrected[:, CORRECTED] != free[:, CORRECTED]).all()


def test_the_doubt_of_a_state_is_told_with_units_and_grows_without_observations(fulda, model, state):
    told = uncertainty(state)
    assert {name: item["unit"] for name, item in told.items()} == {
        "discharge": "m3 s-1",
        "production": "mm",
        "routing": "mm",
        "snow": "mm",
    }
    flow = told["discharge"]
    levels = list(flow["quantiles"].values())
    assert levels == sorted(levels)
    assert abs(flow["quantiles"]["0.5"] - float(state["observed"][-1])) < 4 * flow["standard_error"]
    day = fulda.sel(time=[DAY])
    unseen = day.assign(discharge=day["discharge"] * np.nan)
    doubts = [uncertainty(update(state, rows, model))["discharge"]["standard_error"] for rows in (day, unseen)]
    assert doubts[1] > 2 * doubts[0]


def test_standard_errors_are_those_that_the_training_years_bore_out(state, model):
    factor = model.attrs["filter_spread"]
    raw = state["condition"].sel(slot="routing").values.std(ddof=1)
    assert uncertainty(state)["routing"]["standard_error"] == pytest.approx(factor * raw)
    assert 0.2 < factor < 2


def test_a_state_kept_by_an_earlier_version_goes_on(fulda, model, state):
    day = fulda.sel(time=[DAY])
    old = state.drop_vars(["discharge", "surprise"])
    del old.attrs["filter_spread"]
    ours, theirs = update(state, day, model), update(old, day, model)
    assert theirs["condition"].equals(ours["condition"])
    assert theirs.isel(past=[-1]).identical(ours.isel(past=[-1]))


def test_the_filter_is_as_far_off_as_it_says_on_days_that_no_fit_has_seen(fulda, model, state):
    ahead = replay(state, fulda.sel(time=slice("1986-01-01", "1986-12-31")), model)
    surprise = ahead["surprise"].values
    assert (np.abs(surprise) < 1.645).mean() == pytest.approx(0.9, abs=0.1)
