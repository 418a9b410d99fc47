"""Diffusion model."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gemel.core.learn.models import Description
from gemel.core.learn.portfolio.networks._blocks import dense
from gemel.core.learn.portfolio.networks._generative import GenerativeLearner, Generator, normal

#: Of Karras et al. 2022, table 1: mean and deviation of the noise level's logarithm in training; least and largest level
#: and the exponent of the schedule in sampling. Data are scaled to deviation 1 (there 0.5).
_LEVELS = (-1.2, 1.2)
_LEAST, _LARGEST, _EXPONENT = 0.002, 80.0, 7.0
_FREQUENCIES = 8


def learner(description: Description, options: Mapping[str, Any]) -> GenerativeLearner:
    """Return a learner: ports are flattened into one vector."""
    return GenerativeLearner(description, partial(Diffusion, options))


class Diffusion(Generator):
    """A denoiser at all levels of noise; draws follow the probability flow from noise to data by Heun's method."""

    def __init__(self, options: Mapping[str, Any], size: int, given: int) -> None:
        super().__init__()
        self._size, self._steps = size, options["steps"]
        self.network = dense(size + given + 2 * _FREQUENCIES, options["hidden"], size, options["activation"])

    def fitted(self, data: Tensor, given: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean weighted squared error of the denoiser (Karras et al. 2022, eq. 8)."""
        level = torch.exp(_LEVELS[0] + _LEVELS[1] * normal(data, 1, generator))
        noisy = data + level * normal(data, self._size, generator)
        weight = (level**2 + 1.0) / level**2
        off = self._denoised(noisy, level, given) - data
        found: Tensor = (weight * off**2).mean()
        return found

    def sample(self, given: Tensor, generator: torch.Generator) -> Tensor:
        """Return one draw for each row (their algorithm 1)."""
        ends = _LARGEST ** (1 / _EXPONENT), _LEAST ** (1 / _EXPONENT)
        ways = [step / (self._steps - 1) for step in range(self._steps)]
        levels = [*((ends[0] + way * (ends[1] - ends[0])) ** _EXPONENT for way in ways), 0.0]
        state: Tensor = levels[0] * normal(given, self._size, generator)
        for now, then in itertools.pairwise(levels):
            slope = (state - self._denoised(state, now, given)) / now
            guess = state + (then - now) * slope
            if then > 0.0:
                slope = 0.5 * (slope + (guess - self._denoised(guess, then, given)) / then)
            state = state + (then - now) * slope
        return state

    def _denoised(self, noisy: Tensor, level: Tensor | float, given: Tensor) -> Tensor:
        """Return the data that are likeliest under the noise: the network's answer, preconditioned (their table 1)."""
        levels = level if isinstance(level, Tensor) else noisy.new_full((len(noisy), 1), level)
        total = levels**2 + 1.0
        turns = math.pi / 16.0 * torch.exp2(torch.arange(_FREQUENCIES, dtype=noisy.dtype, device=noisy.device))
        angles = 0.25 * torch.log(levels) * turns
        known = torch.cat([noisy / torch.sqrt(total), given, torch.sin(angles), torch.cos(angles)], dim=-1)
        found: Tensor = noisy / total + levels / torch.sqrt(total) * self.network(known)
        return found
