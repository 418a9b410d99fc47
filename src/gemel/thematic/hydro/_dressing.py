"""Turning raw ensembles into calibrated ones: model error is added and probabilities are set right, per lead day.

Fitted on forecasts of training days which neither the trees nor the analogue weather had seen. In transformed
discharge, per lead: a bias; a total variance `floor + gain * ensemble variance` (non-homogeneous Gaussian regression:
Gneiting et al. 2005, doi 10.1175/MWR2904.1); what the ensemble does not supply of it is added as model error with
Student-t(3) shape; last, levels are mapped through the empirical distribution of the training days' probability
integral transforms (quantile recalibration: Kuleshov et al. 2018, arXiv:1807.00263).
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import stdtrit

Array = NDArray[np.float64]

#: Equally likely values of model error with mean 0 and variance 1: mid-quantiles of Student's t(3).
STRATA: Array = stdtrit(3, (np.arange(9) + 0.5) / 9)
STRATA = STRATA / STRATA.std()

#: Levels at which the recalibration is tabled.
LEVELS: Array = np.linspace(0.0, 1.0, 101)


def fit_dressing(raw: Array, observed: Array) -> xr.Dataset:
    """Return the dressing of each lead day.

    Args:
        raw: Ensemble forecasts (issue, member, lead) of transformed discharge.
        observed: What happened (issue, lead), transformed; NaN rows are left out.

    Returns:
        `dress_bias`, `dress_floor`, `dress_gain` (lead) and `dress_level` (lead, level).
    """
    fits = [_fit_lead(raw[:, :, k], observed[:, k]) for k in range(raw.shape[2])]
    out = xr.Dataset(
        {f"dress_{n}": ("lead", np.array([f[n] for f in fits])) for n in ("bias", "floor", "gain")},
        coords={"lead": np.arange(1, raw.shape[2] + 1), "level": LEVELS},
    )
    tables = []
    for k in range(raw.shape[2]):
        known = np.isfinite(observed[:, k])
        sample = dress(raw[known, :, k : k + 1], out.isel(lead=[k]))[:, 0]
        pit = (sample < observed[known, k, None]).mean(axis=1)
        tables.append(np.quantile(pit, LEVELS))
    out["dress_level"] = (("lead", "level"), np.stack(tables))
    return out


def _fit_lead(raw: Array, observed: Array) -> dict[str, float]:
    known = np.isfinite(observed)
    spread = raw[known].var(axis=1, ddof=1)
    miss = observed[known] - raw[known].mean(axis=1)

    def cost(x: Array) -> float:
        total = np.exp(x[1]) + np.exp(x[2]) * spread
        return float(np.mean(np.log(total) + (miss - x[0]) ** 2 / total))

    start = np.array([miss.mean(), np.log(0.3 * miss.var() + 1e-12), np.log(0.5)])
    best = minimize(cost, start, method="Nelder-Mead", options={"maxiter": 800}).x
    return {"bias": float(best[0]), "floor": float(np.exp(best[1])), "gain": float(np.exp(best[2]))}


def error_scale(spread: Array, floor: Array, gain: Array) -> tuple[Array, Array]:
    """Return the factor on ensemble deviations and the standard deviation of the model error to add.

    Args:
        spread: Ensemble variance.
        floor: Variance that is there even without any ensemble spread.
        gain: Factor on the ensemble variance; what exceeds 1 counts as model error.
    """
    kept = np.minimum(gain, 1.0)
    return np.sqrt(kept), np.sqrt(floor + (gain - kept) * spread)


def dress(raw: Array, model: xr.Dataset) -> Array:
    """Return dressed samples (..., lead, member x stratum) of raw ensembles (..., member, lead), not yet recalibrated."""
    center = raw.mean(axis=-2, keepdims=True)
    spread = raw.var(axis=-2, ddof=1)
    factor, error = error_scale(spread, model["dress_floor"].values, model["dress_gain"].values)
    deviation = np.swapaxes(
        (raw - center) * factor[..., None, :] if factor.ndim > 1 else (raw - center) * factor, -1, -2
    )
    middle = np.swapaxes(center, -1, -2) + model["dress_bias"].values[:, None]
    sample = (middle + deviation)[..., None] + error[..., None, None] * STRATA
    return np.asarray(sample.reshape(*sample.shape[:-2], -1))


def recalibrated(levels: Array, table: Array) -> Array:
    """Return the levels to read off the dressed sample so that `levels` come true, for one lead's `dress_level`."""
    return np.interp(levels, LEVELS, table)


def quantiles(sample: Array, levels: Array, model: xr.Dataset) -> Array:
    """Return calibrated quantiles (..., lead, level) of dressed samples (..., lead, draw)."""
    ordered = np.sort(sample, axis=-1)
    size = ordered.shape[-1]
    out = np.empty((*sample.shape[:-1], len(levels)))
    for k in range(sample.shape[-2]):
        place = recalibrated(levels, model["dress_level"].values[k]) * (size - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, size - 1)
        part = place - low
        out[..., k, :] = ordered[..., k, low] * (1.0 - part) + ordered[..., k, high] * part
    return out


def realizations(sample: Array, members: int, model: xr.Dataset, rng: np.random.Generator) -> Array:
    """Return calibrated members (member, lead): each raw member with one draw of model error, kept over all leads.

    Args:
        sample: Dressed sample (lead, member x stratum).
        members: Number of raw members.
        model: Whatever holds the dressing.
        rng: Draws which stratum goes with which member.
    """
    stratum = rng.permutation(np.resize(np.arange(STRATA.size), members))
    column = np.arange(members) * STRATA.size + stratum
    out = np.empty((members, sample.shape[0]))
    for k in range(sample.shape[0]):
        ordered = np.sort(sample[k])
        level = (np.searchsorted(ordered, sample[k, column]) + 0.5) / ordered.size
        out[:, k] = np.quantile(ordered, recalibrated(level, model["dress_level"].values[k]))
    return out
