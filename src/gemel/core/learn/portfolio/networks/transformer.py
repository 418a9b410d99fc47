"""Transformer on series."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gemel.base.errors import InvalidInput
from gemel.core.learn.models import Description
from gemel.core.learn.portfolio.networks._blocks import dense
from gemel.core.learn.portfolio.networks._noise import Dropout
from gemel.core.learn.portfolio.networks._series import series_learner
from gemel.core.learn.portfolio.networks._supervised import SupervisedLearner
from gemel.core.learn.portfolio.networks.mlp import dropout_rate


def learner(description: Description, options: Mapping[str, Any]) -> SupervisedLearner:
    """Return a learner.

    Raises:
        InvalidInput: The width cannot be shared by the heads.
    """
    if options["width"] % (2 * options["heads"]):
        message = f"A width of {options['width']} cannot be shared by {options['heads']} heads."
        raise InvalidInput(message, hint=f"Take a multiple of {2 * options['heads']}.")
    return series_learner(description, options, partial(Transformer, options, dropout_rate(description, options)))


class Transformer(nn.Module):
    """Layers of attention and dense ones, each behind a normalisation (Xiong et al. 2020).

    Attributes:
        width: Channels that come out.
    """

    def __init__(self, options: Mapping[str, Any], rate: float, into: int) -> None:
        super().__init__()
        self.width = options["width"]
        self.first = nn.Linear(into, self.width)
        make = partial(_Layer, self.width, options["heads"], rate, causal=options["causal"])
        self.layers = nn.ModuleList([make() for _ in range(options["layers"])])
        self.norm = nn.LayerNorm(self.width)

    def forward(self, series: Tensor) -> Tensor:
        """Return (sample, time, width)."""
        found = self.first(series)
        found = found + _places(found.shape[1], self.width).to(found)
        for layer in self.layers:
            found = layer(found)
        last: Tensor = self.norm(found)
        return last


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, rate: float, *, causal: bool) -> None:
        super().__init__()
        self._heads, self._causal = heads, causal
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.queries, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dense = dense(width, (2 * width,), width, "gelu")
        self.dropout = Dropout(rate)

    def forward(self, values: Tensor) -> Tensor:
        found = values + self.dropout(self._attended(self.norms[0](values)))
        last: Tensor = found + self.dropout(self.dense(self.norms[1](found)))
        return last

    def _attended(self, values: Tensor) -> Tensor:
        parts = self.queries(values).unflatten(-1, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=self._causal)
        last: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return last


def _places(length: int, width: int) -> Tensor:
    """Return what tells instants apart, (time, width): sines and cosines (Vaswani et al. 2017, section 3.5)."""
    turns = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(length).unsqueeze(1) * turns
    return torch.stack([torch.sin(angles), torch.cos(angles)], dim=-1).flatten(1)
