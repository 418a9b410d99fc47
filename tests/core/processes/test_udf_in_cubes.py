"""User-defined functions inside of the processes that work on cubes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gemel.base.errors import ProcessRefused
from gemel.core.graph import Registry, Sandbox, Surroundings, within
from gemel.infra.compute import confinement

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(confinement() != "bubblewrap", reason="bubblewrap is not installed or may not be used"),
]
_REGISTRY = Registry()


@pytest.fixture
def cube() -> xr.DataArray:
    values = np.arange(48, dtype="f4").reshape(4, 2, 2, 3)
    coordinates = {
        "t": pd.date_range("2020-01-01", periods=4),
        "bands": ["red", "nir"],
        "y": [2.0, 1.0],
        "x": [1.0, 2.0, 3.0],
    }
    return xr.DataArray(values, coordinates, ("t", "bands", "y", "x"))


def _child(code: str, parameter: str, context: Any = None) -> dict[str, Any]:
    arguments = {
        "data": {"from_parameter": parameter},
        "udf": code + "\n",
        "runtime": "Python",
        "context": context or {},
    }
    return {"process_graph": {"u": {"process_id": "run_udf", "arguments": arguments, "result": True}}}


def _run(process: str, /, **arguments: Any) -> xr.DataArray:
    with within(Surroundings(sandbox=Sandbox(seconds=30.0, memory=2_000_000_000))):
        return _REGISTRY.get(process).function(**arguments)


def test_a_reducer_over_time(cube):
    code = "def apply_datacube(cube, context):\n    return cube.max(cube.attrs['dimension']) - cube.min('t')"
    found = _run("reduce_dimension", data=cube, reducer=_child(code, "data"), dimension="t")
    xr.testing.assert_allclose(found, cube.max("t") - cube.min("t"))


def test_a_reducer_over_bands_finds_them_by_name(cube):
    code = "def apply_datacube(cube, context):\n    red, nir = cube.sel(bands='red'), cube.sel(bands='nir')\n    return (nir - red) / (nir + red)"
    found = _run("reduce_dimension", data=cube, reducer=_child(code, "data"), dimension="bands")
    red, nir = cube.isel(bands=0, drop=True), cube.isel(bands=1, drop=True)
    xr.testing.assert_allclose(found, (nir - red) / (nir + red))


def test_apply_to_every_value_with_context(cube):
    code = "def apply_datacube(cube, context):\n    return cube * context['factor'] + 1"
    found = _run("apply", data=cube, process=_child(code, "x", {"factor": 3}))
    xr.testing.assert_allclose(found, cube * 3 + 1)


def test_apply_along_a_dimension_that_becomes_shorter_or_not(cube):
    same = "def apply_timeseries(series, context):\n    return series.diff().fillna(0)"
    found = _run("apply_dimension", data=cube, process=_child(same, "data"), dimension="t")
    wanted = cube.diff("t").reindex(t=cube.t, fill_value=0)
    xr.testing.assert_allclose(found.transpose(*cube.dims), wanted)
    short = "def apply_datacube(cube, context):\n    return cube.isel(t=[0, -1])"
    found = _run("apply_dimension", data=cube, process=_child(short, "data"), dimension="t")
    assert found.sizes["t"] == 2
    np.testing.assert_allclose(found.transpose(*cube.dims).values, cube.isel(t=[0, -1]).values)


def test_a_result_of_another_shape_is_refused(cube):
    code = "def apply_datacube(cube, context):\n    return cube.isel(x=0)"
    with pytest.raises(ProcessRefused):
        _run("apply", data=cube, process=_child(code, "x"))


def test_a_failure_says_the_line_of_the_person_s_code(cube):
    code = "def apply_datacube(cube, context):\n    x = 1\n    return cube.sel(bands='blue')"
    with pytest.raises(ProcessRefused, match=r"line 3, in apply_datacube\): KeyError"):
        _run("reduce_dimension", data=cube, reducer=_child(code, "data"), dimension="bands")
