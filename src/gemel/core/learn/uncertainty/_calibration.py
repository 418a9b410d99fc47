"""Whether doubt is honest: coverage, probability integral transform, reliability, sharpness and CRPS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, chisquare

from gemel.base.errors import InvalidInput
from gemel.core.learn.uncertainty._doubt import check_levels

Array = NDArray[Any]
_ERROR = 0.05  # chance that the interval of an observed share misses the true one


@dataclass(frozen=True)
class Coverage:
    """How often the truth lay within an interval.

    Attributes:
        promised: Probability that the interval should have.
        share: Share of samples that it covered.
        low: Lower end of the 95 % interval of the true share (Clopper & Pearson 1934), for independent samples.
        high: Its upper end.
        samples: How many were counted.
        width: Mean width of the interval, in the unit of the output.
    """

    promised: float
    share: float
    low: float
    high: float
    samples: int
    width: float

    @property
    def honest(self) -> bool:
        """Return whether the promised probability lies within what the samples allow."""
        return self.low <= self.promised <= self.high


@dataclass(frozen=True)
class Reliability:
    """How often the truth lay below each quantile.

    Attributes:
        levels: Of the quantiles.
        shares: Share of samples below each.
        low: Lower ends of the 95 % intervals of the true shares.
        high: Upper ends.
    """

    levels: tuple[float, ...]
    shares: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Calibration:
    """All of it for one output.

    Attributes:
        coverage: Of every interval that the levels make around the median, widest first.
        reliability: Of every level.
        pit: Counts of the probability integral transform in bins of equal probability.
        pit_p: Probability of counts that uneven when doubt is honest and samples are independent (chi-squared test).
        sharpness: Mean width of the widest interval.
        crps: Continuous ranked probability score, from the quantiles; in the unit of the output, lower is better.
    """

    coverage: tuple[Coverage, ...]
    reliability: Reliability
    pit: tuple[int, ...]
    pit_p: float
    sharpness: float
    crps: float

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def coverage(low: Array, high: Array, truth: Array, promised: float) -> Coverage:
    """Return how often truth lies in [low, high], all of one shape.

    >>> coverage(np.zeros(4), np.ones(4), np.array([0.5, 0.1, 0.9, 2.0]), 0.8).share
    0.75

    Raises:
        InvalidInput: Shapes differ, or nothing is counted.
    """
    if not (np.shape(low) == np.shape(high) == np.shape(truth)) or np.size(truth) == 0:
        raise InvalidInput(f"Bounds of shape {np.shape(low)} do not belong to truth of shape {np.shape(truth)}.")
    within = int(((truth >= low) & (truth <= high)).sum())
    first, last = binomial_interval(within, truth.size)
    return Coverage(promised, within / truth.size, first, last, truth.size, float(np.mean(high - low)))


def binomial_interval(hits: int, count: int, error: float = _ERROR) -> tuple[float, float]:
    """Return the interval of a probability that gave some hits of some tries (Clopper & Pearson 1934).

    >>> tuple(round(end, 4) for end in binomial_interval(9, 10))
    (0.555, 0.9975)
    """
    low = 0.0 if hits == 0 else float(beta.ppf(error / 2, hits, count - hits + 1))
    high = 1.0 if hits == count else float(beta.ppf(1 - error / 2, hits + 1, count - hits))
    return low, high


def reliability(quantiles: Array, levels: Sequence[float], truth: Array) -> Reliability:
    """Return how often truth (sample, *shape) lies below each of the quantiles (level, sample, *shape)."""
    _check(quantiles, levels, truth)
    hits = [int((truth <= values).sum()) for values in quantiles]
    ends = [binomial_interval(count, truth.size) for count in hits]
    return Reliability(
        tuple(map(float, levels)),
        tuple(count / truth.size for count in hits),
        tuple(low for low, _ in ends),
        tuple(high for _, high in ends),
    )


def pit(draws: Array, truth: Array, seed: int = 0) -> Array:
    """Return the probability integral transform, (sample, *shape): uniform on [0, 1] when doubt is honest.

    Truth's rank among the draws, a random point within its bin, and among equal values (Gneiting et al. 2007).

    Args:
        draws: (draw, sample, *shape).
        truth: (sample, *shape).
        seed: Of the random points.
    """
    below, same = (draws < truth).sum(axis=0), (draws == truth).sum(axis=0)
    point = np.random.default_rng(seed).random(truth.shape)
    return np.asarray((below + point * (same + 1)) / (len(draws) + 1))


def pit_counts(quantiles: Array, levels: Sequence[float], truth: Array) -> tuple[Array, Array]:
    """Return how many truths fell between neighbouring quantiles, and how many should, (level + 1,)."""
    _check(quantiles, levels, truth)
    place = (truth[np.newaxis] > quantiles).sum(axis=0)
    observed = np.bincount(place.reshape(-1), minlength=len(levels) + 1)
    return observed, np.diff([0.0, *levels, 1.0]) * truth.size


def crps_quantiles(quantiles: Array, levels: Sequence[float], truth: Array) -> float:
    """Return the mean continuous ranked probability score of quantiles: twice the integral of their pinball loss.

    The integral goes over levels by the trapezoidal rule, the loss being 0 at levels 0 and 1 (Gneiting & Raftery 2007,
    eq. 22 ff.): few levels make it coarse.
    """
    _check(quantiles, levels, truth)
    alphas = np.asarray(levels).reshape(-1, *(1 for _ in truth.shape))
    off = truth[np.newaxis] - quantiles
    losses = np.maximum(alphas * off, (alphas - 1.0) * off).reshape(len(levels), -1).mean(axis=1)
    return float(2.0 * np.trapezoid([0.0, *losses, 0.0], [0.0, *levels, 1.0]))


def crps_draws(draws: Array, truth: Array) -> float:
    """Return the mean continuous ranked probability score of draws (draw, sample, *shape), without the bias of few draws."""
    # Imported late: it brings compilers along, which nothing else here needs.
    import scoringrules

    return float(np.mean(scoringrules.crps_ensemble(truth, draws, m_axis=0, estimator="fair")))


def calibration(quantiles: Array, levels: Sequence[float], truth: Array) -> Calibration:
    """Return how honest quantiles (level, sample, *shape) are, given what came, (sample, *shape).

    Raises:
        InvalidInput: Shapes or levels do not fit.
    """
    told = reliability(quantiles, levels, truth)
    observed, expected = pit_counts(quantiles, levels, truth)
    pairs = [
        (low, high)
        for low in range(len(levels))
        for high in range(low + 1, len(levels))
        if math.isclose(levels[low] + levels[high], 1.0, abs_tol=1e-9)
    ]
    intervals = tuple(
        coverage(quantiles[low], quantiles[high], truth, round(levels[high] - levels[low], 12)) for low, high in pairs
    )
    return Calibration(
        intervals,
        told,
        tuple(int(count) for count in observed),
        float(chisquare(observed, expected).pvalue),
        float(np.mean(quantiles[-1] - quantiles[0])),
        crps_quantiles(quantiles, levels, truth),
    )


def _check(quantiles: Array, levels: Sequence[float], truth: Array) -> None:
    check_levels(tuple(map(float, levels)))
    if quantiles.shape != (len(levels), *truth.shape) or truth.size == 0:
        raise InvalidInput(
            f"Quantiles of shape {quantiles.shape} at {len(levels)} levels do not belong to truth of shape {truth.shape}."
        )
