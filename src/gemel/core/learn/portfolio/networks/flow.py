"""Normalising flows, by zuko."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import zuko
from torch import Tensor

from gemel.core.learn.models import Description
from gemel.core.learn.portfolio.networks._generative import GenerativeLearner, Generator, normal


def learner(description: Description, options: Mapping[str, Any]) -> GenerativeLearner:
    """Return a learner: ports are flattened into one vector."""
    return GenerativeLearner(description, partial(Flow, options))


class Flow(Generator):
    """An invertible map between the data and normal numbers, given the context."""

    def __init__(self, options: Mapping[str, Any], size: int, given: int) -> None:
        super().__init__()
        common = {"transforms": options["transforms"], "hidden_features": list(options["hidden"])}
        # With two passes a coupling is as fast to draw from as to judge by; one number alone has nothing to couple.
        common |= {"passes": 2} if options["coupling"] and size > 1 else {}
        self.flow: Any = (
            zuko.flows.NSF(size, given, bins=options["bins"], **common)
            if options["transform"] == "spline"
            else zuko.flows.MAF(size, given, **common)
        )
        self._size = size

    def fitted(self, data: Tensor, given: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean negative log density."""
        return -self.log_density(data, given).mean()

    def log_density(self, data: Tensor, given: Tensor) -> Tensor:
        """Return the log density of scaled data, (row,)."""
        found: Tensor = self._at(given).log_prob(data)
        return found

    def sample(self, given: Tensor, generator: torch.Generator) -> Tensor:
        """Return one draw for each row."""
        found: Tensor = self._at(given).transform.inv(normal(given, self._size, generator))
        return found

    def _at(self, given: Tensor) -> Any:
        return self.flow(given if given.shape[-1] else None)
