"""Predictive distributions as mixtures of equally likely normal ones: what ensembles, dropout and noise heads give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[Any]
_HALVINGS = 60  # of the bracket: down to the resolution of float64


@dataclass(frozen=True, eq=False)
class Components:
    """Equally likely normal distributions of one port.

    Attributes:
        means: (component, sample, *shape).
        deviations: Standard deviations of the noise, of the same shape; None where no noise was learned.
    """

    means: Array
    deviations: Array | None = None

    @property
    def mean(self) -> Array:
        """Return the mean of the mixture, (sample, *shape)."""
        return np.asarray(self.means.mean(axis=0))

    @property
    def model_deviation(self) -> Array:
        """Return the standard deviation of the components' means, (sample, *shape): the doubt about the model."""
        return np.asarray(self.means.std(axis=0))

    @property
    def noise_deviation(self) -> Array:
        """Return the root mean variance of the components, (sample, *shape): the noise that no model can foretell."""
        if self.deviations is None:
            return np.zeros_like(self.mean)
        return np.asarray(np.sqrt((self.deviations**2).mean(axis=0)))

    @property
    def deviation(self) -> Array:
        """Return the standard deviation of the mixture, (sample, *shape), by the law of total variance."""
        return np.asarray(np.hypot(self.model_deviation, self.noise_deviation))

    def quantiles(self, levels: Sequence[float]) -> Array:
        """Return the quantiles, (level, sample, *shape): of the mixture, exactly.

        Without noise they are those of one normal distribution of the components' mean and sample deviation.

        >>> one = Components(np.zeros((1, 1)), np.ones((1, 1)))
        >>> one.quantiles([0.5, 0.975]).round(3).tolist()
        [[0.0], [1.96]]
        """
        scores = np.asarray(ndtri(np.asarray(levels, dtype=np.float64)))
        spread = scores.reshape(-1, *(1 for _ in self.mean.shape))
        if self.deviations is None:
            deviation = self.means.std(axis=0, ddof=1) if len(self.means) > 1 else np.zeros_like(self.mean)
            return np.asarray(self.mean + spread * deviation)
        if len(self.means) == 1:
            return np.asarray(self.means[0] + spread * self.deviations[0])
        return np.stack([self._quantile(float(level), float(ndtri(level))) for level in levels])

    def drawn(self, draws: int, seed: int = 0) -> Array:
        """Return random answers, (draw, sample, *shape): components take turns, noise is independent."""
        turns = np.arange(draws) % len(self.means)
        if self.deviations is None:
            return np.asarray(self.means[turns])
        noise = np.random.default_rng(seed).standard_normal((draws, *self.means.shape[1:]))
        return np.asarray(self.means[turns] + noise * self.deviations[turns])

    def joined(self, other: Components) -> Components:
        """Return these components and the others as one mixture."""
        means = np.concatenate([self.means, other.means])
        if self.deviations is None or other.deviations is None:
            return Components(means)
        return Components(means, np.concatenate([self.deviations, other.deviations]))

    def _quantile(self, level: float, score: float) -> Array:
        """Return one quantile by bisection: it lies between the least and the largest of the components' own."""
        assert self.deviations is not None
        own = self.means + score * self.deviations
        low, high = own.min(axis=0), own.max(axis=0)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            below = ndtr((middle - self.means) / self.deviations).mean(axis=0) < level
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(0.5 * (low + high))
