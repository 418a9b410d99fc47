"""Networks that draw: samples of a distribution, of the inputs themselves or of the outputs given the inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gemel.base.errors import InvalidInput
from gemel.core.learn.models import Answer, Description
from gemel.core.learn.portfolio.networks._layout import FLAT
from gemel.core.learn.portfolio.networks._learner import Arrays, Model, TorchLearner
from gemel.core.learn.samples import Port

#: Makes a generator of (numbers drawn, numbers given).
Make = Callable[[int, int], "Generator"]
_MEAN = 200  # draws whose mean is the one answer: its error is 7 % of the spread
_CHUNK = 16_384  # rows drawn at a time


class Generator(nn.Module, ABC):
    """A network that draws vectors of scaled numbers, given a vector of scaled numbers or nothing (width 0)."""

    @abstractmethod
    def sample(self, given: Tensor, generator: torch.Generator) -> Tensor:
        """Return one draw for each row of what is given, (row, number)."""

    @abstractmethod
    def fitted(self, data: Tensor, given: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean loss of data (row, number)."""

    def distance(self, data: Tensor, given: Tensor, generator: torch.Generator) -> Tensor:
        """Return how far draws are from data, less is better; the loss where it tells that."""
        return self.fitted(data, given, generator)

    def log_density(self, data: Tensor, given: Tensor) -> Tensor | None:
        """Return the log density of data, (row,), or a lower bound of it; None where neither is known."""
        return None


class GenerativeModel(Model):
    """A generator between ports.

    Attributes:
        generator: What draws.
    """

    def __init__(self, description: Description, make: Make) -> None:
        super().__init__()
        self._data, self._given = sides(description)
        self.generator = make(sum(port.size for port in self._data), sum(port.size for port in self._given))

    def loss(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """Return the mean loss of a batch."""
        return self.generator.fitted(*self._packed(inputs, outputs), generator)

    def measure(
        self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], generator: torch.Generator
    ) -> Tensor:
        """Return how far the draws are from the data."""
        data, given = self._packed(inputs, outputs)
        return self.generator.distance(data, given, generator)

    def _packed(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        data = FLAT.packed(self._data, outputs if self._given else inputs)
        return data, FLAT.packed(self._given, inputs) if self._given else data.new_zeros(len(data), 0)


class GenerativeLearner(TorchLearner):
    """A network that draws.

    Without outputs it learns the distribution of its inputs: `predict(inputs)` answers one draw for each sample, and
    `log_density` (sample,) of the inputs where the kind knows it; `predict({}, draws=n)` answers (n, 1, *shape).
    With outputs it learns their distribution given the inputs: `predict(inputs)` is the mean of 200 draws.
    """

    model: GenerativeModel

    def __init__(self, description: Description, make: Make) -> None:
        self._data, self._given = sides(description)
        super().__init__(description, partial(GenerativeModel, description, make))

    def predict(self, inputs: Arrays, *, draws: int = 0, seed: int = 0) -> Answer:
        """Return draws (draw, sample, *shape) by port, or without `draws` what the class says.

        Raises:
            InvalidInput: Inputs do not fit.
        """
        if self._given:
            given = FLAT.packed(self._given, self.tensors(self._given, inputs))
            found = self._drawn(given, draws or _MEAN, seed)
            return found if draws else {name: _mean(values) for name, values in found.items()}
        known = self.tensors(self._data, inputs) if inputs else {}
        count = len(next(iter(known.values()))) if known else 1
        found = self._drawn(torch.zeros(count, 0, dtype=self._precise()), draws or 1, seed)
        if draws:
            return found
        answer = {name: values[0] for name, values in found.items()}
        data = FLAT.packed(self._data, known) if known else None
        density = None if data is None else self._density(data, data.new_zeros(len(data), 0))
        return answer if density is None else answer | {"log_density": density}

    def log_density(self, values: Arrays, given: Arrays | None = None) -> NDArray[Any]:
        """Return the logarithm of the density of values, (sample,), in the units of the ports.

        Args:
            values: (sample, *shape) by port: of outputs, or of inputs where there are no outputs.
            given: Inputs, where there are outputs.

        Raises:
            InvalidInput: The kind knows no density.
        """
        side = "outputs" if self._given else "inputs"
        data = FLAT.packed(self._data, self.tensors(self._data, values, side))
        known = self.tensors(self._given, given or {}) if self._given else {}
        found = self._density(data, FLAT.packed(self._given, known) if known else data.new_zeros(len(data), 0))
        if found is None:
            raise InvalidInput(f"A model of the kind '{self.description.kind}' knows no density.", hint="Take a flow.")
        return found

    def _density(self, data: Tensor, given: Tensor) -> NDArray[Any] | None:
        with torch.inference_mode():
            found = self.model.generator.log_density(data, given)
        return None if found is None else np.asarray(found.numpy() - self._volume(), np.float64)

    def _volume(self) -> float:
        """Return the logarithm of how much larger a physical volume is than a scaled one."""
        scales = self.learned().outputs if self._given else self.learned().inputs
        return float(sum(np.log(np.broadcast_to(scales[port.name][1], port.shape)).sum() for port in self._data))

    def _drawn(self, given: Tensor, draws: int, seed: int) -> Answer:
        generator = torch.Generator().manual_seed(seed)
        rows = given.repeat(draws, 1)
        with torch.inference_mode():
            parts = [self.model.generator.sample(part, generator) for part in torch.split(rows, _CHUNK)]
        unpacked = FLAT.unpacked(self._data, [1] * len(self._data), torch.cat(parts))
        side = "outputs" if self._given else "inputs"
        return {
            port.name: self.back(port, unpacked[port.name][..., 0], side).reshape(draws, len(given), *port.shape)
            for port in self._data
        }

    def _precise(self) -> torch.dtype:
        return self.settings.dtype


def sides(description: Description) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Return the ports whose distribution is learned, and those that are given.

    Raises:
        InvalidInput: What is to be drawn are classes.
    """
    data, given = (description.outputs, description.inputs) if description.outputs else (description.inputs, ())
    classes = [port.name for port in data if port.dtype == "int64"]
    if classes:
        message = (
            f"A model of the kind '{description.kind}' draws numbers, and port '{classes[0]}' has classes (int64)."
        )
        raise InvalidInput(message, hint="Take mlp or boosted_trees, which answer probabilities of classes.")
    return data, given


def _mean(drawn: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(drawn.mean(axis=0, dtype=np.float64).astype(drawn.dtype))


def normal(rows: Tensor, width: int, generator: torch.Generator) -> Tensor:
    """Return standard normal numbers, (row, width), of the dtype and on the device of `rows`."""
    drawn = torch.randn(len(rows), width, generator=generator, device=generator.device, dtype=rows.dtype)
    return drawn.to(rows.device)
