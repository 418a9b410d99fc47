"""From plaquettes to links: the same flow as a map of gauge fields, which commutes with gauge transformations."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from gemel.base.errors import InvalidInput
from gemel.thematic.lattice._u1 import links_of
from gemel.thematic.lattice.flows._flow import Flow
from gemel.thematic.lattice.flows._gauge import Stripes, wrapped


class LinkFlow(nn.Module):
    """A flow of plaquettes, carried to links (batch, 2, x, y).

    Every layer moves links by angles that are functions of plaquettes, so f(theta^alpha) = f(theta)^alpha for every gauge
    transformation alpha, and ln q depends on gauge-invariant loops alone. What the plaquettes leave open, V - 1 gauge
    angles and the two loops around the torus, is uniform.

    Args:
        flow: All of its layers are `Stripes`.

    Raises:
        InvalidInput: A flow with other layers.
    """

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        if not all(isinstance(layer, Stripes) for layer in flow.layers):
            raise InvalidInput("Only flows of U(1) plaquettes move links.")
        self.flow = flow

    def forward(self, links: Tensor, coupling: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the links (batch, 2, x, y) after all layers, in [-pi, pi) where they moved, and ln |det| (batch,)."""
        told, total = self.flow.told(coupling), links.new_zeros(len(links))
        for layer in self.flow.layers:
            stripes = cast("Stripes", layer)
            change, logdet = stripes.change(plaquettes(links), told)
            links, total = stripes.move_links(links, change), total + logdet
        return links, total

    def inverse(self, links: Tensor, coupling: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the links that map onto the given ones, and ln |det| of this way."""
        told, total = self.flow.told(coupling), links.new_zeros(len(links))
        for layer in reversed(self.flow.layers):
            stripes = cast("Stripes", layer)
            change, logdet = stripes.unchange(plaquettes(links), told)
            links, total = stripes.move_links(links, change), total + logdet
        return links, total

    def log_prob(self, links: Tensor, coupling: Tensor | None = None) -> Tensor:
        """Return ln q by the 2 V link angles (batch,): that of the plaquettes, and V + 1 uniform angles."""
        volume = links.shape[2] * links.shape[3]
        return self.flow.log_prob(plaquettes(links), coupling) - (volume + 1) * math.log(2.0 * math.pi)

    def sample(self, count: int, generator: torch.Generator, coupling: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return links (count, 2, x, y) in a random gauge and with random loops around the torus, and ln q (count,)."""
        angles, log_q = self.flow.sample(count, generator, coupling)
        links = torch.as_tensor(links_of(angles.detach().double().cpu().numpy())).to(angles)
        extent, turn = angles.shape[-1], 2.0 * math.pi

        def uniform(*shape: int) -> Tensor:
            drawn = torch.rand(count, *shape, generator=generator, device=generator.device, dtype=angles.dtype)
            return turn * drawn

        gauge, loops = uniform(extent, extent), uniform(2)
        along = links[:, 0] + gauge - gauge.roll(-1, 1)
        across = links[:, 1] + gauge - gauge.roll(-1, 2)
        # One column of links each way carries the loop around the torus; no plaquette notices.
        along[:, 0, :] += loops[:, :1]
        across[:, :, 0] += loops[:, 1:]
        volume = extent * extent
        return wrapped(torch.stack([along, across], dim=1)), log_q - (volume + 1) * math.log(turn)


def plaquettes(links: Tensor) -> Tensor:
    """Return plaquette angles (batch, x, y) in [-pi, pi), as `gemel.thematic.lattice.plaquettes` does."""
    along, across = links[:, 0], links[:, 1]
    return wrapped(along + across.roll(-1, 1) - along.roll(-1, 2) - across)
