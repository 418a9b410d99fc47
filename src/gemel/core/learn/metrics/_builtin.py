"""Metrics that come with gemel, over all samples and components of a port."""

from __future__ import annotations

import numpy as np

from gemel.core.learn.metrics._metrics import Array, metric


def _errors(truth: Array, answer: Array) -> Array:
    return np.asarray(answer, dtype=np.float64) - np.asarray(truth, dtype=np.float64)


@metric
def rmse(truth: Array, answer: Array) -> float:
    """Return the root of the mean squared error, in the unit of the port."""
    return float(np.sqrt(np.mean(_errors(truth, answer) ** 2)))


@metric
def mae(truth: Array, answer: Array) -> float:
    """Return the mean absolute error, in the unit of the port."""
    return float(np.mean(np.abs(_errors(truth, answer))))


@metric(better="zero")
def bias(truth: Array, answer: Array) -> float:
    """Return the mean of answer minus truth, in the unit of the port."""
    return float(np.mean(_errors(truth, answer)))


@metric(better="more")
def r2(truth: Array, answer: Array) -> float:
    """Return the share of the variance that is explained: 1 - sum (truth - answer)^2 / sum (truth - mean)^2.

    In hydrology it is called Nash-Sutcliffe efficiency (Nash & Sutcliffe 1970, eq. 3). Means are over samples, for every
    component of its own; NaN where the truth does not vary.
    """
    spread = float(np.sum(_errors(truth, np.mean(truth, axis=0, keepdims=True)) ** 2))
    return 1.0 - float(np.sum(_errors(truth, answer) ** 2)) / spread if spread > 0.0 else float("nan")


@metric(better="more")
def accuracy(truth: Array, answer: Array) -> float:
    """Return the share of classes that are right; scores of classes on one more axis are taken for the class of the highest."""
    chosen = np.argmax(answer, axis=-1) if np.ndim(answer) == np.ndim(truth) + 1 else answer
    return float(np.mean(chosen == truth))


@metric(draws=True)
def crps(truth: Array, answer: Array) -> float:
    """Return the mean continuous ranked probability score of random answers (draw, sample, *shape), in the port's unit.

    The fair estimator mean |x_i - y| - sum_ij |x_i - x_j| / (2 m (m - 1)) (Ferro 2014, eq. 8), which does not depend on
    how many draws m there are; the double sum by sorting. Of single answers, or of one draw, it is the mean absolute error.
    """
    if np.ndim(answer) == np.ndim(truth):
        return float(np.mean(np.abs(_errors(truth, answer))))
    drawn = np.sort(np.asarray(answer, dtype=np.float64), axis=0)
    near = np.abs(drawn - truth).mean(axis=0)
    count = len(drawn)
    if count == 1:
        return float(near.mean())
    weights = 2.0 * np.arange(count) - (count - 1)
    apart = np.tensordot(weights, drawn, axes=1) / (count * (count - 1))
    return float((near - apart).mean())
