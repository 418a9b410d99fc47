"""Climatology, anomaly, monthly mean and 2 x 2 block mean of one stored cube, as one of several ways does it.

`python -m bench._run_cube WAY PATH [MEMORY]` answers each line on standard input with processor and wall seconds, the sum
of the result, and the peak of resident memory so far.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_TILE = 128
_FIRST = np.datetime64("2001-01-01")


def _groups(length: int) -> tuple[Any, Any]:
    days = _FIRST + np.arange(length)
    months = days.astype("datetime64[M]").astype(int)
    return months - months[0], months % 12


def tiled_numpy(path: Path) -> float:
    """Tile by tile with numpy, by sums of months: the daily anomaly, whose monthly mean is wanted, is never built."""
    import zarr

    array = zarr.open_array(path / "t2m", mode="r")
    running, calendar = _groups(array.shape[0])
    starts = np.flatnonzero(np.diff(running, prepend=-1))
    counts = np.diff(np.append(starts, len(running)))
    of_month = calendar[starts]
    total = 0.0
    for top in range(0, array.shape[1], _TILE):
        for left in range(0, array.shape[2], _TILE):
            tile = array[:, top : top + _TILE, left : left + _TILE]
            sums = np.add.reduceat(tile, starts, axis=0, dtype=np.float64)
            normals = np.stack([sums[of_month == m].sum(0) / counts[of_month == m].sum() for m in range(12)])
            means = (sums / counts[:, None, None] - normals[of_month]).astype(np.float32)
            blocks = means.reshape(means.shape[0], _TILE // 2, 2, _TILE // 2, 2).mean((2, 4))
            total += float(blocks.sum(dtype=np.float64))
    return total


def xarray_flox(path: Path) -> float:
    """With xarray, dask threads and flox, as people write it today."""
    import xarray as xr

    with xr.open_zarr(path, consolidated=False) as dataset:
        data = dataset["t2m"]
        anomaly = data.groupby("t.month") - data.groupby("t.month").mean()
        means = anomaly.resample(t="MS").mean().coarsen(y=2, x=2).mean()
        return float(means.sum(dtype=np.float64).compute())


def decode_only(path: Path) -> float:
    """Only reading every tile through zarr: what no other way that reads through zarr can undercut."""
    import zarr

    array = zarr.open_array(path / "t2m", mode="r")
    corners = [(top, left) for top in range(0, array.shape[1], _TILE) for left in range(0, array.shape[2], _TILE)]
    return float(sum(array[:, y : y + _TILE, x : x + _TILE][0, 0, 0] for y, x in corners))


class Gemel:
    """A graph of standard processes, run by an engine as any other."""

    def __init__(self, path: Path, memory: str, chain: str) -> None:
        from gemel.base.config import load_settings
        from gemel.core.engine import open_engine
        from gemel.infra.lake.collections import Collections

        self._home = tempfile.TemporaryDirectory(prefix="bench-cube-")
        home = Path(self._home.name)
        Collections(home).add_dataset("cube", path)
        settings = load_settings(home=home, assignments=[f"runs.memory={memory}"] if memory else [], environ={})
        self._opened = open_engine(settings)
        self._engine = self._opened.__enter__()
        self._round = 0
        self._chain = chain

    def __call__(self, _path: Path) -> float:
        """Return the sum of the result of a run that finds nothing of earlier rounds."""
        from gemel.core.graph import Graph

        self._round += 1
        graphs = self._engine.graphs
        run = graphs.wait(graphs.start(Graph.from_json(_graph(self._round, self._chain))))
        if run.state != "finished":
            raise RuntimeError(run.error)
        return float(graphs.output(run, "result"))


def _graph(salt: int, chain: str = "gemel") -> dict[str, Any]:
    def child(process: str) -> dict[str, Any]:
        node = {"process_id": process, "arguments": {"data": {"from_parameter": "data"}}, "result": True}
        return {"process_graph": {process: node}}

    def of(node: str) -> dict[str, str]:
        return {"from_node": node}

    years = {"period": "month", "climatology_period": [2001, 2008]}
    steps: dict[str, tuple[str, dict[str, Any]]] = {
        "load": ("load_collection", {"id": "cube", "spatial_extent": None, "temporal_extent": None}),
        "normal": ("climatological_normal", {"data": of("load"), **years}),
        "anomaly": ("anomaly", {"data": of("load"), "normals": of("normal"), "period": "month"}),
        "month": ("aggregate_temporal_period", {"data": of("anomaly"), "period": "month", "reducer": child("mean")}),
        "block": ("aggregate_spatial_window", {"data": of("month"), "size": [2, 2], "reducer": child("mean")}),
        "space": ("reduce_spatial", {"data": of("block"), "reducer": child("sum")}),
        "time": ("reduce_dimension", {"data": of("space"), "dimension": "t", "reducer": child("sum")}),
        # Adding a number of its own keeps a round from being answered with the stored result of another.
        "salted": ("add", {"x": of("time"), "y": float(salt)}),
        "sum": ("subtract", {"x": of("salted"), "y": float(salt)}),
    }
    if chain == "gemel-month":
        steps["month"][1]["data"] = of("load")
        steps["space"][1]["data"] = of("month")
        steps = {name: step for name, step in steps.items() if name not in ("normal", "anomaly", "block")}
    nodes = {name: {"process_id": process, "arguments": arguments} for name, (process, arguments) in steps.items()}
    nodes["sum"]["result"] = True
    return {"process_graph": nodes}


def main(way: str, path: Path, memory: str) -> None:
    """Answer each line with what one round took."""
    ways: dict[str, Callable[[Path], float]] = {
        "numpy": tiled_numpy,
        "xarray": xarray_flox,
        "decode": decode_only,
    }
    work = ways[way] if way in ways else Gemel(path, memory, way)
    for _ in sys.stdin:
        processor, wall = time.process_time(), time.perf_counter()
        total = work(path)
        taken = time.process_time() - processor, time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(f"round {taken[0]} {taken[1]} {total} {peak}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "")
