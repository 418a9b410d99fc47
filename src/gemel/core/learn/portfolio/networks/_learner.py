"""What all networks share: learning by `gemel.core.learn.training`, scaling, and the arrays that a bundle holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gemel.base.errors import Conflict, InvalidInput
from gemel.core.learn.models import Answer, Description, Training
from gemel.core.learn.portfolio._scaling import Scaling, accepted, scaled
from gemel.core.learn.samples import Port, Samples
from gemel.core.learn.training import SampleBatches, Settings, Step, fit, seeded

Arrays = Mapping[str, NDArray[Any]]
Loss = Tensor | tuple[Tensor, Mapping[str, Tensor]]
_WEIGHTS = "weights/"
_CHUNK = 4096  # samples in one forward pass, so that memory stays bounded


class Model(nn.Module, ABC):
    """A network with its loss, in scaled numbers."""

    @abstractmethod
    def loss(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], generator: torch.Generator) -> Loss:
        """Return the mean loss of a batch; all noise comes from the generator."""

    def measure(
        self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], generator: torch.Generator
    ) -> Tensor:
        """Return how far the model is from what it should be, less is better; the loss where nothing else is said."""
        found = self.loss(inputs, outputs, generator)
        return found[0] if isinstance(found, tuple) else found


class ModelObjective:
    """What is trained: a model on samples.

    Attributes:
        module: The model.
    """

    def __init__(self, module: Model) -> None:
        self.module: nn.Module = module

    def loss(self, batch: Mapping[str, Tensor], step: Step) -> Loss:
        """Return the loss of a batch."""
        sides = sides_of(batch)
        return cast("Model", self.module).loss(sides["inputs"], sides["outputs"], step.generator)


class TorchLearner(ABC):
    """A network before, while and after it learns.

    Attributes:
        description: What it is made from.
        settings: How it is trained.
        build: Makes the model with fresh weights.
        model: The model.
        scaling: Of its ports; None before it has learned.
    """

    def __init__(self, description: Description, build: Callable[[], Model]) -> None:
        self.description = description
        self.settings = Settings.read(description.training)
        self.build = build
        self.model = self._fresh(0)
        self.scaling: Scaling | None = None

    def fit(self, train: Samples, validation: Samples, training: Training) -> dict[str, Any]:
        """Return how it went, after learning.

        Weights to go on from bring their scaling: what they know is in scaled numbers. The same seed gives the same
        weights on the same machine.

        Raises:
            Diverged: The loss is no number any more.
            InvalidInput: Samples do not fit, or the weights are another model's.
        """
        self.model = self._fresh(training.seed)
        if training.weights is not None:
            self.load(training.weights)
        scaling = self.scaling if training.weights is not None else None
        self.scaling = scaling or self.scaling_of(train)
        self._check(train)
        batches = SampleBatches(self.scaling.into(train, self._dtype), self.settings, training.seed)
        judge = _Judge(self, validation, training)
        objective = ModelObjective(self.model)
        outcome = fit(
            objective, batches, self.settings, seed=training.seed, folder=training.folder, evaluate=judge.measures
        )
        self.model = cast("Model", objective.module).cpu().eval()
        return _told(outcome)

    @abstractmethod
    def predict(self, inputs: Arrays, *, draws: int = 0, seed: int = 0) -> Answer:
        """Return the answer to inputs (sample, *shape); with `draws`, that many random answers where the kind has such."""

    def pooled(self) -> dict[str, tuple[int, ...]]:
        """Return the axes of each port that share one scale."""
        return {}

    def scaling_of(self, train: Samples) -> Scaling:
        """Return the scaling that a training part gives."""
        return Scaling.of(train, self.pooled())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return weights and scalings.

        Raises:
            Conflict: It has not learned anything.
        """
        weights = {f"{_WEIGHTS}{name}": item.detach().cpu().numpy() for name, item in self.model.state_dict().items()}
        return weights | self.learned().arrays()

    def load(self, arrays: Arrays) -> None:
        """Take over weights and scalings.

        Raises:
            InvalidInput: Names or shapes are not those of this model.
        """
        given = {name.removeprefix(_WEIGHTS): item for name, item in arrays.items() if name.startswith(_WEIGHTS)}
        own = self.model.state_dict()
        wrong = [name for name in {*own, *given} if name not in own or name not in given]
        wrong += [name for name in set(own) & set(given) if tuple(own[name].shape) != given[name].shape]
        if wrong:
            message = (
                f"These weights are not of a model '{self.description.kind}' like this: {sorted(wrong)[0]} differs."
            )
            raise InvalidInput(message, hint="The description must be the one that the weights were learned with.")
        self.model.load_state_dict({name: torch.from_numpy(np.array(item)) for name, item in given.items()})
        self.model.eval()
        self.scaling = Scaling.read(arrays)

    def learned(self) -> Scaling:
        """Return the scaling.

        Raises:
            Conflict: It has not learned anything.
        """
        if self.scaling is None:
            raise Conflict("This model has not learned anything yet.", hint="Call fit, or load what was learned.")
        return self.scaling

    def tensors(self, ports: Sequence[Port], given: Arrays, side: str = "inputs") -> dict[str, Tensor]:
        """Return arrays by port as scaled tensors.

        Raises:
            InvalidInput: They do not fit their ports.
        """
        scales = getattr(self.learned(), side)
        taken = accepted(ports, given)
        return {name: torch.from_numpy(scaled(values, scales.get(name), self._dtype)) for name, values in taken.items()}

    def back(self, port: Port, values: Tensor, side: str = "outputs") -> NDArray[Any]:
        """Return scaled values (..., *shape) in the unit and dtype of their port."""
        mean, deviation = getattr(self.learned(), side)[port.name]
        return np.asarray(values.numpy() * deviation + mean).astype(port.dtype)

    @property
    def _dtype(self) -> str:
        return "float64" if self.settings.precision == "float64" else "float32"

    def _fresh(self, seed: int) -> Model:
        with seeded(seed):
            model = self.build()
        return (model.double() if self.settings.precision == "float64" else model).eval()

    def _check(self, train: Samples) -> None:  # noqa: B027 -- most models have nothing to refuse
        """Refuse training parts that the model cannot learn from."""


class _Judge:
    """Measures a model on its validation part."""

    def __init__(self, learner: TorchLearner, validation: Samples, training: Training) -> None:
        self._learner, self._validation, self._training = learner, validation, training
        scaling = learner.learned().into(validation, learner._dtype)
        named = {f"inputs/{name}": item for name, item in scaling.inputs.items()}
        named |= {f"outputs/{name}": item for name, item in scaling.outputs.items()}
        self._scaled = {name: torch.from_numpy(item) for name, item in named.items()}

    def measures(self) -> dict[str, float]:
        """Return the loss, and the metrics in the units of the ports."""
        model = self._learner.model
        place = next(model.parameters()).device
        found, count = 0.0, len(self._validation)
        with torch.no_grad():
            for number, begin in enumerate(range(0, count, _CHUNK)):
                part = {name: item[begin : begin + _CHUNK].to(place) for name, item in self._scaled.items()}
                # The same noise at every evaluation, so that what changes is the model.
                generator = torch.Generator(place).manual_seed(number)
                sides = sides_of(part)
                loss = model.measure(sides["inputs"], sides["outputs"], generator)
                found += float(loss) * min(_CHUNK, count - begin)
        return {"loss": found / count} | self._metrics(place)

    def _metrics(self, place: torch.device) -> dict[str, float]:
        if not self._training.metrics or not self._validation.outputs:
            return {}
        self._learner.model.cpu()
        answer = self._learner.predict(self._validation.inputs)
        self._learner.model.to(place)
        truth = self._validation.outputs
        return {name: float(metric(truth, answer)) for name, metric in self._training.metrics.items()}


def sides_of(batch: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return a batch `inputs/NAME`, `outputs/NAME` by side and name."""
    sides: dict[str, dict[str, Tensor]] = {"inputs": {}, "outputs": {}}
    for name, values in batch.items():
        side, _, port = name.partition("/")
        sides[side][port] = values
    return sides


def chunks(inputs: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return inputs in pieces of a size that memory bears."""
    count = len(next(iter(inputs.values())))
    if count <= _CHUNK:
        return [dict(inputs)]
    return [
        {name: values[begin : begin + _CHUNK] for name, values in inputs.items()} for begin in range(0, count, _CHUNK)
    ]


def _told(outcome: Any) -> dict[str, Any]:
    curve = [dict(entry) for entry in outcome.curve]
    told = {name: getattr(outcome, name) for name in ("steps", "seconds", "reason", "samples", "resumed_from")}
    return told | {"curve": curve, "best": dict(outcome.best), "loss": _last_loss(outcome)}


def _last_loss(outcome: Any) -> float | None:
    if "loss" in outcome.best:
        return float(outcome.best["loss"])
    return next((float(entry["loss"]) for entry in reversed(outcome.curve) if "loss" in entry), None)
