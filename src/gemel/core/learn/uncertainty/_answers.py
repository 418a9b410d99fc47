"""Quantiles of any learner, however its doubt is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.core.learn.models import Description, Learner, kind
from gemel.core.learn.uncertainty._components import Components
from gemel.core.learn.uncertainty._doubt import check_levels

Arrays = Mapping[str, NDArray[Any]]
_DRAWS = 400  # of models that can only draw: a 5 % quantile is then known to about 1 % of probability


@runtime_checkable
class Mixing(Protocol):
    """A learner whose answer is a mixture of normal distributions."""

    def components(self, inputs: Arrays, *, seed: int = 0) -> dict[str, Components] | None:
        """Return the mixture by port; None where this model has none."""


@runtime_checkable
class Levelled(Protocol):
    """A learner that has learned quantiles at some levels.

    Attributes:
        levels: Of its quantiles, rising.
    """

    levels: tuple[float, ...]

    def quantiles(self, inputs: Arrays) -> dict[str, NDArray[Any]] | None:
        """Return the quantiles, (level, sample, *shape) by port; None where this model has none."""


def quantiles_of(
    learner: Learner, description: Description, inputs: Arrays, levels: Sequence[float]
) -> dict[str, NDArray[Any]]:
    """Return quantiles of the answer, (level, sample, *shape) by output port; none of ports without doubt.

    Args:
        learner: That has learned.
        description: What it was made from.
        inputs: (sample, *shape) by port.
        levels: Between 0 and 1, rising.

    Raises:
        InvalidInput: The levels are none, or beyond those that were learned.
    """
    wanted = tuple(float(level) for level in levels)
    check_levels(wanted)
    if isinstance(learner, Levelled) and (learned := learner.quantiles(inputs)) is not None:
        return {name: _between(values, learner.levels, wanted) for name, values in learned.items()}
    if isinstance(learner, Mixing) and (mixture := learner.components(inputs)) is not None:
        return {name: item.quantiles(wanted) for name, item in mixture.items()}
    if description.outputs and kind(description.kind).task == "generation":
        drawn = learner.predict(inputs, draws=_DRAWS)
        return {port.name: np.quantile(drawn[port.name], wanted, axis=0) for port in description.outputs}
    return {}


def _between(values: NDArray[Any], learned: tuple[float, ...], wanted: tuple[float, ...]) -> NDArray[Any]:
    """Return quantiles at levels between those learned, on straight lines."""
    if wanted[0] < learned[0] - 1e-9 or wanted[-1] > learned[-1] + 1e-9:
        raise InvalidInput(
            f"Quantiles at {list(wanted)} are asked of a model that learned {list(learned)}.",
            hint="Ask for levels within these, or train it with levels = [...] in its table `uncertainty`.",
        )
    above = np.clip(np.searchsorted(learned, np.asarray(wanted) - 1e-9), 1 if len(learned) > 1 else 0, len(learned) - 1)
    if len(learned) == 1:
        return values[above]
    low, high = np.asarray(learned)[above - 1], np.asarray(learned)[above]
    share = np.clip((np.asarray(wanted) - low) / (high - low), 0.0, 1.0).reshape(-1, *(1 for _ in values.shape[1:]))
    return np.asarray(values[above - 1] + share * (values[above] - values[above - 1]))
