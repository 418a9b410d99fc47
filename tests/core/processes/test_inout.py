"""The processes that load and save, as plain functions and as steps of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr

from gemel.base.errors import InvalidInput, NotFound, ProcessRefused
from gemel.base.ids import digest_file
from gemel.core.graph import (
    Execution,
    Graph,
    Journal,
    NewRun,
    Registry,
    ResultStore,
    Run,
    RunControl,
    Services,
    Surroundings,
    plan,
    require_valid,
    within,
)
from gemel.core.processes.loading import load_collection, load_geojson, load_stac, load_uploaded_files, load_url
from gemel.core.processes.saving import save_result
from gemel.infra.lake import ContentStore
from gemel.infra.lake._axes import crs_of, parsed_crs, with_grid
from gemel.infra.lake.collections import Collections
from gemel.infra.lake.formats import format_named, formats
from gemel.infra.store import open_store

pytest.importorskip("rasterio", reason="the extra [data] is not installed")
pytest.importorskip("xvec", reason="the extra [data] is not installed")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Surroundings]:
    """Return the surroundings of a step, with a synthetic collection `light` in the lake."""
    place = Surroundings(tmp_path / "home", tmp_path / "files")
    (tmp_path / "files").mkdir()
    Collections(tmp_path / "home").add_dataset("light", cube())
    with within(place):
        yield place


def cube() -> xr.DataArray:
    values = np.arange(2 * 3 * 4 * 5, dtype="float32").reshape(2, 3, 4, 5)
    coords = {
        "t": np.array(["2020-01-01", "2020-01-02"], "M8[ns]"),
        "bands": ["B02", "B03", "B04"],
        "y": 5_000_035.0 - 10.0 * np.arange(4),
        "x": 500_005.0 + 10.0 * np.arange(5),
    }
    made = xr.DataArray(values, coords, ("t", "bands", "y", "x"), name="light", attrs={"units": "W m-2"})
    return with_grid(made, parsed_crs(32632))


def stored(engine: Surroundings, asset: dict[str, Any]) -> Path:
    return ContentStore(engine.lake() / "results").path(asset["gemel:digest"])


@pytest.mark.parametrize(
    "name",
    [name for name, format in formats().items() if format.writer and name not in ("GeoJSON", "GPKG", "Filterbank")],
)
def test_a_saved_result_is_a_stac_item_of_files_in_the_store(name: str, engine: Surroundings) -> None:
    data = load_collection.function("light", None, None)
    item = save_result.function(data, name.lower())
    assert json.loads(json.dumps(item)) == item
    assert (item["type"], item["stac_version"], item["links"]) == ("Feature", "1.1.0", [])
    assert item["properties"]["start_datetime"] == "2020-01-01T00:00:00Z"
    assert item["properties"]["end_datetime"] == "2020-01-02T00:00:00Z"
    assert item["properties"]["proj:code"] == "EPSG:32632"
    assert item["properties"]["cube:dimensions"]["bands"]["values"] == ["B02", "B03", "B04"]
    west, south, east, north = item["bbox"]
    assert shapely.geometry.shape(item["geometry"]).bounds == (west, south, east, north)
    assert pytest.approx(west, abs=1e-6) == 9.0
    for key, asset in item["assets"].items():
        path = stored(engine, asset)
        assert key.startswith("result") and key.endswith(formats()[name].suffix)
        assert asset["href"] == key and asset["roles"] == ["data"]
        assert asset["type"] == formats()[name].media_type
        assert asset["file:size"] == path.stat().st_size
        assert asset["file:checksum"] == "1220" + digest_file(path) == "1220" + asset["gemel:digest"]
    assert not any((engine.lake() / "scratch").iterdir())


def test_saving_the_same_twice_keeps_one_file(engine: Surroundings) -> None:
    first, second = (save_result.function(cube(), "netCDF") for _ in range(2))
    assert first["id"] == second["id"] and first["assets"] == second["assets"]


def test_a_saved_result_can_be_loaded_as_stac(engine: Surroundings) -> None:
    assert engine.files is not None
    item = save_result.function(cube(), "COG")
    assert [asset["datetime"] for asset in item["assets"].values()] == ["2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"]
    for key, asset in item["assets"].items():
        (engine.files / key).write_bytes(stored(engine, asset).read_bytes())
    (engine.files / "item.json").write_text(json.dumps(item))
    found = load_stac.function("item.json", bands=["B04"]).load()
    xr.testing.assert_allclose(found.drop_attrs(), cube().sel(bands=["B04"]).drop_attrs())
    assert found.attrs["units"] == "W m-2"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), "CSV"),
        (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), "Parquet"),
        (3.5, "JSON"),
        ([1, None, 2], "JSON"),
        ([{"a": 1}, {"a": 2}], "csv"),
    ],
)
def test_tables_and_plain_values_are_saved(value: Any, name: str, engine: Surroundings) -> None:
    item = save_result.function(value, name)
    (asset,) = item["assets"].values()
    found = format_named(name).read(stored(engine, asset))
    if isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(found, value, check_dtype=False)
    elif name == "csv":
        assert found["a"].tolist() == [1, 2]
    else:
        assert found == value
    assert item["geometry"] is None and item["properties"]["datetime"]


@pytest.mark.parametrize(
    ("value", "name", "exception"),
    [
        (cube().isel(t=[]), "netCDF", "DataCubeEmpty"),
        (cube(), "GeoJSON", "FormatUnsuitable"),
        (cube(), "Word", "FormatUnsuitable"),
        (7, "GTiff", "FormatUnsuitable"),
    ],
)
def test_what_cannot_be_saved_is_refused_by_name(value: Any, name: str, exception: str, engine: Surroundings) -> None:
    with pytest.raises(ProcessRefused) as caught:
        save_result.function(value, name)
    assert caught.value.context["exception"] == exception
    results = engine.lake() / "results"
    assert not results.exists() or not any(results.iterdir())
    assert not any((engine.lake() / "scratch").iterdir())


def test_a_collection_is_loaded_lazily_and_restricted(engine: Surroundings) -> None:
    box = {"west": 500_010, "south": 5_000_000, "east": 500_030, "north": 5_000_025, "crs": 32632}
    found = load_collection.function("light", box, ["2020-01-02", None], ["B04"])
    assert not found.variable._in_memory
    xr.testing.assert_allclose(found.load(), cube().isel(t=[1], bands=[2], y=slice(1, 4), x=slice(1, 3)))
    for arguments, exception in (
        (("light", {"west": 0, "south": 0, "east": 1, "north": 1}, None), "NoDataAvailable"),
        (("light", None, ["2021-01-01", None]), "NoDataAvailable"),
        (("light", None, ["2020-01-02", "2020-01-02"]), "TemporalExtentEmpty"),
    ):
        with pytest.raises(ProcessRefused) as caught:
            load_collection.function(*arguments)
        assert caught.value.context["exception"] == exception
    with pytest.raises(InvalidInput, match="no band 'B05'"):
        load_collection.function("light", None, None, ["B05"])
    with pytest.raises(NotFound, match="no collection 'lihgt'"):
        load_collection.function("lihgt", None, None)


def test_a_vector_cube_is_an_extent(engine: Surroundings) -> None:
    geometry = shapely.geometry.mapping(shapely.box(9.0, 45.0, 9.0002, 45.2))
    field = load_geojson.function(geometry)
    found = load_collection.function("light", field, None)
    assert 0 < found.sizes["x"] < 5 and np.isfinite(found.values).any()


def test_conditions_are_met_by_items_or_the_collection(engine: Surroundings) -> None:
    lake = Collections(engine.lake())
    document = lake.get("light")
    lake.remove("light")
    lake.add(document | {"id": "described", "summaries": {"platform": "sim"}, "assets": {}}, [])
    condition = {
        "process_graph": {
            "eq": {
                "process_id": "eq",
                "arguments": {"x": {"from_parameter": "value"}, "y": "sim"},
                "result": True,
            }
        }
    }
    lake.add_dataset("sim", cube(), summaries={"platform": "sim"})
    lake.add_dataset("real", cube(), summaries={"platform": "real"})
    assert load_collection.function("sim", None, None, None, {"platform": condition}).shape == (2, 3, 4, 5)
    with pytest.raises(ProcessRefused, match="conditions"):
        load_collection.function("real", None, None, None, {"platform": condition})


def test_geojson_makes_dimensions_of_properties_as_the_specification_says() -> None:
    def feature(x: float, **properties: Any) -> dict[str, Any]:
        return {"type": "Feature", "geometry": {"type": "Point", "coordinates": [x, 1]}, "properties": properties}

    features = {
        "type": "FeatureCollection",
        "features": [feature(1, a=1, b="x", c=[1, 2]), feature(2, a=None, b="y", c=[3])],
    }
    plain = load_geojson.function(features)
    assert plain.dims == ("geometry",) and np.isnan(plain.values).all()
    assert plain["b"].values.tolist() == ["x", "y"]
    assert crs_of(plain).to_epsg() == 4326  # type: ignore[union-attr]
    single = load_geojson.function(features, ["a"])
    assert (single.dims, single["properties"].values.tolist()) == (("geometry", "properties"), ["a"])
    np.testing.assert_array_equal(single.values, [[1.0], [np.nan]])
    listed = load_geojson.function(features, ["c"])
    assert listed["properties"].values.tolist() == [0, 1]
    np.testing.assert_array_equal(listed.values, [[1, 2], [3, np.nan]])
    several = load_geojson.function(features, ["a", "b", "missing"])
    assert several["properties"].values.tolist() == ["a", "b", "missing"]
    assert several.values.tolist() == [[1.0, "x", None], [None, "y", None]]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"type": "GeometryCollection", "geometries": []},
        {"type": "Feature", "geometry": {"type": "GeometryCollection", "geometries": []}},
        {"type": "Polygon", "coordinates": [[1, 2]]},
        {"type": "Point", "coordinates": "here"},
    ],
)
def test_broken_geojson_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        load_geojson.function(data)


def test_uploaded_files_are_those_of_the_workspace_and_make_one_cube(engine: Surroundings, tmp_path: Path) -> None:
    assert engine.files is not None
    files = format_named("GTiff").write(cube(), engine.files / "day.tif")
    names = [path.name for path in files]
    found = load_uploaded_files.function(names[::-1], "gtiff").load()
    xr.testing.assert_allclose(found, cube())
    xr.testing.assert_allclose(load_uploaded_files.function([f"/{names[0]}"], "GTiff").load(), cube().isel(t=[0]))
    (tmp_path / "outside.tif").write_bytes(files[0].read_bytes())
    (engine.files / "link.tif").symlink_to(tmp_path / "outside.tif")
    for path in ("../outside.tif", "missing.tif", "link.tif", str(tmp_path / "outside.tif"), "", "a\0b"):
        with pytest.raises(ProcessRefused) as caught:
            load_uploaded_files.function([path], "GTiff")
        assert caught.value.context["exception"] == "FileNotFound"
    with pytest.raises(ProcessRefused, match="looks like GTiff") as caught:
        load_uploaded_files.function(names, "netCDF")
    assert caught.value.context["exception"] == "FormatUnsuitable"


def test_files_of_the_same_instants_and_bands_do_not_make_one_cube(engine: Surroundings) -> None:
    assert engine.files is not None
    for name in ("a", "b"):
        format_named("netCDF").write(cube(), engine.files / f"{name}.nc")
    with pytest.raises(InvalidInput, match="neither in their instants nor in their bands"):
        load_uploaded_files.function(["a.nc", "b.nc"], "netCDF")


def test_features_of_several_files_lie_below_each_other(engine: Surroundings) -> None:
    assert engine.files is not None
    for i in range(2):
        point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [i, 1]}, "properties": {"a": i}}
        (engine.files / f"{i}.geojson").write_text(json.dumps(point))
    found = load_uploaded_files.function(["0.geojson", "1.geojson"], "GeoJSON")
    assert found.values.tolist() == [[0.0], [1.0]]
    assert [shape.x for shape in found["geometry"].values] == [0.0, 1.0]


def test_processes_are_described_as_the_standard_has_them() -> None:
    common = ["spatial_extent", "temporal_extent", "bands", "properties"]
    expected = [
        (load_collection, ["id", *common]),
        (load_stac, ["url", *common]),
        (load_geojson, ["data", "properties"]),
        (load_url, ["url", "format", "options"]),
        (load_uploaded_files, ["paths", "format", "options"]),
        (save_result, ["data", "format", "options"]),
    ]
    for process, names in expected:
        assert [parameter["name"] for parameter in process.describe()["parameters"]] == names
        assert Registry().get(process.id) is process
    assert save_result.durable and not load_collection.durable


class Bench:
    """A small engine that runs graphs in the surroundings of these tests."""

    def __init__(self, place: Surroundings) -> None:
        home = place.lake()
        self.store = open_store(f"sqlite:///{home}/journal.db")
        self.results = ResultStore(self.store, ContentStore(home / "results"), 65536)
        self.journal = Journal(self.store, self.results)
        self.pool = ThreadPoolExecutor(2)
        self.services = Services(self.journal, self.results, self.pool, {}, place)

    def run(self, graph: Graph) -> Run:
        registry = Registry()
        require_valid(graph, registry, {})
        run_id, _ = self.journal.create(NewRun("twin", graph, {}, "engine", graph.digest))
        Execution(run_id, plan(graph, registry, {}), self.services, RunControl(), None).run()
        return self.journal.get(run_id)

    def value(self, run: Run) -> Any:
        return self.results.load(self.results.get(run.outputs[0].key))

    def close(self) -> None:
        self.pool.shutdown()
        self.store.close()


def test_a_run_saves_once_and_again_when_the_collection_changes(engine: Surroundings) -> None:
    nodes = {
        "load": {
            "process_id": "load_collection",
            "arguments": {"id": "light", "spatial_extent": None, "temporal_extent": ["2020-01-01", "2020-01-02"]},
        },
        "save": {
            "process_id": "save_result",
            "arguments": {"data": {"from_node": "load"}, "format": "netCDF"},
            "result": True,
        },
    }
    graph = Graph.from_json({"process_graph": nodes})
    bench = Bench(engine)
    try:
        first = bench.run(graph)
        assert first.state == "finished", first.error
        item = bench.value(first)
        (asset,) = item["assets"].values()
        found = format_named("netCDF").read(stored(engine, asset)).load()
        xr.testing.assert_equal(found, cube().isel(t=[0]))
        again = bench.run(graph)
        assert [step.cached for step in again.steps if step.node == "save"] == [True]
        lake = Collections(engine.lake())
        lake.remove("light")
        lake.add_dataset("light", cube() + 1)
        changed = bench.run(graph)
        assert [step.cached for step in changed.steps if step.node == "save"] == [False]
        (asset,) = bench.value(changed)["assets"].values()
        assert (format_named("netCDF").read(stored(engine, asset)).values == cube().values[:1] + 1).all()
    finally:
        bench.close()
