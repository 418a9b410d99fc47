"""What a data cube says of itself: kinds of dimensions, labels, reference system, grid, calendar."""

from __future__ import annotations

import datetime
from typing import Any

import cftime
import numpy as np
import pyproj
import pytest
import shapely
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput, ProcessRefused
from gemel.core.cubes import (
    PERIODS,
    Grid,
    axis_of,
    bands_dim,
    coordinate,
    crs_from,
    crs_of,
    dimension_kind,
    edges,
    grid_of,
    labels_of,
    nearest,
    period_labels,
    pixels_of,
    position_of,
    require_dimension,
    running_numbers,
    spatial_dims,
    temporal_dim,
    transform,
    union_of,
    with_crs,
)


def _cube(**coordinates: Any) -> xr.DataArray:
    return xr.DataArray(np.zeros([len(values) for values in coordinates.values()]), coordinates, list(coordinates))


@pytest.mark.parametrize(
    ("name", "values", "kind", "axis"),
    [
        ("t", np.array(["2020-01-01"], dtype="datetime64[ns]"), "temporal", None),
        ("anything", [cftime.DatetimeNoLeap(2020, 1, 1)], "temporal", None),
        ("x", [1.0], "spatial", "x"),
        ("Latitude", [1.0], "spatial", "y"),
        ("northing", [1.0], "spatial", "y"),
        ("z", [1.0], "spatial", "z"),
        ("bands", ["B1"], "bands", None),
        ("variable", ["rain"], "bands", None),
        ("places", [shapely.Point(0, 0)], "geometry", None),
        ("realization", [0, 1], "other", None),
        ("quantile", [0.1, 0.9], "other", None),
    ],
)
def test_kind_is_told_by_labels_or_name(name: str, values: Any, kind: str, axis: str | None) -> None:
    held = values if isinstance(values, np.ndarray) else coordinate(name, values, kind, axis).values
    cube = _cube(**{name: held})
    assert dimension_kind(cube, name) == kind
    assert axis_of(cube, name) == axis


def test_attributes_tell_the_kind_where_the_name_does_not() -> None:
    cube = _cube(row=[1.0], column=[2.0], layer=["a"])
    cube["row"].attrs["axis"] = "Y"
    cube["column"].attrs["standard_name"] = "projection_x_coordinate"
    cube["layer"].attrs["gemel_dimension"] = "bands"
    assert spatial_dims(cube) == ("column", "row")
    assert bands_dim(cube) == "layer"


@pytest.mark.parametrize("kind", ["temporal", "spatial", "bands", "other"])
@pytest.mark.parametrize("name", ["x", "t", "bands", "anything"])
def test_a_coordinate_made_for_a_kind_is_of_that_kind(kind: str, name: str) -> None:
    labels = {"temporal": ["2020-W01"], "spatial": [1.0], "bands": ["B1"], "other": [1]}[kind]
    made = coordinate(name, labels, kind, "z" if kind == "spatial" else None)
    assert dimension_kind(xr.DataArray([0.0], {name: made}, (name,)), name) == kind


def test_missing_dimensions_are_named() -> None:
    cube = _cube(time=np.array(["2020-01-01"], dtype="datetime64[ns]"), x=[1.0])
    with pytest.raises(ProcessRefused, match="no dimension 'tine'") as caught:
        require_dimension(cube, "tine")
    assert caught.value.context["exception"] == "DimensionNotAvailable"
    assert "time" in (caught.value.hint or "")
    with pytest.raises(ProcessRefused, match="axis y"):
        spatial_dims(cube)
    with pytest.raises(ProcessRefused, match="not temporal"):
        temporal_dim(cube, "x")


def test_labels_are_plain_values() -> None:
    times = np.array(["2020-01-01T12:00:00.5", "2020-01-02"], dtype="datetime64[ns]")
    assert labels_of(_cube(t=times), "t") == ["2020-01-01T12:00:00.5Z", "2020-01-02T00:00:00Z"]
    assert labels_of(_cube(x=[1, 2]), "x") == [1, 2]
    assert labels_of(_cube(g=coordinate("g", [shapely.Point(1, 2)], "geometry").values), "g") == ["POINT (1 2)"]


def test_labels_are_found_as_what_they_are() -> None:
    assert position_of(["1", 1, True], 1) == 1
    assert position_of([1, 2.0], 2) == 1
    assert position_of(["a"], "b") is None


@given(st.sampled_from([4326, 3035, 25832, 32633, 3857]))
def test_a_reference_system_survives_the_cube(code: int) -> None:
    cube = with_crs(_cube(y=[1.0], x=[1.0]), code)
    assert crs_of(cube) == pyproj.CRS(code)
    assert crs_of(cube.isel(x=0)) == pyproj.CRS(code)


def test_degrees_are_taken_for_what_they_are_called() -> None:
    assert crs_of(_cube(lat=[1.0], lon=[1.0])) == pyproj.CRS(4326)
    assert crs_of(_cube(y=[1.0], x=[1.0])) is None


@pytest.mark.parametrize("value", ["EPSG:0", 999999, "nonsense", None, 3.5])
def test_what_is_no_reference_system_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match="not a coordinate reference system"):
        crs_from(value)


def test_coordinates_without_a_place_in_the_target_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no place"):
        transform([0.0], [90.1], crs_from(4326), crs_from(3857))


@given(
    st.floats(-1e4, 1e4),
    st.floats(0.1, 100.0),
    st.integers(2, 30),
    st.booleans(),
    st.floats(0, 0.999),
    st.integers(0, 29),
)
def test_a_place_lies_in_the_pixel_around_it(
    start: float, step: float, count: int, downward: bool, share: float, which: int
) -> None:
    centres = start + step * np.arange(count)
    centres = centres[::-1].copy() if downward else centres
    pixel = which % count
    low = min(edges(centres)[pixel], edges(centres)[pixel + 1])
    place = low + (0.0005 + 0.999 * share) * step
    assert nearest(centres, [place])[0] == pixel
    assert nearest(centres, [centres.min() - step, centres.max() + step]).tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([1.0, 3.0, 2.0], "not in order"),
        ([1.0, np.nan], "finite"),
        (["a", "b"], "finite"),
        ([1.0, 1.0], "not in order"),
    ],
)
def test_a_grid_out_of_order_is_refused(labels: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        grid_of(_cube(y=[1.0, 2.0], x=labels))


def test_uneven_steps_are_refused_where_they_matter() -> None:
    grid = grid_of(_cube(y=[1.0, 2.0], x=[1.0, 2.0, 4.0]))
    with pytest.raises(InvalidInput, match="not evenly spaced"):
        _ = grid.steps


_GRID = Grid(np.arange(10) + 0.5, np.arange(8)[::-1] + 0.5)


@given(st.integers(0, 9), st.integers(0, 7), st.integers(1, 5), st.integers(1, 5))
def test_a_box_of_whole_pixels_takes_just_those(left: int, low: int, wide: int, high: int) -> None:
    taken = union_of([shapely.box(left, low, left + wide, low + high)], _GRID)
    assert taken.sum() == min(wide, 10 - left) * min(high, 8 - low)


def test_points_and_lines_take_the_pixels_they_lie_in() -> None:
    assert union_of([shapely.Point(2.9, 3.1)], _GRID).sum() == 1
    assert union_of([shapely.Point(2.9, 3.1)], _GRID)[8 - 1 - 3, 2]
    assert union_of([shapely.Point(20, 3)], _GRID).sum() == 0
    assert union_of([shapely.LineString([(0.5, 0.5), (5.5, 0.5)])], _GRID).sum() == 6
    assert union_of([shapely.LineString([(0.2, 0.1), (0.3, 0.2)])], _GRID).sum() == 1


def test_a_polygon_smaller_than_a_pixel_takes_none() -> None:
    assert pixels_of(shapely.box(2.6, 2.6, 2.9, 2.9), _GRID).empty
    assert pixels_of(shapely.Polygon(), _GRID).empty


def test_holes_are_not_taken() -> None:
    ring = shapely.Polygon([(0, 0), (9, 0), (9, 8), (0, 8)], [[(3, 3), (6, 3), (6, 6), (3, 6)]])
    assert union_of([ring], _GRID).sum() == 9 * 8 - 3 * 3


_MOMENTS = st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 12, 31))


@given(_MOMENTS)
def test_periods_are_called_as_the_calendar_calls_them(moment: datetime.datetime) -> None:
    times = xr.DataArray(np.array([moment], dtype="datetime64[ns]"), dims=("t",))
    found = {period: period_labels(running_numbers(times, period), period)[0] for period in PERIODS}
    year, week, _ = moment.isocalendar()
    assert found["hour"] == moment.strftime("%Y-%m-%d-%H")
    assert found["day"] == moment.strftime("%Y-%j")
    assert found["week"] == f"{year}-{week:02d}"
    assert found["month"] == moment.strftime("%Y-%m")
    assert found["year"] == f"{moment.year}"
    assert found["decade"] == f"{moment.year // 10 * 10}"
    assert found["decade-ad"] == f"{(moment.year - 1) // 10 * 10 + 1}"
    third = min((moment.day - 1) // 10, 2)
    assert found["dekad"] == f"{moment.year}-{(moment.month - 1) * 3 + third + 1:02d}"
    season = ["djf", "mam", "jja", "son"][moment.month % 12 // 3]
    assert found["season"] == f"{moment.year - (moment.month < 3)}-{season}"
    half = "mjjaso" if 5 <= moment.month <= 10 else "ndjfma"
    assert found["tropical-season"] == f"{moment.year - (moment.month < 5)}-{half}"


@given(_MOMENTS, st.integers(1, 400))
def test_periods_follow_each_other_without_gaps(moment: datetime.datetime, days: int) -> None:
    times = np.datetime64(moment, "D") + np.arange(days)
    for period in PERIODS[1:]:
        numbers = running_numbers(xr.DataArray(times.astype("datetime64[ns]"), dims=("t",)), period)
        assert set(np.diff(numbers)) <= {0, 1}, period


def test_other_calendars_have_their_own_months() -> None:
    times = xr.date_range("2020-01-01", periods=360, freq="D", calendar="360_day", use_cftime=True)
    numbers = running_numbers(xr.DataArray(times, dims=("t",)), "month")
    assert np.bincount(numbers - numbers[0]).tolist() == [30] * 12
    with pytest.raises(InvalidInput, match="360_day"):
        running_numbers(xr.DataArray(times, dims=("t",)), "week")
