"""U-Net: from fields to fields of the same shape."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gemel.base.errors import InvalidInput
from gemel.core.learn.models import Description
from gemel.core.learn.portfolio.networks._blocks import ACTIVATIONS
from gemel.core.learn.portfolio.networks._noise import Dropout
from gemel.core.learn.portfolio.networks._supervised import Plan, SupervisedLearner
from gemel.core.learn.portfolio.networks.cnn import CONVOLUTIONS, fields
from gemel.core.learn.portfolio.networks.mlp import dropout_rate


def learner(description: Description, options: Mapping[str, Any]) -> SupervisedLearner:
    """Return a learner.

    Raises:
        InvalidInput: Ports are no fields of one shape, or its lengths cannot be halved as often as the depth says.
    """
    layout, depth = fields(description, options["dimensions"]), options["depth"]
    if any(length % 2**depth for length in layout.positions):
        raise InvalidInput(
            f"Fields of shape {layout.positions} cannot be halved {depth} times.",
            hint=f"Lengths are multiples of {2**depth}; or take a smaller depth.",
        )
    body = partial(UnetBody, options, len(layout.positions), dropout_rate(description, options))
    return SupervisedLearner(Plan(description, options, body, layout, layout))


class UnetBody(nn.Module):
    """Down by halving, up by doubling, with what was seen on the way down joined on the way up."""

    def __init__(self, options: Mapping[str, Any], rank: int, rate: float, into: int, out: int) -> None:
        super().__init__()
        widths = [options["width"] * 2**level for level in range(options["depth"] + 1)]
        make = partial(_block, rank, options["activation"], rate)
        self.pool = functional.max_pool1d if rank == 1 else functional.max_pool2d
        self.down = nn.ModuleList([make(a, b) for a, b in zip([into, *widths], widths, strict=False)])
        self.up = nn.ModuleList([make(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True)])
        self.last = CONVOLUTIONS[rank](widths[0], out, 1)

    def forward(self, fields: Tensor) -> Tensor:
        """Return (sample, *space, channel) of the same space."""
        found, seen = fields.movedim(-1, 1), list[Tensor]()
        for number, block in enumerate(self.down):
            found = block(self.pool(found, 2) if number else found)
            seen.append(found)
        for block, past in zip(self.up, reversed(seen[:-1]), strict=True):
            doubled = functional.interpolate(found, scale_factor=2.0, mode="nearest")
            found = block(torch.cat([doubled, past], dim=1))
        last: Tensor = self.last(found)
        return last.movedim(1, -1)


def _block(rank: int, activation: str, rate: float, into: int, out: int) -> nn.Sequential:
    convolution = CONVOLUTIONS[rank]
    groups = 4 if out % 4 == 0 else 1
    layers: list[nn.Module] = []
    for source in (into, out):
        layers += [convolution(source, out, 3, padding=1), nn.GroupNorm(groups, out), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, Dropout(rate))
