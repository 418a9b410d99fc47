"""Harmonising, collocating, comparing, merging, filling and downscaling: closed forms and refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gemel.base.errors import InvalidInput, UnitMismatch
from gemel.core.fusion import processes as fusion
from gemel.core.fusion._collocation import combined_error
from gemel.core.fusion._harmony import at_times, in_calendar, in_unit

_LAT, _LON = np.array([52.0, 51.0, 50.0]), np.array([8.0, 9.0, 10.0, 11.0])


def _grid(days: int = 5, first: str = "2020-01-01", units: str = "K", name: str = "t2m") -> xr.DataArray:
    times = pd.date_range(first, periods=days)
    plane = 280 + _LAT[:, None] / 10 + _LON[None, :] / 5
    values = plane[None] + np.arange(days)[:, None, None]
    coords = {"t": times, "lat": _LAT, "lon": _LON}
    return xr.DataArray(values, coords, ("t", "lat", "lon"), name, {"units": units})


def _stations(times) -> xr.DataArray:
    coords = {
        "t": times,
        "lon": ("station", [8.5, 10.25]),
        "lat": ("station", [51.5, 50.5]),
        "name": ("station", ["a", "b"]),
    }
    values = np.full((len(times), 2), 10.0)
    return xr.DataArray(values, coords, ("t", "station"), "observed", {"units": "degC"})


def test_units_are_converted_errors_without_the_offset():
    assert in_unit(_grid(), "degC").values[0, 0, 0] == pytest.approx(_grid().values[0, 0, 0] - 273.15)
    error = _grid().copy(data=np.full((5, 3, 4), 2.0))
    error.attrs["standard_name"] = "air_temperature standard_error"
    assert in_unit(error, "degC").values.max() == pytest.approx(2.0)
    with pytest.raises(UnitMismatch):
        in_unit(_grid(), "mm")


def test_calendars_lose_only_the_days_they_lack():
    days = xr.DataArray(np.arange(731.0), {"t": pd.date_range("2020-01-01", periods=731)}, ("t",))
    found = in_calendar(days, "noleap")
    assert found.sizes["t"] == 730
    back = in_calendar(found, "standard")
    assert back.dtype.kind == "f"
    assert back.sel(t="2020-03-01").item() == days.sel(t="2020-03-01").item()
    assert in_calendar(days, "360_day", "year").sizes["t"] <= 720
    with pytest.raises(InvalidInput, match="calendar"):
        in_calendar(days, "mayan")


def test_times_are_met_exactly_nearest_or_in_between():
    days = _grid().isel(lat=0, lon=0)
    wanted = xr.DataArray(pd.to_datetime(["2020-01-02T06:00", "2020-01-09T00:00"]), dims="time")
    near = at_times(days, wanted)
    assert near.values[0] == days.values[1]
    assert np.isnan(near.values[1])
    assert at_times(days, wanted, "linear").values[0] == pytest.approx(days.values[1] + 0.25)
    assert np.isnan(at_times(days, wanted, "exact").values).all()
    assert np.isnan(at_times(days, wanted, "nearest", "3 h").values[0])


@pytest.mark.parametrize("order", [[0, 2, 1, 3, 4], [0, 1, 1, 3, 4]])
def test_times_out_of_order_or_twice_are_refused(order):
    with pytest.raises(InvalidInput, match="no series"):
        at_times(_grid().isel(t=order), _grid().t)


def test_the_grid_is_found_at_the_stations_in_their_unit():
    stations = _stations(pd.date_range("2020-01-02", periods=3))
    found = fusion.collocate.function(_grid(), stations)
    wanted = 280 + np.array([5.15, 5.05]) + np.array([1.7, 2.05]) - 273.15
    np.testing.assert_allclose(found.transpose("t", "station").values, wanted + np.arange(1, 4)[:, None], atol=1e-9)
    assert found.attrs["units"] == "degC"
    assert list(found["name"].values) == ["a", "b"]


def test_residuals_are_observation_minus_model_where_both_are():
    stations = _stations(pd.date_range("2020-01-04", periods=4))
    model = fusion.collocate.function(_grid(), stations)
    found = fusion.residuals.function(stations, model)
    xr.testing.assert_allclose(found, stations - model)
    assert found.attrs["units"] == "degC"
    with pytest.raises(InvalidInput, match="in common"):
        fusion.residuals.function(stations, model.assign_coords(t=model.t + np.timedelta64(3650, "D")))
    error = combined_error(xr.DataArray([3.0], attrs={"units": "K"}), xr.DataArray([4000.0], attrs={"units": "mK"}))
    assert error.item() == pytest.approx(5.0)


def test_members_and_quantiles_are_carried_through_all_of_it():
    grid = xr.concat([_grid(), _grid() + 1], pd.Index([0, 1], name="realization")).assign_attrs(units="K")
    stations = _stations(pd.date_range("2020-01-02", periods=3))
    found = fusion.residuals.function(stations, fusion.collocate.function(grid, stations))
    assert found.sizes["realization"] == 2
    np.testing.assert_allclose(found.diff("realization").values, -1.0)
    assert fusion.fill_gaps.function(grid).sizes["realization"] == 2


def test_the_most_trusted_source_that_has_a_value_gives_it():
    first, second = _grid(), in_unit(_grid() + 1, "degC")
    first[1:3, 0] = np.nan
    second = in_unit(_grid(7) + 1, "degC").astype("f4")
    merged = fusion.merge_sources.function([first, second], ["radar", "model"])
    assert merged["value"].attrs["units"] == "K"
    assert merged.sizes["t"] == 7
    np.testing.assert_allclose(merged["value"].values[1, 0], _grid().values[1, 0] + 1, rtol=1e-6)
    assert merged["source"].values[1, 0].tolist() == [1] * 4
    assert merged["source"].values[0].max() == 0
    assert merged["source"].attrs["flag_meanings"] == "none radar model"
    with pytest.raises(InvalidInput, match="one grid"):
        fusion.merge_sources.function([first, first.isel(lon=slice(0, 2))])
    with pytest.raises(InvalidInput, match="nothing to merge"):
        fusion.merge_sources.function([])
    with pytest.raises(UnitMismatch):
        fusion.merge_sources.function([first, first.assign_attrs(units="mm")])


def test_gaps_are_filled_and_told():
    cube = _grid(9)
    cube[2:4, 0, 0] = np.nan
    cube[5:9, 1, 1] = np.nan
    found = fusion.fill_gaps.function(cube, "linear")
    np.testing.assert_allclose(found.values[2:4, 0, 0], _grid(9).values[2:4, 0, 0])
    assert np.isnan(found.values[5:, 1, 1]).all()  # a gap without an end has no line
    assert found.filled.values.sum() == 2
    assert np.isnan(fusion.fill_gaps.function(cube, "linear", limit=1).values[2:4, 0, 0]).all()
    assert fusion.fill_gaps.function(cube, "previous").values[8, 1, 1] == cube.values[4, 1, 1]
    near = fusion.fill_gaps.function(cube, "neighbours").values
    assert not np.isnan(near).any()
    assert abs(near[5, 1, 1] - _grid(9).values[5, 1, 1]) < 0.1


def test_climatology_fills_with_the_same_month_of_other_years():
    times = pd.date_range("2019-01-01", periods=730)
    cube = xr.DataArray(np.where(times.month == 6, 20.0, 5.0), {"t": times}, ("t",))
    cube[times.get_loc("2020-06-10")] = np.nan
    assert fusion.fill_gaps.function(cube, "climatology").sel(t="2020-06-10").item() == 20.0
    with pytest.raises(InvalidInput, match="no way"):
        fusion.fill_gaps.function(cube, "magic")


@pytest.mark.parametrize("method", ["delta", "ratio", "quantile-mapping"])
def test_downscaling_removes_what_the_reference_shows_of_the_error(method):
    lat, lon = np.arange(51.75, 50, -0.25), np.arange(8.25, 11, 0.25)
    fine_times, coarse_times = pd.date_range("2018-01-01", periods=730), pd.date_range("2018-01-01", periods=1095)
    season = lambda times: 15 + 5 * np.cos(2 * np.pi * times.day_of_year / 365.25)  # noqa: E731
    truth = season(fine_times).values[:, None, None] + np.zeros((1, len(lat), len(lon)))
    coords = {"t": fine_times, "lat": lat, "lon": lon}
    reference = xr.DataArray(truth, coords, ("t", "lat", "lon"), attrs={"units": "degC"})
    biased = 1.1 * season(coarse_times).values[:, None, None] + np.zeros((1, 3, 4))
    coarse = xr.DataArray(
        biased, {"t": coarse_times, "lat": _LAT, "lon": _LON}, ("t", "lat", "lon"), attrs={"units": "degC"}
    )
    found = fusion.downscale.function(coarse, reference, method)
    assert found.sizes["t"] == 1095
    error = found.isel(t=slice(730, None)).values - season(coarse_times[730:]).values[:, None, None]
    # The bias is 1 to 2 degC; within a month the season moves on by up to 2.6 degC, of which a delta does not scale a tenth.
    assert np.abs(error).max() < {"delta": 0.3, "ratio": 0.01, "quantile-mapping": 0.2}[method]
    with pytest.raises(InvalidInput, match="no time"):
        fusion.downscale.function(coarse.assign_coords(t=coarse.t + np.timedelta64(9999, "D")), reference, method)


def test_a_downscaling_of_ones_own_is_a_child_process():
    child = {
        "process_graph": {
            "a": {"process_id": "add", "arguments": {"x": {"from_parameter": "data"}, "y": 1}, "result": True}
        }
    }
    reference = _grid().isel(lat=slice(0, 2))
    found = fusion.downscale.function(_grid(), reference, child)
    np.testing.assert_allclose(found.values, reference.values + 1)


@pytest.mark.parametrize(
    ("target", "told"),
    [({"type": "cube"}, "no grid of type"), ({"type": "healpix", "nodes": 4}, "wrong"), ({}, "None")],
)
def test_a_wrong_description_of_a_grid_is_refused(target, told):
    with pytest.raises(InvalidInput, match=told):
        fusion.regrid.function(_grid(), target)
