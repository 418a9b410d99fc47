"""Synthetic cubes and short ways to write child processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from gemel.core.cubes import with_crs

DATA, X = {"from_parameter": "data"}, {"from_parameter": "x"}


def child(process: str, /, **arguments: Any) -> dict[str, Any]:
    """Return the child process that calls one process."""
    return {"process_graph": {"n": {"process_id": process, "arguments": arguments, "result": True}}}


def over_data(process: str, /, **arguments: Any) -> dict[str, Any]:
    """Return the child process that calls one process with the array it gets."""
    return child(process, data=DATA, **arguments)


def raster(rows: int, columns: int, *, crs: Any = 25832, step: float = 10.0, dtype: Any = np.float64) -> xr.DataArray:
    """Return a synthetic raster cube whose values count its pixels, from north to south."""
    values = np.arange(rows * columns, dtype=dtype).reshape(rows, columns)
    y = (np.arange(rows)[::-1] + 0.5) * step
    x = (np.arange(columns) + 0.5) * step
    return with_crs(xr.DataArray(values, {"y": y, "x": x}, ("y", "x")), crs)


def series(times: Any, values: Any, **more: Any) -> xr.DataArray:
    """Return a synthetic cube along time."""
    return xr.DataArray(values, {"t": np.asarray(times, dtype="datetime64[ns]")}, ("t",), **more)


def days(first: str, last: str) -> np.ndarray:
    """Return all days from one to another, the last one not included."""
    return np.arange(first, last, dtype="datetime64[D]").astype("datetime64[ns]")
