"""Aggregation in time, normals and departures from them, resampling in time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import xarray as xr
from cubes_for_tests import child, days, over_data, raster, series
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput, ProcessRefused, UnitMismatch
from gemel.core.cubes import PERIODS, dimension_kind, period_labels, running_numbers
from gemel.core.processes import aggregation, application, climatology, resampling

_YEARS = [2001, 2004]
_DAYS = days("2000-12-01", "2005-03-01")


def _weather(seed: int = 0) -> xr.DataArray:
    """Return four years of synthetic noise, with gaps, on a few pixels."""
    source = np.random.default_rng(seed)
    values = source.normal(280, 10, (len(_DAYS), 2, 3)).astype(np.float32)
    values[source.random(values.shape) < 0.1] = math.nan
    coords = {"t": _DAYS, "y": [15.0, 5.0], "x": [5.0, 15.0, 25.0]}
    return xr.DataArray(values, coords, ("t", "y", "x"), attrs={"units": "K"})


@pytest.mark.parametrize("period", PERIODS[1:])
@pytest.mark.parametrize("reducer", ["mean", "median", "max", "sd", "count"])
def test_periods_hold_what_falls_into_them(period: str, reducer: str) -> None:
    cube = _weather()
    found = aggregation.aggregate_temporal_period(cube, period, over_data(reducer))
    assert found.dims == cube.dims
    assert dimension_kind(found, "t") == "temporal"
    called = period_labels(running_numbers(cube.t, period), period)
    assert found.t.values.tolist() == list(dict.fromkeys(called))
    place = found.sizes["t"] // 2
    own = [day for day, label in enumerate(called) if label == found.t.values[place]]
    wanted = application.reduce_dimension(cube.isel(t=own), over_data(reducer), "t")
    np.testing.assert_allclose(found.isel(t=place).values, wanted.values, rtol=1e-6)


def test_periods_without_values_are_there() -> None:
    cube = series(["2020-01-15", "2020-04-15"], [1.0, 2.0])
    found = aggregation.aggregate_temporal_period(cube, "month", over_data("sum"))
    assert found.t.values.tolist() == ["2020-01", "2020-02", "2020-03", "2020-04"]
    np.testing.assert_array_equal(found.values, [1, math.nan, math.nan, 2])
    counts = aggregation.aggregate_temporal_period(cube, "month", over_data("count"))
    assert counts.values.tolist() == [1, 0, 0, 1]


def test_unordered_times_are_aggregated_all_the_same() -> None:
    cube = _weather()
    shuffled = cube.isel(t=np.random.default_rng(1).permutation(cube.sizes["t"]))
    one, other = (aggregation.aggregate_temporal_period(c, "month", over_data("mean")) for c in (cube, shuffled))
    np.testing.assert_allclose(one.values, other.values, rtol=1e-6)
    assert one.t.values.tolist() == other.t.values.tolist()


def test_intervals_may_overlap_and_have_labels() -> None:
    cube = series(days("2020-01-01", "2020-01-05"), [1.0, 2.0, 3.0, 4.0])
    intervals = [["2020-01-01", "2020-01-03"], ["2020-01-02", "2020-01-05"]]
    found = aggregation.aggregate_temporal(cube, intervals, over_data("sum"))
    assert found.values.tolist() == [3, 9]
    assert found.t.dtype.kind == "M"
    named = aggregation.aggregate_temporal(cube, intervals, over_data("sum"), ["a", "b"])
    assert named.t.values.tolist() == ["a", "b"]
    assert dimension_kind(named, "t") == "temporal"


def test_times_of_day_recur_and_run_over_midnight() -> None:
    cube = series(
        ["2020-01-01T05:00", "2020-01-01T06:00", "2020-01-01T18:00", "2020-01-02T12:00"], [1.0, 2.0, 3.0, 4.0]
    )
    found = aggregation.aggregate_temporal(cube, [["06:00:00", "18:00:00"], ["18:00:00", "06:00:00"]], over_data("sum"))
    assert found.values.tolist() == [6, 4]


def test_what_names_periods_is_not_aggregated_again() -> None:
    months = aggregation.aggregate_temporal_period(_weather(), "month", over_data("mean"))
    with pytest.raises(InvalidInput, match="no instants, like '2000-12'"):
        aggregation.aggregate_temporal_period(months, "year", over_data("mean"))


def test_not_a_time_is_refused() -> None:
    cube = series(["2020-01-01", "NaT"], [1.0, 2.0])
    with pytest.raises(InvalidInput, match="NaT"):
        aggregation.aggregate_temporal_period(cube, "month", over_data("mean"))


@pytest.mark.parametrize("period", ["day", "month", "season", "tropical-season", "climatology-period"])
def test_departures_of_a_cube_from_its_own_normals_are_zero_on_average(period: Any) -> None:
    cube = _weather().sel(t=slice("2001-01-01", "2004-12-31"))
    normals = climatology.climatological_normal(cube, period, _YEARS)
    found = climatology.anomaly(cube, normals, period)
    assert found.dtype == np.float32
    assert found.attrs["units"] == "K"
    if period.endswith("season"):
        return  # the seasons cut at the ends are not part of the normals
    again = climatology.climatological_normal(found, period, _YEARS)
    # A day of the leap year may hold no value at all.
    assert np.nanmax(np.abs(again.values)) < 1e-4


@pytest.mark.parametrize("period", ["day", "month", "season", "tropical-season", "climatology-period"])
def test_a_cube_equal_to_its_normals_departs_by_nothing(period: Any) -> None:
    cube = _weather()
    normals = climatology.climatological_normal(cube, period, _YEARS)
    constant = normals.isel(t=0)
    same = normals.copy(data=np.broadcast_to(constant.values, normals.shape))
    flat = cube.copy(data=np.broadcast_to(constant.values, cube.shape))
    assert (climatology.anomaly(flat, same, period) == 0).all()


def test_normals_are_means_of_the_years_asked_for() -> None:
    cube = _weather()
    found = climatology.climatological_normal(cube, "month", _YEARS)
    assert found.t.values.tolist() == [f"{month:02d}" for month in range(1, 13)]
    chosen = cube.sel(t=slice("2001-01-01", "2004-12-31"))
    wanted = chosen.astype(np.float64).groupby("t.month").mean()
    np.testing.assert_allclose(found.values, wanted.values, rtol=1e-6)


def test_winter_before_the_first_year_counts_and_after_the_last_does_not() -> None:
    cube = series(_DAYS, np.zeros(len(_DAYS)))
    cube.loc[{"t": slice("2000-12-01", "2001-02-28")}] = 100
    cube.loc[{"t": slice("2004-12-01", None)}] = 1e6
    winter = climatology.climatological_normal(cube, "season", _YEARS).values[0]
    # Four whole winters: 2000/01 to 2003/04; 90 days of the first, 90 + 90 + 91 of the others.
    assert winter == pytest.approx(100 * 90 / 361)
    late = cube.sel(t=slice("2001-01-01", None))
    assert climatology.climatological_normal(late, "season", _YEARS).values[0] == 0


def test_days_of_leap_years_have_a_place() -> None:
    cube = _weather()
    assert climatology.climatological_normal(cube, "day", [2001, 2003]).sizes["t"] == 365
    normals = climatology.climatological_normal(cube, "day", _YEARS)
    assert normals.t.values.tolist()[-1] == "366"
    assert climatology.anomaly(cube, normals, "day").shape == cube.shape


def test_departures_of_named_periods() -> None:
    cube = _weather().sel(t=slice("2001-01-01", "2004-12-31"))
    months = aggregation.aggregate_temporal_period(cube, "month", over_data("mean"))
    normals = climatology.climatological_normal(cube, "month", _YEARS)
    found = climatology.anomaly(months, normals, "month")
    assert found.t.values.tolist() == months.t.values.tolist()
    np.testing.assert_allclose(found.isel(t=13).values, (months.isel(t=13) - normals.isel(t=1)).values, rtol=1e-5)


def test_departures_know_units() -> None:
    cube = _weather()
    normals = climatology.climatological_normal(cube, "month", _YEARS)
    celsius = normals.copy(data=normals.values - 273.15).assign_attrs(units="degC")
    one, other = (climatology.anomaly(cube, n, "month") for n in (normals, celsius))
    np.testing.assert_allclose(one.values, other.values, atol=1e-3)
    with pytest.raises(UnitMismatch):
        climatology.anomaly(cube, normals.assign_attrs(units="mm"), "month")


def test_climatology_beyond_the_cube_is_refused() -> None:
    with pytest.raises(InvalidInput, match="1981 to 2010, and the cube holds 2000 to 2005"):
        climatology.climatological_normal(_weather(), "month")
    with pytest.raises(ProcessRefused, match="no '12'"):
        normals = climatology.climatological_normal(_weather(), "month", _YEARS)
        climatology.anomaly(_weather(), normals.isel(t=slice(11)), "month")


def test_nearest_times_and_ties() -> None:
    cube = series(["2020-01-01", "2020-01-03", "2020-01-10"], [1.0, math.nan, 3.0])
    target = series(["2020-01-02", "2020-01-04", "2020-01-09"], [0.0, 0.0, 0.0])
    np.testing.assert_array_equal(resampling.resample_cube_temporal(cube, target).values, [1, math.nan, 3])
    found = resampling.resample_cube_temporal(cube, target, None, 2)
    np.testing.assert_array_equal(found.values, [1, math.nan, 3])
    wide = resampling.resample_cube_temporal(cube, target, "t", 30)
    np.testing.assert_array_equal(wide.values, [1, 1, 3])
    assert (wide.t == target.t).all()


def test_times_out_of_order_and_missing_are_refused() -> None:
    cube = series(["2020-01-03", "2020-01-01", "2020-01-02"], [1.0, 2.0, 3.0])
    target = series(["2020-01-02"], [0.0])
    with pytest.raises(InvalidInput, match="not in order at position"):
        resampling.resample_cube_temporal(cube, target)
    with pytest.raises(ProcessRefused) as caught:
        resampling.resample_cube_temporal(target, raster(2, 2))
    assert caught.value.context["exception"] == "DimensionMismatch"
    with pytest.raises(ProcessRefused) as caught:
        resampling.resample_cube_temporal(target, target, "time")
    assert caught.value.context["exception"] == "DimensionNotAvailable"


@given(st.sampled_from(["sum", "min", "max"]), st.integers(0, 5))
def test_reducing_twice_is_reducing_at_once(reducer: str, seed: int) -> None:
    cube = _weather(seed).isel(t=slice(20))
    twice = application.reduce_dimension(
        application.reduce_dimension(cube, over_data(reducer), "x"), over_data(reducer), "y"
    )
    np.testing.assert_allclose(twice.values, application.reduce_spatial(cube, over_data(reducer)).values, rtol=1e-6)


def test_gaps_are_filled_over_time_and_not_over_positions() -> None:
    cube = series(["2020-01-01", "2020-01-02", "2020-01-11"], [0.0, math.nan, 10.0])
    found = application.apply_dimension(cube, over_data("array_interpolate_linear"), "t")
    np.testing.assert_allclose(found.values, [0, 1, 10])


def test_a_target_dimension_takes_the_place_of_the_source() -> None:
    cube = _weather().isel(t=slice(10))
    found = application.apply_dimension(cube, over_data("quantiles", probabilities=[0.1, 0.9]), "t", "q")
    assert found.dims == ("q", "y", "x")
    assert found.q.values.tolist() == [0, 1]
    kept = application.apply_dimension(cube, over_data("quantiles", probabilities=[0.1, 0.9]), "t")
    assert dimension_kind(kept, "t") == "temporal"
    single = cube.expand_dims(b=["only"])
    assert application.apply_dimension(single, over_data("extrema"), "t", "b").sizes == {"b": 2, "y": 2, "x": 3}
    with pytest.raises(ProcessRefused, match="has 3 labels"):
        application.apply_dimension(cube, over_data("extrema"), "t", "x")


def test_context_reaches_the_child() -> None:
    cube = series(["2020-01-01"], [2.0])
    power = child("power", base={"from_parameter": "x"}, p={"from_parameter": "context"})
    assert application.apply(cube, power, 3).values.tolist() == [8]
