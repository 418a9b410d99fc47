"""Dropout whose noise comes from one generator: training can be resumed and doubt asked for again, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

_generator: ContextVar[torch.Generator | None] = ContextVar("_generator", default=None)


@contextmanager
def noise(generator: torch.Generator) -> Iterator[None]:
    """Let dropout be on, in this thread, and draw from a generator."""
    token = _generator.set(generator)
    try:
        yield
    finally:
        _generator.reset(token)


class Dropout(nn.Module):
    """Leaves out units within `noise` and is the identity elsewhere (Srivastava et al. 2014)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values: Tensor) -> Tensor:
        """Return the values, some of them zero and the rest scaled up so that the mean stays."""
        generator = _generator.get() if self.rate > 0.0 else None
        if generator is None:
            return values
        kept = torch.rand(values.shape, generator=generator, device=generator.device).to(values.device) >= self.rate
        return values * kept / (1.0 - self.rate)
