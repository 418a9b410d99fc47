"""Monthly means of a stored cube with openeo-processes-dask, run by a Python of its own (see `bench/_cubes.py`)."""

from __future__ import annotations

import importlib
import inspect
import resource
import sys
import time
from pathlib import Path
from typing import Any

import xarray as xr
from openeo_pg_parser_networkx import OpenEOProcessGraph, ProcessRegistry
from openeo_pg_parser_networkx.process_registry import Process
from openeo_processes_dask.process_implementations.core import process

_MEAN = {"mean": {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}}, "result": True}}
_GRAPH = {
    "load": {
        "process_id": "load_collection",
        "arguments": {"id": "cube", "spatial_extent": None, "temporal_extent": None},
    },
    "month": {
        "process_id": "aggregate_temporal_period",
        "arguments": {"data": {"from_node": "load"}, "period": "month", "reducer": {"process_graph": _MEAN}},
        "result": True,
    },
}


def _registry(path: Path) -> Any:
    implementations = importlib.import_module("openeo_processes_dask.process_implementations")
    specifications = importlib.import_module("openeo_processes_dask.specs")
    registry = ProcessRegistry(wrap_funcs=[process])
    for name, function in inspect.getmembers(implementations, inspect.isfunction):
        if hasattr(specifications, name):
            registry[name] = Process(spec=getattr(specifications, name), implementation=function)

    def load_collection(**_: Any) -> xr.DataArray:
        return xr.open_zarr(path, consolidated=False)["t2m"]

    registry["load_collection"] = Process(spec=specifications.load_collection, implementation=load_collection)
    return registry


def main(path: Path) -> None:
    """Answer each line on standard input with processor and wall seconds, the result's sum, and peak memory."""
    registry = _registry(path)
    for _ in sys.stdin:
        processor, wall = time.process_time(), time.perf_counter()
        found = OpenEOProcessGraph(pg_data={"process_graph": _GRAPH}).to_callable(registry)()
        total = float(found.sum().compute())
        taken = time.process_time() - processor, time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(f"round {taken[0]} {taken[1]} {total} {peak}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
