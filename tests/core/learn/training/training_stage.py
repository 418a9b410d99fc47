"""What tests of training share: a small synthetic problem, an objective that counts and waits, and the bare loop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gemel.core.learn.samples import Samples
from gemel.core.learn.training import SampleBatches, Settings, Step, Work

torch.set_num_threads(1)


def samples(count: int = 256, seed: int = 0) -> Samples:
    """A synthetic function of four numbers, with noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4))
    y = np.sin(x @ [1.0, -2.0, 0.5, 0.1]) + 0.1 * rng.normal(size=count)
    return Samples({"x": x}, {"y": y})


def network(hidden: int = 8, dropout: float = 0.0, inputs: int = 4, depth: int = 1) -> nn.Sequential:
    torch.manual_seed(3)
    layers: list[nn.Module] = []
    for width in [inputs] + [hidden] * (depth - 1):
        layers += [nn.Linear(width, hidden), nn.Tanh()]
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(hidden, 1))


class Regression:
    """Mean squared error; with noise on the inputs that the step's generator draws."""

    def __init__(
        self, module: nn.Module, noise: float = 0.0, at: Mapping[int, Callable[[], None]] | None = None
    ) -> None:
        self.module = module
        self.noise = noise
        self.at = dict(at or {})

    def loss(self, batch: Mapping[str, Tensor], step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        if step.number in self.at:
            self.at[step.number]()
        x = batch["inputs/x"]
        if self.noise:
            x = x + self.noise * torch.randn(x.shape, generator=step.generator, dtype=x.dtype)
        error = self.module(x)[:, 0] - batch["outputs/y"]
        return (error**2).mean(), {"absolute": error.abs().mean()}


def judged(module: nn.Module, held: Samples) -> Callable[[], dict[str, float]]:
    """An evaluation on held-out samples."""

    def evaluate() -> dict[str, float]:
        dtype = next(module.parameters()).dtype
        answer = module(torch.from_numpy(held.inputs["x"]).to(dtype))[:, 0].numpy()
        return {"loss": float(np.mean((answer - held.outputs["y"]) ** 2))}

    return evaluate


def work(settings: Settings, seed: int = 0, **options: Any) -> Work:
    """All parts of a training, as a factory for jobs too.

    Args:
        settings: Of the training.
        seed: Of batches.
        **options: `hidden`, `dropout`, `depth`, `noise`, `count`; `wait` names a file before which step `at` waits.
    """
    wait, at = options.get("wait"), options.get("at", -1)
    stops = {} if wait is None else {at: lambda: held_back(Path(wait))}
    sizes = {name: options[name] for name in ("hidden", "dropout", "depth") if name in options}
    objective = Regression(network(**sizes), options.get("noise", 0.0), stops)
    batches = SampleBatches(samples(options.get("count", 256)), settings, seed)
    return Work(objective, batches, judged(objective.module, samples(64, seed=9)))


def held_back(gate: Path) -> None:
    """Tell that it came here (`GATE.PID`), and wait for the gate."""
    gate.with_name(f"{gate.name}.{os.getpid()}").touch()
    while not gate.exists():
        threading.Event().wait(0.01)


def weights_of(parts: Work) -> str:
    """The bits of all weights."""
    return b"".join(item.detach().numpy().tobytes() for item in parts.objective.module.parameters()).hex()


def bare_loop(data: Samples, module: nn.Module, steps: int, batch: int, *, fused: bool | None = None) -> float:
    """Train as one would without gemel, and return the last loss: what a bench compares `fit` with."""
    x, y = torch.from_numpy(data.inputs["x"]).float(), torch.from_numpy(data.outputs["y"]).float()
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0.0, fused=fused)
    done, loss = 0, torch.zeros(())
    while done < steps:
        order = torch.randperm(len(x))
        for begin in range(0, len(x) - batch + 1, batch):
            chosen = order[begin : begin + batch]
            optimiser.zero_grad()
            loss = ((module(x[chosen])[:, 0] - y[chosen]) ** 2).mean()
            loss.backward()
            optimiser.step()
            done += 1
            if done == steps:
                break
    return float(loss.detach())
