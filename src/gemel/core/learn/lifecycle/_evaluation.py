"""Figures of a model on samples with known truth: its metrics, and whether its doubt is honest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.core.learn.metrics import measures, metrics
from gemel.core.learn.models import Answer, Bundle, Learner
from gemel.core.learn.samples import Samples
from gemel.core.learn.uncertainty import loaded, quantiles_of

_REGRESSION = ("rmse", "mae", "bias", "r2")
_INTERVAL = (0.05, 0.95)


def answered(learner: Learner, samples: Samples) -> Answer:
    """Return what a learner says to the inputs of samples, (sample, *shape) by port."""
    return learner.predict(samples.inputs)


def evaluated(bundle: Bundle, samples: Samples, *, learner: Learner | None = None) -> dict[str, float]:
    """Return figures by name: metrics of the description and the usual ones, and the coverage of 90 % intervals.

    A metric such as `rmse` is the mean over the outputs; with several outputs there is `rmse/PORT` too, in the port's unit.

    Args:
        bundle: The model.
        samples: With truth.
        learner: Of the bundle, where it is loaded already.

    Raises:
        InvalidInput: The model has no output that could be judged.
    """
    description = bundle.description
    if not description.outputs:
        raise InvalidInput("A model without outputs is not judged by metrics.", hint="Judge what it draws in a check.")
    known = learner or loaded(bundle)
    answer = answered(known, samples)
    classes = any(port.dtype == "int64" for port in description.outputs)
    usual = ("accuracy",) if classes else _REGRESSION
    wanted = [name for name in dict.fromkeys((*usual, *description.metrics)) if not _drawn(name)]
    if len(description.outputs) > 1:
        wanted += [f"{name}/{port.name}" for name in usual for port in description.outputs]
    found = {name: float(measure(samples.outputs, answer)) for name, measure in measures(wanted).items()}
    if not classes:
        found |= _doubt(known, bundle, samples)
    return found


def _drawn(name: str) -> bool:
    return metrics()[name.partition("/")[0]].draws if name.partition("/")[0] in metrics() else False


def _doubt(learner: Learner, bundle: Bundle, samples: Samples) -> dict[str, float]:
    try:
        quantiles = quantiles_of(learner, bundle.description, samples.inputs, _INTERVAL)
    except InvalidInput:
        return {}  # it has learned levels inside of these, and says nothing of what lies beyond
    if not quantiles:
        return {}
    inside: list[NDArray[Any]] = []
    widths: list[float] = []
    for name, (low, high) in ((name, values[[0, -1]]) for name, values in quantiles.items()):
        truth = samples.outputs[name]
        inside.append(((truth >= low) & (truth <= high)).ravel())
        widths.append(float(np.mean(high - low)))
    return {"coverage_90": float(np.concatenate(inside).mean()), "width_90": float(np.mean(widths))}
