"""Filters and masks: what stays, what goes, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import shapely
import xarray as xr
from cubes_for_tests import child, days, raster, series
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput, ProcessRefused
from gemel.core.cubes import Geometries, crs_from, vector_cube, with_crs
from gemel.core.processes import dimensions, filters, masks


class Unread(xr.backends.BackendArray):
    """Values that must not be read as a whole."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype = shape, np.dtype(np.float32)

    def __getitem__(self, key: Any) -> Any:
        return xr.core.indexing.explicit_indexing_adapter(
            key, self.shape, xr.core.indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: Any) -> np.ndarray:
        found = np.zeros(self.shape, dtype=self.dtype)[key]
        assert found.size <= 6
        return found


def test_filters_of_a_lazy_cube_read_nothing() -> None:
    held = xr.core.indexing.LazilyIndexedArray(Unread((10, 8, 6)))
    coords = {"t": days("2020-01-01", "2020-01-11"), "y": np.arange(8.0)[::-1], "x": np.arange(6.0)}
    cube = with_crs(xr.DataArray(xr.Variable(("t", "y", "x"), held), coords), 25832)
    cube = filters.filter_temporal(cube, ["2020-01-03", "2020-01-05"])
    cube = filters.filter_bbox(cube, {"west": 1, "east": 3, "south": 6, "north": 6, "crs": 25832})
    cube = filters.filter_labels(cube, child("lte", x={"from_parameter": "value"}, y=2), "x")
    assert cube.sizes == {"t": 2, "y": 1, "x": 2}
    assert not isinstance(cube.variable._data, np.ndarray)
    assert cube.values.shape == (2, 1, 2)


@given(st.integers(-2, 8), st.integers(0, 6), st.integers(-2, 8), st.integers(0, 6))
def test_box_keeps_just_the_centres_in_it(west: int, wide: int, south: int, high: int) -> None:
    cube = raster(6, 6, step=1.0)
    found = filters.filter_bbox(
        cube, {"west": west, "east": west + wide, "south": south, "north": south + high, "crs": 25832}
    )
    assert all(west <= x <= west + wide for x in found.x.values)
    assert found.sizes["x"] == sum(west <= x <= west + wide for x in cube.x.values)
    assert found.sizes["y"] == sum(south <= y <= south + high for y in cube.y.values)


def _globe(longitudes: Any) -> xr.DataArray:
    return xr.DataArray(np.asarray(longitudes, float), {"lon": np.asarray(longitudes, float)}, ("lon",)).expand_dims(
        lat=[0.0]
    )


def test_box_over_the_antimeridian_and_either_way_of_counting_degrees() -> None:
    pacific = {"west": 170, "east": -170, "south": -1, "north": 1}
    assert filters.filter_bbox(_globe([-180, -175, 0, 175]), pacific).lon.values.tolist() == [-180, -175, 175]
    assert filters.filter_bbox(_globe([0, 175, 185, 300]), pacific).lon.values.tolist() == [175, 185]
    africa = {"west": -10, "east": 10, "south": -1, "north": 1}
    assert filters.filter_bbox(_globe([0, 5, 180, 355]), africa).lon.values.tolist() == [0, 5, 355]
    world = {"west": -180, "east": 180, "south": -90, "north": 90}
    assert filters.filter_bbox(_globe([-180, 0, 179, 359]), world).sizes["lon"] == 4


@pytest.mark.parametrize(
    ("extent", "said"),
    [
        ({"west": 5, "east": 1, "south": 0, "north": 1, "crs": 25832}, "box is empty"),
        ({"west": 0, "east": 1, "south": 2, "north": 1}, "box is empty"),
        ({"west": math.nan, "east": 1, "south": 0, "north": 1}, "not a finite number"),
        ({"west": 0, "east": 1, "south": 0, "north": math.inf}, "not a finite number"),
        ({"west": 0, "east": 1, "south": 0, "north": 1, "crs": 1}, "not a coordinate reference system"),
    ],
)
def test_bad_boxes_are_refused(extent: dict[str, Any], said: str) -> None:
    cube = raster(2, 2, crs=3857)
    with pytest.raises(InvalidInput, match=said):
        filters.filter_bbox(cube, extent)


def test_box_in_a_system_needs_a_cube_with_one() -> None:
    cube = raster(2, 2).drop_vars("spatial_ref")
    assert filters.filter_bbox(cube, {"west": 0, "east": 10, "south": 0, "north": 10}).sizes == {"y": 1, "x": 1}
    with pytest.raises(InvalidInput, match="unknown"):
        filters.filter_bbox(cube, {"west": 0, "east": 10, "south": 0, "north": 10, "crs": 4326})


def test_bands_in_the_order_asked_for_and_by_common_name() -> None:
    cube = xr.DataArray([1.0, 2.0, 3.0], {"bands": ["B02", "B03", "B04"]}, ("bands",))
    cube = cube.assign_coords(
        common_name=("bands", ["blue", "green", "red"]), center_wavelength=("bands", [0.49, 0.56, 0.665])
    )
    assert filters.filter_bands(cube, ["red", "B02"]).values.tolist() == [3, 1]
    assert filters.filter_bands(cube, ["green"], [[0.4, 0.6]]).values.tolist() == [2, 1]
    with pytest.raises(InvalidInput, match="no wavelengths"):
        filters.filter_bands(cube.drop_vars("center_wavelength"), [], [[0.4, 0.6]])


def test_time_with_zones_and_open_ends() -> None:
    cube = series(["2020-01-01T00:00", "2020-01-01T12:00", "2020-01-02T00:00"], [1.0, 2.0, 3.0])
    assert filters.filter_temporal(cube, ["2020-01-01T13:00:00+01:00", None]).values.tolist() == [2, 3]
    assert filters.filter_temporal(cube, [None, "2020-01-02"]).values.tolist() == [1, 2]
    with pytest.raises(InvalidInput, match="Both ends"):
        filters.filter_temporal(cube, [None, None])
    with pytest.raises(InvalidInput, match="'yesterday' is not a date"):
        filters.filter_temporal(cube, ["yesterday", None])


def test_time_in_other_calendars() -> None:
    times = xr.date_range("2020-02-01", periods=60, freq="D", calendar="360_day", use_cftime=True)
    cube = xr.DataArray(np.arange(60), {"t": times}, ("t",))
    assert filters.filter_temporal(cube, ["2020-03-01", None]).values[0] == 30


def test_mask_leaves_cells_where_it_has_no_data_and_takes_its_grid_from_the_cube() -> None:
    cube = raster(4, 4)
    fine = raster(2, 2, step=20.0).copy(data=[[1.0, math.nan], [0.0, 0.0]])
    found = masks.mask(cube, fine)
    assert np.isnan(found.values[:2, :2]).all()
    assert np.isfinite(found.values[2:]).all()
    assert np.isfinite(found.values[:2, 2:]).all()


def test_mask_is_the_same_for_each_label_it_does_not_have() -> None:
    cube = raster(2, 2).expand_dims(t=days("2020-01-01", "2020-01-04"))
    found = masks.mask(cube, raster(2, 2), -9)
    assert (found.values == [[0, -9], [-9, -9]]).all()
    with pytest.raises(ProcessRefused) as caught:
        masks.mask(raster(2, 2), cube)
    assert caught.value.context["exception"] == "IncompatibleDataCubes"
    with pytest.raises(ProcessRefused, match="labels of 't'"):
        masks.mask(cube, cube.isel(t=slice(2)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, bool])
def test_masked_cells_hold_no_data_whatever_the_type_was(dtype: Any) -> None:
    cube = raster(2, 2).astype(dtype)
    found = masks.mask(cube, raster(2, 2))
    assert np.isnan(found.values).tolist() == [[False, True], [True, True]]


@given(st.integers(0, 7), st.integers(0, 7), st.integers(1, 7))
def test_inside_and_outside_of_a_polygon_make_the_cube(left: int, low: int, size: int) -> None:
    cube = raster(8, 8, step=1.0)
    polygon = _polygon(shapely.box(left, low, left + size, low + size))
    kept, gone = masks.mask_polygon(cube, polygon), masks.mask_polygon(cube, polygon, inside=True)
    assert (kept.notnull() ^ gone.notnull()).all()
    assert (kept.fillna(0) + gone.fillna(0) == cube).all()


def test_filter_spatial_crops_and_masks() -> None:
    cube = raster(8, 8, step=1.0)
    triangle = _polygon(shapely.Polygon([(1, 1), (5, 1), (1, 5)]))
    found = filters.filter_spatial(cube, triangle)
    assert found.sizes == {"y": 4, "x": 4}
    assert int(found.notnull().sum()) == 10  # centres on the slanting edge are in


def _polygon(shape: Any) -> dict[str, Any]:
    crs = {"type": "name", "properties": {"name": "EPSG:25832"}}
    return {**shapely.geometry.mapping(shape), "crs": crs}


def test_geojson_that_is_none_is_refused() -> None:
    cube = raster(2, 2)
    for bad in ({"type": "Polygone"}, {"type": "GeometryCollection", "geometries": []}, 5):
        with pytest.raises(InvalidInput):
            filters.filter_spatial(cube, bad)
    with pytest.raises(InvalidInput, match="cannot be read"):
        filters.filter_spatial(cube, {"type": "Polygon", "coordinates": [[1, 2], 3]})
    with pytest.raises(InvalidInput, match="no polygon"):
        masks.mask_polygon(cube, {"type": "Point", "coordinates": [0, 0]})


def _places() -> xr.DataArray:
    shapes = np.array([shapely.Point(0, 0), shapely.box(1, 1, 2, 2), shapely.Point()], dtype=object)
    made = xr.DataArray([1.0, 2.0, 3.0], dims=("geometry",))
    return vector_cube(made, Geometries(shapes, crs_from(25832), {"name": ["a", "b", "c"]}))


def test_vector_cubes_are_filtered_by_box_and_relation() -> None:
    places = _places()
    box = {"west": 0.5, "east": 3, "south": 0.5, "north": 3, "crs": 25832}
    assert filters.filter_bbox(places, box).values.tolist() == [2]
    base = vector_cube(
        xr.DataArray([0.0], dims=("geometry",)),
        Geometries(np.array([shapely.box(-1, -1, 1.5, 1.5)], dtype=object), crs_from(25832)),
    )
    assert filters.filter_vector(places, base).values.tolist() == [1, 2]
    assert filters.filter_vector(places, base, "within").values.tolist() == [1]
    assert filters.filter_vector(places, base, "overlaps").values.tolist() == [2]


def test_flattened_and_unflattened_is_what_it_was() -> None:
    cube = xr.DataArray(
        np.arange(24.0).reshape(2, 3, 4),
        {"a": ["2020", "2021"], "b": ["B1", "B2", "B3"], "x": range(4)},
        ("a", "b", "x"),
    )
    flat = dimensions.flatten_dimensions(cube, ["a", "b"], "both")
    assert flat.dims == ("both", "x")
    assert flat.coords["both"].values.tolist()[:4] == ["2020~B1", "2020~B2", "2020~B3", "2021~B1"]
    back = dimensions.unflatten_dimension(flat, "both", ["a", "b"])
    assert (back.values == cube.values).all()
    turned = dimensions.flatten_dimensions(cube, ["b", "a"], "both")
    assert turned.isel(x=0).values.tolist() == cube.isel(x=0).values.T.ravel().tolist()
    with pytest.raises(InvalidInput, match="2 parts, not 3"):
        dimensions.unflatten_dimension(flat, "both", ["a", "b", "c"])


def test_unflattened_gaps_hold_no_data() -> None:
    flat = xr.DataArray([1, 2, 3], {"k": ["a~1", "a~2", "b~1"]}, ("k",))
    found = dimensions.unflatten_dimension(flat, "k", ["l", "n"])
    np.testing.assert_array_equal(found.values, [[1, 2], [3, math.nan]])


def test_trimmed_cube_loses_empty_ends_and_empty_bands() -> None:
    values = np.full((3, 5), math.nan)
    values[0, 1], values[2, 3] = 1, 2
    cube = xr.DataArray(values, {"bands": ["a", "b", "c"], "x": np.arange(5.0)}, ("bands", "x"))
    found = dimensions.trim_cube(cube)
    assert found.bands.values.tolist() == ["a", "c"]
    assert found.x.values.tolist() == [1, 2, 3]
    assert dimensions.trim_cube(cube.isel(x=[0, 2])).size == 0
