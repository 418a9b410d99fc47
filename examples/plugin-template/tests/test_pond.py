"""The suites that gemel gives to plugins, and what the pond itself promises."""

from pathlib import Path

import gemel_pond.pond
import numpy as np
import xarray as xr
from gemel_pond.checks import steady
from gemel_pond.processes import evaporation

from gemel.testing import CheckContract, ProcessContract, TwinContract

WARMTH = xr.DataArray([-10.0, -5.0, 20.0], dims="day", attrs={"units": "degC"})


class TestEvaporation(ProcessContract):
    process = evaporation
    examples = ({"temperature": WARMTH, "radiation": 40.0},)


class TestSteady(CheckContract):
    check = steady
    passing = (([1.0, 2.0, 3.0], {"bar": 1.0}),)
    failing = (([1.0, 3.0], {"bar": 1.0}),)
    unusable = (([1.0], {"bar": 1.0}), ("x", {"bar": 1.0}), ([1.0, 2.0], {}))


class TestPond(TwinContract):
    folder = Path(gemel_pond.pond.__file__).parent


def test_evaporation_is_that_of_the_formula():
    # 40 / 2.45 * (20 + 5) / 100 = 4.0816 mm per day; nothing evaporates at -5 degC and below.
    np.testing.assert_allclose(evaporation(WARMTH, 40.0), [0.0, 0.0, 4.081633], rtol=1e-6)
