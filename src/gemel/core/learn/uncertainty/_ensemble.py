"""Ensembles: several models of one description that learn apart; where they differ, the model is in doubt."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.core.graph import progress
from gemel.core.learn.models import Answer, Description, Learner, Training
from gemel.core.learn.samples import Samples
from gemel.core.learn.uncertainty._answers import Mixing
from gemel.core.learn.uncertainty._components import Components

Arrays = Mapping[str, NDArray[Any]]


class EnsembleLearner:
    """Members that learn one after the other, each with a seed and a folder (`member-0`, ...) of its own.

    Lakshminarayanan, Pritzel & Blundell 2017: random weights and batches set networks apart, and each learns the noise as
    well. Members that would come out equal learn from samples drawn with replacement (Breiman 1996).
    """

    def __init__(self, description: Description, members: Sequence[Learner], *, resample: bool) -> None:
        self.description, self.members, self._resample = description, tuple(members), resample

    def fit(self, train: Samples, validation: Samples, training: Training) -> dict[str, Any]:
        """Return how it went: sums and means over members, the first one's curve, and `members` one by one.

        Raises:
            Diverged: A member's loss is no number any more.
        """
        told = []
        for number, member in enumerate(self.members):
            seed = training.seed * len(self.members) + number
            folder = None if training.folder is None else training.folder / f"member-{number}"
            weights = None if training.weights is None else _own(training.weights, number)
            samples = _drawn(train, seed) if self._resample else train
            own = dataclasses.replace(training, seed=seed, folder=folder, weights=weights)
            told.append(member.fit(samples, validation, own))
            progress((number + 1) / len(self.members), f"member {number + 1} of {len(self.members)}")
        return _summed(told)

    def predict(self, inputs: Arrays, *, draws: int = 0, seed: int = 0) -> Answer:
        """Return the members' mean, (sample, *shape); of classes the one of the highest mean probability.

        With `draws`: random answers (draw, sample, *shape), from each member in turn and with its noise.
        """
        if draws:
            return {name: item.drawn(draws, seed) for name, item in self.components(inputs, seed=seed).items()}
        answers = [member.predict(inputs) for member in self.members]
        found: Answer = {}
        for port in self.description.outputs:
            if port.dtype == "int64":
                key = f"{port.name}_probability"
                found[key] = np.mean([answer[key] for answer in answers], axis=0)
                found[port.name] = found[key].argmax(axis=-1).astype(np.int64)
            else:
                mean = np.mean([answer[port.name] for answer in answers], axis=0, dtype=np.float64)
                found[port.name] = mean.astype(port.dtype)
        return found

    def components(self, inputs: Arrays, *, seed: int = 0) -> dict[str, Components]:
        """Return all members' normal distributions by port; their means alone where members learned no noise."""
        found: dict[str, Components] = {}
        for member in self.members:
            own = member.components(inputs, seed=seed) if isinstance(member, Mixing) else None
            for name, item in (own or self._points(member, inputs)).items():
                found[name] = found[name].joined(item) if name in found else item
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what the members learned, `0/...`, `1/...`."""
        return {
            f"{number}/{name}": values
            for number, member in enumerate(self.members)
            for name, values in member.arrays().items()
        }

    def load(self, arrays: Arrays) -> None:
        """Take over what was learned.

        Raises:
            InvalidInput: It is of another number of members, or of another model.
        """
        numbers = {name.partition("/")[0] for name in arrays}
        if numbers != {str(number) for number in range(len(self.members))}:
            raise InvalidInput(f"These arrays are not of an ensemble of {len(self.members)} members.")
        for number, member in enumerate(self.members):
            member.load(_own(arrays, number))

    def _points(self, member: Learner, inputs: Arrays) -> dict[str, Components]:
        answer = member.predict(inputs)
        ports = [port.name for port in self.description.outputs if port.dtype != "int64"]
        return {name: Components(answer[name][np.newaxis].astype(np.float64)) for name in ports}


def _own(arrays: Arrays, number: int) -> dict[str, NDArray[Any]]:
    prefix = f"{number}/"
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _drawn(train: Samples, seed: int) -> Samples:
    return train.take(np.sort(np.random.default_rng(seed).integers(0, len(train), len(train))))


def _summed(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    losses = [item["loss"] for item in told if item.get("loss") is not None]
    stopped = next((item["reason"] for item in told if item.get("reason") == "stopped"), told[0].get("reason"))
    return {
        "steps": sum(int(item.get("steps") or 0) for item in told),
        "seconds": sum(float(item.get("seconds") or 0.0) for item in told),
        "loss": float(np.mean(losses)) if losses else None,
        "reason": stopped,
        "curve": told[0].get("curve", []),
        "members": [{name: item.get(name) for name in ("steps", "loss", "reason")} for item in told],
    }
