"""An engine to try graphs on, short ways to write them, and small synthetic data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gemel.core.engine import Engine
from gemel.core.graph import Graph
from gemel.infra.lake.collections import Collections

DATA = {"from_parameter": "data"}
Steps = list[tuple[str, dict[str, Any]]]


def child(process: str, /, **arguments: Any) -> dict[str, Any]:
    """Return the child process that calls one process."""
    return {"process_graph": {"n": {"process_id": process, "arguments": arguments, "result": True}}}


def load(id: str, **more: Any) -> tuple[str, dict[str, Any]]:
    """Return the step that loads a collection."""
    return "load_collection", {"id": id, "spatial_extent": None, "temporal_extent": None} | more


MONTHS = ("aggregate_temporal_period", {"period": "month", "reducer": child("mean", data=DATA)})
OVER_TIME = ("reduce_dimension", {"dimension": "time", "reducer": child("mean", data=DATA)})


def chain(*steps: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the graph in which each step gets the one before as `data`; nodes are called after their processes."""
    nodes: dict[str, Any] = {}
    last = None
    for process, arguments in steps:
        given = arguments if last is None else {"data": {"from_node": last}} | arguments
        last = process if process not in nodes else f"{process}{len(nodes)}"
        nodes[last] = {"process_id": process, "arguments": given}
    nodes[str(last)]["result"] = True
    return {"process_graph": nodes}


class Bench:
    """An engine and the value, or the error, of graphs that it runs."""

    def __init__(self, engine: Engine, files: Path) -> None:
        self.engine, self.files = engine, files
        self.lake = Collections(engine.settings.home)

    def put(self, id: str, data: Any, **more: Any) -> dict[str, Any]:
        """Put a dataset into the lake, in the place of what is there."""
        if any(item["id"] == id for item in self.lake.list()):
            self.lake.remove(id)
        return self.lake.add_dataset(id, data, **more)

    def value(self, *steps: tuple[str, dict[str, Any]]) -> Any:
        """Return the value of a chain of steps."""
        run = self._ended(chain(*steps))
        assert run.error is None, run.error
        return self.engine.graphs.output(run, "result")

    def error(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the error with which a graph fails."""
        run = self._ended(document)
        assert run.error is not None
        return dict(run.error)

    def _ended(self, document: dict[str, Any]) -> Any:
        return self.engine.graphs.wait(self.engine.graphs.start(Graph.from_json(document)))


def weather(days: int = 90) -> xr.DataArray:
    """Return synthetic daily temperatures from 2000 on, at centres of half a degree, from south to north."""
    times = pd.date_range("2000-01-01", periods=days)
    lat, lon = np.arange(40, 50, 0.5) + 0.25, np.arange(0, 15, 0.5) + 0.25
    values = 280 + np.random.default_rng(7).normal(0, 3, (days, lat.size, lon.size))
    coords = {
        "time": times,
        "latitude": ("latitude", lat, {"units": "degrees_north"}),
        "longitude": ("longitude", lon, {"units": "degrees_east"}),
    }
    return xr.DataArray(values.astype("f4"), coords, ("time", "latitude", "longitude"), "t2m", {"units": "K"})


def ocean() -> xr.Dataset:
    """Return a synthetic ocean model's output on a turned, curvilinear grid, named as ROMS names it."""
    xi, eta = np.meshgrid(np.linspace(-1, 1, 30), np.linspace(-1, 1, 20))
    lon, lat = 10 + 5 * xi + eta, 54 + 3 * eta - 0.7 * xi
    times = pd.date_range("2001-08-01", periods=4, freq="12h")
    temp = np.broadcast_to(lon + 2 * lat, (4, 3, *lon.shape)).astype("f4")
    zeta = np.broadcast_to(lat - 54, (4, *lon.shape)).astype("f4")
    horizontal = ("eta_rho", "xi_rho")
    return xr.Dataset(
        {
            "temp": (("ocean_time", "s_rho", *horizontal), temp, {"units": "Celsius"}),
            "zeta": (("ocean_time", *horizontal), zeta, {"units": "m"}),
        },
        {
            "ocean_time": times,
            "s_rho": [-0.9, -0.5, -0.1],
            "lon_rho": (horizontal, lon, {"units": "degree_east", "standard_name": "longitude"}),
            "lat_rho": (horizontal, lat, {"units": "degree_north", "standard_name": "latitude"}),
        },
    )
