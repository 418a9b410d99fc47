"""Generative adversarial network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from gemel.core.learn.models import Description
from gemel.core.learn.portfolio.networks._blocks import dense
from gemel.core.learn.portfolio.networks._generative import GenerativeLearner, Generator, normal

_JUDGED = 1024  # rows that are compared: the distance costs their square


def learner(description: Description, options: Mapping[str, Any]) -> GenerativeLearner:
    """Return a learner: ports are flattened into one vector."""
    return GenerativeLearner(description, partial(Gan, options))


class Gan(Generator):
    """A generator and a critic that learn at once, in the relativistic pairing with gradient penalties on both sides.

    Goodfellow et al. 2014; loss and penalties as Huang et al. 2024 (R3GAN). What draws are mean weights of the generator
    over its last steps (Yazıcı et al. 2019), for its weights go round the equilibrium.
    """

    def __init__(self, options: Mapping[str, Any], size: int, given: int) -> None:
        super().__init__()
        hidden, activation = options["hidden"], options["activation"]
        self._latent, self._penalty, self._decay = options["latent"], options["penalty"], options["decay"]
        self.generator = dense(self._latent + given, hidden, size, activation)
        self.critic = dense(size + given, hidden, 1, activation)
        self.mean = dense(self._latent + given, hidden, size, activation).requires_grad_(False)
        self.mean.load_state_dict(self.generator.state_dict())

    def fitted(self, data: Tensor, given: Tensor, generator: torch.Generator) -> Tensor:
        """Return the sum of the generator's loss and the critic's; each has gradients in its own weights alone."""
        self._averaged()
        fake = self._made(self.generator, given, generator)
        frozen = {name: item.detach() for name, item in self.critic.named_parameters()}
        real, other = (functional_call(self.critic, frozen, torch.cat([x, given], dim=-1)) for x in (data, fake))
        loss = functional.softplus(real - other).mean()
        with torch.enable_grad():
            pairs = [torch.cat([x, given], dim=-1).detach().requires_grad_() for x in (data, fake)]
            real, other = (self.critic(pair) for pair in pairs)
            slopes = torch.autograd.grad([real.sum(), other.sum()], pairs, create_graph=True)
            penalty = sum((slope**2).sum(-1).mean() for slope in slopes)
            critic: Tensor = functional.softplus(other - real).mean() + 0.5 * self._penalty * penalty
        return loss + critic

    def sample(self, given: Tensor, generator: torch.Generator) -> Tensor:
        """Return one draw for each row."""
        return self._made(self.mean, given, generator)

    def distance(self, data: Tensor, given: Tensor, generator: torch.Generator) -> Tensor:
        """Return the energy distance of draws from data, with what is given (Székely & Rizzo 2013): 0 where they agree."""
        data, given = data[:_JUDGED], given[:_JUDGED]
        real = torch.cat([data, given], dim=-1)
        fake = torch.cat([self.sample(given, generator), given], dim=-1)
        return 2 * torch.cdist(real, fake).mean() - torch.cdist(real, real).mean() - torch.cdist(fake, fake).mean()

    def _made(self, network: nn.Module, given: Tensor, generator: torch.Generator) -> Tensor:
        found: Tensor = network(torch.cat([normal(given, self._latent, generator), given], dim=-1))
        return found

    def _averaged(self) -> None:
        if self.training and torch.is_grad_enabled():
            with torch.no_grad():
                for mean, own in zip(self.mean.parameters(), self.generator.parameters(), strict=True):
                    mean.lerp_(own, 1.0 - self._decay)
