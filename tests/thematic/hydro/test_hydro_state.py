"""The state keeps in step with the river, whatever the order in which its days are handed over."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro import forecast, initial_state, relive, replay, update


def rows(record, first, last):
    return record.sel(time=slice(first, last))


def test_day_by_day_gives_the_same_bits_as_a_batch(fulda, model):
    start = initial_state(model, "1985-01-31", members=10, seed=1)
    days = rows(fulda, "1985-02-01", "1985-03-15")
    one = start
    for t in range(days.sizes["time"]):
        one = update(one, days.isel(time=[t]), model)
    assert one.identical(replay(start, days, model))


def test_an_observation_pulls_the_model_to_the_river(fulda, model, state):
    start = initial_state(model, "1983-12-31", members=50, seed=3)
    free = replay(start, rows(fulda, "1984-01-01", "1985-12-31"), model, assimilation=False)
    misses = [float(np.abs(s["observed"] - s["modelled"]).mean()) for s in (state, free)]
    assert misses[0] < 0.8 * misses[1], "a day ahead, over the last 120 days"


def test_no_observation_means_no_correction(fulda, model, state):
    day = rows(fulda, "1986-01-01", "1986-01-01").copy(deep=True)
    day["discharge"][:] = np.nan
    assert update(state, day, model).identical(replay(state, day, model, assimilation=False))


def test_a_gap_of_days_is_stepped_with_usual_weather(fulda, model, state):
    late = update(state, rows(fulda, "1986-01-03", "1986-01-03"), model)
    explicit = rows(fulda, "1986-01-01", "1986-01-03").copy(deep=True)
    for name in ("precipitation", "temperature", "discharge"):
        explicit[name][:2] = np.nan
    assert late.identical(replay(state, explicit, model))
    assert np.isfinite(late["condition"].values).all()


def test_old_repeated_and_several_days_are_refused(fulda, model, state):
    with pytest.raises(InvalidInput, match="cannot follow"):
        update(state, rows(fulda, "1985-12-31", "1985-12-31"), model)
    with pytest.raises(InvalidInput, match="exactly one day"):
        update(state, rows(fulda, "1986-01-01", "1986-01-02"), model)
    with pytest.raises(InvalidInput, match="at least 2"):
        initial_state(model, "1985-01-01", members=1)


def test_no_rows_leave_the_state_alone(fulda, model, state):
    assert replay(state, fulda.isel(time=slice(0, 0)), model) is state


def test_state_and_model_survive_netcdf(fulda, model, state, tmp_path):
    state.to_netcdf(tmp_path / "state.nc", engine="h5netcdf")
    model.to_netcdf(tmp_path / "model.nc", engine="h5netcdf")
    with (
        xr.open_dataset(tmp_path / "state.nc", engine="h5netcdf") as kept,
        xr.open_dataset(tmp_path / "model.nc", engine="h5netcdf") as learned,
    ):
        again = forecast(update(kept, rows(fulda, "1986-01-01", "1986-01-01"), learned), learned)
    ours = forecast(update(state, rows(fulda, "1986-01-01", "1986-01-01"), model), model)
    assert again["discharge"].values.tolist() == ours["discharge"].values.tolist()


def test_reliving_the_past_unchanged_changes_nothing(fulda, model, state):
    start = initial_state(model, "1983-12-31", members=50, seed=3)
    earlier = replay(start, rows(fulda, "1984-01-01", "1985-12-01"), model)
    recent = rows(fulda, "1985-12-02", "1985-12-31")
    same = relive(state, earlier, recent, model)
    assert same["condition"].values.tolist() == state["condition"].values.tolist()
    wetter = relive(state, earlier, recent, model, rain=1.5)
    means = [forecast(s, model)["discharge"].values.mean() for s in (state, wetter)]
    assert means[1] > 1.05 * means[0]
    with pytest.raises(InvalidInput, match="do not end"):
        relive(state, earlier, recent.isel(time=slice(0, 5)), model)
