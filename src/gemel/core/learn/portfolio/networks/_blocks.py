"""Blocks that several networks are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from gemel.core.learn.portfolio.networks._noise import Dropout

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def dense(into: int, hidden: Sequence[int], out: int, activation: str = "silu", rate: float = 0.0) -> nn.Sequential:
    """Return a perceptron on the last axis, with an activation and dropout behind every hidden layer."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(into, width), ACTIVATIONS[activation]()]
        layers += [Dropout(rate)] if rate > 0.0 else []
        into = width
    return nn.Sequential(*layers, nn.Linear(into, out))
