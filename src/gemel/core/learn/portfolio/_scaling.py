"""Scaling: every port to mean 0 and standard deviation 1 over the training part, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput, did_you_mean, not_found
from gemel.core.learn.samples import Port, Samples

Arrays = Mapping[str, NDArray[Any]]
Scale = tuple[NDArray[np.float64], NDArray[np.float64]]
_PREFIX = "scale/"


@dataclass(frozen=True, eq=False)
class Scaling:
    """Mean and standard deviation by port, both of a shape that broadcasts to the port's.

    Attributes:
        inputs: Of ports that go in; whole numbers are scaled as numbers.
        outputs: Of ports that come out, without those of classes.
    """

    inputs: Mapping[str, Scale] = field(default_factory=dict)
    outputs: Mapping[str, Scale] = field(default_factory=dict)

    @classmethod
    def of(cls, train: Samples, pooled: Mapping[str, Sequence[int]] | None = None) -> Scaling:
        """Return the scaling of a training part.

        Args:
            train: The samples; nothing else may be used, or judgement leaks into training.
            pooled: Axes by port that share mean and deviation (the axis of samples is 0 and always does), such as those
                of space or time.
        """
        axes = pooled or {}
        return cls(
            {name: _scale(values, axes.get(name, ())) for name, values in train.inputs.items()},
            {name: _scale(values, axes.get(name, ())) for name, values in train.outputs.items() if _scaled(values)},
        )

    def into(self, samples: Samples, dtype: str) -> Samples:
        """Return samples in scaled numbers of a floating dtype; classes stay as they are."""
        inputs = {name: scaled(values, self.inputs.get(name), dtype) for name, values in samples.inputs.items()}
        outputs = {name: scaled(values, self.outputs.get(name), dtype) for name, values in samples.outputs.items()}
        return Samples(inputs, outputs, samples.labels, samples.groups)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return means and deviations by name; `read` turns them back."""
        sides = {"inputs": self.inputs, "outputs": self.outputs}
        found: dict[str, NDArray[Any]] = {}
        for side, scales in sides.items():
            for name, (mean, deviation) in scales.items():
                found[f"{_PREFIX}{side}/{name}/mean"] = mean
                found[f"{_PREFIX}{side}/{name}/deviation"] = deviation
        return found

    @classmethod
    def read(cls, arrays: Arrays) -> Scaling:
        """Return the scaling among a learner's arrays.

        Raises:
            InvalidInput: A deviation is missing.
        """
        sides: dict[str, dict[str, Scale]] = {"inputs": {}, "outputs": {}}
        for key, mean in arrays.items():
            if key.startswith(_PREFIX) and key.endswith("/mean"):
                side, name = key.removeprefix(_PREFIX).removesuffix("/mean").split("/", 1)
                other = arrays.get(f"{_PREFIX}{side}/{name}/deviation")
                if other is None or side not in sides:
                    raise InvalidInput(f"These arrays hold no whole scaling of '{name}'.")
                sides[side][name] = (np.asarray(mean, np.float64), np.asarray(other, np.float64))
        return cls(**sides)


def scaled(values: NDArray[Any], scale: Scale | None, dtype: str) -> NDArray[Any]:
    """Return values in scaled numbers; those without a scale (classes) as they are."""
    return values if scale is None else ((values - scale[0]) / scale[1]).astype(dtype)


def accepted(ports: Sequence[Port], given: Arrays) -> dict[str, NDArray[Any]]:
    """Return what was given as the ports take it.

    Raises:
        NotFound: A port was given nothing.
        InvalidInput: There is no such port, an array does not fit its port, or they have different numbers of samples.
    """
    known = {port.name: port for port in ports}
    for name in known:
        if name not in given:
            raise not_found("input", name, given)
    for name in given:
        if name not in known:
            raise InvalidInput(f"The model has no input '{name}'.", hint=did_you_mean(name, known))
    taken = {name: port.accepted(given[name]) for name, port in known.items()}
    if len({len(values) for values in taken.values()}) > 1:
        raise InvalidInput(
            f"Inputs have {sorted({len(values) for values in taken.values()})} samples; give as many each."
        )
    return taken


def _scaled(values: NDArray[Any]) -> bool:
    return values.dtype.kind == "f"


def _scale(values: NDArray[Any], pooled: Sequence[int]) -> Scale:
    axes = (0, *pooled)
    numbers = values.astype(np.float64)
    mean, deviation = numbers.mean(axis=axes, keepdims=True)[0], numbers.std(axis=axes, keepdims=True)[0]
    # What never changes in training cannot be scaled; rounding must not blow it up either.
    still = deviation <= 1e-12 * np.maximum(np.abs(mean), 1e-300)
    return mean, np.where(still, 1.0, deviation)
