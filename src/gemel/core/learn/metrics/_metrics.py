"""The registry of metrics, and how they are applied to the ports of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput, not_found

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Judge = Callable[[Array, Array], float]
Measure = Callable[[Arrays, Arrays], float]
_BETTER = ("less", "more", "zero")
_KNOWN: dict[str, Metric] = {}
_HOME = "gemel.core.learn.metrics"


@dataclass(frozen=True)
class Metric:
    """A measure of answers against the truth.

    Attributes:
        name: As descriptions and `watch` name it.
        function: Of truth (sample, *shape) and answer, for one port.
        better: `less`, `more`, or `zero` for what is best near nought, such as a bias.
        draws: Whether it takes random answers (draw, sample, *shape) instead of single ones.
    """

    name: str
    function: Judge
    better: str = "less"
    draws: bool = False

    def __call__(self, truth: Array, answer: Array) -> float:
        """Return the measure of one port.

        Raises:
            InvalidInput: There is no sample, or the answers are of other samples than the truth.
        """
        truth, answer = np.asarray(truth), np.asarray(answer)
        counted = answer.shape[1:2] if self.draws and answer.ndim == truth.ndim + 1 else answer.shape[:1]
        if not len(truth) or counted != truth.shape[:1]:
            raise InvalidInput(f"'{self.name}' compares {len(truth)} samples with answers of shape {answer.shape}.")
        return float(self.function(truth, answer))


@overload
def metric(function: Judge, /) -> Metric: ...
@overload
def metric(*, better: str = "less", draws: bool = False) -> Callable[[Judge], Metric]: ...
def metric(function: Judge | None = None, /, *, better: str = "less", draws: bool = False) -> Any:
    """Return a function of (truth, answer) as a metric, registered by its name.

    >>> @metric
    ... def worst(truth, answer):
    ...     return abs(answer - truth).max()
    >>> measures(["worst"])["worst"]({"flow": np.zeros(2)}, {"flow": np.array([1.0, -3.0])})
    3.0

    Raises:
        InvalidInput: `better` is none of less, more, zero; or a built-in metric has the name.
    """
    if better not in _BETTER:
        raise InvalidInput(f"better = '{better}' of a metric is none of {', '.join(_BETTER)}.")

    def registered(given: Judge) -> Metric:
        name = str(getattr(given, "__name__", "metric"))
        before = _KNOWN.get(name)
        if before is not None and before.function.__module__.startswith(_HOME):
            raise InvalidInput(f"'{name}' is a built-in metric.", hint="Give the function another name.")
        _KNOWN[name] = Metric(name, given, better, draws)
        return _KNOWN[name]

    return registered if function is None else registered(function)


def metrics() -> dict[str, Metric]:
    """Return all metrics by name."""
    return dict(sorted(_KNOWN.items()))


def measures(names: Sequence[str]) -> dict[str, Measure]:
    """Return what `Training.metrics` takes: functions of (truth, answer), each a mapping from port to array.

    A name such as `rmse` is the mean over all ports, one such as `rmse/flow` is of one port.

    Raises:
        NotFound: There is no such metric.
    """
    return {name: _measure(name) for name in names}


def _measure(name: str) -> Measure:
    called, _, port = name.partition("/")
    if called not in _KNOWN:
        raise not_found("metric", called, _KNOWN)
    judge = _KNOWN[called]

    def measured(truth: Arrays, answer: Arrays) -> float:
        ports = [port] if port else list(truth)
        for wanted in ports:
            if wanted not in truth or wanted not in answer:
                raise not_found("output", wanted, truth)
        return float(np.mean([judge(truth[wanted], answer[wanted]) for wanted in ports]))

    return measured
