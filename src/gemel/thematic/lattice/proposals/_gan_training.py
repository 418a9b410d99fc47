"""Adversarial training of a generator on configurations, then of the density of its latent numbers (PyTorch)."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gemel.base.errors import Diverged, InvalidInput
from gemel.core.graph import progress
from gemel.thematic.lattice.proposals._gan import Array, GanProposal


@dataclass(frozen=True)
class GanSettings:
    """How a generator is trained.

    Attributes:
        hidden: Units of both hidden layers of the generator and of the latent density's mean.
        critic: Units of both hidden layers of the critic.
        noise: sigma at the start, in units of the field's standard deviation; it is learned.
        steps: Steps of generator and critic each.
        encoder_steps: Steps of the latent density.
        batch: Samples a step.
        learning_rate: Of Adam, for generator and critic; ten times that for the latent density.
        penalty: Weight of the critic's squared gradient at real fields (R1: Mescheder et al. 2018, arXiv:1801.04406).
        average: Decay of the moving average of the generator's weights that is kept.
        share: Of proposals that come from a Gaussian with the covariance of the configurations.
        seed: Of weights and batches.
    """

    hidden: int = 48
    critic: int = 96
    noise: float = 0.5
    steps: int = 1500
    encoder_steps: int = 1500
    batch: int = 256
    learning_rate: float = 5e-4
    penalty: float = 0.3
    average: float = 0.995
    share: float = 0.25
    seed: int = 0


class _Odd(nn.Module):
    """A linear map and two hidden layers of tanh without offsets: f(-x) = -f(x)."""

    def __init__(self, linear: Tensor, hidden: int) -> None:
        super().__init__()
        outputs, inputs = linear.shape
        self.linear = nn.Parameter(linear.clone())
        self.first = nn.Linear(inputs, hidden, bias=False)
        self.second = nn.Linear(hidden, hidden, bias=False)
        self.last = nn.Linear(hidden, outputs, bias=False)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.second(torch.tanh(self.first(x))))
        return x @ self.linear.T + cast("Tensor", self.last(hidden))

    def arrays(self, prefix: str) -> dict[str, Array]:
        named = {
            "linear": self.linear,
            "first": self.first.weight,
            "second": self.second.weight,
            "last": self.last.weight,
        }
        return {f"{prefix}_{name}": value.detach().double().numpy() for name, value in named.items()}


class _Generator(nn.Module):
    def __init__(self, covariance: Tensor, settings: GanSettings) -> None:
        super().__init__()
        values, vectors = torch.linalg.eigh(covariance)
        # Gaussian with the covariance of the configurations is the start; noise may not exceed its smallest mode.
        noise = min(settings.noise * float(values.mean()) ** 0.5, 0.9 * float(values.min()) ** 0.5)
        linear = vectors * torch.sqrt(values - noise**2)
        self.map = _Odd(linear, settings.hidden)
        self.log_noise = nn.Parameter(torch.tensor(float(np.log(noise))))

    def forward(self, z: Tensor, noise: Tensor) -> Tensor:
        mean: Tensor = self.map(z)
        return mean + torch.exp(self.log_noise) * noise


class _Latent(nn.Module):
    """r(z|x); starts as what Bayes' theorem gives for the generator's linear part."""

    def __init__(self, generator: _Generator, settings: GanSettings) -> None:
        super().__init__()
        linear, variance = generator.map.linear.detach(), float(torch.exp(2.0 * generator.log_noise.detach()))
        precision = torch.eye(linear.shape[1]) + linear.T @ linear / variance
        self.map = _Odd(torch.linalg.solve(precision, linear.T) / variance, settings.hidden)
        upper = torch.linalg.cholesky(precision, upper=True)
        self.root = nn.Parameter(torch.triu(upper, 1) + torch.diag(torch.log(torch.diagonal(upper))))

    def loss(self, x: Tensor, z: Tensor) -> Tensor:
        diagonal = torch.diagonal(self.root)
        root = torch.triu(self.root, 1) + torch.diag(torch.exp(diagonal))
        white: Tensor = (z - self.map(x)) @ root.T
        return 0.5 * white.square().sum(1).mean() - diagonal.sum()


class _Critic(nn.Module):
    """Sees fields in units of their deviation, with squares and products of neighbours: what the action is made of."""

    def __init__(self, shape: tuple[int, int], deviation: float, hidden: int) -> None:
        super().__init__()
        self.shape, self.deviation = shape, deviation
        self.net = nn.Sequential(
            nn.Linear(4 * shape[0] * shape[1], hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        field = x.view(-1, *self.shape) / self.deviation
        square = field**2 - 1.0
        parts = [field, square, field * field.roll(1, 1), field * field.roll(1, 2)]
        return cast("Tensor", self.net(torch.cat([part.flatten(1) for part in parts], dim=1)))


def train_gan(fields: Array, settings: GanSettings | None = None) -> GanProposal:
    """Return a proposal whose generator was trained on configurations (sample, x, y), mirrored at random (phi -> -phi).

    Non-saturating losses (Goodfellow et al. 2014, arXiv:1406.2661) with an R1 penalty; then r(z|x) by maximum likelihood on
    pairs of the trained generator, which minimises the mean divergence that costs acceptance.

    Args:
        fields: Configurations of a reference such as HMC, of a theory that is even.
        settings: How.

    Raises:
        InvalidInput: Fewer than 100 configurations, or numbers that are not finite.
        Diverged: A loss is no number any more.
    """
    chosen, begun = settings or GanSettings(), time.process_time()
    given = np.asarray(fields, dtype=np.float64)
    if given.ndim != 3 or len(given) < 100 or not np.isfinite(given).all():
        raise InvalidInput(
            f"A generator learns from 100 finite configurations (sample, x, y) or more, not {given.shape}."
        )
    data = torch.as_tensor(given.reshape(len(given), -1), dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(chosen.seed)
        generator = _adversarial(data, given.shape[1:], chosen)
        latent = _fitted(generator, chosen)
    arrays = {**generator.map.arrays("g"), **latent.map.arrays("r")}
    arrays["covariance"] = (data.T @ data / len(data)).double().numpy()
    arrays["log_noise"] = np.asarray(generator.log_noise.item())
    arrays["r_root"] = latent.root.detach().double().numpy()
    record: dict[str, Any] = {"settings": asdict(chosen), "configurations": len(given), "torch": torch.__version__}
    record |= {"cpu_seconds": round(time.process_time() - begun, 2), "threads": torch.get_num_threads()}
    return GanProposal((given.shape[1], given.shape[2]), arrays, chosen.share, record)


def _adversarial(data: Tensor, shape: tuple[int, int], settings: GanSettings) -> _Generator:
    covariance = data.T @ data / len(data)
    generator, kept = _Generator(covariance, settings), _Generator(covariance, settings)
    kept.load_state_dict(generator.state_dict())
    critic = _Critic(shape, float(data.std()), settings.critic)
    play = torch.optim.Adam(generator.parameters(), betas=(0.0, 0.99))
    judge = torch.optim.Adam(critic.parameters(), betas=(0.0, 0.99))
    for n in range(settings.steps):
        for optimiser in (play, judge):
            optimiser.param_groups[0]["lr"] = settings.learning_rate * 0.5 * (1.0 + np.cos(np.pi * n / settings.steps))
        _improve(judge, _critic_loss(critic, generator, data, settings))
        _improve(play, functional.softplus(-critic(_drawn(generator, settings.batch)[0])).mean())
        with torch.no_grad():
            for slow, fast in zip(kept.parameters(), generator.parameters(), strict=True):
                slow.lerp_(fast, 1.0 - settings.average)
        if n % 50 == 0:
            progress(0.7 * n / settings.steps, f"adversarial step {n} of {settings.steps}")
    return kept


def _critic_loss(critic: _Critic, generator: _Generator, data: Tensor, settings: GanSettings) -> Tensor:
    index = torch.randint(len(data), (settings.batch,))
    sign = 1.0 - 2.0 * torch.randint(2, (settings.batch, 1))
    real = (sign * data[index]).requires_grad_()
    fake = _drawn(generator, settings.batch)[0].detach()
    told = critic(real)
    (slope,) = torch.autograd.grad(told.sum(), real, create_graph=True)
    penalty = 0.5 * settings.penalty * slope.square().sum(1).mean()
    return functional.softplus(-told).mean() + functional.softplus(critic(fake)).mean() + penalty


def _drawn(generator: _Generator, count: int) -> tuple[Tensor, Tensor]:
    sites, latents = generator.map.linear.shape
    z = torch.randn(count, latents)
    return cast("Tensor", generator(z, torch.randn(count, sites))), z


def _fitted(generator: _Generator, settings: GanSettings) -> _Latent:
    latent = _Latent(generator, settings)
    rate = 10.0 * settings.learning_rate
    optimiser = torch.optim.Adam(latent.parameters(), lr=rate)
    for n in range(settings.encoder_steps):
        optimiser.param_groups[0]["lr"] = rate * 0.5 * (1.0 + np.cos(np.pi * n / settings.encoder_steps))
        with torch.no_grad():
            x, z = _drawn(generator, settings.batch)
        _improve(optimiser, latent.loss(x, z))
        if n % 50 == 0:
            progress(0.7 + 0.3 * n / settings.encoder_steps, f"latent step {n} of {settings.encoder_steps}")
    return latent


def _improve(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    if not torch.isfinite(loss):
        raise Diverged(
            "The adversarial training came to a loss that is no number.", hint="Take a smaller learning_rate."
        )
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
