"""Networks that map inputs to outputs: one body between two layouts, a head for each output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gemel.base.errors import InvalidInput
from gemel.core.learn.models import Answer, Description
from gemel.core.learn.portfolio._scaling import Scaling, accepted
from gemel.core.learn.portfolio.networks._heads import Head, heads
from gemel.core.learn.portfolio.networks._layout import FLAT, Layout
from gemel.core.learn.portfolio.networks._learner import Arrays, Model, TorchLearner, chunks
from gemel.core.learn.portfolio.networks._noise import noise
from gemel.core.learn.samples import Port, Samples
from gemel.core.learn.uncertainty import Components, Doubt

Body = Callable[[int, int], nn.Module]


@dataclass(frozen=True)
class Plan:
    """How a kind is put together.

    Attributes:
        description: What is asked for.
        options: Of the kind, all of them.
        body: Makes the network between, of (channels in, channels out): (sample, *positions, channel) on both sides.
        inputs: How inputs lie.
        outputs: How outputs lie.
        noisy: Whether the body can give variances beside means, where the uncertainty asks for noise.
    """

    description: Description
    options: Mapping[str, Any]
    body: Body
    inputs: Layout = FLAT
    outputs: Layout = FLAT
    noisy: bool = True

    def __post_init__(self) -> None:
        """Refuse ports that do not fit."""
        if not self.description.outputs:
            raise InvalidInput(f"A model of the kind '{self.description.kind}' has outputs, and none is described.")

    def model(self) -> SupervisedModel:
        """Return the model with fresh weights."""
        return SupervisedModel(self)


class SupervisedModel(Model):
    """Body and heads; in and out are scaled tensors by port."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._ports = plan.description.inputs
        self._layouts = (plan.inputs, plan.outputs)
        self.heads: tuple[Head, ...] = heads(plan.description, plan.options, noisy=plan.noisy)
        into = sum(plan.inputs.channels(port, broadcast=True) for port in self._ports)
        out = sum(plan.outputs.channels(head.port) * head.width for head in self.heads)
        self.body = plan.body(into, out)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return (sample, *shape, width) by output port."""
        whole = self.body(self._layouts[0].packed(self._ports, inputs))
        ports, widths = [head.port for head in self.heads], [head.width for head in self.heads]
        return self._layouts[1].unpacked(ports, widths, whole)

    def loss(
        self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum of the ports' losses, and each of them; dropout is on while it learns."""
        if torch.is_grad_enabled():
            with noise(generator):
                raw = self(inputs)
        else:
            raw = self(inputs)
        parts = {
            f"loss of {head.port.name}": head.loss(raw[head.port.name], outputs[head.port.name]) for head in self.heads
        }
        return torch.stack(list(parts.values())).sum(), (parts if len(parts) > 1 else {})


class SupervisedLearner(TorchLearner):
    """A network that maps inputs to outputs; tells doubt where its description asks for it.

    Outputs of int64 are classes: it answers the most probable one, and `NAME_probability` (sample, *shape, class).
    """

    model: SupervisedModel

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._doubt = Doubt.read(plan.description.uncertainty)
        self.levels = self._doubt.levels
        self._pairs: dict[str, str] = {}
        super().__init__(plan.description, plan.model)

    def pooled(self) -> dict[str, tuple[int, ...]]:
        """Return the axes of positions: they share one scale."""
        found = {port.name: self._plan.inputs.pooled(port) for port in self.description.inputs}
        return found | {port.name: self._plan.outputs.pooled(port) for port in self.description.outputs}

    def sharing(self, pairs: Mapping[str, str]) -> SupervisedLearner:
        """Return the learner, with outputs that take the scale of an input: pairs of (output, input)."""
        self._pairs = dict(pairs)
        return self

    def scaling_of(self, train: Samples) -> Scaling:
        """Return the scaling of a training part."""
        found = super().scaling_of(train)
        return Scaling(
            found.inputs, {**found.outputs, **{out: found.inputs[into] for out, into in self._pairs.items()}}
        )

    def predict(self, inputs: Arrays, *, draws: int = 0, seed: int = 0) -> Answer:
        """Return the answer, (sample, *shape) by port: mean or median, or the most probable class with probabilities.

        With `draws` and a way of uncertainty that has noise: (draw, sample, *shape), drawn from the normal distributions
        of the noise head; with dropout each draw has weights of its own too.

        Raises:
            InvalidInput: Inputs do not fit, or draws are asked of a model that answers one number.
        """
        if draws:
            components = self.components(inputs, passes=draws, seed=seed)
            if components is None:
                raise InvalidInput(f"This model of the kind '{self.description.kind}' draws nothing: it has no noise.")
            return {name: item.drawn(draws, seed) for name, item in components.items()}
        parts = [self._answers(part) for part in chunks(self.tensors(self.description.inputs, inputs))]
        return (
            parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        )

    def components(self, inputs: Arrays, *, passes: int | None = None, seed: int = 0) -> dict[str, Components] | None:
        """Return the normal distributions that the answer is a mixture of, by port; None where the network has none."""
        dropout = self._doubt.method == "dropout"
        normal = any(head.form == "normal" for head in self.model.heads)
        if not (dropout or normal):
            return None
        count = (passes or self._doubt.passes) if dropout else 1
        generator = torch.Generator().manual_seed(seed)
        given = chunks(self.tensors(self.description.inputs, inputs))
        rounds = []
        for _ in range(count):
            with torch.inference_mode(), noise(generator):
                rounds.append([self.model(part) for part in given])
        return {head.port.name: self._component(head, rounds) for head in self.model.heads if head.form != "classes"}

    def quantiles(self, inputs: Arrays) -> dict[str, NDArray[Any]] | None:
        """Return the quantiles learned, (level, sample, *shape) by port; None where the network has none."""
        chosen = [head for head in self.model.heads if head.form == "quantile"]
        if not chosen:
            return None
        with torch.inference_mode():
            raws = [self.model(part) for part in chunks(self.tensors(self.description.inputs, inputs))]
        found = {}
        for head in chosen:
            whole = head.quantiles(torch.cat([raw[head.port.name] for raw in raws]))
            found[head.port.name] = self.back(head.port, whole.movedim(-1, 0))
        return found

    def graph(self) -> nn.Module:
        """Return a module of physical inputs, in the order of the ports, to a tuple of physical answers."""
        return Whole(self.model, self.learned(), self.description.inputs)

    def _answers(self, part: Mapping[str, Tensor]) -> Answer:
        with torch.inference_mode():
            raw = self.model(part)
        found: Answer = {}
        for head in self.model.heads:
            values = head.point(raw[head.port.name])
            if head.form == "classes":
                found[head.port.name] = values.argmax(dim=-1).numpy()
                found[f"{head.port.name}_probability"] = values.numpy()
            else:
                found[head.port.name] = self.back(head.port, values)
        return found

    def _component(self, head: Head, rounds: list[list[dict[str, Tensor]]]) -> Components:
        name = head.port.name
        raw = torch.stack([torch.cat([part[name] for part in parts]) for parts in rounds])
        mean, deviation = self.learned().outputs[name]
        if head.form == "normal":
            middle, variance = head.normal(raw)
            return Components(middle.numpy() * deviation + mean, np.sqrt(variance.numpy()) * deviation)
        return Components(raw[..., 0].numpy() * deviation + mean, None)

    def _check(self, train: Samples) -> None:
        for head in self.model.heads:
            accepted([head.port], {head.port.name: train.outputs[head.port.name]})
            if head.form == "classes":
                check_classes(head.port, train.outputs[head.port.name], head.width)


class Whole(nn.Module):
    """A model with its scaling inside: physical numbers in and out, as it is exported."""

    def __init__(self, model: SupervisedModel, scaling: Scaling, ports: tuple[Port, ...]) -> None:
        super().__init__()
        self.model, self._ports = model, ports
        self._dtype = next(model.parameters()).dtype
        for side, scales in (("inputs", scaling.inputs), ("outputs", scaling.outputs)):
            for name, (mean, deviation) in scales.items():
                self.register_buffer(f"{side}_{name}_mean", torch.as_tensor(np.array(mean)).to(self._dtype))
                self.register_buffer(f"{side}_{name}_deviation", torch.as_tensor(np.array(deviation)).to(self._dtype))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the answers in the order of `answer_names`."""
        named = {port.name: values for port, values in zip(self._ports, inputs, strict=True)}
        scaled = {name: self._in(name, values) for name, values in named.items()}
        raw = self.model(scaled)
        found: list[Tensor] = []
        for head in self.model.heads:
            values = head.point(raw[head.port.name])
            if head.form == "classes":
                found += [values.argmax(dim=-1), values]
            else:
                found.append(self._out(head.port.name, values).to(getattr(torch, head.port.dtype)))
        return tuple(found)

    def _in(self, name: str, values: Tensor) -> Tensor:
        mean, deviation = self._scale("inputs", name)
        return (values.to(self._dtype) - mean) / deviation

    def _out(self, name: str, values: Tensor) -> Tensor:
        mean, deviation = self._scale("outputs", name)
        return values * deviation + mean

    def _scale(self, side: str, name: str) -> tuple[Tensor, Tensor]:
        return self.get_buffer(f"{side}_{name}_mean"), self.get_buffer(f"{side}_{name}_deviation")


def check_classes(port: Port, values: NDArray[Any], classes: int) -> None:
    """Refuse classes that a model has no place for.

    Raises:
        InvalidInput: A class is negative, or there are more than the option `classes` says.
    """
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= classes:
        message = f"Port '{port.name}' has classes from {low} to {high}; the model has 0 to {classes - 1}."
        raise InvalidInput(message, hint=f"Set its option classes = {high + 1}, and count classes from 0.")
