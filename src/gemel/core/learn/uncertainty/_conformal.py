"""Conformal prediction: intervals that cover what they promise, whatever the model, by what it got wrong on held-out samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import Conflict, InvalidInput
from gemel.core.learn.models import Answer, Description, Learner, Training
from gemel.core.learn.samples import Samples, SplitRule, split
from gemel.core.learn.uncertainty._answers import quantiles_of
from gemel.core.learn.uncertainty._doubt import Doubt

Arrays = Mapping[str, NDArray[Any]]
_OFFSETS = "conformal/"
_MODEL = "model/"


def rank(count: int, level: float) -> int:
    """Return which smallest of `count` scores bounds a new one with probability `level` at least: ceil((count + 1) level).

    Vovk, Gammerman & Shafer 2005; Romano, Patterson & Candès 2019, theorem 1. The promise is of the average over
    calibration sets and new samples that are exchangeable with those of the set.

    >>> rank(99, 0.9)
    90

    Raises:
        InvalidInput: There are too few scores for the level.
    """
    # Decimals such as 0.9 are no binary fractions: without rounding, ceil(100 * 0.9) could be 91.
    found = max(math.ceil(round((count + 1) * level, 9)), 1)
    if found > count:
        least = math.ceil(round(level / (1.0 - level), 9))
        raise InvalidInput(
            f"{count} samples cannot calibrate intervals of {level:g}.", hint=f"They need {least} or more; or lower it."
        )
    return found


def conformal_offset(low: NDArray[Any], high: NDArray[Any], truth: NDArray[Any], level: float) -> NDArray[Any]:
    """Return by how much intervals must be widened (or narrowed, below 0) to cover with probability `level`, (*shape).

    The score of a sample is how far the truth lies outside, max(low - truth, truth - high), negative inside: conformalised
    quantile regression (Romano et al. 2019, eq. 6); with low = high = the prediction it is split conformal prediction
    (Lei et al. 2018) with absolute residuals.

    Args:
        low: Lower bounds on the calibration samples, (sample, *shape).
        high: Upper bounds.
        truth: What came, of the same shape.
        level: Probability that the interval is to have.

    Raises:
        InvalidInput: There are too few samples for the level.
    """
    scores = np.maximum(low - truth, truth - high)
    place = rank(len(scores), level) - 1
    return np.asarray(np.partition(scores, place, axis=0)[place])


class ConformalLearner:
    """A learner whose quantiles are calibrated on samples that it has not learned from.

    Where the split of its description has a part `calibration`, call `calibrate` with it after `fit`; else `fit` holds out
    the share `share` of the training part: the last of it where data are split by time, whole groups where by group.
    Every number of an output is calibrated by itself, every pair of levels too; wider intervals contain narrower ones.

    Attributes:
        inner: The learner that is calibrated.
        levels: Of its quantiles.
    """

    def __init__(self, description: Description, inner: Learner, doubt: Doubt) -> None:
        self.description, self.inner, self._doubt = description, inner, doubt
        self.levels = doubt.levels
        self.offsets: dict[str, NDArray[Any]] = {}
        if any(port.dtype == "int64" for port in description.outputs) or not description.outputs:
            raise InvalidInput(
                "conformal = true calibrates intervals, and a model of classes or without outputs has none.",
                hint="Probabilities of classes are told without it.",
            )

    @property
    def held_out(self) -> bool:
        """Return whether `fit` holds out samples of the training part by itself."""
        rule = SplitRule.read(self.description.split)
        return not (rule.shares.get("calibration", 0.0) > 0.0 or "calibration" in rule.periods)

    def fit(self, train: Samples, validation: Samples, training: Training) -> dict[str, Any]:
        """Return how it went; `calibration` is how many samples calibrate it, 0 when `calibrate` is still to be called.

        Raises:
            InvalidInput: There are too few samples for the levels.
        """
        self.offsets = {}
        if not self.held_out:
            weights = training.weights
            return self.inner.fit(train, validation, _inward(training, weights)) | {"calibration": 0}
        share = self._doubt.share
        by = {"periods": "time"}.get(SplitRule.read(self.description.split).by) or self.description.split.get(
            "by", "random"
        )
        parts = split(train, SplitRule(by=by, shares={"train": 1.0 - share, "calibration": share}))
        told = self.inner.fit(parts.part("train"), validation, _inward(training, training.weights))
        self.calibrate(parts.part("calibration"))
        return told | {"calibration": len(parts.part("calibration"))}

    def calibrate(self, samples: Samples) -> None:
        """Take the offsets of the intervals from samples that the model has not learned from.

        Raises:
            InvalidInput: There are too few samples for the levels.
        """
        raw = self._raw(samples.inputs)
        found = {}
        for port in self.description.outputs:
            values, truth = raw[port.name], samples.outputs[port.name].astype(np.float64)
            offsets = np.zeros((len(self.levels), *port.shape))
            for low, level in enumerate(self.levels[: len(self.levels) // 2]):
                high = len(self.levels) - 1 - low
                width = conformal_offset(values[low], values[high], truth, 1.0 - 2.0 * level)
                offsets[low], offsets[high] = -width, width
            found[port.name] = offsets
        self.offsets = found

    def predict(self, inputs: Arrays, *, draws: int = 0, seed: int = 0) -> Answer:
        """Return the answer of the model, which calibration does not change."""
        return self.inner.predict(inputs, draws=draws, seed=seed)

    def quantiles(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return calibrated quantiles, (level, sample, *shape) by port.

        Raises:
            Conflict: It is not calibrated.
        """
        if not self.offsets:
            raise Conflict(
                "This model is not calibrated yet.", hint="Call calibrate with the split's part `calibration`."
            )
        raw = self._raw(inputs)
        return {name: _nested(values + self.offsets[name][:, np.newaxis]) for name, values in raw.items()}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the model's arrays under `model/`, and the offsets."""
        inner = {f"{_MODEL}{name}": values for name, values in self.inner.arrays().items()}
        return inner | {f"{_OFFSETS}{name}": values for name, values in self.offsets.items()}

    def load(self, arrays: Arrays) -> None:
        """Take over what was learned and calibrated.

        Raises:
            InvalidInput: The arrays are another model's.
        """
        self.inner.load(_of_model(arrays))
        offsets = {port.name: arrays.get(f"{_OFFSETS}{port.name}") for port in self.description.outputs}
        shapes = {port.name: (len(self.levels), *port.shape) for port in self.description.outputs}
        if any(values is not None and values.shape != shapes[name] for name, values in offsets.items()):
            raise InvalidInput(f"These arrays were calibrated for other levels than {list(self.levels)}.")
        self.offsets = {name: np.array(values) for name, values in offsets.items() if values is not None}

    def _raw(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        found = quantiles_of(self.inner, self.description, inputs, self.levels)
        missing = [port.name for port in self.description.outputs if port.name not in found]
        if missing:
            answer = self.inner.predict(inputs)
            found |= {name: np.repeat(answer[name][np.newaxis], len(self.levels), axis=0) for name in missing}
        return {name: values.astype(np.float64) for name, values in found.items()}


def _inward(training: Training, weights: Arrays | None) -> Training:
    return Training(training.seed, training.folder, None if weights is None else _of_model(weights), training.metrics)


def _of_model(arrays: Arrays) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(_MODEL): values for name, values in arrays.items() if name.startswith(_MODEL)}


def _nested(values: NDArray[Any]) -> NDArray[Any]:
    """Return quantiles that do not cross: going outward from the median, intervals only widen, so that promises hold."""
    half, count = len(values) // 2, len(values)
    found = values.copy()
    low, high = values[half - 1], values[count - half]
    # Calibration can narrow an interval to nothing; the point between its bounds covers more than nothing.
    middle = 0.5 * (low + high)
    found[half - 1], found[count - half] = np.where(low > high, middle, low), np.where(low > high, middle, high)
    if count % 2:
        found[half] = np.clip(values[half], found[half - 1], found[half + 1])
    for inner in range(half - 1, 0, -1):
        outer = count - inner
        found[inner - 1] = np.minimum(found[inner - 1], found[inner])
        found[outer] = np.maximum(found[outer], found[outer - 1])
    return found
