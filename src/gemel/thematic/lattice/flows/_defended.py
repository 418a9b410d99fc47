"""A flow mixed with its prior, so that no region that the prior reaches can be missed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gemel.base.errors import InvalidInput
from gemel.thematic.lattice.flows._flow import Flow


class Defended:
    """The mixture (1 - share) q_flow + share q_prior: a defensive mixture (Hesterberg 1995, Technometrics 37, 185).

    Reverse KL prefers to leave out what is hard, and a few samples there then carry most of the weight. In the mixture no
    weight exceeds that of the bare prior by more than 1/share. It costs one inverse of the flow for each sample of the
    prior. Of use where the prior is close to the target itself, as von Mises plaquettes are.

    Args:
        flow: What most samples come from.
        share: Of the prior, in (0, 1).

    Raises:
        InvalidInput: Another share.
    """

    def __init__(self, flow: Flow, share: float) -> None:
        if not 0.0 < share < 1.0:
            raise InvalidInput(f"A share of {share} of the prior cannot be.", hint="Above 0 and below 1.")
        self.flow, self.share = flow, share

    @property
    def span(self) -> tuple[float, float] | None:
        """Return the couplings that the flow was made for, where it is conditional."""
        return self.flow.span

    @property
    def extent(self) -> int:
        """Return the sites each way."""
        return self.flow.extent

    @property
    def dtype(self) -> torch.dtype:
        """Return the type of the parameters."""
        return self.flow.dtype

    def log_prob(self, x: Tensor, coupling: Tensor | None = None) -> Tensor:
        """Return ln q of fields (batch,)."""
        return self._mixed(self.flow.log_prob(x, coupling), self.flow.log_prior(x, coupling))

    def sample(self, count: int, generator: torch.Generator, coupling: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return fields (count, x, y) in random order of their origin, and ln q (count,)."""
        flow = self.flow
        chance = torch.rand(count, generator=generator, device=generator.device)
        ours, theirs = torch.nonzero(chance >= self.share)[:, 0], torch.nonzero(chance < self.share)[:, 0]
        parts = [None if coupling is None else coupling[index] for index in (ours, theirs)]
        made, log_made = flow.sample(len(ours), generator, parts[0])
        drawn = flow.draw_prior(len(theirs), generator, parts[1])
        field = made.new_empty(count, *made.shape[1:]).index_copy(0, ours, made).index_copy(0, theirs, drawn)
        log_flow = log_made.new_empty(count).index_copy(0, ours, log_made)
        log_flow = log_flow.index_copy(0, theirs, flow.log_prob(drawn, parts[1]))
        return field, self._mixed(log_flow, flow.log_prior(field, coupling))

    def _mixed(self, log_flow: Tensor, log_prior: Tensor) -> Tensor:
        return torch.logaddexp(log_flow + math.log1p(-self.share), log_prior + math.log(self.share))
