"""Data as people have it: whichever way axes run and times are counted, processing gives what plain xarray gives."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio import Affine
from workbench import MONTHS, Bench, load, ocean, weather

from gemel.infra.lake import ContentStore

BOX = {"west": 3, "south": 42, "east": 6, "north": 45}
SPAN = ["2000-01-10", "2000-03-01"]


def shuffled(cube: xr.DataArray) -> xr.DataArray:
    return cube.isel(time=np.random.default_rng(3).permutation(cube.sizes["time"]))


def from_the_date_line(cube: xr.DataArray) -> xr.DataArray:
    """Return the cube with its longitudes counted from 0 to 360, its western half lying west of Greenwich."""
    return cube.assign_coords(longitude=(cube.longitude - 7) % 360).sortby("longitude")


ORDERS = {
    "south to north": lambda cube: cube,
    "north to south": lambda cube: cube.isel(latitude=slice(None, None, -1)),
    "times in disorder": shuffled,
    "time last": lambda cube: cube.transpose("longitude", "latitude", "time"),
}


@pytest.mark.parametrize("order", list(ORDERS))
def test_the_order_of_axes_changes_no_number(order: str, bench: Bench) -> None:
    cube = weather()
    bench.put("weather", ORDERS[order](cube))
    found = bench.value(load("weather", spatial_extent=BOX, temporal_extent=SPAN), MONTHS)
    part = cube.sel(time=slice("2000-01-10", "2000-02-29"), latitude=slice(42, 45), longitude=slice(3, 6))
    wanted = part.groupby("time.month").mean()
    same = found.transpose("time", "latitude", "longitude").sortby("latitude")
    assert found.attrs["units"] == "K"
    np.testing.assert_allclose(same.values, wanted.values, rtol=1e-6)
    np.testing.assert_array_equal(same.latitude, part.latitude)


def test_longitudes_from_0_to_360_are_met_by_a_box_across_greenwich(bench: Bench) -> None:
    cube = from_the_date_line(weather(3))
    bench.put("turned", cube)
    found = bench.value(load("turned", spatial_extent={"west": -3, "south": 41, "east": 2, "north": 44}))
    np.testing.assert_allclose(found.longitude, np.arange(-2.75, 2, 0.5))
    wanted = cube.sel(longitude=found.longitude.values % 360, latitude=slice(41, 44))
    np.testing.assert_array_equal(found.values, wanted.values)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "conservative"])
def test_regridding_does_not_see_how_longitudes_are_counted(method: str, bench: Bench) -> None:
    bench.put("plain", weather(2))
    bench.put("beyond", weather(2).assign_coords(longitude=(weather(2).longitude + 350) % 360))
    target = {"type": "regular", "west": 1, "south": 41, "east": 13, "north": 47, "resolution": 0.75}
    moved = target | {"west": -9, "east": 3}
    plain = bench.value(load("plain"), ("regrid", {"target": target, "method": method}))
    beyond = bench.value(load("beyond"), ("regrid", {"target": moved, "method": method}))
    np.testing.assert_allclose(plain.values, beyond.values, rtol=1e-6)
    assert not np.isnan(plain.values).any()


def test_a_year_of_360_days_has_twelve_equal_months(bench: Bench) -> None:
    times = xr.date_range("2000-01-01", periods=90, calendar="360_day", use_cftime=True)
    cube = weather(90).assign_coords(time=times)
    bench.put("model", cube)
    months = bench.value(load("model"), MONTHS)
    np.testing.assert_allclose(months.values, cube.groupby("time.month").mean().values, rtol=1e-6)
    part = bench.value(
        load("model", temporal_extent=["2000-02-29", "2000-03-01"]), ("save_result", {"format": "netCDF"})
    )
    with xr.open_dataset(kept(bench, part, "result.nc"), engine="h5netcdf") as saved:
        assert saved.time.encoding["calendar"] == "360_day"
        np.testing.assert_array_equal(saved.t2m.values, cube.sel(time=times[58:60]).values)


def test_an_ocean_models_file_is_loaded_by_variable_and_regridded(bench: Bench) -> None:
    path = bench.files / "roms.nc"
    ocean().to_netcdf(path)
    document = bench.put("roms", path, variables=["temp"])
    assert document["extent"]["spatial"]["bbox"] == [pytest.approx([4.0, 50.3, 16.0, 57.7])]
    target = {"type": "regular", "west": 7, "south": 53, "east": 13, "north": 55, "resolution": 0.5}
    found = bench.value(load("roms"), ("regrid", {"target": target}))
    assert found.dims == ("ocean_time", "s_rho", "lat", "lon") and found.attrs["units"] == "Celsius"
    # The field is linear in degrees, cells are small: what is left is the curvature of the sphere.
    wanted = (found.lon + 2 * found.lat).transpose("lat", "lon")
    np.testing.assert_allclose(found.isel(ocean_time=0, s_rho=0).values, wanted.values, atol=2e-2)


def test_packed_integers_are_unpacked_with_their_gaps(bench: Bench) -> None:
    cube = weather(4)
    cube.values[:, 0, 0] = np.nan
    path = bench.files / "packed.nc"
    packing = {"dtype": "int16", "_FillValue": -32768, "scale_factor": 0.01, "add_offset": 280.0}
    cube.to_dataset().to_netcdf(path, encoding={"t2m": packing})
    bench.put("packed", path)
    found = bench.value(load("packed"))
    assert np.isnan(found.values[:, 0, 0]).all() and np.isnan(found.values).sum() == 4
    np.testing.assert_allclose(found.values, cube.values, atol=0.0051)


def test_a_geotiff_in_metres_is_cut_by_degrees_and_its_bands_are_known(bench: Bench) -> None:
    path = bench.files / "scene.tif"
    counts = np.random.default_rng(5).integers(1, 4000, (2, 50, 60)).astype("u2")
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 500000, 0, -10, 5600000), "nodata": 0}
    with rasterio.open(path, "w", driver="GTiff", width=60, height=50, count=2, dtype="uint16", **place) as file:
        file.write(counts)
        file.set_band_description(1, "B04")
        file.set_band_description(2, "B08")
    bench.put("scene", path)
    # 9 degrees east is the zone's central meridian, 500 km; the scene's southern edge lies at 50.5471 degrees north.
    east = {"west": 9.0, "south": 50.5, "east": 9.0042, "north": 50.6}
    found = bench.value(load("scene", spatial_extent=east), ("ndvi", {"nir": "B08", "red": "B04"}))
    red, infrared = counts.astype("f4")[:, :, : found.sizes["x"]]
    assert found.sizes["y"] == 50 and 28 <= found.sizes["x"] <= 31
    np.testing.assert_allclose(found.values, (infrared - red) / (infrared + red), rtol=1e-5)


@pytest.mark.parametrize("part", [{"time": [0]}, {"latitude": [3], "longitude": [4]}, {"time": [2], "latitude": [3]}])
def test_single_steps_and_pixels_are_cubes_too(part: dict[str, Any], bench: Bench) -> None:
    cube = weather(40).isel(part)
    bench.put("single", cube)
    found = bench.value(load("single"), MONTHS)
    np.testing.assert_allclose(found.values, cube.resample(time="MS").mean().values, rtol=1e-6)


@pytest.mark.parametrize("name", ["netCDF", "Zarr", "CSV", "CoverageJSON", "JSON"])
def test_infinite_and_missing_values_are_saved_in_legal_documents(name: str, bench: Bench) -> None:
    cube = weather(3)
    cube.values[0, 0, :3] = [np.inf, -np.inf, np.nan]
    bench.put("odd", cube)
    item = bench.value(load("odd"), ("save_result", {"format": name}))
    (key,) = item["assets"]
    if name.endswith("JSON"):

        def refuse(word: str) -> None:
            raise AssertionError(f"{word} is not JSON (RFC 8259, section 6)")

        json.loads(kept(bench, item, key).read_text(), parse_constant=refuse)
    assert item["assets"][key]["file:size"] == kept(bench, item, key).stat().st_size


def kept(bench: Bench, item: dict[str, Any], key: str) -> Any:
    return ContentStore(bench.engine.settings.home / "results").path(item["assets"][key]["gemel:digest"])
