"""User-defined functions: what they get and give, and what they cannot do."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gemel.base.errors import ProcessRefused, Unconfined
from gemel.core.cubes import Along
from gemel.core.graph import Sandbox, Surroundings, within
from gemel.core.processes.udf import run_udf, runtimes
from gemel.infra.compute import confinement

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(confinement() != "bubblewrap", reason="bubblewrap is not installed or may not be used"),
]


@pytest.fixture
def cube() -> xr.DataArray:
    values = np.arange(24, dtype="f4").reshape(4, 2, 3)
    coordinates = {"t": pd.date_range("2020-01-01", periods=4), "y": [50.0, 49.0], "x": [7.0, 8.0, 9.0]}
    return xr.DataArray(values, coordinates, ("t", "y", "x"), attrs={"units": "mm"})


def _run(data, body, context=None, **limits):
    with within(Surroundings(sandbox=Sandbox(**{"seconds": 20.0, "memory": 2_000_000_000} | limits))):
        return run_udf.function(data=data, udf=body + "\n", runtime="Python", context=context)


def test_a_function_gets_names_labels_units_and_context(cube):
    body = """
def apply_datacube(cube, context):
    assert cube.dims == ("t", "y", "x") and cube.attrs["units"] == "mm"
    assert str(cube.t.values[0])[:10] == "2020-01-01"
    return cube * context["factor"] + cube.x
"""
    found = _run(cube, body, {"factor": 2})
    xr.testing.assert_equal(found, cube * 2 + cube.x)


def test_a_reducer_knows_its_dimension(cube):
    body = "def apply_datacube(cube, context):\n    return cube.max(cube.attrs['dimension'])"
    xr.testing.assert_equal(_run(Along(cube, "t"), body), cube.max("t"))


def test_a_function_along_a_dimension_may_change_its_length(cube):
    body = "def apply_datacube(cube, context):\n    return cube.isel(t=slice(0, 2))"
    found = _run(Along(cube, "t"), body)
    assert isinstance(found, Along)
    xr.testing.assert_equal(found.data, cube.isel(t=slice(0, 2)))


def test_a_function_of_series_is_called_for_each_cell(cube):
    body = "import pandas as pd\ndef apply_timeseries(series: pd.Series, context):\n    return series.cumsum()"
    found = _run(Along(cube, "t"), body)
    xr.testing.assert_allclose(found.data, cube.cumsum("t").assign_coords(t=cube.t))
    reduced = _run(Along(cube, "t"), "def apply_timeseries(series, context):\n    return series.iloc[-1]")
    assert np.array_equal(reduced.transpose("y", "x").values, cube.isel(t=-1).values)


def test_plain_values_go_in_and_out():
    assert _run(3, "def udf(data, context):\n    return {'twice': 2 * data}") == {"twice": 6}
    assert _run([1, 2], "import numpy as np\ndef udf(data):\n    return np.array(data) + 1") == [2, 3]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("def udf(data):\n    return 1 / data", r"line 2, in udf\): ZeroDivisionError"),
        ("def udf(data:", "SyntaxError"),
        ("x = 1", "defines none of the functions"),
        ("import os\ndef udf(data):\n    return os.fork()", "PermissionError"),
        ("import subprocess\ndef udf(data):\n    return subprocess.run(['ls'])", "PermissionError"),
        ("import socket\ndef udf(data):\n    socket.create_connection(('127.0.0.1', 80))", "OSError|Connection"),
        ("def udf(data):\n    return open('/etc/passwd').read()", "FileNotFoundError"),
        ("def udf(data):\n    open('/usr/bin/x', 'w')", "Read-only"),
        ("def udf(data):\n    return bytearray(10**11)", "MemoryError"),
        ("def udf(data):\n    kept = []\n    while True:\n        kept.append(bytearray(10**7))", "MemoryError"),
        ("import sys\ndef udf(data):\n    sys.exit(3)", "SystemExit"),
        ("import os\ndef udf(data):\n    os._exit(0)", "did not end well"),
        ("def udf(data):\n    while True:\n        print('x' * 9999)", "printed more than"),
        ("def udf(data):\n    return object()", "TypeError"),
    ],
)
def test_what_goes_wrong_inside_is_one_clear_error(body, told):
    with pytest.raises(ProcessRefused, match=told):
        _run(0, body)


def test_a_function_without_end_is_stopped():
    with pytest.raises(ProcessRefused, match="longer than 2 s"):
        _run(0, "def udf(data):\n    while True: pass", seconds=2.0)


def test_nothing_of_the_engine_is_seen(tmp_path, monkeypatch):
    (tmp_path / "token").write_text("secret")
    monkeypatch.setenv("GEMEL_SECRET", "secret")
    body = f"import os\ndef udf(data):\n    return [os.path.exists({str(tmp_path / 'token')!r}), dict(os.environ)]"
    exists, environment = _run(0, body)
    assert not exists
    assert "GEMEL_SECRET" not in environment


def test_uploaded_code_is_found_and_other_files_are_not(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "twice.py").write_text("def udf(data):\n    return 2 * data\n")
    (tmp_path / "outside.py").write_text("def udf(data):\n    return 0\n")
    with within(Surroundings(files=tmp_path / "files")):
        assert run_udf.function(data=4, udf="/twice.py", runtime="Python") == 8
        for path in ("../outside.py", "missing.py"):
            with pytest.raises(ProcessRefused) as caught:
                run_udf.function(data=4, udf=path, runtime="Python")
            assert caught.value.context["exception"] == "FileNotFound"


@pytest.mark.parametrize(
    ("more", "name"),
    [({"runtime": "R"}, "InvalidRuntime"), ({"runtime": "Python", "version": "2.7"}, "InvalidVersion")],
)
def test_other_runtimes_are_refused(more, name):
    with pytest.raises(ProcessRefused) as caught:
        run_udf.function(data=0, udf="def udf(data): return 0\n", **more)
    assert caught.value.context["exception"] == name


def test_without_bubblewrap_it_refuses_or_says_at_which_level_it_runs(monkeypatch, caplog):
    monkeypatch.setattr("gemel.infra.compute._confined.confinement", lambda: "limits")
    with pytest.raises(Unconfined, match="bubblewrap"):
        _run(1, "def udf(data):\n    return data")
    with caplog.at_level("WARNING"):
        assert _run(1, "def udf(data):\n    return data", required=False) == 1
    assert "limits on time and memory only" in caplog.text
    assert shutil.which("prlimit")


def test_the_runtime_is_listed_with_its_libraries():
    (runtime,) = runtimes().values()
    assert runtime["versions"][runtime["default"]]["libraries"]["xarray"]["version"] == xr.__version__
