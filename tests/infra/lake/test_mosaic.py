"""Raster files side by side, on top of each other, and on other grids make one cube."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.infra.lake._axes import parsed_crs, with_grid
from gemel.infra.lake.collections import Collections, Wanted, area
from gemel.infra.lake.formats import format_named

rasterio = pytest.importorskip("rasterio", reason="the extra [data] is not installed")


def item(path: Path, time: str, bands: list[str], **more: Any) -> dict[str, Any]:
    asset = {"href": str(path), "type": "image/tiff", "bands": [{"name": name} for name in bands], **more}
    return {"type": "Feature", "id": path.stem, "properties": {"datetime": time}, "assets": {path.stem: asset}}


def raster(west: float, north: float, values: Any, step: float = 10.0, epsg: int = 32632) -> xr.DataArray:
    values = np.atleast_3d(values) if np.ndim(values) < 3 else values
    count, height, width = values.shape
    coords = {
        "bands": [f"B{i}" for i in range(count)],
        "y": north - (np.arange(height) + 0.5) * step,
        "x": west + (np.arange(width) + 0.5) * step,
    }
    return with_grid(xr.DataArray(values, coords, ("bands", "y", "x")), parsed_crs(epsg))


@pytest.fixture
def lake(tmp_path: Path) -> Collections:
    found = Collections(tmp_path / "home")
    (found.home / "tiles").mkdir(parents=True)
    return found


def written(lake: Collections, name: str, cube: xr.DataArray, **options: Any) -> Path:
    return format_named("GTiff").write(cube, lake.home / "tiles" / f"{name}.tif", options)[0]


def test_tiles_of_one_instant_lie_side_by_side(lake: Collections) -> None:
    left = raster(0, 40, np.ones((1, 4, 4), "float32"))
    right = raster(40, 40, np.full((1, 4, 4), 2, "float32"))
    below = raster(40, 0, np.full((1, 4, 4), 3, "float32"))
    items = [
        item(written(lake, name, cube), "2020-01-01T00:00:00Z", ["B0"])
        for name, cube in (("left", left), ("right", right), ("below", below))
    ]
    lake.add({"type": "Collection", "id": "tiles"}, items)
    cube = lake.open("tiles")
    assert cube.shape == (1, 1, 8, 8)
    block = cube.values[0, 0]
    assert (block[:4, :4] == 1).all() and (block[:4, 4:] == 2).all() and (block[4:, 4:] == 3).all()
    assert np.isnan(block[4:, :4]).all()
    # A window in the middle touches all of them.
    np.testing.assert_array_equal(cube.isel(y=slice(3, 5), x=slice(3, 5)).values[0, 0], [[1, 2], [np.nan, 3]])


def test_gaps_of_the_first_are_filled_from_the_next(lake: Collections) -> None:
    first, second = np.ones((1, 2, 2), "float32"), np.full((1, 2, 2), 2, "float32")
    first[0, 0, 0] = np.nan
    items = [
        item(written(lake, name, raster(0, 20, values)), "2020-01-01T00:00:00Z", ["B0"])
        for name, values in (("a", first), ("b", second))
    ]
    lake.add({"type": "Collection", "id": "tiles"}, items)
    np.testing.assert_array_equal(lake.open("tiles").values[0, 0], [[2, 1], [1, 1]])


def test_whole_numbers_stay_whole_where_nothing_is_missing(lake: Collections) -> None:
    values = np.arange(8, dtype="int16").reshape(2, 2, 2)
    path = written(lake, "a", raster(0, 20, values))
    lake.add({"type": "Collection", "id": "whole"}, [item(path, "2020-01-01T00:00:00Z", ["B0", "B1"])])
    cube = lake.open("whole")
    assert cube.dtype == np.int16
    np.testing.assert_array_equal(cube.values[0], values)
    gaps = written(lake, "b", raster(0, 20, values), nodata=3)
    lake.add({"type": "Collection", "id": "gaps"}, [item(gaps, "2020-01-01T00:00:00Z", ["B0", "B1"])])
    found = lake.open("gaps")
    assert found.dtype == np.float32
    assert np.isnan(found.values[0, 0, 1, 1]) and found.values[0, 1, 1, 1] == 7


def test_bands_in_files_of_their_own_are_one_cube(lake: Collections) -> None:
    assets = {}
    for i, name in enumerate(("red", "nir")):
        values = np.full((1, 4 // (i + 1), 4 // (i + 1)), i + 1.0, "float32")
        path = written(lake, name, raster(0, 40, values, step=10.0 * (i + 1)))
        assets[name] = {"href": str(path), "type": "image/tiff; application=geotiff", "roles": ["data"]}
    one = {"type": "Feature", "id": "a", "properties": {"datetime": "2020-01-01T00:00:00Z"}, "assets": assets}
    lake.add({"type": "Collection", "id": "scene"}, [one])
    cube = lake.open("scene")
    # The finer grid counts; cells of the coarser one are repeated.
    assert (cube["bands"].values.tolist(), cube.shape) == (["red", "nir"], (1, 2, 4, 4))
    assert (cube.values[0, 0] == 1).all() and (cube.values[0, 1] == 2).all()


@hypothesis.settings(max_examples=30, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(data=st.data())
def test_any_window_is_that_part_of_the_whole(data: Any, lake: Collections) -> None:
    if not lake.folder.exists():
        noise = np.random.default_rng(3)
        items = []
        for t, (west, north) in enumerate([(0, 60), (30, 60), (10, 40), (50, 20)]):
            values = noise.normal(size=(2, 4, 5)).astype("float32")
            values[noise.random(values.shape) < 0.2] = np.nan
            path = written(lake, f"tile{t}", raster(west, north, values))
            items.append(item(path, f"2020-01-0{t // 2 + 1}T00:00:00Z", ["B0", "B1"]))
        lake.add({"type": "Collection", "id": "tiles"}, items)
    cube = lake.open("tiles")
    whole = cube.values
    window = {}
    for dim, size in cube.sizes.items():
        start = data.draw(st.integers(0, size - 1))
        window[dim] = data.draw(
            st.one_of(
                st.just(slice(start, data.draw(st.integers(start + 1, size)), data.draw(st.integers(1, 3)))),
                st.just(start),
                st.just(list(data.draw(st.permutations(range(size))))[: start + 1]),
                st.just(slice(None, None, -1)),
            )
        )
    expected = xr.DataArray(whole, dims=cube.dims).isel(window)
    np.testing.assert_array_equal(cube.isel(window).values, expected.values)


def test_files_in_another_reference_system_are_warped(lake: Collections) -> None:
    """A field that is linear in longitude, warped from degrees to UTM, must still be its value at each cell's place."""
    step = 0.0005
    lon, lat = 8.99 + (np.arange(200) + 0.5) * step, 45.05 - (np.arange(200) + 0.5) * step
    values = np.tile(lon, (1, 200, 1)).reshape(1, 200, 200)
    degrees = written(lake, "degrees", raster(8.99, 45.05, values, step=step, epsg=4326))
    metres = written(lake, "metres", raster(499_000, 4_986_000, np.full((1, 100, 100), 9.0), step=20.0))
    far = written(lake, "far", raster(499_000 + 2000, 4_986_000, np.full((1, 100, 100), 9.0), step=20.0))
    items = [
        item(metres, "2020-01-01T00:00:00Z", ["B0"]),
        item(far, "2020-01-01T00:00:00Z", ["B0"]),
        item(degrees, "2020-01-02T00:00:00Z", ["B0"]),
    ]
    lake.add({"type": "Collection", "id": "mixed"}, items)
    cube = lake.open("mixed", Wanted(area({"west": 9.0, "south": 45.0, "east": 9.01, "north": 45.01})))
    assert cube["spatial_ref"].attrs["projected_crs_name"] == "WGS 84 / UTM zone 32N"
    import_lon = transformed_longitudes(cube)
    found = cube.isel(t=1, bands=0).values
    assert np.isfinite(found).all()
    # Nearest neighbour: at most half a cell of the source away.
    assert np.abs(found - import_lon).max() <= step / 2 + 1e-6
    assert lat[0] > 45.01


def transformed_longitudes(cube: xr.DataArray) -> np.ndarray[Any, Any]:
    pyproj = pytest.importorskip("pyproj")
    x, y = np.meshgrid(cube.x.values, cube.y.values)
    change = pyproj.Transformer.from_crs(32632, 4326, always_xy=True)
    return np.asarray(change.transform(x, y)[0])


def test_the_collections_grid_counts_where_it_declares_one(lake: Collections) -> None:
    path = written(lake, "fine", raster(0, 40, np.arange(16.0).reshape(1, 4, 4)))
    dimensions = {
        "x": {"type": "spatial", "axis": "x", "step": 20, "reference_system": 32632},
        "y": {"type": "spatial", "axis": "y", "step": 20, "reference_system": 32632},
    }
    collection = {"type": "Collection", "id": "coarse", "cube:dimensions": dimensions}
    lake.add(collection, [item(path, "2020-01-01T00:00:00Z", ["B0"])])
    cube = lake.open("coarse")
    assert (cube.sizes["x"], cube.sizes["y"]) == (2, 2)
    assert cube["x"].values.tolist() == [10.0, 30.0]


def test_a_daily_step_puts_neighbours_of_one_day_together(lake: Collections) -> None:
    paths = [written(lake, name, raster(40.0 * i, 40, np.full((1, 4, 4), i + 1.0))) for i, name in enumerate("ab")]
    items = [item(path, f"2020-01-01T10:00:{i:02d}Z", ["B0"]) for i, path in enumerate(paths)]
    lake.add({"type": "Collection", "id": "exact"}, items)
    assert lake.open("exact").sizes["t"] == 2
    daily = {"t": {"type": "temporal", "step": "P1D"}}
    lake.add({"type": "Collection", "id": "daily", "cube:dimensions": daily}, items)
    cube = lake.open("daily")
    assert cube["t"].values.tolist() == np.array(["2020-01-01"], "M8[ns]").tolist()
    assert np.isfinite(cube.values).all()


def test_metadata_saves_opening_files_that_are_not_asked_for(lake: Collections) -> None:
    present = written(lake, "present", raster(0, 40, np.ones((1, 4, 4), "float32")))
    gone = lake.home / "tiles" / "gone.tif"
    proj = {"proj:code": "EPSG:32632", "proj:shape": [4, 4], "data_type": "float32", "nodata": "nan"}
    items = [
        item(present, "2020-01-01T00:00:00Z", ["B0"], **proj, **{"proj:transform": [10, 0, 0, 0, -10, 40]}),
        item(gone, "2020-01-01T00:00:00Z", ["B0"], **proj, **{"proj:transform": [10, 0, 40, 0, -10, 40]}),
    ]
    lake.add({"type": "Collection", "id": "tiles"}, items)
    cube = lake.open("tiles")
    assert (cube.isel(x=slice(0, 4)).values == 1).all()
    with pytest.raises(InvalidInput, match=r"gone\.tif"):
        cube.isel(x=slice(4, 8)).load()


def test_a_file_with_fewer_bands_than_said_is_named(lake: Collections) -> None:
    path = written(lake, "one", raster(0, 40, np.ones((1, 4, 4), "float32")))
    lake.add({"type": "Collection", "id": "liar"}, [item(path, "2020-01-01T00:00:00Z", ["B0", "B1"])])
    with pytest.raises(InvalidInput, match=r"one\.tif.* has 1 bands, and band 2 is asked for"):
        lake.open("liar").load()
