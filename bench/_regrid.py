"""A global field carried to a region: the first time, when weights are computed, and again."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr

from bench._report import progress, report
from gemel.core.fusion import _regrid, mesh_of, regrid, regular_mesh
from gemel.core.graph import Surroundings, within

ROUNDS = 5


def regridding() -> None:
    """Measure seconds from a global field of 0.25 degrees to a region of 0.05 degrees; kept weights are read from disk."""
    globe, region = regular_mesh(0, -90, 360, 90, 0.25), regular_mesh(5, 47, 15, 55, 0.05)
    values = np.random.default_rng(3).standard_normal(globe.shape, dtype=np.float32)
    field = xr.DataArray(values, dims=globe.dims, coords=dict(globe.coords))
    for method in ("nearest", "bilinear", "conservative"):
        first, again = [], []
        for number in range(ROUNDS):
            progress(f"regridding ({method}): round {number + 1} of {ROUNDS}")
            with tempfile.TemporaryDirectory() as home, within(Surroundings(Path(home))):
                for seconds in (first, again):
                    _regrid._weights.cache_clear()
                    begun = time.perf_counter()
                    regrid(xr.DataArray(field), region, method)
                    seconds.append(time.perf_counter() - begun)
        report(
            f"regrid-again-{method}",
            again,
            first,
            "s",
            "the first time, weights included",
            bar="well under 1 s",
            cells=[mesh_of(field).size, region.size],
        )
