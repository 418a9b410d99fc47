"""gemel's own plugins pass the suites that it gives to others; and the suites can fail."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import gemel.twins.earlywarning
from gemel.base.plugins import plugins
from gemel.core.graph import Registry, process
from gemel.core.stream import Replay, SourceContext
from gemel.core.trust import Verdict, builtin_checks
from gemel.core.twin import new_twin
from gemel.testing import CheckContract, ProcessContract, SourceContract, TwinContract

FLOW = xr.DataArray([1.0, np.nan, 3.0], dims="time", attrs={"units": "m3 s-1"})


class TestAdd(ProcessContract):
    process = Registry().get("add")
    examples = ({"x": 1, "y": 2}, {"x": FLOW, "y": 1.0}, {"x": None, "y": 1})


class TestSelect(ProcessContract):
    process = Registry().get("select")
    examples = ({"data": FLOW.to_dataset(name="flow"), "name": "flow"},)


class TestMinimum(CheckContract):
    check = builtin_checks.minimum
    passing = ((0.9, {"bar": 0.85}), ([0.9, 0.85], {"bar": 0.85}))
    failing = ((0.8, {"bar": 0.85}), ([0.9, 0.8], {"bar": 0.85}))
    unusable = (("high", {"bar": 1}), (1.0, {}), (float("nan"), {"bar": 1}), ([], {"bar": 1}), (True, {"bar": 1}))


class TestMaximum(CheckContract):
    check = builtin_checks.maximum
    passing = ((0.1, {"bar": 0.5}),)
    failing = (([0.1, 0.6], {"bar": 0.5}),)
    unusable = ((None, {"bar": 1}), (1.0, {"bar": "x"}))


class TestBetween(CheckContract):
    check = builtin_checks.between
    passing = ((0.9, {"bar": [0.85, 0.95]}),)
    failing = ((0.84, {"bar": [0.85, 0.95]}), ([0.9, 0.96], {"bar": [0.85, 0.95]}))
    unusable = ((0.9, {"bar": 1}), ("x", {"bar": [0, 1]}))


class TestHolds(CheckContract):
    check = builtin_checks.holds
    passing = ((True, {}),)
    failing = ((False, {}), (1, {}), (None, {}))


class TestReplay(SourceContract):
    def opened(self, stop: threading.Event) -> Replay:
        times = np.array(["1984-01-01", "1984-01-02", "1984-01-03", "1984-01-05"], dtype="datetime64[ns]")
        record = xr.Dataset({"flow": ("time", [1.0, np.nan, 3.0, 4.0])}, {"time": times})
        options = {"dataset": "record", "reader": "read", "speed": "max"}
        return Replay(SourceContext("gauge", "/gauge", options, lambda _process, _reference: record, stop))


class TestEarlyWarning(TwinContract):
    folder = Path(gemel.twins.earlywarning.__file__).parent

    def twin(self):
        from gemel.core.twin import find_twin

        return find_twin("earlywarning", near=Path("/"))


class TestNewTwin(TwinContract):
    @pytest.fixture(autouse=True)
    def _made(self, tmp_path):
        type(self).folder = new_twin("river", tmp_path)


@pytest.mark.parametrize("kind", ["processes", "sources", "checks", "thematic", "twins"])
def test_every_built_in_plugin_loads(kind):
    ours = [item for item in plugins(kind).status() if item.distribution == "gemel"]
    assert ours and all(item.healthy for item in ours), ours


def test_a_process_that_is_not_deterministic_is_caught():
    rows = iter(range(10))

    @process
    def restless(x: float) -> float:
        """Another number each time.

        Args:
            x: Not used.
        """
        return next(rows) + x

    suite = ProcessContract()
    suite.process, suite.examples = restless, ({"x": 0.0},)
    suite.test_it_says_what_it_is()
    with pytest.raises(AssertionError, match="not deterministic"):
        suite.test_its_results_can_be_stored_and_are_the_same_again()


def test_a_check_that_never_fails_is_caught():
    class Lenient(CheckContract):
        check = staticmethod(lambda value, _options: Verdict(True, value, None, "?"))
        passing = ((1, {}),)
        failing = ((0, {}),)

    with pytest.raises(AssertionError):
        Lenient().test_it_refuses_what_is_bad()
