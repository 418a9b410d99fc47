"""The particle filter: members weighed by how well they predicted, and drawn anew when few of them count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.core.assimilation._ensemble import Ensemble, Observed

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Weighed:
    """Members after the analysis.

    Attributes:
        values: (member, element).
        weights: Of the members before, (member,); they sum to one.
        effective: Effective number of members, 1 / sum of squared weights (Kong, Liu and Wong 1994).
        drawn: Whether they were drawn anew.
    """

    values: Array
    weights: Array
    effective: float
    drawn: bool


def resampled(
    ensemble: Ensemble, observed: Observed, *, seed: int, jitter: float = 0.0, threshold: float = 1.0
) -> Weighed:
    """Return the members drawn by their weights, each as often as its weight tells (systematic resampling).

    Weights are those of independent Gaussian errors (Gordon, Salmond and Smith 1993); drawing is systematic (Kitagawa
    1996, appendix), which varies least. Members that were drawn several times are set apart by noise of a share of the
    ensemble's spread (Liu and West 2001 without shrinkage).

    Args:
        ensemble: Before the analysis.
        observed: With what each member predicts.
        seed: Of the drawing.
        jitter: Noise in shares of each element's standard deviation.
        threshold: Members are drawn when fewer than this share of them count; 1 draws always.

    Raises:
        InvalidInput: Jitter is negative, or the threshold is no share.
    """
    if jitter < 0 or not 0 < threshold <= 1:
        raise InvalidInput("Jitter is not negative, and the threshold is a share above 0, at most 1.")
    members = len(ensemble.values)
    misfit = ((observed.values - observed.predicted) / observed.errors) ** 2
    logarithm = -0.5 * misfit.sum(axis=1)
    weights = np.exp(logarithm - logarithm.max())
    weights /= weights.sum()
    effective = float(1.0 / (weights**2).sum())
    if effective >= threshold * members and threshold < 1:
        return Weighed(ensemble.values, weights, effective, False)
    rng = np.random.default_rng(seed)
    marks = (np.arange(members) + rng.uniform()) / members
    chosen = np.searchsorted(np.cumsum(weights), marks, side="right").clip(0, members - 1)
    values = np.array(ensemble.values[chosen])
    if jitter:
        values += jitter * ensemble.values.std(axis=0, ddof=1) * rng.standard_normal(values.shape)
    return Weighed(values, weights, effective, True)
