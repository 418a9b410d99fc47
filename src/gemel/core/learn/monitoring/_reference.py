"""What a model remembers of its training: small samples of inputs, answers and errors, to tell later ones from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.core.learn.samples import Samples

Arrays = Mapping[str, NDArray[Any]]
_MOST = 2000


def reference_of(
    samples: Samples, answers: Arrays, *, most: int = _MOST, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Return series, (sample,) each, of what was seen: `inputs/PORT`, `answers/PORT` and absolute errors `errors/PORT`.

    A port whose samples are fields or series gives two: the mean and the spread of each sample.

    Args:
        samples: What the model was asked, with the truth where it is known.
        answers: What it said, (sample, *shape) by port.
        most: Samples that are kept, drawn at random.
        seed: Of the draw.
    """
    chosen = np.arange(len(samples))
    if len(samples) > most:
        chosen = np.sort(np.random.default_rng(seed).choice(len(samples), most, replace=False))
    found: dict[str, NDArray[np.float64]] = {}
    for name, values in samples.inputs.items():
        found |= _summaries(f"inputs/{name}", values[chosen])
    for name, values in answers.items():
        found |= _summaries(f"answers/{name}", values[chosen])
        if name in samples.outputs and samples.outputs[name].shape == values.shape:
            misses = np.abs(values[chosen].astype(np.float64) - samples.outputs[name][chosen])
            found[f"errors/{name}"] = misses.reshape(len(chosen), -1).mean(axis=1)
    return found


def _summaries(name: str, values: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    flat = values.reshape(len(values), -1).astype(np.float64)
    if flat.shape[1] == 1:
        return {name: flat[:, 0]}
    return {f"{name}/mean": flat.mean(axis=1), f"{name}/spread": flat.std(axis=1)}
