"""Neural ordinary differential equations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gemel.base.errors import InvalidInput
from gemel.core.learn.models import Description
from gemel.core.learn.portfolio.networks._blocks import dense
from gemel.core.learn.portfolio.networks._supervised import Plan, SupervisedLearner
from gemel.core.learn.samples import Port

Field = Callable[[Tensor], Tensor]

#: Stages and weights of explicit Runge-Kutta methods of fixed steps: the classical one of order 4 (Kutta 1901), and the
#: fifth-order solution of Dormand & Prince 1980, table 2.
TABLEAUS: dict[str, tuple[tuple[tuple[float, ...], ...], tuple[float, ...]]] = {
    "rk4": (((0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
    "dopri5": (
        (
            (1 / 5,),
            (3 / 40, 9 / 40),
            (44 / 45, -56 / 15, 32 / 9),
            (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
            (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        ),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
}


def learner(description: Description, options: Mapping[str, Any]) -> SupervisedLearner:
    """Return a learner: a state goes in, and comes out at one later time or at several.

    Raises:
        InvalidInput: There is not one input and one output, the output is no state, or it has another unit.
    """
    if len(description.inputs) != 1 or len(description.outputs) != 1:
        raise InvalidInput(
            "A model of the kind 'neural_ode' has one input, the state, and one output, the state later."
        )
    state, later = description.inputs[0], description.outputs[0]
    _check(description, state, later)
    times = later.shape[0] if len(later.shape) == len(state.shape) + 1 else 1
    plan = Plan(description, options, partial(OdeBody, options, times), noisy=False)
    return SupervisedLearner(plan).sharing({later.name: state.name})


def advanced(field: Field, state: Tensor, step: float, scheme: str) -> Tensor:
    """Return the state one step later along d state / d t = field(state), by the Runge-Kutta method named."""
    rows, weights = TABLEAUS[scheme]
    slopes = [field(state)]
    for row in rows:
        slopes.append(field(state + step * _sum(row, slopes)))
    return state + step * _sum(weights, slopes)


class OdeBody(nn.Module):
    """A network that says how fast the state changes, integrated; gradients go through every step (Chen et al. 2018).

    Attributes:
        field: How fast the scaled state changes, per unit of time.
    """

    def __init__(self, options: Mapping[str, Any], times: int, into: int, out: int) -> None:
        super().__init__()
        self.field = dense(into, options["hidden"], into, options["activation"])
        self._scheme, self._steps, self._times = options["scheme"], options["steps"], times
        self._step = options["duration"] / (times * options["steps"])

    def forward(self, state: Tensor) -> Tensor:
        """Return (sample, number): the states at all times, one after the other."""
        found = []
        for _ in range(self._times):
            for _ in range(self._steps):
                state = advanced(self.field, state, self._step, self._scheme)
            found.append(state)
        return torch.cat(found, dim=-1)


def _sum(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    terms = [weight * slope for weight, slope in zip(weights, slopes, strict=True) if weight]
    return torch.stack(terms).sum(dim=0)


def _check(description: Description, state: Port, later: Port) -> None:
    if later.shape != state.shape and later.shape[1:] != state.shape:
        raise InvalidInput(
            f"The output '{later.name}' of shape {later.shape} is no state of shape {state.shape}, once or at several times."
        )
    if later.unit != state.unit or "int64" in (later.dtype, state.dtype):
        message = f"'{later.name}' in '{later.unit}' is the later state of '{state.name}' in '{state.unit}'."
        raise InvalidInput(message, hint="Give both the same unit, and numbers rather than classes.")
