"""Curves fitted to the series of many cells at once (Levenberg 1944; Marquardt 1963, SIAM J. Appl. Math. 11, 431)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
#: The model: parameters (k, cells) to values (places, cells).
Model = Callable[[Array], Array]

_ROUNDS = 200
_FACTOR = 10.0
# A cell is done when a step changes its cost or its parameters by less than this share.
_ENOUGH = 1e-14
_STIFF = 1e12


def fitted(model: Model, values: Array, start: Array) -> Array:
    """Return the parameters (k, cells) that bring the model nearest to `values` (places, cells); NaN is left out.

    Cells with fewer values than parameters get NaN.
    """
    weights = np.isfinite(values)
    targets = np.where(weights, values, 0.0)
    found = np.repeat(start[:, None], values.shape[1], axis=1).astype(np.float64)
    damping = np.full(values.shape[1], 1e-3)
    residuals = _residuals(model, found, targets, weights)
    cost = _cost(residuals)
    busy = weights.sum(axis=0) >= len(start)
    enough = busy.copy()
    for _ in range(_ROUNDS):
        if not busy.any():
            break
        step = _step(_slopes(model, found, weights), residuals, damping)
        trial = found + np.where(busy, step, 0.0)
        moved = _residuals(model, trial, targets, weights)
        new = _cost(moved)
        better = busy & (new < cost)
        small = _small(step, found, np.where(better, cost - new, np.inf), cost)
        found = np.where(better, trial, found)
        residuals = np.where(better, moved, residuals)
        cost = np.where(better, new, cost)
        damping = np.where(better, damping / _FACTOR, damping * _FACTOR).clip(1e-15, _STIFF)
        busy &= ~small & (damping < _STIFF)
    return np.where(enough, found, np.nan)


def _residuals(model: Model, parameters: Array, targets: Array, weights: Any) -> Array:
    return np.where(weights, targets - model(parameters), 0.0)


def _cost(residuals: Array) -> Array:
    total = np.square(residuals).sum(axis=0)
    # Where the model is undefined, a step is no improvement.
    return np.where(np.isfinite(total), total, np.inf)


def _slopes(model: Model, parameters: Array, weights: Any) -> Array:
    base = model(parameters)
    slopes = np.empty((len(parameters), *base.shape))
    for place in range(len(parameters)):
        width = np.sqrt(np.finfo(float).eps) * np.maximum(np.abs(parameters[place]), 1.0)
        moved = parameters.copy()
        moved[place] += width
        slopes[place] = np.where(weights, (model(moved) - base) / width, 0.0)
    return np.nan_to_num(slopes, nan=0.0, posinf=0.0, neginf=0.0)


def _step(slopes: Array, residuals: Array, damping: Array) -> Array:
    normal = np.einsum("itc,jtc->cij", slopes, slopes)
    right = np.einsum("itc,tc->ci", slopes, np.nan_to_num(residuals))
    diagonal = np.einsum("cii->ci", normal).copy()
    scale = np.maximum(diagonal, np.maximum(diagonal.max(axis=1, keepdims=True), 1.0) * 1e-15)
    places = np.arange(normal.shape[1])
    normal[:, places, places] += damping[:, None] * scale
    return np.linalg.solve(normal, right[..., None])[..., 0].T


def _small(step: Array, parameters: Array, gain: Array, cost: Array) -> Any:
    still = (np.abs(step) <= _ENOUGH * (np.abs(parameters) + _ENOUGH)).all(axis=0)
    with np.errstate(invalid="ignore"):
        return still | (gain <= _ENOUGH * cost) | (cost == 0)
