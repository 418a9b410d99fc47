"""What cannot be processed: one clear error with the node, the cause and what to do; nothing half-written; others go on."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from rasterio import Affine
from workbench import MONTHS, OVER_TIME, Bench, chain, child, load, ocean, weather

from gemel.base.errors import GemelError, GraphInvalid, ProcessRefused
from gemel.core.graph import Graph, Registry

Step = tuple[str, dict[str, Any]]
# A local engineering system (ISO 19111): nobody knows where on the Earth it lies.
NOWHERE = 'ENGCRS["site",EDATUM["peg"],CS[Cartesian,2],AXIS["east",east],AXIS["north",north],LENGTHUNIT["metre",1]]'
BOX = {"west": 3, "south": 42, "east": 6, "north": 45}
SAVE: Step = ("save_result", {"format": "netCDF"})
TARGET = {"type": "regular", "west": 0, "south": 40, "east": 10, "north": 45, "resolution": 0.5}
ELSEWHERE: Step = ("filter_bbox", {"extent": {"west": 100, "south": 0, "east": 101, "north": 1}})


@pytest.fixture(autouse=True)
def _a_good_engine_afterwards(bench: Bench) -> Any:
    home = bench.engine.settings.home
    if not bench.lake.list():
        bench.put("weather", weather())
    yield
    assert bench.value(("add", {"x": 1, "y": 2})) == 3
    assert not list((home / "scratch").glob("*"))
    assert not [path for path in (home / "collections").iterdir() if path.name.startswith(".")]


def told(bench: Bench, *steps: Step) -> tuple[str, str, str, str]:
    """Return node, cause, message and hint of the error that a chain ends in."""
    error = bench.error(chain(*steps))
    assert error["code"] == "run.step-failed"
    return error["context"]["step"], error["context"]["cause"], error["message"], error["hint"] or ""


CASES: dict[str, tuple[list[Step], str, str, str]] = {
    "no such collection": ([load("wether")], "load_collection", "'wether'", "'weather'"),
    "no such band": ([load("weather", bands=["t2n"])], "load_collection", "'t2n'", "'t2m'"),
    "box the wrong way round": (
        [load("weather", spatial_extent=BOX | {"north": 41})],
        "load_collection",
        "extent is empty",
        "greater",
    ),
    "box elsewhere": (
        [load("weather", spatial_extent={"west": 100, "south": 0, "east": 101, "north": 1})],
        "load_collection",
        "no data available",
        "own extents",
    ),
    "times elsewhere": (
        [load("weather", temporal_extent=["1990-01-01", "1991-01-01"])],
        "load_collection",
        "no instant",
        "own extents",
    ),
    "no such day": (
        [load("weather", temporal_extent=["2001-02-30", None])],
        "load_collection",
        "'2001-02-30'",
        "2018-01-01",
    ),
    "unknown reference system": (
        [load("weather", spatial_extent=BOX | {"crs": 99999})],
        "load_collection",
        "'99999'",
        "EPSG",
    ),
    "no way between reference systems": (
        [load("weather", spatial_extent=BOX | {"crs": NOWHERE})],
        "load_collection",
        "no transformation is known",
        "EPSG:4326",
    ),
    "projection to nowhere": (
        [load("weather"), ("resample_spatial", {"resolution": 1, "projection": NOWHERE})],
        "resample_spatial",
        "cannot be carried over",
        "projection",
    ),
    "no such dimension": (
        [load("weather"), ("reduce_dimension", {"dimension": "tme", "reducer": child("mean", data=[1])})],
        "reduce_dimension",
        "'tme'",
        "'time'",
    ),
    "another unit": ([load("weather"), ("harmonise", {"unit": "mm"})], "harmonise", "'K' cannot be converted", ""),
    "no unit at all": (
        [load("weather"), ("harmonise", {"unit": "furlongs per wombat"})],
        "harmonise",
        "'furlongs per wombat' is not a unit",
        "UDUNITS",
    ),
    "no cells to save": ([load("weather"), ELSEWHERE, SAVE], "save_result", "cube is empty", "extents"),
    "no cells to regrid": (
        [load("weather"), ELSEWHERE, ("regrid", {"target": TARGET})],
        "regrid",
        "no cells along",
        "extents",
    ),
    "a grid that nobody can hold": (
        [load("weather"), ("regrid", {"target": TARGET | {"resolution": 1e-7}})],
        "regrid",
        "may be used",
        "coarser",
    ),
    "a grid of words": (
        [load("weather"), ("regrid", {"target": TARGET | {"resolution": "fine"}})],
        "regrid",
        "'resolution' is no number",
        "",
    ),
    "no such format": ([load("weather"), ("save_result", {"format": "HDF9"})], "save_result", "'HDF9'", "netCDF"),
    "no such option": (
        [load("weather"), ("save_result", {"format": "netCDF", "options": {"zip": 1}})],
        "save_result",
        "'zip'",
        "zlib",
    ),
    "a gap of no length": ([load("weather"), ("fill_gaps", {"limit": 0})], "fill_gaps", "0 steps", "1 or more"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_the_error_names_node_cause_and_remedy(case: str, bench: Bench) -> None:
    steps, node, words, remedy = CASES[case]
    step, _, message, hint = told(bench, *steps)
    assert step == node and node in message
    assert words in message and remedy in hint


GRAPHS: dict[str, tuple[dict[str, Any], str]] = {
    "a cycle": (
        {"a": {"process_id": "add", "arguments": {"x": {"from_node": "b"}, "y": 1}, "result": True}}
        | {"b": {"process_id": "add", "arguments": {"x": {"from_node": "a"}, "y": 1}}},
        "a → b → a",
    ),
    "itself": ({"a": {"process_id": "absolute", "arguments": {"x": {"from_node": "a"}}, "result": True}}, "a → a"),
    "no such node": ({"a": {"process_id": "absolute", "arguments": {"x": {"from_node": "z"}}, "result": True}}, "'z'"),
    "no such process": ({"a": {"process_id": "absolut", "arguments": {"x": 1}, "result": True}}, "'absolut'"),
    "a missing argument": ({"a": {"process_id": "absolute", "arguments": {}, "result": True}}, "'x'"),
    "a wrong type": ({"a": {"process_id": "absolute", "arguments": {"x": "one"}, "result": True}}, "one"),
    "no result": ({"a": {"process_id": "absolute", "arguments": {"x": 1}}}, "result"),
    "no year": (
        chain(load("weather"), ("climatological_normal", {"period": "month", "climatology_period": ["x", "y"]}))[
            "process_graph"
        ],
        "is not a year",
    ),
}


@pytest.mark.parametrize("case", list(GRAPHS))
def test_a_graph_that_cannot_run_is_refused_before_it_does(case: str, bench: Bench) -> None:
    nodes, words = GRAPHS[case]
    with pytest.raises(GraphInvalid) as caught:
        bench.engine.graphs.start(Graph.from_json({"process_graph": nodes}))
    assert words in f"{caught.value.message} {caught.value.context}"


def test_times_in_disorder_are_put_in_order_and_times_that_are_there_twice_are_refused(bench: Bench) -> None:
    cube = weather(6).copy()
    cube.values[2] = np.nan
    bench.put("disorder", cube.isel(time=[3, 1, 2, 0, 5, 4]))
    filled = bench.value(load("disorder"), ("fill_gaps", {}))
    np.testing.assert_allclose(filled.values[2], (cube.values[1] + cube.values[3]) / 2, rtol=1e-6)
    bench.put("twice", cube.isel(time=[0, 1, 1, 2, 3]))
    node, cause, message, hint = told(bench, load("twice"), ("fill_gaps", {}))
    assert (node, cause) == ("fill_gaps", "input.invalid") and "twice" in message and "keep one" in hint


def test_a_latitude_in_disorder_is_refused_where_neighbours_count(bench: Bench) -> None:
    cube = weather(2).isel(latitude=np.random.default_rng(4).permutation(20))
    bench.put("jumbled", cube)
    for step in (("regrid", {"target": TARGET}), ("resample_spatial", {"resolution": 1})):
        assert "'latitude'" in told(bench, load("jumbled"), step)[2]
    # Mean values over time ask for no neighbours.
    np.testing.assert_allclose(bench.value(load("jumbled"), OVER_TIME).values, cube.mean("time").values, rtol=1e-6)


def test_sources_in_different_units_or_on_different_grids_are_no_pair(bench: Bench) -> None:
    bench.put("rain", weather(9).assign_attrs(units="mm"))
    bench.put("other", weather(9).rename(latitude="y", longitude="x"))

    def error(process: str, other: str, **arguments: Any) -> dict[str, Any]:
        nodes: dict[str, Any] = {"one": dict(zip(("process_id", "arguments"), load("weather"), strict=True))}
        nodes["other"] = dict(zip(("process_id", "arguments"), load(other), strict=True))
        nodes["both"] = {"process_id": process, "arguments": arguments, "result": True}
        return bench.error({"process_graph": nodes})

    one, other = {"from_node": "one"}, {"from_node": "other"}
    for found in (
        error("residuals", "rain", observed=one, modelled=other),
        error("merge_sources", "rain", sources=[one, other]),
    ):
        assert found["context"]["cause"] == "unit.mismatch" and "'mm'" in found["message"]
    assert "different grids" in error("residuals", "other", observed=one, modelled=other)["message"]
    assert "do not lie on one grid" in error("merge_sources", "other", sources=[one, other])["message"]


def test_a_curvilinear_grid_says_what_to_do(bench: Bench) -> None:
    bench.put("ocean", ocean(), variables=["temp"])
    box = {"west": 8, "south": 53, "east": 10, "north": 55}
    _, _, message, hint = told(bench, load("ocean", spatial_extent=box))
    assert "curvilinear" in message and "regrid" in hint
    with pytest.raises(GemelError, match="different dimensions"):
        bench.put("both", ocean())


def test_a_calendar_that_a_format_lacks_is_named(bench: Bench) -> None:
    times = xr.date_range("2000-02-28", periods=4, calendar="360_day", use_cftime=True)
    bench.put("model", weather(4).assign_coords(time=times))
    _, _, message, hint = told(bench, load("model"), ("save_result", {"format": "Parquet"}))
    assert "'360_day'" in message and "harmonise" in hint


def netcdf(path: Path) -> None:
    weather().to_dataset().to_netcdf(path, encoding={"t2m": {"zlib": True, "chunksizes": (30, 10, 10)}})


def geotiff(path: Path) -> None:
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 500000, 0, -10, 5600000), "compress": "deflate"}
    values = np.random.default_rng(1).normal(0, 1, (1, 500, 600)).astype("f4")
    with rasterio.open(path, "w", driver="COG", width=600, height=500, count=1, dtype="float32", **place) as file:
        file.write(values)


def cut_off(path: Path) -> None:
    os.truncate(path, int(path.stat().st_size * 0.6))


def spoilt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40_000] = np.random.default_rng(2).bytes(40_000)
    path.write_bytes(content)


def lying(path: Path) -> None:
    """Let the header of a GeoTIFF declare two million rows and columns (TIFF 6.0, tags 256 and 257)."""
    content = bytearray(path.read_bytes())
    directory = struct.unpack_from("<I", content, 4)[0]
    for entry in range(struct.unpack_from("<H", content, directory)[0]):
        place = directory + 2 + 12 * entry
        if struct.unpack_from("<H", content, place)[0] in (256, 257):
            struct.pack_into("<H", content, place + 2, 4)
            struct.pack_into("<I", content, place + 8, 2_000_000)
    path.write_bytes(content)


def gone(path: Path) -> None:
    path.unlink()


FILES: dict[str, tuple[str, Callable[[Path], None], Callable[[Path], None]]] = {
    "NetCDF cut off": ("cut.nc", netcdf, cut_off),
    "NetCDF spoilt": ("spoilt.nc", netcdf, spoilt),
    "NetCDF gone": ("gone.nc", netcdf, gone),
    "COG cut off": ("cut.tif", geotiff, cut_off),
    "COG spoilt": ("spoilt.tif", geotiff, spoilt),
    "COG that lies": ("lying.tif", geotiff, lying),
}


@pytest.mark.parametrize("case", list(FILES))
def test_a_file_that_is_damaged_later_is_named(case: str, bench: Bench) -> None:
    name, make, damage = FILES[case]
    path = bench.files / name
    make(path)
    bench.put("damaged", path)
    damage(path)
    over = "bands" if name.endswith(".tif") else "time"
    reduce = ("reduce_dimension", {"dimension": over, "reducer": child("mean", data={"from_parameter": "data"})})
    for last in (reduce, SAVE):
        _, cause, message, hint = told(bench, load("damaged"), last)
        assert cause in ("input.invalid", "process.refused") and f"'{name}'" in message and hint


@pytest.mark.parametrize(
    "content", [b"", b"GRIB\0\0\0\2junk", b"\x89HDF\r\n\x1a\nxx", b"II*\0xx", b"hello", b"CDF\x01x"]
)
def test_a_file_that_is_none_never_becomes_a_collection(content: bytes, bench: Bench) -> None:
    path = bench.files / "junk.nc"
    path.write_bytes(content)
    before = bench.lake.list()
    with pytest.raises(GemelError) as caught:
        bench.lake.add_dataset("junk", path)
    assert "junk.nc" in caught.value.message and caught.value.hint
    assert bench.lake.list() == before


def test_one_graph_fails_while_another_goes_on(bench: Bench) -> None:
    graphs = bench.engine.graphs
    bad = graphs.start(Graph.from_json(chain(load("weather", bands=["x"]))))
    good = graphs.start(Graph.from_json(chain(load("weather"), MONTHS)))
    assert graphs.wait(bad).state == "failed" and graphs.wait(good).state == "finished"


def test_times_of_two_calendars_are_not_mixed():
    day = xr.date_range("2001-01-01", periods=3, calendar="360_day", use_cftime=True)
    first = xr.DataArray([1.0, 2.0, 3.0], {"t": pd.date_range("2000-01-01", periods=3)}, ("t",))
    second = xr.DataArray([4.0, 5.0, 6.0], {"t": day}, ("t",))
    for name in ("merge_cubes", "resample_cube_temporal"):
        with pytest.raises(ProcessRefused, match="calendars") as caught:
            Registry().get(name).function(first, second)
        assert "harmonise" in caught.value.hint
