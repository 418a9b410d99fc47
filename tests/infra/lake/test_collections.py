"""Collections are kept whole or not at all, and open as cubes that read only what is asked for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import shapely
import xarray as xr

from gemel.base.errors import Conflict, Denied, InvalidInput, NotFound
from gemel.infra.lake._axes import crs_of, parsed_crs, with_grid
from gemel.infra.lake.collections import Collections, Wanted, area, interval
from gemel.infra.lake.formats import format_named

rasterio = pytest.importorskip("rasterio", reason="the extra [data] is not installed")

_BOX = {"west": 500_010, "south": 5_000_000, "east": 500_030, "north": 5_000_025, "crs": 32632}


@pytest.fixture
def lake(tmp_path: Path) -> Collections:
    return Collections(tmp_path / "home")


def put_tiffs(lake: Collections, cube: xr.DataArray, id: str = "light", **options: Any) -> None:
    """Put one GeoTIFF per day and its item into the lake."""
    folder = lake.home / "tiles"
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for i in range(cube.sizes["t"]):
        day = np.datetime_as_string(cube["t"].values[i], unit="s")
        (path,) = format_named("COG").write(cube.isel(t=[i]), folder / f"{id}-{i}.tif", options)
        bands = [{"name": name} for name in cube["bands"].values.tolist()]
        asset = {"href": f"../../../tiles/{path.name}", "type": "image/tiff; application=geotiff", "bands": bands}
        items.append(
            {
                "type": "Feature",
                "id": f"{id}-{i}",
                "properties": {"datetime": f"{day}Z", "eo:cloud_cover": 10 * i},
                "assets": {"data": asset | {"roles": ["data"]}, "thumbnail": {"href": "a.png", "roles": ["thumbnail"]}},
            }
        )
    lake.add({"type": "Collection", "id": id, "links": []}, items)


@pytest.mark.parametrize("kind", ["array", "nc", "zarr.zip"])
def test_a_dataset_becomes_a_collection_with_its_metadata(
    kind: str, lake: Collections, cube: xr.DataArray, tmp_path: Path
) -> None:
    data: Any = cube
    if kind != "array":
        format = format_named("netCDF" if kind == "nc" else "Zarr")
        (data,) = format.write(cube, tmp_path / f"data.{kind}")
    document = lake.add_dataset("fulda/light", data, title="Light", license="CC-BY-4.0")
    assert lake.get("fulda/light") == document
    assert [item["id"] for item in lake.list()] == ["fulda/light"]
    assert (document["title"], document["license"], document["stac_version"]) == ("Light", "CC-BY-4.0", "1.1.0")
    dimensions = document["cube:dimensions"]
    assert dimensions["bands"] == {"type": "bands", "values": ["B02", "B03", "B04"]}
    assert dimensions["x"] == {
        "type": "spatial",
        "axis": "x",
        "extent": [500_005.0, 500_045.0],
        "step": 10.0,
        "reference_system": 32632,
    }
    assert dimensions["t"]["extent"] == ["2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"]
    assert document["bands"][0] == {"name": "B02", "unit": "W m-2"}
    west, south, east, north = document["extent"]["spatial"]["bbox"][0]
    # The eastings begin at the central meridian of zone 32.
    assert west == pytest.approx(9.0, abs=1e-6) and east > west and 45.15 < south < north < 45.16
    xr.testing.assert_equal(lake.open("fulda/light").load(), cube)


@pytest.mark.parametrize("kind", ["zarr", "netcdf", "tiffs"])
def test_extents_and_bands_are_cut_out_without_reading(
    kind: str, lake: Collections, cube: xr.DataArray, tmp_path: Path
) -> None:
    if kind == "tiffs":
        put_tiffs(lake, cube)
    else:
        lake.add_dataset("light", cube if kind == "zarr" else format_named("netCDF").write(cube, tmp_path / "d.nc")[0])
    wanted = Wanted(area(_BOX), interval(["2020-01-02", None]), ["B04", "B02"])
    found = lake.open("light", wanted)
    assert "Lazily" in type(found.variable._data).__name__ or not found.variable._in_memory
    assert found.encoding["preferred_chunks"]
    expected = cube.sel(bands=["B04", "B02"]).isel(t=[1], y=slice(2, 4), x=slice(1, 3))
    # Centres that lie on the edge of the box belong to it: y from 5000005 to 5000025.
    expected = cube.sel(bands=["B04", "B02"]).isel(t=[1], y=slice(1, 4), x=slice(1, 3))
    xr.testing.assert_allclose(found.load().drop_attrs(), expected.drop_attrs())
    assert crs_of(found) is not None and crs_of(found).to_epsg() == 32632  # type: ignore[union-attr]


def test_the_end_of_an_interval_is_not_part_of_it(lake: Collections, cube: xr.DataArray) -> None:
    put_tiffs(lake, cube)
    lake.add_dataset("array", cube)
    for id in ("light", "array"):
        for extent, count in ((["2020-01-01", "2020-01-02"], 1), (["2020-01-01", "2020-01-02T00:00:01Z"], 2)):
            assert lake.open(id, Wanted(interval=interval(extent))).sizes["t"] == count


@hypothesis.settings(max_examples=30, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    west=st.integers(-15, 70), width=st.integers(0, 80), south=st.integers(-15, 60), height=st.integers(0, 60)
)
def test_a_box_keeps_the_cells_whose_centres_lie_in_it(
    west: int, width: int, south: int, height: int, lake: Collections, cube: xr.DataArray
) -> None:
    if not lake.folder.exists():
        put_tiffs(lake, cube)
        lake.add_dataset("array", cube)
    low_x, low_y = 500_000 + west, 5_000_000 + south
    box = {"west": low_x, "east": low_x + width, "south": low_y, "north": low_y + height, "crs": 32632}
    inside = cube.isel(
        x=(cube.x >= low_x) & (cube.x <= low_x + width), y=(cube.y >= low_y) & (cube.y <= low_y + height)
    )
    for id in ("light", "array"):
        if inside.size == 0:
            with pytest.raises(InvalidInput, match="no data available") as caught:
                lake.open(id, Wanted(area(box)))
            assert caught.value.context["exception"] == "NoDataAvailable"
        else:
            found = lake.open(id, Wanted(area(box))).load()
            xr.testing.assert_allclose(found.drop_attrs(), inside.drop_attrs())


@pytest.mark.parametrize("id", ["light", "array"])
def test_cells_outside_of_polygons_are_missing(id: str, lake: Collections, cube: xr.DataArray) -> None:
    put_tiffs(lake, cube) if id == "light" else lake.add_dataset("array", cube)
    triangle = shapely.Polygon([(500_000, 5_000_000), (500_050, 5_000_000), (500_000, 5_000_040)])
    extent = shapely.geometry.mapping(triangle) | {"crs": {"type": "name", "properties": {"name": "EPSG:32632"}}}
    found = lake.open(id, Wanted(area(extent)))
    inside = np.array([[triangle.contains(shapely.Point(x, y)) for x in cube.x.values] for y in cube.y.values])
    np.testing.assert_array_equal(np.isnan(found.values[0, 0]), ~inside)
    np.testing.assert_array_equal(found.values[:, :, inside], cube.values[:, :, inside])
    part = found.isel(y=slice(1, 3), x=slice(0, 4, 2))
    np.testing.assert_array_equal(np.isnan(part.values[1, 2]), ~inside[1:3, 0:4:2])


def test_longitudes_are_understood_on_both_sides_of_the_date_line(lake: Collections) -> None:
    lon = np.arange(0.0, 360.0, 10.0)
    globe = xr.DataArray(np.tile(lon, (3, 1)), {"lat": [10.0, 0.0, -10.0], "lon": lon}, ("lat", "lon"), name="lon_of")
    lake.add_dataset("globe", with_grid(globe, parsed_crs(4326)))

    def columns(west: float, east: float) -> tuple[list[float], list[float]]:
        box = {"west": west, "east": east, "south": -5, "north": 5}
        found = lake.open("globe", Wanted(area(box)))
        return found["lon"].values.tolist(), found.values[0].tolist()

    assert columns(-20, 15) == ([-20.0, -10.0, 0.0, 10.0], [340.0, 350.0, 0.0, 10.0])
    assert columns(170, -170) == ([170.0, 180.0, 190.0], [170.0, 180.0, 190.0])
    assert columns(20, 40) == ([20.0, 30.0, 40.0], [20.0, 30.0, 40.0])
    assert len(columns(-180, 180)[0]) == 36
    assert lake.get("globe")["extent"]["spatial"]["bbox"] == [[-180.0, -15.0, 180.0, 15.0]]


def test_bands_are_found_by_common_name_and_carry_what_is_known_of_them(lake: Collections, cube: xr.DataArray) -> None:
    put_tiffs(lake, cube)
    document = lake.get("light")
    described = [
        {"name": "B02", "eo:common_name": "blue", "eo:center_wavelength": 0.49},
        {"name": "B04", "eo:common_name": "red", "eo:center_wavelength": 0.665},
        {"name": "B03", "eo:common_name": "green"},
    ]
    items = list(lake.items("light"))
    lake.remove("light")
    lake.add(document | {"bands": described}, items)
    found = lake.open("light", Wanted(bands=["red", "B02"]))
    assert found["bands"].values.tolist() == ["B04", "B02"]
    assert found["common_name"].values.tolist() == ["red", "blue"]
    assert found["center_wavelength"].values.tolist() == [0.665, 0.49]
    # Without a choice, the collection's own order counts.
    assert lake.open("light")["bands"].values.tolist() == ["B02", "B04", "B03"]
    with pytest.raises(InvalidInput, match="no band 'B05'") as caught:
        lake.open("light", Wanted(bands=["B05"]))
    assert "B04" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("extent", "exception"),
    [
        (["2020-01-02", "2020-01-01"], "TemporalExtentEmpty"),
        (["2020-01-01", "2020-01-01"], "TemporalExtentEmpty"),
        ([None, None], None),
        (["2020-01-01"], None),
        (["yesterday", None], None),
    ],
)
def test_impossible_intervals_are_refused(extent: list[Any], exception: str | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        interval(extent)
    assert caught.value.context.get("exception") == exception


@pytest.mark.parametrize(
    "extent",
    [
        {"west": 1, "south": 2, "east": 3},
        {"west": 1, "south": 3, "east": 3, "north": 2},
        {"west": 3, "south": 1, "east": 1, "north": 2, "crs": 32632},
        {"west": 1, "south": 1, "east": 2, "north": 2, "crs": 99},
        {"west": float("nan"), "south": 1, "east": 2, "north": 2},
        {"type": "Point", "coordinates": [1, 2]},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [["a"]]},
        "everywhere",
    ],
)
def test_impossible_areas_are_refused(extent: Any) -> None:
    with pytest.raises(InvalidInput):
        area(extent)


def test_ids_may_have_slashes_and_lead_nowhere_else(lake: Collections, cube: xr.DataArray, tmp_path: Path) -> None:
    lake.add_dataset("../../escape", cube)
    assert not (tmp_path / "escape").exists() and lake.get("../../escape")["id"] == "../../escape"
    lake.add_dataset("..", cube)
    assert sorted(item["id"] for item in lake.list()) == ["..", "../../escape"]
    for id in ("", "a b", "a\0", "ä ö"):
        with pytest.raises(InvalidInput):
            lake.add_dataset(id, cube)


def test_a_collection_is_added_whole_or_not_at_all(lake: Collections, cube: xr.DataArray) -> None:
    def items() -> Any:
        yield {"type": "Feature", "id": "first", "properties": {}}
        raise OSError("the tape is torn")

    with pytest.raises(OSError, match="torn"):
        lake.add({"type": "Collection", "id": "half"}, items())
    assert lake.list() == [] and list(lake.folder.iterdir()) == []
    lake.add_dataset("light", cube)
    with pytest.raises(Conflict, match="'light' already"):
        lake.add_dataset("light", cube)
    with pytest.raises(InvalidInput, match="no STAC Collection"):
        lake.add({"type": "Feature", "id": "light"})
    lake.remove("light")
    assert lake.list() == [] and list(lake.folder.iterdir()) == []
    with pytest.raises(NotFound):
        lake.remove("light")


def test_unknown_collections_are_named_with_the_nearest(lake: Collections, cube: xr.DataArray) -> None:
    lake.add_dataset("sentinel", cube)
    with pytest.raises(NotFound, match="no collection 'sentinal'") as caught:
        lake.open("sentinal")
    assert "sentinel" in str(caught.value.hint)


def test_a_linked_file_stays_where_it_is(lake: Collections, cube: xr.DataArray, tmp_path: Path) -> None:
    (path,) = format_named("netCDF").write(cube, tmp_path / "mine.nc")
    lake.add_dataset("light", path)
    lake.remove("light")
    assert path.exists()


def test_the_digest_follows_documents_and_files(lake: Collections, cube: xr.DataArray, tmp_path: Path) -> None:
    (path,) = format_named("netCDF").write(cube, tmp_path / "mine.nc")
    lake.add_dataset("file", path)
    lake.add_dataset("array", cube)
    put_tiffs(lake, cube)
    seen = {id: lake.digest(id) for id in ("file", "array", "light")}
    assert seen == {id: lake.digest(id) for id in seen}
    os.utime(path, ns=(1, 1))
    chunk = max((lake.folder / "array").rglob("c/*"), key=lambda item: item.stat().st_size)
    chunk.write_bytes(chunk.read_bytes()) if chunk.is_file() else None
    os.utime(lake.home / "tiles" / "light-0.tif", ns=(1, 1))
    assert lake.digest("file") != seen["file"]
    assert lake.digest("light") != seen["light"]
    document = next((lake.folder / "array").glob("collection.json"))
    document.write_text(json.dumps(json.loads(document.read_text()) | {"title": "New"}))
    assert lake.digest("array") != seen["array"]


@pytest.mark.parametrize(
    "href", ["../../../../secret.tif", "/etc/hostname", "/vsizip/a.zip/b.tif", "s3://bucket/a.tif"]
)
def test_assets_lead_nowhere_outside_of_the_lake(
    href: str, lake: Collections, cube: xr.DataArray, tmp_path: Path
) -> None:
    format_named("GTiff").write(cube.isel(t=[0]), tmp_path / "secret.tif")
    item = {
        "type": "Feature",
        "id": "a",
        "properties": {"datetime": "2020-01-01T00:00:00Z"},
        "assets": {"data": {"href": href, "type": "image/tiff"}},
    }
    lake.add({"type": "Collection", "id": "thief"}, [item])
    with pytest.raises((Denied, InvalidInput), match=r"not followed|out of the lake"):
        lake.open("thief")
    with pytest.raises((Denied, InvalidInput)):
        lake.digest("thief")


def test_items_with_netcdf_files_follow_each_other(lake: Collections, cube: xr.DataArray) -> None:
    folder = lake.home / "days"
    folder.mkdir(parents=True)
    items = []
    for i in (1, 0):
        format_named("netCDF").write(cube.isel(t=[i]), folder / f"{i}.nc")
        asset = {"href": f"../../../days/{i}.nc", "type": "application/x-netcdf", "roles": ["data"]}
        properties = {"datetime": f"2020-01-0{i + 1}T00:00:00Z"}
        items.append({"type": "Feature", "id": str(i), "properties": properties, "assets": {"data": asset}})
    lake.add({"type": "Collection", "id": "days"}, items)
    xr.testing.assert_equal(lake.open("days").load(), cube)
    assert lake.open("days", Wanted(interval=interval(["2020-01-02", None]))).sizes["t"] == 1


def test_dimensions_are_called_as_the_collection_says(lake: Collections, cube: xr.DataArray) -> None:
    put_tiffs(lake, cube)
    document, items = lake.get("light"), list(lake.items("light"))
    lake.remove("light")
    spoken = {
        "lon": {"type": "spatial", "axis": "x"},
        "lat": {"type": "spatial", "axis": "y"},
        "time": {"type": "temporal"},
        "spectral": {"type": "bands", "values": ["B04", "B03", "B02"]},
    }
    lake.add(document | {"cube:dimensions": spoken}, items)
    found = lake.open("light")
    assert found.dims == ("time", "spectral", "lat", "lon")
    assert found["spectral"].values.tolist() == ["B04", "B03", "B02"]
