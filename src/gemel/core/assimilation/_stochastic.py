"""The ensemble Kalman filter with perturbed observations (Evensen 1994; Burgers, van Leeuwen and Evensen 1998)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gemel.core.assimilation._ensemble import Ensemble, Observed
from gemel.core.assimilation._localisation import Reach

Array = NDArray[np.float64]


def perturbed(
    ensemble: Ensemble, observed: Observed, *, seed: int | Sequence[int], reach: Reach | None = None
) -> Array:
    """Return the members after the analysis: (member, element).

    Each member is moved by the gain towards observations that were perturbed by their own error; perturbations are
    drawn with mean zero over the members, so that the mean follows the Kalman filter of the sample's covariances.
    Covariances are multiplied, element by element, by the taper (Houtekamer and Mitchell 2001, eq. 6).

    Args:
        ensemble: Before the analysis.
        observed: With what each member predicts.
        seed: Of the perturbations.
        reach: How far observations reach; default everywhere.
    """
    if observed.values.size == 0:
        return ensemble.values
    members = len(ensemble.values)
    states = ensemble.values - ensemble.values.mean(axis=0)
    seen = observed.predicted - observed.predicted.mean(axis=0)
    cross, own = states.T @ seen / (members - 1), seen.T @ seen / (members - 1)
    if reach is not None:
        names = observed.coordinates
        cross *= reach.taper(ensemble.places(names), observed.places, names)
        own *= reach.taper(observed.places, observed.places, names)
    noise = np.random.default_rng(seed).standard_normal(observed.predicted.shape) * observed.errors
    noise -= noise.mean(axis=0)
    innovation = observed.values + noise - observed.predicted
    weights = np.linalg.solve(own + np.diag(observed.errors**2), innovation.T)
    return np.asarray(ensemble.values + (cross @ weights).T)
