"""Variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gemel.core.learn.models import Description
from gemel.core.learn.portfolio.networks._blocks import dense
from gemel.core.learn.portfolio.networks._generative import GenerativeLearner, Generator, normal

_BOUND = 20  # draws of the latent numbers for a bound of the density


def learner(description: Description, options: Mapping[str, Any]) -> GenerativeLearner:
    """Return a learner: ports are flattened into one vector."""
    return GenerativeLearner(description, partial(Vae, options))


class Vae(Generator):
    """Encoder to a normal distribution of latent numbers, decoder to one of the data with a learned noise."""

    def __init__(self, options: Mapping[str, Any], size: int, given: int) -> None:
        super().__init__()
        hidden, activation = options["hidden"], options["activation"]
        self._latent, self._size, self._weight = options["latent"], size, options["weight"]
        self.encoder = dense(size + given, hidden, 2 * self._latent, activation)
        self.decoder = dense(self._latent + given, hidden, size, activation)
        # One noise for each number of the data, learned with the rest (Rybkin, Daniilidis & Levine 2021).
        self.noise = nn.Parameter(torch.zeros(size))

    def fitted(self, data: Tensor, given: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean negative evidence lower bound."""
        fit, divergence = self._terms(data, given, normal(data, self._latent, generator))
        found: Tensor = (self._weight * divergence - fit).mean()
        return found

    def sample(self, given: Tensor, generator: torch.Generator) -> Tensor:
        """Return one draw for each row, noise of the data included."""
        latent = normal(given, self._latent, generator)
        mean: Tensor = self.decoder(torch.cat([latent, given], dim=-1))
        return mean + torch.exp(self.noise) * normal(given, self._size, generator)

    def log_density(self, data: Tensor, given: Tensor) -> Tensor:
        """Return a lower bound of the log density, (row,): importance weighted by 20 draws (Burda et al. 2016)."""
        generator = torch.Generator().manual_seed(0)
        mean, spread = self._encoded(data, given)
        weights = []
        for _ in range(_BOUND):
            noise = normal(data, self._latent, generator)
            latent = mean + torch.exp(spread) * noise
            prior, posterior = -0.5 * (latent**2).sum(-1), -0.5 * (noise**2).sum(-1) - spread.sum(-1)
            weights.append(self._fit(data, torch.cat([latent, given], dim=-1)) + prior - posterior)
        return torch.logsumexp(torch.stack(weights), dim=0) - math.log(_BOUND)

    def _terms(self, data: Tensor, given: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = self._encoded(data, given)
        latent = mean + torch.exp(spread) * noise
        # Kullback-Leibler divergence from the standard normal distribution (Kingma & Welling 2014, appendix B).
        divergence = 0.5 * (mean**2 + torch.exp(2 * spread) - 1.0 - 2 * spread).sum(-1)
        return self._fit(data, torch.cat([latent, given], dim=-1)), divergence

    def _encoded(self, data: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = self.encoder(torch.cat([data, given], dim=-1)).chunk(2, dim=-1)
        return mean, spread.clamp(-10.0, 5.0)

    def _fit(self, data: Tensor, latent: Tensor) -> Tensor:
        noise = self.noise.clamp(-6.0, 3.0)
        scores: Tensor = (data - self.decoder(latent)) / torch.exp(noise)
        return (-0.5 * scores**2 - noise - 0.5 * math.log(2 * math.pi)).sum(-1)
