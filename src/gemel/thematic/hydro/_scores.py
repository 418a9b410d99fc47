"""How good a simulation or a probabilistic forecast is."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gemel.base.errors import InvalidInput

Array = NDArray[np.float64]


def _pairs(observed: ArrayLike, simulated: ArrayLike) -> tuple[Array, Array]:
    o, s = np.asarray(observed, dtype=np.float64), np.asarray(simulated, dtype=np.float64)
    if o.shape != s.shape:
        raise InvalidInput(f"Observed {o.shape} and simulated {s.shape} differ in shape.")
    both = np.isfinite(o) & np.isfinite(s)
    if both.sum() < 2:
        raise InvalidInput("A score needs at least two days with both an observation and a simulation.")
    return o[both], s[both]


def nse(observed: ArrayLike, simulated: ArrayLike) -> float:
    """Return the efficiency of Nash & Sutcliffe (1970): 1 perfect, 0 as good as the observed mean. NaN pairs are left out.

    >>> nse([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    0.0
    """
    o, s = _pairs(observed, simulated)
    return float(1.0 - np.sum((o - s) ** 2) / np.sum((o - o.mean()) ** 2))


def kge(observed: ArrayLike, simulated: ArrayLike, *, variant: int = 2009) -> float:
    """Return the Kling-Gupta efficiency: 1 is perfect.

    Args:
        observed: Observations; NaN pairs are left out.
        simulated: Simulation, same shape.
        variant: 2009 (Gupta et al., ratio of standard deviations) or 2012 (Kling et al., of coefficients of variation).
    """
    o, s = _pairs(observed, simulated)
    bias = s.mean() / o.mean()
    spread = s.std() / o.std() / (bias if variant == 2012 else 1.0)
    # A constant simulation has no correlation; 0 keeps the score defined (and bad).
    r = float(np.corrcoef(o, s)[0, 1]) if s.std() > 0 else 0.0
    return float(1.0 - np.sqrt((r - 1.0) ** 2 + (spread - 1.0) ** 2 + (bias - 1.0) ** 2))


def crps(observed: ArrayLike, ensemble: ArrayLike) -> Array:
    """Return the continuous ranked probability score of each forecast, in the unit of the observation.

    Mean distance to the observation less half the mean distance among members (Gneiting & Raftery 2007, eq. 21), the
    latter from the sorted members in one pass.

    Args:
        observed: (n,).
        ensemble: (n, member), members or equidistant quantiles, equally likely.

    >>> crps([0.0], [[-1.0, 1.0]]).tolist()
    [0.5]
    """
    y = np.asarray(observed, dtype=np.float64)[:, None]
    x = np.sort(np.asarray(ensemble, dtype=np.float64), axis=1)
    size = x.shape[1]
    weight = (2.0 * np.arange(size) + 1.0 - size) / size**2
    return np.asarray(np.abs(x - y).mean(axis=1) - (weight * x).sum(axis=1))


def skill(score: float, reference: float) -> float:
    """Return 1 - score/reference: 1 perfect, 0 no better than the reference."""
    return 1.0 - score / reference


def coverage(observed: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """Return the share of finite observations inside [low, high]."""
    o = np.asarray(observed, dtype=np.float64)
    inside = (o >= np.asarray(low)) & (o <= np.asarray(high))
    return float(inside[np.isfinite(o)].mean())


def brier(probability: ArrayLike, happened: ArrayLike) -> float:
    """Return the mean squared error of probabilities of an event (Brier 1950).

    >>> brier([1.0, 0.5], [1, 0])
    0.125
    """
    return float(np.mean((np.asarray(probability, dtype=float) - np.asarray(happened, dtype=float)) ** 2))


def reliability(probability: ArrayLike, happened: ArrayLike, *, bins: int = 10) -> dict[str, list[float]]:
    """Return the reliability diagram: mean forecast, observed frequency and count of each non-empty bin.

    Args:
        probability: Forecast probabilities, any shape.
        happened: Whether each event happened, same shape.
        bins: Number of equal bins on [0, 1].
    """
    p = np.asarray(probability, dtype=np.float64).ravel()
    y = np.asarray(happened, dtype=np.float64).ravel()
    which = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(which, minlength=bins)
    used = count > 0
    forecast = np.bincount(which, weights=p, minlength=bins)[used] / count[used]
    observed = np.bincount(which, weights=y, minlength=bins)[used] / count[used]
    return {"forecast": forecast.tolist(), "observed": observed.tolist(), "count": count[used].astype(float).tolist()}
