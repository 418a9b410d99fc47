"""Long short-term memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from gemel.core.learn.models import Description
from gemel.core.learn.portfolio.networks._noise import Dropout
from gemel.core.learn.portfolio.networks._series import series_learner
from gemel.core.learn.portfolio.networks._supervised import SupervisedLearner
from gemel.core.learn.portfolio.networks.mlp import dropout_rate


def learner(description: Description, options: Mapping[str, Any]) -> SupervisedLearner:
    """Return a learner: every instant knows those before it."""
    rate = dropout_rate(description, options)
    return series_learner(description, options, partial(Lstm, options["hidden"], options["layers"], rate))


class Lstm(nn.Module):
    """Layers of memory cells.

    Attributes:
        width: Channels that come out.
    """

    def __init__(self, hidden: int, layers: int, rate: float, into: int) -> None:
        super().__init__()
        self.width = hidden
        self.cells = nn.LSTM(into, hidden, layers, batch_first=True)
        self.dropout = Dropout(rate)
        for name, values in self.cells.named_parameters():
            if name.startswith("bias_ih"):
                # The forget gate begins open, so that it remembers before it has learned what to forget (Gers et al. 2000).
                nn.init.constant_(values[hidden : 2 * hidden], 1.0)

    def forward(self, series: Tensor) -> Tensor:
        """Return (sample, time, width)."""
        found: Tensor = self.dropout(self.cells(series)[0])
        return found
