"""Learners made of scikit-learn's estimators: one for every number of every output."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from gemel.base.errors import Conflict, InvalidInput
from gemel.core.graph import progress
from gemel.core.learn.models import Answer, Description, Training
from gemel.core.learn.portfolio._keeping import kept, read_kept
from gemel.core.learn.portfolio._scaling import Scaling, accepted, scaled
from gemel.core.learn.samples import Port, Samples
from gemel.core.learn.uncertainty import Components, Doubt

Arrays = Mapping[str, NDArray[Any]]
Make = Callable[[bool, int, float | None], Any]
_SMALL = 1_000_000  # numbers of a table
_ESTIMATORS = "estimators"
_MOST = 256  # numbers of all outputs together: each has an estimator
_PREDICTIVE = ("GaussianProcessRegressor", "BayesianRidge")


@dataclass(frozen=True)
class Target:
    """What one estimator foretells: one number of an output, at a level where quantiles are learned."""

    port: Port
    place: int
    level: float | None = None


@dataclass(eq=False)
class SklearnLearner:
    """Estimators on scaled inputs, ports flattened into one vector; every number of the outputs has its own.

    Outputs of int64 are classes: it answers the most probable one, and `NAME_probability` (sample, *shape, class).
    Estimators cannot go on from weights: with `Training.weights` they learn anew and say so (`anew`).

    Attributes:
        description: What it is made from.
        make: Makes an estimator, of (whether for classes, seed, level of a quantile or None).
        classes: Of each int64 output.
    """

    description: Description
    make: Make
    classes: int = 2
    _scaling: Scaling | None = None
    _fitted: list[Any] = field(default_factory=list)
    _kept: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        """Refuse what no estimator can learn."""
        check_ports(self.description)
        doubt = Doubt.read(self.description.uncertainty)
        self.levels = doubt.levels
        levels = doubt.levels if doubt.method == "quantile" else (None,)
        self._targets = [
            Target(port, place, level)
            for port in self.description.outputs
            for place in range(port.size)
            for level in (levels if port.dtype != "int64" else (None,))
        ]
        for target in self._targets[:1]:
            self.make(target.port.dtype == "int64", 0, target.level)

    def fit(self, train: Samples, validation: Samples, training: Training) -> dict[str, Any]:
        """Return how it went, after learning; `loss` is the mean squared error in scaled numbers, or the share of errors."""
        begun = time.monotonic()
        used = _used(train, self.description)
        scaling = self._scaling = Scaling.of(used)
        table, truth = self._table(used.inputs), scaling.into(used, "float64").outputs
        self._fitted = []
        for number, target in enumerate(self._targets):
            values = truth[target.port.name].reshape(len(used), -1)[:, target.place]
            estimator = self.make(target.port.dtype == "int64", training.seed, target.level)
            self._fitted.append(_learned(estimator, table, values, target, self.classes))
            progress((number + 1) / len(self._targets), f"estimator {number + 1} of {len(self._targets)}")
        self._kept = kept(self._fitted)
        loss, seconds = self._loss(validation), time.monotonic() - begun
        answer = self.predict(validation.inputs) if training.metrics else {}
        measures = {name: float(metric(validation.outputs, answer)) for name, metric in training.metrics.items()}
        told = {
            "steps": len(self._fitted),
            "seconds": seconds,
            "loss": loss,
            "reason": "finished",
            "samples": len(used),
        }
        told["curve"] = [
            {"step": len(self._fitted), **{f"validation/{k}": v for k, v in ({"loss": loss} | measures).items()}}
        ]
        return told | {"best": {"loss": loss} | measures, "anew": training.weights is not None}

    def predict(self, inputs: Arrays, *, draws: int = 0, seed: int = 0) -> Answer:
        """Return the answer, (sample, *shape) by port; with `draws` those of a predictive distribution, where there is one.

        Raises:
            InvalidInput: Inputs do not fit, or draws are asked of estimators that answer one number.
        """
        if draws:
            components = self.components(inputs)
            if components is None:
                raise InvalidInput(f"This model of the kind '{self.description.kind}' draws nothing.")
            return {name: item.drawn(draws, seed) for name, item in components.items()}
        table, found = self._table(inputs), dict[str, NDArray[Any]]()
        for port in self.description.outputs:
            own = [
                (item, target) for item, target in zip(self._fitted, self._targets, strict=True) if target.port == port
            ]
            if port.dtype == "int64":
                chances = np.stack([_chances(item, table, self.classes) for item, _ in own], axis=1)
                found[f"{port.name}_probability"] = chances.reshape(len(table), *port.shape, self.classes)
                found[port.name] = found[f"{port.name}_probability"].argmax(axis=-1).astype(np.int64)
            elif own[0][1].level is not None:
                found[port.name] = _median(self.quantiles(inputs)[port.name], self.levels).astype(port.dtype)
            else:
                found[port.name] = self._back(port, np.stack([item.predict(table) for item, _ in own], axis=1))
        return found

    def components(self, inputs: Arrays, *, seed: int = 0) -> dict[str, Components] | None:
        """Return the normal distribution of each port; None where the estimators have none."""
        if not self._fitted or type(self._fitted[0]).__name__ not in _PREDICTIVE:
            return None
        table, found, place = self._table(inputs), dict[str, Components](), 0
        for port in self.description.outputs:
            pairs = [item.predict(table, return_std=True) for item in self._fitted[place : place + port.size]]
            place += port.size
            means, spreads = (np.stack([pair[side] for pair in pairs], axis=1) for side in (0, 1))
            mean, deviation = self._learned().outputs[port.name]
            shape = (len(table), *port.shape)
            found[port.name] = Components(
                (means.reshape(shape) * deviation + mean)[np.newaxis], (spreads.reshape(shape) * deviation)[np.newaxis]
            )
        return found

    def quantiles(self, inputs: Arrays) -> Any:
        """Return the quantiles, (level, sample, *shape) by port, in order of size where estimators crossed; None for none.

        Sorting never worsens quantiles (Chernozhukov, Fernández-Val & Galichon 2010).
        """
        if all(target.level is None for target in self._targets):
            return None
        table, found = self._table(inputs), {}
        for port in self.description.outputs:
            own = [
                (item, target) for item, target in zip(self._fitted, self._targets, strict=True) if target.port == port
            ]
            columns = [item.predict(table) for item, target in own if target.level is not None]
            if columns:
                raw = np.stack(columns, axis=1).reshape(len(table), *port.shape, len(self.levels))
                found[port.name] = self._back(port, np.sort(np.moveaxis(raw, -1, 0), axis=0), leading=1)
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return estimators, as bytes of skops, and scalings.

        Raises:
            Conflict: It has not learned anything.
        """
        scalings = self._learned().arrays()
        assert self._kept is not None
        return {_ESTIMATORS: self._kept} | scalings

    def load(self, arrays: Arrays) -> None:
        """Take over what was learned; nothing in it is run.

        Raises:
            InvalidInput: The arrays are another model's, or hold types that are not known.
        """
        if _ESTIMATORS not in arrays:
            raise InvalidInput("These arrays hold no estimators of scikit-learn.")
        features = sum(port.size for port in self.description.inputs)
        found = read_kept(arrays[_ESTIMATORS], features)
        wanted = [type(self.make(target.port.dtype == "int64", 0, target.level)) for target in self._targets]
        fits = [
            type(item) is kind and item.n_features_in_ == features for item, kind in zip(found, wanted, strict=False)
        ]
        if len(found) != len(wanted) or not all(fits):
            raise InvalidInput(f"These estimators are not of a model '{self.description.kind}' like this.")
        self._fitted, self._kept = found, np.array(arrays[_ESTIMATORS], dtype=np.uint8)
        self._scaling = Scaling.read(arrays)

    def scales(self) -> Scaling:
        """Return the scaling of the ports."""
        return self._learned()

    def estimators(self) -> list[tuple[Target, Any]]:
        """Return every target with its estimator, which takes scaled inputs (sample, number) and gives scaled outputs."""
        self._learned()
        return list(zip(self._targets, self._fitted, strict=True))

    def _learned(self) -> Scaling:
        if self._scaling is None or not self._fitted:
            raise Conflict("This model has not learned anything yet.", hint="Call fit, or load what was learned.")
        return self._scaling

    def _table(self, inputs: Arrays) -> NDArray[np.float64]:
        scales = self._learned_scales()
        taken = accepted(self.description.inputs, inputs)
        parts = [
            scaled(taken[port.name], scales.get(port.name), "float64").reshape(len(taken[port.name]), port.size)
            for port in self.description.inputs
        ]
        return np.concatenate(parts, axis=1)

    def _learned_scales(self) -> Mapping[str, Any]:
        # While it learns there are no estimators yet, but there is a scaling.
        return self._learned().inputs if self._scaling is None else self._scaling.inputs

    def _back(self, port: Port, values: NDArray[Any], leading: int = 0) -> NDArray[Any]:
        mean, deviation = self._learned().outputs[port.name]
        shape = (*values.shape[: leading + 1], *port.shape)
        return (values.reshape(shape) * deviation + mean).astype(port.dtype)

    def _loss(self, validation: Samples) -> float:
        answer, scaling = self.predict(validation.inputs), self._learned()
        parts = []
        for port in self.description.outputs:
            truth = validation.outputs[port.name]
            if port.dtype == "int64":
                parts.append(float((answer[port.name] != truth).mean()))
            else:
                off = (answer[port.name] - truth) / scaling.outputs[port.name][1]
                parts.append(float((off**2).mean()))
        return sum(parts)


def check_ports(description: Description) -> None:
    """Refuse descriptions that no estimator can be made of.

    Raises:
        InvalidInput: No outputs, too many, or settings of a training, which estimators do not have.
    """
    size = sum(port.size for port in description.outputs)
    if not 1 <= size <= _MOST:
        message = (
            f"A model of the kind '{description.kind}' has 1 to {_MOST} numbers to foretell, and {size} are described."
        )
        raise InvalidInput(message, hint="Fields are for networks: unet, cnn, mlp.")
    beyond = sorted(set(description.training) - {"fraction"})
    if beyond:
        message = (
            f"A model of the kind '{description.kind}' has no steps: `training` knows only fraction, not {beyond[0]}."
        )
        raise InvalidInput(message, hint="How it learns is set by its options.")


def _used(train: Samples, description: Description) -> Samples:
    share = float(description.training.get("fraction", 1.0))
    if not 0.0 < share <= 1.0:
        raise InvalidInput(f"fraction = {share} of the training part is not above 0 and at most 1.")
    count = max(1, round(share * len(train)))
    if count == len(train):
        return train
    return train.take(np.sort(np.random.default_rng(0).permutation(len(train))[:count]))


def _learned(estimator: Any, table: NDArray[Any], values: NDArray[Any], target: Target, classes: int) -> Any:
    if target.port.dtype == "int64":
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= classes or low == high:
            message = f"Port '{target.port.name}' has classes from {low} to {high}; the model has 0 to {classes - 1}."
            raise InvalidInput(message, hint=f"There must be two or more; set its option classes = {high + 1}.")
    with warnings.catch_warnings():
        # That a search ended at a bound or its last iteration is told by the figures of the model.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # On small tables threads wait for each other longer than they work, on a busy machine by far.
        with threadpool_limits(1 if table.size < _SMALL else None, user_api="openmp"):
            return estimator.fit(table, values)


def _chances(estimator: Any, table: NDArray[Any], classes: int) -> NDArray[np.float32]:
    found = np.zeros((len(table), classes), dtype=np.float32)
    # Classes that were not in the training part have no probability.
    found[:, estimator.classes_.astype(np.int64)] = estimator.predict_proba(table)
    return found


def _median(quantiles: NDArray[Any], levels: tuple[float, ...]) -> NDArray[Any]:
    above = min(int(np.searchsorted(levels, 0.5)), len(levels) - 1)
    if above == 0 or levels[above] == 0.5:
        return np.asarray(quantiles[above])
    share = min((0.5 - levels[above - 1]) / (levels[above] - levels[above - 1]), 1.0)
    return np.asarray(quantiles[above - 1] + share * (quantiles[above] - quantiles[above - 1]))
