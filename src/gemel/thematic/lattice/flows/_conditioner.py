"""Networks that tell a coupling layer its parameters, and what a reflection of the field does to those."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Conditioner(nn.Module):
    """Two hidden layers, asked for the context and for its mirror image: what makes layers equivariant.

    A reflection of the field (phi -> -phi, P -> -P) exchanges the two answers; the layers combine these so that
    f(-x; mirrored context) = -f(x; context). The last layer starts at zero, so that the flow starts as the identity.

    Args:
        features: Of the context.
        hidden: Units of each hidden layer.
        outputs: Parameters.
    """

    def __init__(self, features: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(features, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, outputs)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, context: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor]:
        """Return the parameters (..., outputs) for the context (..., features) and for its mirror image."""
        both = torch.stack([context, mirrored])
        hidden = nn.functional.silu(self.first(both))
        answers = self.last(nn.functional.silu(self.second(hidden)))
        return answers[0], answers[1]


def even(answers: tuple[Tensor, Tensor]) -> Tensor:
    """Return what a reflection leaves as it is: scales."""
    return answers[0] + answers[1]


def odd(answers: tuple[Tensor, Tensor]) -> Tensor:
    """Return what changes sign with a reflection: shifts."""
    return answers[0] - answers[1]


def mirrored(answers: tuple[Tensor, Tensor]) -> Tensor:
    """Return what a reflection turns about: knots from left to right, last axis."""
    return answers[0] + torch.flip(answers[1], dims=(-1,))
