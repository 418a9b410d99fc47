"""Kernels, windows, polygons, zones, other grids: what happens to pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import shapely
import xarray as xr
from cubes_for_tests import DATA, child, days, over_data, raster
from hypothesis import given, settings
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput, ProcessRefused
from gemel.core.cubes import crs_from, crs_of, geometries_of, grid_of, spatial_dims, transform, with_crs
from gemel.core.processes import _warp, neighborhoods, resampling, zonal

_PROJECTED = {"type": "name", "properties": {"name": "EPSG:25832"}}


def _features(*shapes: Any, **properties: Any) -> dict[str, Any]:
    rows = [{name: values[place] for name, values in properties.items()} for place in range(len(shapes))]
    return {
        "type": "FeatureCollection",
        "crs": _PROJECTED,
        "features": [
            {"type": "Feature", "geometry": shapely.geometry.mapping(shape), "properties": row}
            for shape, row in zip(shapes, rows, strict=True)
        ],
    }


# Kernels.


def test_weights_lie_on_neighbours_as_they_are_written() -> None:
    cube = raster(5, 5)
    shift = [[0, 0, 0], [0, 0, 1], [0, 0, 0]]  # the neighbour to the east
    found = neighborhoods.apply_kernel(cube, shift)
    assert (found.values[:, :-1] == cube.values[:, 1:]).all()
    assert (found.values[:, -1] == 0).all()
    turned = neighborhoods.apply_kernel(cube.transpose("x", "y"), shift)
    assert (turned.transpose("y", "x").values == found.values).all()


@pytest.mark.parametrize(
    ("border", "wanted"),
    [(7, [7, 0]), ("replicate", [0, 0]), ("reflect", [0, 0]), ("reflect_pixel", [1, 0]), ("wrap", [3, 0])],
)
def test_images_go_on_beyond_their_border_as_told(border: Any, wanted: list[float]) -> None:
    cube = raster(3, 4).isel(y=[0, 1, 2]).copy(data=np.tile(np.arange(4.0), (3, 1)))
    west = neighborhoods.apply_kernel(cube, [[1, 0, 0]], border=border)
    assert west.values[0, :2].tolist() == wanted


def test_invalid_pixels_are_replaced_and_the_sum_scaled() -> None:
    cube = raster(3, 3).copy(data=np.array([[1, math.nan, 1], [1, math.inf, 1], [1, 1, 1]]))
    found = neighborhoods.apply_kernel(cube, np.ones((3, 3)).tolist(), 1 / 9, 1, 1)
    np.testing.assert_allclose(found.values, 1)


@pytest.mark.parametrize(
    ("kernel", "error"),
    [([[1, 2]], ProcessRefused), ([[1], [2, 3], [4]], InvalidInput), ([[math.nan]], InvalidInput)],
)
def test_bad_kernels_are_refused(kernel: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        neighborhoods.apply_kernel(raster(3, 3), kernel)


# Neighborhoods and polygons.


def _window(**sizes: Any) -> list[dict[str, Any]]:
    return [{"dimension": dim, "value": value, "unit": "px"} for dim, value in sizes.items()]


def test_windows_with_overlap_do_what_one_image_does() -> None:
    cube = raster(7, 9)
    kernel = child("apply_kernel", data=DATA, kernel=[[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    whole = neighborhoods.apply_kernel(cube, [[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    found = neighborhoods.apply_neighborhood(cube, kernel, _window(x=4, y=3), _window(x=1, y=1))
    np.testing.assert_allclose(found.values, whole.values)
    xr.testing.assert_equal(found.coords.to_dataset(), cube.coords.to_dataset())


def test_windows_of_time_series_get_arrays() -> None:
    cube = raster(1, 2).expand_dims(t=days("2020-01-01", "2020-01-07")).copy(deep=True)
    cube.values[:] = np.arange(12.0).reshape(6, 1, 2)
    size = [{"dimension": "t", "value": "P3D"}, *_window(x=1, y=1)]
    found = neighborhoods.apply_neighborhood(
        cube, child("apply_dimension", data=DATA, process=over_data("cumsum"), dimension="t"), size
    )
    assert found.values[:, 0, 0].tolist() == [0, 2, 6, 6, 14, 24]


def test_windows_of_another_size_are_refused() -> None:
    with pytest.raises(ProcessRefused) as caught:
        neighborhoods.apply_neighborhood(
            raster(4, 4), child("reduce_dimension", data=DATA, dimension="x", reducer=over_data("mean")), _window(x=2)
        )
    assert caught.value.context["exception"] == "DataCubePropertiesImmutable"
    with pytest.raises(ProcessRefused, match="no dimension 'z'"):
        neighborhoods.apply_neighborhood(raster(4, 4), over_data("inspect"), _window(z=2))
    with pytest.raises(InvalidInput, match="not a duration"):
        cube = raster(1, 1).expand_dims(t=days("2020-01-01", "2020-01-03"))
        neighborhoods.apply_neighborhood(cube, over_data("inspect"), [{"dimension": "t", "value": "3 days"}])


def test_polygons_are_worked_on_each_for_itself() -> None:
    cube = raster(4, 6)
    left, right = shapely.box(0, 0, 20, 40), shapely.box(30, 0, 60, 20)
    minus = child("apply", data=DATA, process=child("multiply", x={"from_parameter": "x"}, y=-1))
    found = neighborhoods.apply_polygon(cube, _features(left, right), minus)
    changed = (found != cube).values
    assert changed.sum() == 4 * 2 + 2 * 3 - 1  # the zero in the corner does not change
    assert (np.abs(found) == cube).all()
    with pytest.raises(ProcessRefused, match="share a pixel"):
        neighborhoods.apply_polygon(cube, _features(left, shapely.box(0, 0, 30, 30)), minus)


# Zones.


def test_zones_hold_what_lies_in_them() -> None:
    cube = raster(4, 4).expand_dims(t=days("2020-01-01", "2020-01-03"))
    shapes = [
        shapely.box(0, 0, 20, 20),
        shapely.box(0, 0, 40, 40),
        shapely.Polygon(),
        shapely.Point(5, 5),
        shapely.box(90, 90, 99, 99),
    ]
    places = _features(*shapes, name=["a", "b", "c", "d", "e"])
    found = zonal.aggregate_spatial(cube, places, over_data("mean"))
    assert found.dims == ("geometry", "t")
    assert found.coords["name"].values.tolist() == ["a", "b", "c", "d", "e"]
    assert crs_of(found).to_epsg() == 25832  # type: ignore[union-attr]
    np.testing.assert_array_equal(found.isel(t=0).values, [10.5, 7.5, math.nan, 12, math.nan])
    counted = zonal.aggregate_spatial(cube, places, over_data("sum"), "stats")
    assert counted.sel(stats="total_count").isel(t=0).values.tolist() == [4, 16, 0, 1, 0]
    assert np.isnan(zonal.aggregate_spatial(cube, places, over_data("count")).isel(t=0).values).sum() == 2
    with pytest.raises(ProcessRefused, match="'t' already"):
        zonal.aggregate_spatial(cube, places, over_data("mean"), "t")


def test_valid_pixels_are_counted_apart() -> None:
    cube = raster(2, 2).copy(data=[[1, math.nan], [math.inf, 2]])
    found = zonal.aggregate_spatial(cube, _features(shapely.box(0, 0, 20, 20)), over_data("first"), "n")
    assert found.sel(n=["total_count", "valid_count"]).values.tolist() == [[4, 2]]


def test_a_reducer_of_several_steps_works_on_zones() -> None:
    cube = raster(4, 4)
    spread = {"process_graph": {
        "low": {"process_id": "min", "arguments": {"data": DATA}},
        "high": {"process_id": "max", "arguments": {"data": DATA}},
        "n": {"process_id": "subtract", "arguments": {"x": {"from_node": "high"}, "y": {"from_node": "low"}}, "result": True},
    }}  # fmt: skip
    found = zonal.aggregate_spatial(cube, _features(shapely.box(0, 0, 20, 20), shapely.box(0, 0, 40, 40)), spread)
    assert found.values.tolist() == [5, 15]


@given(
    st.integers(1, 4), st.integers(1, 4), st.sampled_from(["lower-left", "upper-left", "lower-right", "upper-right"])
)
def test_windows_hold_all_pixels_once(wide: int, high: int, align: Any) -> None:
    cube = raster(5, 7)
    found = zonal.aggregate_spatial_window(cube, over_data("sum"), [wide, high], "pad", align)
    assert float(found.sum()) == float(cube.sum())
    assert found.sizes == {"y": math.ceil(5 / high), "x": math.ceil(7 / wide)}
    trimmed = zonal.aggregate_spatial_window(cube, over_data("count"), [wide, high], "trim", align)
    assert (trimmed.values == wide * high).all()
    # The corner that it is aligned to is the corner of a whole window.
    corner = {"y": 0 if align.startswith("upper") else -1, "x": 0 if align.endswith("left") else -1}
    rows = slice(None, high) if align.startswith("upper") else slice(-high, None)
    columns = slice(None, wide) if align.endswith("left") else slice(-wide, None)
    assert float(found.isel(corner)) == float(cube.isel(y=rows, x=columns).sum())
    np.testing.assert_allclose(found.isel(corner).x.item(), cube.x[columns].mean().item())


# Other grids.


@pytest.mark.parametrize("method", ["average", "min", "max", "sum", "rms"])
def test_blocks_and_gdal_agree(method: Any) -> None:
    cube = raster(8, 12).astype(np.float32)
    cube.values[2, 3] = math.nan
    cube.values[4:6, 4:6] = math.nan
    found = resampling.resample_spatial(cube, 20, None, method)
    other = _warp.warped(cube.values, grid_of(cube), grid_of(found), method)
    assert found.dtype == other.dtype == np.float32
    np.testing.assert_allclose(found.values, other, rtol=1e-5)


@pytest.mark.parametrize(
    "method",
    ["average", "bilinear", "cubic", "cubicspline", "lanczos", "max", "med", "min", "mode", "near", "q1", "q3", "rms"],
)
@pytest.mark.parametrize("crs", [None, 4326, 3035])
def test_a_constant_stays_one_whatever_the_method(method: Any, crs: int | None) -> None:
    cube = with_crs(raster(30, 40), 25832).assign_coords(
        x=400005 + np.arange(40) * 10.0, y=5700005 - np.arange(30) * 10.0
    )
    flat = cube.copy(data=np.full(cube.shape, 5.0))
    found = resampling.resample_spatial(flat, 0 if crs else 13, crs, method)
    inner = found.values[np.isfinite(found.values)]
    assert inner.size > 0.5 * found.size
    np.testing.assert_allclose(inner, 5, rtol=1e-5)
    assert crs_of(found).to_epsg() == (crs or 25832)  # type: ignore[union-attr]


def test_a_plane_is_carried_to_degrees_and_back() -> None:
    base = raster(60, 60).assign_coords(x=400005 + np.arange(60) * 10.0, y=5700005 - np.arange(60) * 10.0)
    plane = base.copy(data=np.add.outer(base.y.values - 5.7e6, base.x.values - 4e5))
    there = resampling.resample_spatial(plane, 5e-5, 4326, "bilinear")
    x, y = transform(*np.meshgrid(there.x.values, there.y.values), crs_from(4326), crs_from(25832))
    inner = np.isfinite(there.values)
    assert inner.mean() > 0.8
    # Bilinear is exact on a plane but for the outermost half pixel, where only one neighbour is left.
    off = np.abs(there.values - (y - 5.7e6 + x - 4e5))[inner]
    assert np.quantile(off, 0.9) < 0.1  # a hundredth of a pixel's slope
    assert off.max() < 10
    back = resampling.resample_cube_spatial(there, plane, "near")
    assert (back.x == plane.x).all()
    assert np.nanmax(np.abs(back - plane)) < 10


@given(st.integers(1, 4), st.sampled_from([True, False]))
@settings(max_examples=8)
def test_repeated_pixels_are_the_same_again(factor: int, upward: bool) -> None:
    cube = raster(4, 5)
    cube = cube.isel(y=slice(None, None, -1)) if upward else cube
    fine = resampling.resample_spatial(cube, 10 / factor)
    assert fine.shape == (4 * factor, 5 * factor)
    assert (fine.values == np.repeat(np.repeat(cube.values, factor, 0), factor, 1)).all()
    assert (resampling.resample_spatial(fine, 10).values == cube.values).all()


def test_integers_stay_integers_where_every_pixel_is_there() -> None:
    cube = raster(4, 4, dtype=np.uint8)
    assert resampling.resample_spatial(cube, 20, None, "max").dtype == np.uint8
    wider = resampling.resample_cube_spatial(cube, raster(6, 6))
    assert wider.dtype.kind == "f"
    assert np.isnan(wider.values).sum() == 36 - 16


@pytest.mark.parametrize("align", ["lower-left", "upper-left", "lower-right", "upper-right"])
def test_the_new_grid_begins_at_its_corner(align: Any) -> None:
    cube = raster(5, 5)
    found = resampling.resample_spatial(cube, 20, None, "average", align)
    west, north = found.x.min().item() - 10, found.y.max().item() + 10
    assert west == (0 if align.endswith("left") else -10)
    assert north == (50 if align.startswith("upper") else 60)


def test_more_dimensions_are_carried_along() -> None:
    cube = (
        raster(4, 4).expand_dims(t=days("2020-01-01", "2020-01-03"), bands=["a", "b"]).transpose("y", "t", "x", "bands")
    )
    found = resampling.resample_spatial(cube, 20, None, "average")
    assert found.dims == cube.dims
    assert spatial_dims(found) == ("x", "y")
    assert found.isel(t=1, bands=1).values.tolist() == [[2.5, 4.5], [10.5, 12.5]]


def test_bad_grids_are_refused() -> None:
    uneven = raster(3, 3).assign_coords(x=[0.0, 1.0, 5.0])
    with pytest.raises(InvalidInput, match="not evenly spaced"):
        resampling.resample_spatial(uneven, 20)
    with pytest.raises(InvalidInput, match="unknown"):
        resampling.resample_spatial(raster(3, 3).drop_vars("spatial_ref"), 0, 4326)
    with pytest.raises(InvalidInput, match="no pixels"):
        resampling.resample_spatial(raster(3, 3).isel(x=slice(0)), 20)
    with pytest.raises(ProcessRefused, match="axis x"):
        resampling.resample_spatial(raster(3, 3).isel(x=0), 20)


def test_geometries_of_a_result_can_be_used_again() -> None:
    cube = raster(4, 4)
    found = zonal.aggregate_spatial(cube, _features(shapely.box(0, 0, 20, 20)), over_data("mean"))
    again = zonal.aggregate_spatial(cube, found, over_data("max"))
    assert again.values.tolist() == [13]
    assert len(geometries_of(again)) == 1
