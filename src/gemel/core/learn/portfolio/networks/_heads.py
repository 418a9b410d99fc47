"""Heads: what the last numbers of a network mean for each port, and the loss that teaches them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gemel.core.learn.models import Description
from gemel.core.learn.samples import Port
from gemel.core.learn.uncertainty import Doubt

#: Least variance of a scaled output, so that the likelihood stays bounded (Lakshminarayanan et al. 2017, section 2.2.1).
_LEAST = 1e-6


@dataclass(frozen=True)
class Head:
    """What a network gives for each number of one port.

    Attributes:
        port: The port.
        form: `point` (one number), `normal` (mean and variance), `quantile` (one number a level) or `classes` (logits).
        width: How many numbers it gives.
        levels: Of quantiles.
    """

    port: Port
    form: str
    width: int
    levels: tuple[float, ...] = ()

    def loss(self, raw: Tensor, truth: Tensor) -> Tensor:
        """Return the mean loss: squared error, negative log likelihood, pinball loss or cross entropy.

        Args:
            raw: (sample, *shape, width), as the network gave it.
            truth: (sample, *shape), scaled; classes as they are.
        """
        if self.form == "classes":
            return functional.cross_entropy(raw.reshape(-1, self.width), truth.reshape(-1))
        if self.form == "normal":
            mean, variance = self.normal(raw)
            return 0.5 * (torch.log(variance) + (truth - mean) ** 2 / variance).mean()
        if self.form == "quantile":
            levels = torch.tensor(self.levels, dtype=raw.dtype, device=raw.device)
            off = truth.unsqueeze(-1) - self.quantiles(raw)
            # The pinball loss (Koenker & Bassett 1978).
            return torch.maximum(levels * off, (levels - 1.0) * off).mean()
        return functional.mse_loss(raw[..., 0], truth)

    def normal(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance, each (sample, *shape), scaled."""
        return raw[..., 0], functional.softplus(raw[..., 1]) + _LEAST

    def quantiles(self, raw: Tensor) -> Tensor:
        """Return the quantiles, (sample, *shape, level), scaled: each lies above the last, so that none cross."""
        first, rises = raw[..., :1], functional.softplus(raw[..., 1:])
        return torch.cat([first, first + torch.cumsum(rises, dim=-1)], dim=-1)

    def point(self, raw: Tensor) -> Tensor:
        """Return the one best answer, (sample, *shape), scaled: mean or median; for classes their probabilities behind."""
        if self.form == "classes":
            return torch.softmax(raw, dim=-1)
        if self.form == "quantile":
            return _median(self.quantiles(raw), self.levels)
        return raw[..., 0]


def heads(description: Description, options: Mapping[str, Any], *, noisy: bool = True) -> tuple[Head, ...]:
    """Return the head of every output that a description asks for; int64 outputs are classes, `options["classes"]` many."""
    doubt = Doubt.read(description.uncertainty)
    return tuple(_head(port, doubt, int(options.get("classes", 2)), noisy) for port in description.outputs)


def _head(port: Port, doubt: Doubt, classes: int, noisy: bool) -> Head:
    if port.dtype == "int64":
        return Head(port, "classes", classes)
    if doubt.method == "quantile":
        return Head(port, "quantile", len(doubt.levels), doubt.levels)
    if doubt.method in ("ensemble", "dropout") and doubt.noise and noisy:
        return Head(port, "normal", 2)
    return Head(port, "point", 1)


def _median(quantiles: Tensor, levels: tuple[float, ...]) -> Tensor:
    above = next((number for number, level in enumerate(levels) if level >= 0.5), len(levels) - 1)
    if above == 0 or math.isclose(levels[above], 0.5):
        return quantiles[..., above]
    share = min((0.5 - levels[above - 1]) / (levels[above] - levels[above - 1]), 1.0)
    return quantiles[..., above - 1] + share * (quantiles[..., above] - quantiles[..., above - 1])
