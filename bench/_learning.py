"""Training through the engine beside a bare PyTorch loop, answers beside bare ONNX Runtime, two processes beside one."""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from bench._report import progress, report
from gemel.base.config import load_settings
from gemel.core.engine import Engine, open_engine
from gemel.core.graph import Graph
from gemel.core.learn.lifecycle import trained
from gemel.core.learn.models import Description
from gemel.core.learn.samples import Samples
from gemel.core.learn.serving import Predictor, export_onnx
from gemel.core.learn.training import Job, SampleBatches, Settings, Work, scaling

SAMPLES, HIDDEN, STEPS, BATCH, ROUNDS = 20_000, (256, 256, 256), 3000, 256, 3
EVENTS, TABLE = 2000, 50_000


def _data() -> xr.Dataset:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, SAMPLES)).astype(np.float32)
    y = np.sin(x[0]) + x[1] * x[2] + 0.1 * x[3] ** 2
    variables = {f"x{number}": ("sample", row, {"units": "1"}) for number, row in enumerate(x)}
    return xr.Dataset(variables | {"y": ("sample", y.astype(np.float32), {"units": "1"})})


def _description(steps: int) -> dict[str, Any]:
    return {
        "kind": "mlp",
        "inputs": {f"x{number}": "1" for number in range(4)},
        "outputs": {"y": "1"},
        "options": {"hidden": list(HIDDEN), "activation": "relu"},
        "training": {"steps": steps, "batch": BATCH, "evaluate": 500, "threads": 1},
    }


def training() -> None:
    """Measure a whole run, with reading, split, evaluation, checkpoints and record, beside the loop alone, in CPU time."""
    torch.set_num_threads(1)
    ours, peer = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.nc"
        _data().to_netcdf(path, engine="h5netcdf")
        with open_engine(load_settings(home=Path(folder) / "home", environ={})) as engine:
            _run(engine, path, 10, 99)  # imports and first calls are nobody's
            for number in range(ROUNDS):
                progress(f"training: round {number + 1} of {ROUNDS}")
                ours.append(_run(engine, path, STEPS, number))
                peer.append(_bare(_data()))
    facts = {"steps": STEPS, "batch": BATCH, "hidden": list(HIDDEN), "rounds": ROUNDS}
    report("training", ours, peer, "CPU s", "a bare PyTorch loop", **facts)


def _run(engine: Engine, path: Path, steps: int, seed: int) -> float:
    nodes = {
        "load": {"process_id": "load_samples", "arguments": {"file": str(path)}},
        "train": {
            "process_id": "train_model",
            "arguments": {"data": {"from_node": "load"}, "description": _description(steps), "seed": seed},
            "result": True,
        },
    }
    begun = time.process_time()
    run = engine.finish(engine.start_graph(Graph.from_json({"process_graph": nodes})))
    assert run.state == "finished", run.error
    return time.process_time() - begun


def _bare(data: xr.Dataset) -> float:
    """Return the seconds of as many steps on as many samples as the engine trains with."""
    count = int(0.7 * SAMPLES)
    x = torch.from_numpy(np.stack([data[f"x{number}"].values for number in range(4)], axis=1)[:count])
    y = torch.from_numpy(data["y"].values[:count])
    sizes = [4, *HIDDEN]
    layers = [item for a, b in itertools.pairwise(sizes) for item in (nn.Linear(a, b), nn.ReLU())]
    module = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-3)
    begun, done = time.process_time(), 0
    while done < STEPS:
        order = torch.randperm(count)
        for chosen in order.split(BATCH)[: STEPS - done]:
            optimiser.zero_grad()
            ((module(x[chosen])[:, 0] - y[chosen]) ** 2).mean().backward()
            optimiser.step()
            done += 1
    return time.process_time() - begun


def serving() -> None:
    """Measure one answer at a time and a whole table, beside a bare session on the exported network."""
    import onnxruntime

    torch.set_num_threads(1)
    bundle = trained(_data(), Description.read(_description(200)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(export_onnx(bundle), options)
    predictor = Predictor.of(bundle)
    rng = np.random.default_rng(1)
    single = {f"x{number}": rng.normal(size=1).astype(np.float32) for number in range(4)}
    table = {f"x{number}": rng.normal(size=TABLE).astype(np.float32) for number in range(4)}
    feed = {item.name: item.name for item in session.get_inputs()}
    single_feed, table_feed = ({name: given[name] for name in feed} for given in (single, table))
    for name, mine, theirs, unit, count in (
        ("serving-event", lambda: predictor.predict(single), lambda: session.run(None, single_feed), "ms", EVENTS),
        ("serving-batch", lambda: predictor.predict(table), lambda: session.run(None, table_feed), "ms", 5),
    ):
        ours, peer = _alternating(mine, theirs, count)
        report(name, ours, peer, unit, "bare ONNX Runtime, one thread", samples=1 if count > 5 else TABLE, kind="mlp")


def distributed() -> None:
    """Measure samples a second of one training shared by two processes, beside one process: gloo, loopback."""
    job = Job("bench._learning:shared_work")
    settings = Settings(steps=400, batch=1024, threads=1, evaluate=400, checkpoint=400)
    ours, peer = [], []
    for number in range(ROUNDS):
        progress(f"distributed: round {number + 1} of {ROUNDS}")
        one, two = scaling(job, settings, (1, 2))
        ours.append(two["samples_per_second"])
        peer.append(one["samples_per_second"])
    facts = {"hidden": list(HIDDEN), "batch": settings.batch, "steps": settings.steps, "cores": os.cpu_count()}
    efficiency = round(statistics.median(ours) / statistics.median(peer) / 2, 3)
    report("distributed", ours, peer, "samples/s", "one process", efficiency=efficiency, rounds=ROUNDS, **facts)


class _Squares:
    """Mean squared error of a network: what the processes train together."""

    def __init__(self) -> None:
        sizes = [4, *HIDDEN]
        layers = [item for a, b in itertools.pairwise(sizes) for item in (nn.Linear(a, b), nn.ReLU())]
        self.module: nn.Module = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def loss(self, batch: Any, step: Any) -> torch.Tensor:
        """Return the loss of a batch; called through the module, so that processes share its gradients."""
        x = torch.stack([batch[f"inputs/x{number}"] for number in range(4)], dim=1)
        return ((self.module(x)[:, 0] - batch["outputs/y"]) ** 2).mean()


def shared_work(settings: Settings, seed: int) -> Work:
    """Return what each process sets up by itself."""
    data = _data()
    inputs = {f"x{number}": data[f"x{number}"].values for number in range(4)}
    torch.manual_seed(seed)
    return Work(_Squares(), SampleBatches(Samples(inputs, {"y": data["y"].values}), settings, seed))


def _alternating(mine: Callable[[], Any], theirs: Callable[[], Any], count: int) -> tuple[list[float], list[float]]:
    """Return medians of rounds, in milliseconds a call."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS + 1):
        for kept, call in zip(found, (mine, theirs), strict=True):
            times = []
            for _ in range(count):
                begun = time.perf_counter()
                call()
                times.append((time.perf_counter() - begun) * 1000)
            kept.append(statistics.median(times))
    return found[0][1:], found[1][1:]
