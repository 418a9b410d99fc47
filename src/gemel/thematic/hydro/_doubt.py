"""Where a forecast's doubt comes from: its variance shared out over weather, state and model."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ORIGINS = ("weather", "state", "model")


def variance_shares(values: Array) -> Array:
    """Return each factor's share of the variance of a full factorial table; shares sum to 1.

    The exact analysis of variance of the table; the variance of an interaction is split evenly among the factors that
    make it, which are the Shapley effects of independent factors (Owen 2014, doi 10.1137/130936233).

    Args:
        values: Table with one axis per factor, every combination once. All equal: shares are even.

    >>> variance_shares(np.add.outer([0.0, 2.0], [0.0, 0.0])).tolist()
    [1.0, 0.0]
    """
    factors = values.ndim
    parts: dict[tuple[int, ...], Array] = {(): np.asarray(values.mean())}
    shares = np.zeros(factors)
    for size in range(1, factors + 1):
        for subset in combinations(range(factors), size):
            other = tuple(a for a in range(factors) if a not in subset)
            effect = values.mean(axis=other, keepdims=True) if other else values.copy()
            lower = [parts[s] for s in parts if set(s) < set(subset)]
            effect = effect - sum(lower)
            parts[subset] = effect
            shares[list(subset)] += float(np.mean(effect**2)) / size
    total = shares.sum()
    return shares / total if total > 0 else np.full(factors, 1.0 / factors)
