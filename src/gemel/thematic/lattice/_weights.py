"""What makes samples of one distribution into an estimate of another: weights and independence Metropolis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from gemel.base.errors import InvalidInput
from gemel.thematic.lattice import _kernel as kernel

Array = NDArray[np.float64]


def log_weights(log_p: ArrayLike, log_q: ArrayLike) -> Array:
    """Return ln p - ln q of every sample, each up to a constant.

    Raises:
        InvalidInput: Shapes differ, or a weight is no number; a weight of 0 (-inf) is allowed, infinity is not.
    """
    target, proposal = np.asarray(log_p, dtype=np.float64), np.asarray(log_q, dtype=np.float64)
    if target.ndim != 1 or target.shape != proposal.shape or not len(target):
        raise InvalidInput(f"ln p {target.shape} and ln q {proposal.shape} have to be one number per sample.")
    weight = target - proposal
    if np.isnan(weight).any() or np.isposinf(weight).any() or np.isneginf(weight).all():
        raise InvalidInput("Some weights are no numbers, or all are 0.")
    return np.asarray(weight)


def effective_sample_size(log_weight: ArrayLike) -> float:
    """Return (sum w)^2 / (N sum w^2), in [1/N, 1], from the logarithms of the weights (Kong 1992; arXiv:2101.08176).

    Few samples overstate it: quote it from 65,536 or more.

    >>> effective_sample_size([0.0, 0.0, -np.inf, -np.inf])
    0.5
    """
    weight = np.asarray(log_weight, dtype=np.float64)
    log_ess = 2.0 * special.logsumexp(weight) - special.logsumexp(2.0 * weight) - np.log(len(weight))
    return float(np.exp(log_ess))


def log_normalisation(log_weight: ArrayLike) -> tuple[float, float]:
    """Return ln of the mean weight (ln Z, where q is normalised and p = exp(-S)) and its error to first order."""
    weight = np.asarray(log_weight, dtype=np.float64)
    share = effective_sample_size(weight)
    value = float(special.logsumexp(weight) - np.log(len(weight)))
    return value, float(np.sqrt(max(1.0 / share - 1.0, 0.0) / len(weight)))


@dataclass(frozen=True)
class Walk:
    """A Markov chain made of independent proposals.

    Attributes:
        chosen: Which proposal each state is (proposal,).
        acceptance: Share of proposals after the first that were taken.
        longest_rejection: Most proposals in a row that were refused; long runs tell of a region that q misses.
    """

    chosen: NDArray[np.int64]
    acceptance: float
    longest_rejection: int


def independence_metropolis(log_p: ArrayLike, log_q: ArrayLike, rng: np.random.Generator) -> Walk:
    """Return the chain of Metropolis' decisions min(1, p(x') q(x) / p(x) q(x')) over proposals in their order.

    Albergo et al. 2019, arXiv:1904.12072; the first proposal is the first state.

    Args:
        log_p: ln p of every proposal, up to a constant (minus the action).
        log_q: ln q of every proposal.
        rng: Source of chance, moved on.

    Raises:
        InvalidInput: Shapes or numbers that do not fit, or a first proposal that p never takes.
    """
    weight = log_weights(log_p, log_q)
    if np.isneginf(weight[0]):
        raise InvalidInput("The first proposal has no weight; a chain cannot start there.")
    chosen = kernel.metropolis_walk(weight, 1.0 - rng.random(len(weight)))
    taken = np.flatnonzero(np.diff(chosen, prepend=-1))
    gaps = np.diff(np.append(taken, len(chosen))) - 1
    acceptance = (len(taken) - 1) / (len(chosen) - 1) if len(chosen) > 1 else 1.0
    return Walk(chosen, float(acceptance), int(gaps.max()))


def reweighted(values: ArrayLike, log_weight: ArrayLike, *, block: int | None = None) -> tuple[float, float]:
    """Return sum w O / sum w and its error by the blocked jackknife.

    Args:
        values: O of every sample (sample,), the samples independent.
        log_weight: ln w of every sample.
        block: Samples left out together; by default such that there are about 200 blocks.

    Raises:
        InvalidInput: Shapes differ, or there are fewer than two blocks.
    """
    observable, weight = np.asarray(values, dtype=np.float64), np.asarray(log_weight, dtype=np.float64)
    if observable.shape != weight.shape or observable.ndim != 1 or len(weight) < 2:
        raise InvalidInput(f"Values {observable.shape} and weights {weight.shape}: one each of two samples or more.")
    size = block or max(1, len(weight) // 200)
    count = len(weight) // size
    if count < 2:
        raise InvalidInput(f"{len(weight)} samples make fewer than two blocks of {size}.")
    scaled = np.exp(weight - weight.max())[: count * size].reshape(count, size)
    top = (scaled * observable[: count * size].reshape(count, size)).sum(axis=1)
    bottom = scaled.sum(axis=1)
    each = (top.sum() - top) / (bottom.sum() - bottom)
    whole = float(top.sum() / bottom.sum())
    error = float(np.sqrt((count - 1) / count * np.sum((each - each.mean()) ** 2)))
    return count * whole - (count - 1) * float(each.mean()), error
