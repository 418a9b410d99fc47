"""A synthetic pump whose pressure follows its speed, until it wears: its twin learns, notices, and learns anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

TOML = """
[twin]
id = "pump"
version = "0.1.0"
title = "A synthetic pump"
summary = "Pressure from speed, by a model that is trained anew when the pump wears."
licence = "Apache-2.0"

[physical]
title = "No real pump"
sync = "1 min"
fidelity = { pressure = "10 %" }

[datasets]
record = "record.csv"
first = "first.csv"

[models.pressure]
kind = "mlp"
inputs = { speed = "s-1" }
outputs = { pressure = "bar" }
options = { hidden = [16] }
training = { steps = 400, batch = 32, learning_rate = 0.02 }
split = { shares = { train = 0.5, validation = 0.1, test = 0.4 } }

[sources.gauge]
kind = "replay"
dataset = "record"
reader = "load_samples"
speed = "max"

[buffers.recent]
on = "gauge"
run = "retrain"
fields = ["speed", "pressure"]
drift = { variable = "pressure", reference = 100, window = 60 }

[[triggers]]
on = "gauge"
run = "update"
"""

CODE = '''
"""A synthetic pump."""

from __future__ import annotations

from typing import Any

import xarray as xr

from gemel import Dataset, File, Model, graph, process
from gemel.core.learn.processes import challenge_model, load_samples, predict_model, train_model


@process
def seen(observation: dict[str, Any]) -> Dataset:
    """One observation as a sample."""
    return xr.Dataset({"speed": ("sample", [observation["speed"]])})


@process
def newest(batch: Dataset, count: int) -> Dataset:
    """The last observations of a batch: those since the drift began."""
    return batch.isel(time=slice(-count, None))


@process
def beside(observation: dict[str, Any], answer: Dataset) -> dict[str, Any]:
    """The state: what was observed, and what the model says."""
    return {"observed": observation["pressure"], "modelled": float(answer["pressure"].values[0])}


@process
def apart(state: dict[str, Any]) -> dict[str, Any]:
    """How far the two are apart."""
    return {"pressure": {"value": state["modelled"] - state["observed"], "unit": "bar"}}


@graph
def update(observation: dict[str, Any], pressure: Model):
    """Ask the model in service for the pressure at the speed observed."""
    state = beside(observation, predict_model(pressure, seen(observation)))
    return {"state": state}


@graph
def train(first: File, pressure: dict[str, Any], seed: int = 0):
    """Train on the first record and bring the model into service if it is good enough."""
    data = load_samples(first)
    return {"verdict": challenge_model(train_model(data, pressure, seed), data, "pressure", part="test", bars={"r2": {"minimum": 0.9}})}


@graph
def retrain(batch: File, pressure: dict[str, Any], about: dict[str, Any]):
    """Train on what came since the pump drifted; in service only if it beats the model that is."""
    data = newest(load_samples(batch), 60)
    return {"verdict": challenge_model(train_model(data, pressure), data, "pressure", part="test", fewest=10)}
'''


def write_pump(parent: Path, *, good: int = 110, worn: int = 100) -> Path:
    """Return the folder of the twin with a record in which the pump wears after `good` minutes."""
    folder = parent / "pump"
    folder.mkdir(parents=True)
    for name, text in (("twin.toml", TOML), ("twin.py", CODE)):
        (folder / name).write_text(text)
    (folder / "README.md").write_text("# Pump\n\nPurpose: tests. Data: synthetic. Quality, limits, licence: none.\n")
    observed(200, 0, seed=1).to_csv(folder / "first.csv", index=False)
    observed(good, worn, seed=2).to_csv(folder / "record.csv", index=False)
    return folder


def observed(good: int, worn: int, seed: int) -> pd.DataFrame:
    """Return minutes of speed [1/s] and pressure [bar]: 0.1 bar for each 1/s at first, half of that when worn."""
    rng = np.random.default_rng(seed)
    speed = rng.uniform(30.0, 50.0, good + worn)
    slope = np.repeat([0.1, 0.05], [good, worn])
    begin = pd.Timestamp("2024-01-01") + pd.Timedelta(days=10 * seed)
    return pd.DataFrame(
        {
            "time": pd.date_range(begin, periods=good + worn, freq="min"),
            "speed": speed,
            "pressure": slope * speed + rng.normal(0.0, 0.02, good + worn),
        }
    )
