"""Convolutional networks from series or fields to numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from gemel.base.errors import InvalidInput
from gemel.core.learn.models import Description
from gemel.core.learn.portfolio.networks._blocks import ACTIVATIONS, dense
from gemel.core.learn.portfolio.networks._layout import FLAT, Layout
from gemel.core.learn.portfolio.networks._noise import Dropout
from gemel.core.learn.portfolio.networks._supervised import Plan, SupervisedLearner
from gemel.core.learn.portfolio.networks.mlp import dropout_rate

CONVOLUTIONS: dict[int, type[nn.Conv1d | nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}


def learner(description: Description, options: Mapping[str, Any]) -> SupervisedLearner:
    """Return a learner: fields go in, numbers of any shape come out.

    Raises:
        InvalidInput: The inputs are no fields of one shape, or too small to be halved so often.
    """
    layout = fields(description, options["dimensions"])
    if min(layout.positions) < 2 ** len(options["channels"]):
        message = f"Fields of shape {layout.positions} cannot be halved {len(options['channels'])} times."
        raise InvalidInput(message, hint="Give fewer channels.")
    body = partial(CnnBody, options, layout.positions, dropout_rate(description, options))
    return SupervisedLearner(Plan(description, options, body, layout, FLAT))


def fields(description: Description, dimensions: int | None = None) -> Layout:
    """Return the layout of fields: the shape that inputs share, channels before it where there are several.

    Args:
        description: What is asked for.
        dimensions: 1 or 2; None: 1 where no input has more than one axis, else 2.

    Raises:
        InvalidInput: No input has that many dimensions.
    """
    shapes = [port.shape for port in description.inputs if port.shape]
    rank = dimensions or min(max((len(shape) for shape in shapes), default=0), 2)
    large = [shape[-rank:] for shape in shapes if len(shape) >= rank > 0]
    if not large:
        raise InvalidInput(
            f"A model of the kind '{description.kind}' takes series or fields, and no input is one.",
            hint='Give an input a shape, such as { unit = "K", shape = [32, 32] }.',
        )
    return Layout(large[0], channel_first=True, what="fields")


class CnnBody(nn.Module):
    """Convolutions, each followed by halving, then dense layers on what is left."""

    def __init__(self, options: Mapping[str, Any], space: tuple[int, ...], rate: float, into: int, out: int) -> None:
        super().__init__()
        convolution = CONVOLUTIONS[len(space)]
        pool: type[nn.MaxPool1d | nn.MaxPool2d] = nn.MaxPool1d if len(space) == 1 else nn.MaxPool2d
        layers: list[nn.Module] = []
        size = 1
        for width in options["channels"]:
            layers += [convolution(into, width, options["kernel"], padding=options["kernel"] // 2)]
            layers += [ACTIVATIONS[options["activation"]](), pool(2)]
            into = width
        for length in space:
            size *= length >> len(options["channels"])
        self.layers = nn.Sequential(*layers)
        self.dropout = Dropout(rate)
        self.head = dense(into * size, options["hidden"], out, options["activation"], rate)

    def forward(self, fields: Tensor) -> Tensor:
        """Return (sample, number) of (sample, *space, channel)."""
        found: Tensor = self.head(self.dropout(self.layers(fields.movedim(-1, 1)).flatten(1)))
        return found
