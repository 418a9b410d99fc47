"""What a flow learns from: the Kullback-Leibler divergence of its samples from the Boltzmann weight."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from gemel.core.learn.training import Step
from gemel.thematic.lattice._phi4 import Phi4
from gemel.thematic.lattice.flows._flow import Flow
from gemel.thematic.lattice.flows._spec import FlowSpec


def action(spec: FlowSpec, field: Tensor, coupling: Tensor | None = None) -> Tensor:
    """Return S of scalar fields or plaquettes (batch, x, y), as (batch,), with gradients.

    Args:
        spec: Names the theory.
        field: phi, or plaquette angles in radians.
        coupling: beta of every sample (batch,), for a conditional flow.
    """
    theory = spec.target() if coupling is None else None
    if isinstance(theory, Phi4):
        along, across = field - field.roll(1, 1), field - field.roll(1, 2)
        square = field**2
        local = square * (theory.mass_squared + theory.coupling * square)
        return torch.sum(along**2 + across**2 + local, dim=(1, 2))
    cosines = torch.cos(field).sum(dim=(1, 2))
    return -theory.beta * cosines if theory is not None else -cast("Tensor", coupling) * cosines


class ReverseKL:
    """Mean of ln q + S over samples of the flow: at least -ln Z, and equal to it where q is the Boltzmann distribution.

    With the path gradient the derivative of ln q by the weights at fixed field is left out, whose mean is zero: the
    noise of the gradient then vanishes with the divergence (Roeder et al. 2017, arXiv:1703.09194; for flows Vaitl et
    al. 2022, arXiv:2207.08219). The loss has the same value either way.

    Args:
        flow: What is trained.
        spec: Theory, batch and kind of gradient.

    Attributes:
        module: The flow.
    """

    def __init__(self, flow: Flow, spec: FlowSpec) -> None:
        self.module: torch.nn.Module = flow
        self._flow, self._spec = flow, spec

    def loss(self, batch: Mapping[str, Tensor], step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of one share of a step's samples, and `spread`, the deviation of ln q + S.

        The spread of a perfect flow is 0; of a conditional one it is left out, for ln Z varies with the coupling.
        """
        count, generator = max(1, self._spec.batch // step.share[1]), step.generator
        coupling = self._couplings(count, generator)
        if self._spec.gradient == "path":
            loss, value = self._along_the_path(count, generator, coupling)
        else:
            field, log_q = self._flow.sample(count, generator, coupling)
            value = log_q + action(self._spec, field, coupling)
            loss = value.mean()
        if coupling is not None:
            return loss, {}
        return loss, {"spread": value.detach().std(correction=0)}

    def _couplings(self, count: int, generator: torch.Generator) -> Tensor | None:
        if self._spec.span is None:
            return None
        low, high = self._spec.span
        share = torch.rand(count, generator=generator, device=generator.device, dtype=self._flow.dtype)
        return low * torch.exp(share * math.log(high / low))

    def _along_the_path(self, count: int, generator: torch.Generator, coupling: Tensor | None) -> tuple[Tensor, Tensor]:
        field = self._flow.draw(count, generator, coupling)
        fixed = field.detach().requires_grad_()
        value = self._flow.log_prob(fixed, coupling) + action(self._spec, fixed, coupling)
        (pull,) = torch.autograd.grad(value.sum(), fixed)
        # Zero in value, the path gradient in slope.
        path = ((field - field.detach()) * pull).sum() / count
        return path + value.detach().mean(), value
