"""Code of a person's own, in a run: it is tried nowhere but there, and what it leaves behind leads the engine nowhere."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import shapely
import xarray as xr
from workbench import Bench, chain, load, weather

from gemel.base.errors import InvalidInput, ProcessRefused, StoreUnavailable
from gemel.core.graph import Graph, Sandbox, Surroundings, within
from gemel.core.processes.udf import run_udf
from gemel.infra.compute import confinement
from gemel.infra.compute._cwl import _outside

pytestmark = pytest.mark.skipif(confinement() != "bubblewrap", reason="bubblewrap is not installed or may not be used")

HEAD = "import os, json\nos.makedirs('/box/out')\n"
LEFTOVERS = {
    "a link as result": "os.symlink('/etc/passwd', '/box/out/value.json')",
    "a link as array": "os.symlink('/dev/zero', '/box/out/values.npy')\nopen('/box/out/array.json', 'w').write('{}')",
    "a pipe as result": "os.mkfifo('/box/out/value.json')",
    "a link as error": "os.symlink('/etc/passwd', '/box/error.json')",
    "a pipe as error": "os.mkfifo('/box/error.json')",
    "half a result": "open('/box/out/value.json', 'w').write('{')",
    "brackets without end": "open('/box/out/value.json', 'w').write('[' * 100000)",
    "an error that is a number": "open('/box/error.json', 'w').write('7')",
    "nothing": "pass",
    "an array of terabytes": """
about = {"dims": ["x"], "name": None, "attrs": {}, "coordinates": []}
open('/box/out/array.json', 'w').write(json.dumps(about))
head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117) + b"\\n"
open('/box/out/values.npy', 'wb').write(b"\\x93NUMPY\\x01\\x00" + len(head).to_bytes(2, 'little') + head)
""",
}


def call(data: Any, body: str, **limits: Any) -> Any:
    sandbox = Sandbox(**{"seconds": 20.0, "memory": 2_000_000_000} | limits)
    with within(Surroundings(sandbox=sandbox)):
        return run_udf.function(data=data, udf=f"{body}\n", runtime="Python", context=None)


@pytest.mark.parametrize("case", list(LEFTOVERS))
def test_what_is_left_in_the_box_is_not_trusted(case: str) -> None:
    with pytest.raises(ProcessRefused) as caught:
        call(1.0, f"{HEAD}{LEFTOVERS[case]}\nos._exit(0)")
    assert caught.value.context["exception"] == "UdfFailed"
    assert "root:" not in caught.value.message


def test_more_than_the_memory_it_may_use_is_not_read_back() -> None:
    body = HEAD + "open('/box/out/values.npy', 'wb').truncate(3 * 10**9)\nos._exit(0)"
    with pytest.raises(ProcessRefused, match="more than the 1 GB") as caught:
        call(1.0, body, memory=1_000_000_000)
    assert caught.value.context["exception"] == "UdfLimit"


def test_a_crash_is_called_by_its_name() -> None:
    with pytest.raises(ProcessRefused, match="SIGSEGV"):
        call(1.0, "import ctypes\nctypes.string_at(0)")


def test_a_function_that_forgets_to_return_is_told_so() -> None:
    with pytest.raises(ProcessRefused, match="returned nothing") as caught:
        call(weather(2), "def apply_datacube(cube, context):\n    cube * 2")
    assert "return cube" in (caught.value.hint or "")


def test_labels_that_cannot_travel_are_there_again_afterwards() -> None:
    pytest.importorskip("xvec", reason="the extra [data] is not installed")
    double = "def apply_datacube(cube, context):\n    return cube * 2"
    times = xr.date_range("2000-02-28", periods=4, calendar="360_day", use_cftime=True)
    model = weather(4).assign_coords(time=times)
    xr.testing.assert_allclose(call(model, double), model * 2)
    places = np.array([shapely.Point(7, 50), shapely.Point(8, 51)], dtype=object)
    vector = xr.DataArray([1.0, 2.0], {"geometry": places}, ("geometry",)).xvec.set_geom_indexes("geometry", crs=4326)
    found = call(vector, double)
    assert found.xvec.is_geom_variable("geometry") and list(found.values) == [2.0, 4.0]


@pytest.mark.parametrize(
    ("address", "told"),
    [("http://169.254.169.254/udf.py", "not a host"), ("http://127.0.0.1:9/udf.py", "cannot be reached")],
)
def test_code_is_fetched_from_where_data_may_be_read(address: str, told: str) -> None:
    with pytest.raises(ProcessRefused, match=told) as caught, within(Surroundings()):
        run_udf.function(data=1.0, udf=address, runtime="Python")
    assert caught.value.context["exception"] == "FileNotFound"
    assert not isinstance(caught.value.__cause__, StoreUnavailable) or caught.value.hint


def test_planning_runs_no_foreign_code(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.put("weather", weather())
    code = "def apply_datacube(cube, context):\n    print('here I am')\n    return cube\n"
    document = chain(load("weather"), ("run_udf", {"udf": code, "runtime": "Python"}))
    with caplog.at_level(logging.INFO):
        estimate = bench.engine.estimate(Graph.from_json(document), {})
        assert estimate.unknown == ("run_udf",) and "here I am" not in caplog.text
        run = bench.engine.graphs.wait(bench.engine.graphs.start(Graph.from_json(document)))
    logged = [line for line in bench.engine.graphs.logs(run.id) if "here I am" in line["message"]]
    assert run.state == "finished" and len(logged) == 1


@pytest.mark.slow
def test_code_without_end_stops_at_its_limit_and_leaves_the_engine_to_others(bench: Bench) -> None:
    code = "def apply_datacube(cube, context):\n    while True:\n        pass\n"
    bench.put("weather", weather())
    graphs = bench.engine.graphs
    endless = graphs.start(Graph.from_json(chain(load("weather"), ("run_udf", {"udf": code, "runtime": "Python"}))))
    assert bench.value(("add", {"x": 1, "y": 2})) == 3
    ended = graphs.wait(endless)
    assert ended.error is not None and "longer than 4 s" in ended.error["message"]


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "/etc/passwd", "https://example.org/x", "file:///box/link", ""]
)
def test_a_tool_hands_out_its_own_files_only(place: str, tmp_path: Any) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "own.txt").write_text("mine")
    own = _outside({"out": {"class": "File", "location": "file:///box/own.txt"}}, tmp_path)
    assert own["out"]["path"] == str(tmp_path / "own.txt")
    with pytest.raises(InvalidInput, match="no file of its own"):
        _outside({"out": [{"class": "File", "location": place}]}, tmp_path)
