"""Where flows start: distributions with a density that can be drawn from."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from gemel.thematic.lattice._u1 import prior_plaquettes


class Noise(nn.Module):
    """Independent standard normal numbers on all sites.

    Args:
        extent: Sites each way.
    """

    def __init__(self, extent: int) -> None:
        super().__init__()
        self.extent = extent

    def draw(
        self, count: int, generator: torch.Generator, dtype: torch.dtype, condition: Tensor | None = None
    ) -> Tensor:
        """Return fields (count, x, y)."""
        shape = (count, self.extent, self.extent)
        return torch.randn(shape, generator=generator, device=generator.device, dtype=dtype)

    def log_density(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return ln of the density (batch,)."""
        return -0.5 * (z**2 + math.log(2.0 * math.pi)).sum(dim=(1, 2))


class VonMises(nn.Module):
    """Plaquettes of an open lattice, independent and of von Mises' distribution, with one, drawn at random, that closes the torus.

    The density is by V - 1 of the angles, as in `gemel.thematic.lattice.prior_plaquettes`.

    Args:
        extent: Sites each way.
        beta: Concentration; 0 for uniform angles.
        follows: Whether the concentration of a conditional flow is the coupling of each sample.
    """

    def __init__(self, extent: int, beta: float, *, follows: bool = True) -> None:
        super().__init__()
        self.extent, self.beta, self.follows = extent, beta, follows

    def draw(
        self, count: int, generator: torch.Generator, dtype: torch.dtype, condition: Tensor | None = None
    ) -> Tensor:
        """Return plaquettes (count, x, y) in radians, whose sum is a multiple of 2 pi; `condition` holds beta (count, 1)."""
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        rng, shape = np.random.default_rng(seed), (self.extent, self.extent)
        if condition is None or not self.follows:
            angles = prior_plaquettes(self.beta, shape, count, rng)[0]
        else:
            angles = _closed(rng.vonmises(0.0, condition.cpu().numpy()[:, :, None], size=(count, *shape)), rng)
        return torch.as_tensor(angles, dtype=dtype, device=generator.device)

    def log_density(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return ln of the density (batch,)."""
        cosine, volume = torch.cos(z).flatten(1), self.extent**2
        beta = torch.full_like(cosine[:, :1], self.beta) if condition is None or not self.follows else condition
        lacking = torch.logsumexp(-beta * cosine, dim=1) - math.log(volume)
        # i0e is e^-beta I_0, which does not overflow.
        norm = math.log(2.0 * math.pi) + torch.log(torch.special.i0e(beta[:, 0])) + beta[:, 0]
        return (beta * cosine).sum(dim=1) + lacking - (volume - 1) * norm


def _closed(angles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rows, flat = np.arange(len(angles)), angles.reshape(len(angles), angles.shape[1] * angles.shape[2])
    place = rng.integers(flat.shape[1], size=len(flat))
    flat[rows, place] = 0.0
    flat[rows, place] = np.mod(-flat.sum(axis=1) + np.pi, 2.0 * np.pi) - np.pi
    return flat.reshape(angles.shape)
