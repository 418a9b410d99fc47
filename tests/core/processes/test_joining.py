"""Cubes merged, indices of bands, curves, vectors, looking into a graph."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import pytest
import shapely
import xarray as xr
from cubes_for_tests import child, days, over_data, raster
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput, ProcessRefused, UnitMismatch
from gemel.core.cubes import Geometries, crs_from, crs_of, geometries_of, vector_cube
from gemel.core.processes import application, curves, development, filters, indices, merging, vectors

_X, _Y = {"from_parameter": "x"}, {"from_parameter": "y"}
_SUM = child("add", x=_X, y=_Y)


@given(st.integers(1, 5))
def test_a_merge_without_overlap_is_undone_by_filters(split: int) -> None:
    cube = raster(3, 4).expand_dims(t=days("2020-01-01", "2020-01-07"))
    one, other = cube.isel(t=slice(split)), cube.isel(t=slice(split, None))
    for merged in (merging.merge_cubes(one, other), merging.merge_cubes(other, one)):
        xr.testing.assert_equal(merged, cube)
    tile = merging.merge_cubes(cube.isel(x=slice(2)), cube.isel(x=slice(2, None)))
    xr.testing.assert_equal(tile, cube)


def test_overlap_is_resolved_cell_by_cell() -> None:
    cube = raster(2, 2).expand_dims(bands=["a", "b"])
    other = cube.assign_coords(bands=["b", "c"])
    with pytest.raises(ProcessRefused) as caught:
        merging.merge_cubes(cube, other)
    assert caught.value.context["exception"] == "OverlapResolverMissing"
    found = merging.merge_cubes(cube, other, _SUM)
    assert found.bands.values.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(found.sel(bands="b").values, 2 * raster(2, 2).values)
    np.testing.assert_array_equal(found.sel(bands="c").values, raster(2, 2).values)


def test_a_smaller_cube_counts_for_every_label() -> None:
    cube = raster(2, 2).expand_dims(t=days("2020-01-01", "2020-01-03"))
    height = raster(2, 2).copy(data=[[10.0, 20], [30, 40]])
    difference = child("subtract", x=_X, y=_Y)
    np.testing.assert_array_equal(merging.merge_cubes(cube, height, difference).isel(t=1), raster(2, 2) - height)
    np.testing.assert_array_equal(merging.merge_cubes(height, cube, difference).isel(t=1), height - raster(2, 2))


def test_labels_with_an_order_are_sorted_and_gaps_hold_no_data() -> None:
    one = xr.DataArray([1, 2], {"t": days("2020-01-05", "2020-01-07")}, ("t",)).expand_dims(bands=["a"])
    other = xr.DataArray([3], {"t": days("2020-01-01", "2020-01-02")}, ("t",)).expand_dims(bands=["b"])
    found = merging.merge_cubes(one, other)
    assert (np.diff(found.t.values) > np.timedelta64(0)).all()
    np.testing.assert_array_equal(found.sel(bands="a").values, [math.nan, 1, 2])
    np.testing.assert_array_equal(found.sel(bands="b").values, [3, math.nan, math.nan])


def test_another_grid_is_aligned_to_the_first() -> None:
    cube, coarse = raster(4, 4), raster(2, 2, step=20.0)
    found = merging.merge_cubes(cube, coarse, child("array_element", data=[_X, _Y], index=1))
    np.testing.assert_array_equal(found.values, np.repeat(np.repeat(coarse.values, 2, 0), 2, 1))


def test_units_are_converted_or_refused() -> None:
    one = raster(2, 2).assign_attrs(units="m")
    other = raster(2, 2).assign_attrs(units="km")
    np.testing.assert_allclose(merging.merge_cubes(one, other, _SUM).values, raster(2, 2).values * 1001)
    with pytest.raises(UnitMismatch):
        merging.merge_cubes(one, other.assign_attrs(units="K"), _SUM)


def test_cubes_that_do_not_fit_are_refused() -> None:
    one, other = raster(2, 2).expand_dims(t=[1]), raster(2, 2).expand_dims(b=[1])
    with pytest.raises(ProcessRefused, match="dimension that the other has not"):
        merging.merge_cubes(one, other, _SUM)
    with pytest.raises(ProcessRefused, match="raster and a vector"):
        merging.merge_cubes(raster(2, 2), _vector([shapely.Point(0, 0)]))
    with pytest.raises(ProcessRefused) as caught:
        merging.merge_cubes(_vector([shapely.Point(0, 0)]), _vector([shapely.box(0, 0, 1, 1)]))
    assert caught.value.context["exception"] == "IncompatibleGeometryTypes"


def test_vector_cubes_are_merged() -> None:
    found = merging.merge_cubes(_vector([shapely.Point(0, 0)]), _vector([shapely.Point(1, 0), shapely.Point(2, 0)]))
    assert found.values.tolist() == [0, 0, 1]
    assert [shape.x for shape in geometries_of(found).shapes] == [0, 1, 2]
    assert crs_of(found).to_epsg() == 25832  # type: ignore[union-attr]
    degrees = vectors.vector_reproject(_vector([shapely.Point(4e5, 5.7e6)]), 4326)
    mixed = merging.merge_cubes(_vector([shapely.Point(0, 0)]), degrees)
    assert geometries_of(mixed).shapes[1].x == pytest.approx(4e5)


def test_ndvi_finds_its_bands_by_name_or_common_name() -> None:
    cube = xr.DataArray(
        np.array([[1.0], [3.0]], dtype=np.float32), {"bands": ["B04", "B08"]}, ("bands", "x"), attrs={"units": "1"}
    )
    named = cube.assign_coords(common_name=("bands", ["red", "nir"]))
    found = indices.ndvi(named)
    assert found.dims == ("x",)
    assert found.dtype == np.float32
    assert found.values.tolist() == [0.5]
    kept = indices.ndvi(cube, "B08", "B04", "NDVI")
    assert kept.bands.values.tolist() == ["B04", "B08", "NDVI"]
    assert kept.values[:, 0].tolist() == [1, 3, 0.5]
    for arguments, name in (
        ((cube,), "NirBandAmbiguous"),
        ((cube, "B08"), "RedBandAmbiguous"),
        ((named, "nir", "red", "B04"), "BandExists"),
        ((raster(2, 2),), "DimensionAmbiguous"),
    ):
        with pytest.raises(ProcessRefused) as caught:
            indices.ndvi(*arguments)
        assert caught.value.context["exception"] == name


# Curves.

_P = {"from_parameter": "parameters"}


def _element(place: int) -> dict[str, Any]:
    return {"process_id": "array_element", "arguments": {"data": _P, "index": place}}


def _line() -> dict[str, Any]:
    return {"process_graph": {
        "a": _element(0), "b": _element(1),
        "slope": {"process_id": "multiply", "arguments": {"x": {"from_node": "b"}, "y": _X}},
        "n": {"process_id": "add", "arguments": {"x": {"from_node": "a"}, "y": {"from_node": "slope"}}, "result": True},
    }}  # fmt: skip


def _decay() -> dict[str, Any]:
    return {"process_graph": {
        "a": _element(0), "b": _element(1),
        "bx": {"process_id": "multiply", "arguments": {"x": {"from_node": "b"}, "y": _X}},
        "e": {"process_id": "exp", "arguments": {"p": {"from_node": "bx"}}},
        "n": {"process_id": "multiply", "arguments": {"x": {"from_node": "a"}, "y": {"from_node": "e"}}, "result": True},
    }}  # fmt: skip


@given(st.lists(st.floats(-100, 100), min_size=5, max_size=5))
def test_a_fitted_line_is_the_one_of_linear_least_squares(values: list[float]) -> None:
    found = curves.fit_curve.function(values, [0.0, 0.0], _line())
    wanted = np.polynomial.polynomial.polyfit(np.arange(5), values, 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_curves_are_fitted_to_all_cells_at_once() -> None:
    places = np.arange(12.0)
    a, b = np.array([[5.0, 2.0], [7.0, 1.0]]), np.array([[-0.3, -0.1], [0.05, 0.2]])
    cube = xr.DataArray(a * np.exp(b * places[:, None, None]), {"t": places}, ("t", "y", "x"))
    cube.values[3, 0, 0] = math.nan  # a gap changes nothing
    cube.values[:, 1, 1] = math.nan  # no values, no parameters
    fit = over_data("fit_curve", parameters=[1.0, 0.0], function=_decay())
    found = application.apply_dimension(cube, fit, "t", "p")
    np.testing.assert_allclose(found.values[:, 0, :], [a[0], b[0]], rtol=1e-6)
    assert np.isnan(found.values[:, 1, 1]).all()
    back = curves.predict_curve(found, _decay(), "t", [0, 20])
    assert back.dims == ("t", "y", "x")
    np.testing.assert_allclose(back.values[:, 0, 1], a[0, 1] * np.exp(b[0, 1] * np.array([0, 20])), rtol=1e-6)


def test_a_yearly_wave_is_found_from_dates() -> None:
    times = days("2019-01-01", "2021-01-01")
    seconds = times.astype("datetime64[s]").astype(float)
    year = 365.25 * 86400
    cube = xr.DataArray(3 + 2 * np.sin(2 * np.pi * seconds / year), {"t": times}, ("t",))
    wave = {"process_graph": {
        "a": _element(0), "b": _element(1),
        "turn": {"process_id": "multiply", "arguments": {"x": _X, "y": 2 * math.pi / year}},
        "s": {"process_id": "sin", "arguments": {"x": {"from_node": "turn"}}},
        "bs": {"process_id": "multiply", "arguments": {"x": {"from_node": "b"}, "y": {"from_node": "s"}}},
        "n": {"process_id": "add", "arguments": {"x": {"from_node": "a"}, "y": {"from_node": "bs"}}, "result": True},
    }}  # fmt: skip
    found = application.apply_dimension(cube, over_data("fit_curve", parameters=[0, 0], function=wave), "t")
    np.testing.assert_allclose(found.values, [3, 2], rtol=1e-6)
    again = curves.predict_curve(found, wave, "t", ["2020-01-01", "2020-04-01"])
    np.testing.assert_allclose(again.values, cube.sel(t=["2020-01-01", "2020-04-01"]).values, rtol=1e-6)
    with pytest.raises(InvalidInput, match="no labels"):
        curves.predict_curve(found, wave, "t")


# Vectors.


def _vector(shapes: list[Any], crs: Any = 25832) -> xr.DataArray:
    held = np.empty(len(shapes), dtype=object)
    held[:] = shapes
    bare = xr.DataArray(np.arange(float(len(shapes))), dims=("geometry",))
    return vector_cube(
        bare, Geometries(held, None if crs is None else crs_from(crs), {"name": list("abcdefg")[: len(shapes)]})
    )


def test_a_buffered_point_is_nearly_a_disc() -> None:
    found = vectors.vector_buffer(_vector([shapely.Point(0, 0)]), 10)
    assert geometries_of(found).shapes[0].area == pytest.approx(math.pi * 100, rel=0.01)
    assert found.coords["name"].values.tolist() == ["a"]
    gone = vectors.vector_buffer(_vector([shapely.box(0, 0, 1, 1)]), -1)
    assert geometries_of(gone).shapes[0].is_empty
    for crs in (4326, None):
        with pytest.raises(ProcessRefused) as caught:
            vectors.vector_buffer(_vector([shapely.Point(0, 0)], crs), 10)
        assert caught.value.context["exception"] == "UnitMismatch"


def test_reprojected_there_and_back_is_the_same() -> None:
    cube = _vector([shapely.box(4e5, 5.7e6, 4.1e5, 5.8e6), shapely.Point(4e5, 5.7e6)])
    there = vectors.vector_reproject(cube, 4326)
    assert crs_of(there).to_epsg() == 4326  # type: ignore[union-attr]
    back = geometries_of(vectors.vector_reproject(there, 25832))
    for one, other in zip(back.shapes, geometries_of(cube).shapes, strict=True):
        assert shapely.hausdorff_distance(one, other) < 1e-3
    assert there.values.tolist() == cube.values.tolist()
    with pytest.raises(ProcessRefused):
        vectors.vector_reproject(cube, 4326, "places")
    with pytest.raises(InvalidInput, match="unknown"):
        vectors.vector_reproject(_vector([shapely.Point(0, 0)], None), 4326)


_SHAPES = [
    shapely.box(0, 0, 10, 10),
    shapely.Polygon([(0, 0), (1000, 0.001), (1000, 0)]),
    shapely.LineString([(0, 0), (10, 0)]),
    shapely.Point(3, 4),
]


@given(st.integers(0, 1000), st.integers(1, 5))
def test_random_points_lie_in_their_geometry(seed: int, count: int) -> None:
    cube = _vector([*_SHAPES, shapely.Polygon()])
    found = geometries_of(vectors.vector_to_random_points(cube, count, seed=seed))
    for shape, points in zip([*_SHAPES, shapely.Polygon()], found.shapes, strict=True):
        assert points.geom_type == "MultiPoint"
        assert len(points.geoms) == (0 if shape.is_empty else 1 if shape.geom_type == "Point" else count)
        assert points.is_empty or shape.distance(points) < 1e-9
    again = geometries_of(vectors.vector_to_random_points(cube, count, seed=seed))
    assert shapely.equals(found.shapes, again.shapes).all()


def test_points_are_counted_in_all() -> None:
    cube = _vector(_SHAPES[:3])
    found = vectors.vector_to_random_points(cube, None, 7, group=False, seed=1)
    assert found.sizes["geometry"] == 7
    assert found.coords["name"].values.tolist() == ["a", "a", "a", "b", "b", "c", "c"]
    with pytest.raises(ProcessRefused) as caught:
        vectors.vector_to_random_points(cube, None, 2)
    assert caught.value.context["exception"] == "CountMismatch"


def test_regular_points() -> None:
    found = geometries_of(vectors.vector_to_regular_points(_vector(_SHAPES), 5)).shapes
    assert sorted((p.x, p.y) for p in found[0].geoms) == [(2.5, 2.5), (2.5, 7.5), (7.5, 2.5), (7.5, 7.5)]
    assert [(p.x, p.y) for p in found[1].geoms] == [(0, 0)]
    assert [(p.x, p.y) for p in found[2].geoms] == [(0, 0), (5, 0), (10, 0)]
    assert [(p.x, p.y) for p in found[3].geoms] == [(3, 4)]


# Looking into a graph.


def test_inspect_tells_and_hands_on(caplog: pytest.LogCaptureFixture) -> None:
    cube = raster(2, 3)
    with caplog.at_level(logging.DEBUG, "gemel.inspect"):
        assert development.inspect(cube, "here", "mine", "warning") is cube
        application.reduce_dimension(cube, over_data("mean"), "x")
        looked = {"process_graph": {
            "look": {"process_id": "inspect", "arguments": {"data": {"from_parameter": "data"}}},
            "n": {"process_id": "mean", "arguments": {"data": {"from_node": "look"}}, "result": True},
        }}  # fmt: skip
        assert application.reduce_dimension(cube, looked, "x").values.tolist() == [1, 4]
    first, second = caplog.records
    assert first.levelname == "WARNING"
    assert first.getMessage() == "[mine] here a cube of float64 with y (spatial): 2, x (spatial): 3"
    assert second.getMessage().startswith("[User] arrays along 'x' of a cube")


def test_wavelength_and_band_filters_leave_the_cube_alone() -> None:
    cube = xr.DataArray([1.0, 2.0], {"bands": ["a", "b"]}, ("bands",))
    before = cube.copy(deep=True)
    filters.filter_bands(cube, ["b"])
    xr.testing.assert_identical(cube, before)
