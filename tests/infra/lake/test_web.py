"""STAC, files and stores behind a real HTTP server: ranges, pages, versions, limits, and what is not followed."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from gemel.base.errors import Denied, InvalidInput, NotFound, ProcessRefused, StoreUnavailable
from gemel.core.graph import Surroundings, within
from gemel.core.processes.loading import load_stac, load_url
from gemel.infra.lake.formats import format_named
from gemel.infra.lake.formats._zarr import write_store
from gemel.infra.lake.web import Cache, Web

rasterio = pytest.importorskip("rasterio", reason="the extra [data] is not installed")

_UTM = "proj:code", "EPSG:32632"


@pytest.fixture(autouse=True)
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run every test inside of an engine's home; GDAL must not remember files of an earlier test's server."""
    monkeypatch.setenv("CPL_VSIL_CURL_NON_CACHED", "/vsicurl/http://127.0.0.1")
    place = Surroundings(tmp_path / "home", tmp_path / "files")
    (tmp_path / "files").mkdir()
    with within(place):
        yield place


def items_of(cube: xr.DataArray, folder: Path, prefix: str = "") -> list[dict[str, Any]]:
    """Write a COG per day into the folder and return their items."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for i in range(cube.sizes["t"]):
        (path,) = format_named("COG").write(cube.isel(t=[i]), folder / f"day{i}.tif", {"blocksize": 128})
        asset = {
            "href": f"{prefix}{path.name}",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "bands": [{"name": name} for name in cube["bands"].values.tolist()],
        }
        found.append(
            {
                "type": "Feature",
                "stac_version": "1.1.0",
                "id": f"day{i}",
                "bbox": [9.0, 45.1, 9.1, 45.2],
                "geometry": None,
                "properties": {
                    "datetime": np.datetime_as_string(cube["t"].values[i], unit="s") + "Z",
                    "eo:cloud_cover": 10 * i,
                },
                "links": [],
                "assets": {"data": asset},
            }
        )
    return found


def static_catalogue(site: Any, cube: xr.DataArray) -> str:
    """Put a static catalogue with relative references on the site: catalogue, collection, items, files."""
    items = items_of(cube, site.folder / "light" / "files", "../files/")
    (site.folder / "light" / "items").mkdir()
    for item in items:
        (site.folder / "light" / "items" / f"{item['id']}.json").write_text(json.dumps(item))
    links = [{"rel": "item", "href": f"./items/{item['id']}.json"} for item in items]
    collection = {"type": "Collection", "id": "light", "links": links}
    (site.folder / "light" / "collection.json").write_text(json.dumps(collection))
    root = {"type": "Catalog", "id": "root", "links": [{"rel": "child", "href": "light/collection.json"}]}
    (site.folder / "catalog.json").write_text(json.dumps(root))
    return f"{site.address}/light/collection.json"


def stac(url: str, **more: Any) -> xr.DataArray:
    return load_stac.function(url, **more)


def test_a_static_collection_is_a_cube(site: Any, cube: xr.DataArray) -> None:
    url = static_catalogue(site, cube)
    xr.testing.assert_allclose(stac(url).load().drop_attrs(), cube.drop_attrs())
    xr.testing.assert_allclose(stac(f"{site.address}/catalog.json").load().drop_attrs(), cube.drop_attrs())
    one = stac(f"{site.address}/light/items/day1.json", bands=["B03"])
    xr.testing.assert_allclose(one.load().drop_attrs(), cube.isel(t=[1], bands=[1]).drop_attrs())


def test_only_the_tiles_asked_for_travel(site: Any) -> None:
    values = np.random.default_rng(5).integers(0, 2**16, (1, 1, 2048, 2048)).astype("uint16")
    coords = {
        "t": np.array(["2020-01-01"], "M8[ns]"),
        "bands": ["B02"],
        "y": 5_000_000.0 - 10 * np.arange(2048),
        "x": 500_000.0 + 10 * np.arange(2048),
    }
    big = xr.DataArray(values, coords, ("t", "bands", "y", "x"))
    big = big.assign_coords(spatial_ref=((), 0, {"crs_wkt": rasterio.crs.CRS.from_epsg(32632).to_wkt()}))
    url = static_catalogue(site, big)
    size = (site.folder / "light" / "files" / "day0.tif").stat().st_size
    cube = stac(url)
    site.requests.clear()
    window = cube.isel(y=slice(1000, 1100), x=slice(300, 420))
    np.testing.assert_array_equal(window.values[0, 0], values[0, 0, 1000:1100, 300:420])
    ranges = [found for method, path, found in site.requests if path.endswith(".tif") and method == "GET"]
    assert ranges and all(ranges)
    assert sum(asked(found) for found in ranges) < size / 4


def asked(header: str) -> int:
    first, last = header.removeprefix("bytes=").split("-")
    return int(last) - int(first) + 1


def test_extents_and_conditions_choose_items(site: Any, cube: xr.DataArray) -> None:
    url = static_catalogue(site, cube)
    assert stac(url, temporal_extent=["2020-01-01", "2020-01-02"]).sizes["t"] == 1
    child = {
        "process_graph": {
            "lte": {
                "process_id": "lte",
                "arguments": {"x": {"from_parameter": "value"}, "y": 5},
                "result": True,
            }
        }
    }
    found = stac(url, properties={"eo:cloud_cover": child})
    assert found["t"].values.tolist() == cube["t"].values[:1].tolist()
    with pytest.raises(ProcessRefused) as caught:
        stac(url, spatial_extent={"west": 20, "south": 45, "east": 21, "north": 46})
    assert caught.value.context["exception"] == "NoDataAvailable"
    with pytest.raises(ProcessRefused) as caught:
        stac(url, temporal_extent=["2020-01-02", "2020-01-01"])
    assert caught.value.context["exception"] == "TemporalExtentEmpty"


def api(site: Any, cube: xr.DataArray, method: str, page: int = 1) -> tuple[str, list[Any]]:
    """Put a STAC API on the site whose pages hold `page` items, and return its collection's address."""
    items = items_of(cube, site.folder / "files", f"{site.address}/files/")
    searches: list[Any] = []

    def search(query: dict[str, str], body: Any) -> tuple[int, Any]:
        given = body if method == "POST" else query
        searches.append(dict(given))
        begin = int(given.get("token", 0))
        links = []
        if begin + page < len(items):
            following = {"rel": "next", "href": f"{site.address}/search", "method": method}
            if method == "POST":
                links = [following | {"body": {"token": begin + page}, "merge": True}]
            else:
                links = [following | {"href": f"{site.address}/search?token={begin + page}"}]
        return 200, {"type": "FeatureCollection", "features": items[begin : begin + page], "links": links}

    site.routes["/search"] = search
    root = {"type": "Catalog", "links": [{"rel": "search", "href": f"{site.address}/search", "method": method}]}
    site.routes["/"] = lambda query, body: (200, root)
    links = [
        {"rel": "root", "href": f"{site.address}/"},
        {"rel": "items", "href": f"{site.address}/collections/c/items"},
    ]
    site.routes["/collections/c"] = lambda query, body: (200, {"type": "Collection", "id": "c", "links": links})
    return f"{site.address}/collections/c", searches


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_search_is_asked_for_the_extents_and_followed_to_its_last_page(
    method: str, site: Any, cube: xr.DataArray
) -> None:
    url, searches = api(site, cube, method)
    box = {"west": 9.0, "south": 45.0, "east": 9.5, "north": 45.5}
    found = stac(url, spatial_extent=box, temporal_extent=["2020-01-01", "2020-02-01"])
    xr.testing.assert_allclose(found.load().drop_attrs(), cube.drop_attrs())
    assert len(searches) == 2
    first = searches[0]
    assert first["datetime"] == "2020-01-01T00:00:00.000Z/2020-02-01T00:00:00.000Z"
    if method == "POST":
        assert (first["collections"], first["bbox"]) == (["c"], [9.0, 45.0, 9.5, 45.5])
        assert searches[1] == first | {"token": 1}
    else:
        assert (first["collections"], first["bbox"]) == ("c", "9.0,45.0,9.5,45.5")


def test_an_api_without_search_is_paged_through_its_items(site: Any, cube: xr.DataArray) -> None:
    url, _ = api(site, cube, "GET", page=9)
    site.routes["/"] = lambda query, body: (404, {})
    items = site.routes["/search"]
    site.routes["/collections/c/items"] = lambda query, body: items(query, body)
    xr.testing.assert_allclose(stac(url).load().drop_attrs(), cube.drop_attrs())


def test_a_catalogue_that_holds_itself_is_walked_once(site: Any, cube: xr.DataArray) -> None:
    url = static_catalogue(site, cube)
    path = site.folder / "light" / "collection.json"
    document = json.loads(path.read_text())
    document["links"] += [{"rel": "child", "href": "collection.json"}, {"rel": "child", "href": "../catalog.json"}]
    path.write_text(json.dumps(document))
    xr.testing.assert_allclose(stac(url).load().drop_attrs(), cube.drop_attrs())


@pytest.mark.parametrize(
    "change", [{"assets": []}, {"properties": 7}, {"bbox": ["a"]}, {"assets": {"data": 1}}, {"properties": {}}]
)
def test_malformed_documents_are_refused(change: dict[str, Any], site: Any, cube: xr.DataArray) -> None:
    url = static_catalogue(site, cube)
    for item in (site.folder / "light" / "items").iterdir():
        item.write_text(json.dumps(json.loads(item.read_text()) | change))
    if "bbox" in change:
        assert stac(url).sizes["t"] == 2
        return
    with pytest.raises(InvalidInput):
        stac(url)


def test_pages_that_go_round_in_circles_are_noticed(site: Any, cube: xr.DataArray) -> None:
    url, _ = api(site, cube, "GET")
    answer = {"type": "FeatureCollection", "features": [{"type": "Feature", "id": "a", "properties": {}}]}
    loop = answer | {"links": [{"rel": "next", "href": f"{site.address}/search?token=1"}]}
    loop["features"][0]["properties"] = {"datetime": "2020-01-01T00:00:00Z"}
    site.routes["/search"] = lambda query, body: (200, loop)
    with pytest.raises(InvalidInput, match="round in circles"):
        stac(url)


def test_the_key_of_a_step_follows_the_documents_and_files(site: Any, cube: xr.DataArray) -> None:
    url = static_catalogue(site, cube)
    state: Callable[..., Any] = load_stac.fingerprint
    before = state(url=url)
    assert state(url=url) == before
    assert state(url=url, temporal_extent=["2020-01-02", None]) != before
    path = site.folder / "light" / "files" / "day0.tif"
    content = path.read_bytes()
    path.write_bytes(content + b"\0")
    touched = state(url=url)
    assert touched != before
    path.write_bytes(content)
    assert state(url=url) == before
    item = site.folder / "light" / "items" / "day0.json"
    document = json.loads(item.read_text())
    document["properties"]["updated"] = "2024-01-01T00:00:00Z"
    item.write_text(json.dumps(document))
    stamped = state(url=url)
    assert stamped not in (before, touched)
    # Links and signatures in addresses change from one answer to the next and mean nothing.
    document["links"] = [{"rel": "self", "href": "https://example.org/?now=1"}]
    document["assets"]["data"]["href"] += "?signature=abc"
    item.write_text(json.dumps(document))
    assert state(url=url) == stamped


@pytest.mark.parametrize(
    "href",
    ["file:///etc/hostname", "/vsigzip//etc/hostname", "s3://bucket/a.tif", "vsi:a", "GTIFF_DIR:1:/etc/hostname"],
)
def test_a_remote_document_leads_to_no_local_file(href: str, site: Any, cube: xr.DataArray) -> None:
    url = static_catalogue(site, cube)
    item = site.folder / "light" / "items" / "day0.json"
    document = json.loads(item.read_text())
    document["assets"]["data"]["href"] = href
    item.write_text(json.dumps(document))
    with pytest.raises((Denied, InvalidInput), match=r"not followed|local file|code: 404"):
        stac(url)


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]"])
def test_a_redirect_leads_to_no_secrets_of_a_cloud(host: str) -> None:
    with Web() as web, pytest.raises(Denied, match="not a host to read data from"):
        web.document(f"http://{host}/latest/meta-data/")


def test_a_raster_of_another_kind_is_not_opened_as_one(site: Any, cube: xr.DataArray) -> None:
    """A VRT could refer to any file of this machine, so GDAL is never let guess."""
    url = static_catalogue(site, cube)
    trap = '<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand band="1"><SimpleSource><SourceFilename>'
    (site.folder / "light" / "files" / "day0.tif").write_text(trap + "/etc/hostname")
    with pytest.raises(InvalidInput, match=r"day0\.tif.*GTiff"):
        stac(url)


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, NotFound), (410, NotFound), (401, Denied), (403, Denied), (500, StoreUnavailable), (418, InvalidInput)],
)
def test_statuses_become_errors_that_say_what_is_wrong(status: int, error: type[Exception], site: Any) -> None:
    site.routes["/thing"] = lambda query, body: (status, {})
    with pytest.raises(error):
        stac(f"{site.address}/thing")


@pytest.mark.parametrize("document", [b"<html>", b'"text"', b'{"type": "Nothing"}', b"{}", b"\xff\xfe"])
def test_what_is_no_stac_is_refused(document: bytes, site: Any) -> None:
    site.routes["/thing"] = lambda query, body: (200, document)
    with pytest.raises(InvalidInput, match="/thing"):
        stac(f"{site.address}/thing")


def test_an_unreachable_host_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}' cannot be reached"):
        stac(f"http://127.0.0.1:{port}/c")
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        load_url.function("http://nowhere.invalid/a.nc", "netCDF")


def test_a_catalogue_has_only_so_much_time(site: Any, cube: xr.DataArray) -> None:
    url = static_catalogue(site, cube)
    with Web(seconds=0.0) as web, pytest.raises(StoreUnavailable, match="took longer than 0 s"):
        web.document(url)


@pytest.mark.parametrize("name", ["netCDF", "GTiff", "GeoJSON", "CSV", "Parquet", "Zarr"])
def test_a_file_is_loaded_from_its_address(name: str, site: Any, cube: xr.DataArray) -> None:
    format = format_named(name)
    if name == "GeoJSON":
        point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [9, 45]}, "properties": {"a": 1}}
        (site.folder / "r.geojson").write_text(json.dumps(point))
    else:
        format.write(cube.isel(t=[0]), site.folder / f"r{format.suffix}")
    found = load_url.function(f"{site.address}/r{format.suffix}", name.upper())
    assert isinstance(found, xr.DataArray) or len(found) == 20
    if name in ("netCDF", "GTiff", "Zarr"):
        xr.testing.assert_allclose(found.load(), cube.isel(t=[0]))
    count = len([item for item in site.requests if item[0] == "GET"])
    assert count == 1


def test_the_content_tells_what_a_file_is(site: Any) -> None:
    (site.folder / "r.nc").write_text("<html>Sorry</html>")
    with pytest.raises(ProcessRefused, match="does not begin as NetCDF") as caught:
        load_url.function(f"{site.address}/r.nc", "netCDF")
    assert caught.value.context["exception"] == "FormatUnsuitable"
    (site.folder / "r.tif").write_text('{"type": "Point", "coordinates": [1, 2]}')
    with pytest.raises(ProcessRefused, match=r"'r\.tif' is no GTiff: its content looks like GeoJSON"):
        load_url.function(f"{site.address}/r.tif", "GTiff")


def kept_files(home: Path) -> list[Path]:
    return [path for path in (home / "cache").rglob("*") if path.is_file()]


def test_a_version_is_downloaded_once_and_a_new_one_again(site: Any, cube: xr.DataArray, engine: Any) -> None:
    (path,) = format_named("netCDF").write(cube, site.folder / "r.nc")
    url = f"{site.address}/r.nc"
    before = load_url.fingerprint(url=url)
    load_url.function(url, "netCDF")
    load_url.function(url, "netCDF")
    assert len(kept_files(engine.home)) == 1
    format_named("netCDF").write(cube + 1, path)
    assert load_url.fingerprint(url=url) != before
    assert (load_url.function(url, "netCDF").values == cube.values + 1).all()
    assert len(kept_files(engine.home)) == 2


def test_the_cache_keeps_within_its_limits(site: Any, tmp_path: Path) -> None:
    for name, size in (("a", 400), ("b", 400), ("c", 400)):
        (site.folder / name).write_bytes(name.encode() * size)
    cache = Cache(tmp_path / "cache", total=1000)
    with Web() as web:
        with pytest.raises(InvalidInput, match="larger than 300 B"):
            cache.file(web, f"{site.address}/a", limit=300)
        assert kept_files(tmp_path) == []
        kept = [cache.file(web, f"{site.address}/{name}") for name in "abc"]
    assert [path.exists() for path in kept].count(True) == 2
    assert kept[2].read_bytes() == b"c" * 400


def test_a_zarr_store_on_the_web_is_read_chunk_by_chunk(site: Any, cube: xr.DataArray) -> None:
    zarr = pytest.importorskip("zarr")
    options = {"compression": "zstd", "level": 3, "bands_as_variables": True, "chunks": {"t": 1}}
    write_store(cube, site.folder / "cube.zarr", options)
    with pytest.warns(zarr.errors.ZarrUserWarning, match="Consolidated"):
        zarr.consolidate_metadata(site.folder / "cube.zarr")
    asset = {"href": "cube.zarr", "type": "application/vnd.zarr", "roles": ["data"]}
    collection = {"type": "Collection", "id": "c", "links": [], "assets": {"data": asset}}
    (site.folder / "collection.json").write_text(json.dumps(collection))
    found = stac(f"{site.address}/collection.json", temporal_extent=["2020-01-02", None], bands=["B03"])
    site.requests.clear()
    np.testing.assert_array_equal(found.values, cube.values[1:, 1:2])
    chunks = [path for _, path, _ in site.requests if "/c/" in path]
    assert chunks == ["/cube.zarr/B03/c/1/0/0"]


def test_netcdf_items_on_the_web_are_kept_in_the_cache(site: Any, cube: xr.DataArray, engine: Any) -> None:
    for i in range(2):
        format_named("netCDF").write(cube.isel(t=[i]), site.folder / f"day{i}.nc")
    features = [
        {
            "type": "Feature",
            "id": str(i),
            "properties": {"datetime": f"2020-01-0{i + 1}T00:00:00Z"},
            "assets": {"data": {"href": f"day{i}.nc", "type": "application/x-netcdf"}},
        }
        for i in range(2)
    ]
    (site.folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    xr.testing.assert_equal(stac(f"{site.address}/items.json").load(), cube)
    assert len(kept_files(engine.home)) == 2


def test_local_documents_are_those_of_the_workspace(cube: xr.DataArray, engine: Any, tmp_path: Path) -> None:
    items = items_of(cube, engine.files)
    (engine.files / "item.json").write_text(json.dumps(items[0]))
    assert stac("item.json").sizes["t"] == 1
    assert stac("/item.json").sizes["t"] == 1
    (tmp_path / "outside.json").write_text(json.dumps(items[0]))
    for path in ("../outside.json", str(tmp_path / "outside.json"), "/etc/passwd"):
        with pytest.raises((InvalidInput, NotFound)):
            stac(path)
    stolen = items[0] | {"assets": {"data": items[0]["assets"]["data"] | {"href": "../outside.tif"}}}
    (engine.files / "stolen.json").write_text(json.dumps(stolen))
    with pytest.raises(Denied, match="out of the lake"):
        stac("stolen.json")
