"""The ensemble transform Kalman filter, whole or local (Bishop et al. 2001; Hunt, Kostelich and Szunyogh 2007)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gemel.core.assimilation._ensemble import Ensemble, Observed
from gemel.core.assimilation._localisation import Reach

Array = NDArray[np.float64]

_NEGLIGIBLE = 1e-6  # of the taper: an observation that far away is left out


def transformed(ensemble: Ensemble, observed: Observed, *, reach: Reach | None = None) -> Array:
    """Return the members after the analysis: (member, element). Nothing is drawn by chance.

    Without a reach, mean and covariance of the members are exactly those of a Kalman filter with the covariances of the
    sample. With one, every place has an analysis of its own (LETKF), in which the errors of observations grow with
    their distance: their inverse variances are multiplied by the taper.

    Args:
        ensemble: Before the analysis.
        observed: With what each member predicts.
        reach: How far observations reach; default everywhere.
    """
    if observed.values.size == 0:
        return ensemble.values
    mean = ensemble.values.mean(axis=0)
    states = ensemble.values - mean
    centre = observed.predicted.mean(axis=0)
    seen, innovation = observed.predicted - centre, observed.values - centre
    if reach is None:
        return np.asarray(mean + _weights(seen, innovation, observed.errors**-2) @ states)
    names = observed.coordinates
    spots, spot_of = np.unique(ensemble.places(names), axis=0, return_inverse=True)
    tapers = reach.taper(spots, observed.places, names)
    after = np.array(ensemble.values)
    for number, taper in enumerate(tapers):
        near = taper > _NEGLIGIBLE
        if near.any():
            here = np.flatnonzero(spot_of.ravel() == number)
            precision = taper[near] / observed.errors[near] ** 2
            after[:, here] = mean[here] + _weights(seen[:, near], innovation[near], precision) @ states[:, here]
    return after


def _weights(seen: Array, innovation: Array, precision: Array) -> Array:
    """Return the matrix (member, member) that turns perturbations into analysed members less the mean.

    Hunt et al. (2007), eqs. 21 to 24, with the symmetric square root, from the singular values of the perturbations.

    Args:
        seen: Perturbations of what is predicted, (member, observation).
        innovation: Observed less the mean of what is predicted.
        precision: Inverse variances of the observations.
    """
    members = len(seen)
    root_precision = np.sqrt(precision)
    # Perturbations span no more directions than there are observations: all others stay as they are.
    left, sizes, right = np.linalg.svd(seen * root_precision, full_matrices=False)
    total = members - 1 + sizes**2
    root = np.eye(members) + (left * (np.sqrt((members - 1) / total) - 1.0)) @ left.T
    # Row by row: each member's own transform, and the mean's move, which is the same for all.
    return np.asarray(root + (left * (sizes / total)) @ (right @ (root_precision * innovation)))
