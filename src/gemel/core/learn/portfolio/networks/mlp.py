"""Multilayer perceptron."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from gemel.core.learn.models import Description
from gemel.core.learn.portfolio.networks._blocks import dense
from gemel.core.learn.portfolio.networks._supervised import Plan, SupervisedLearner
from gemel.core.learn.uncertainty import Doubt


def learner(description: Description, options: Mapping[str, Any]) -> SupervisedLearner:
    """Return a learner: ports are flattened into one vector on both sides."""
    rate = dropout_rate(description, options)
    return SupervisedLearner(Plan(description, options, partial(_body, options, rate)))


def dropout_rate(description: Description, options: Mapping[str, Any]) -> float:
    """Return the share of units left out: that of the uncertainty where it is by dropout, else the option."""
    doubt = Doubt.read(description.uncertainty)
    return doubt.rate if doubt.method == "dropout" else float(options["dropout"])


def _body(options: Mapping[str, Any], rate: float, into: int, out: int) -> nn.Module:
    return dense(into, options["hidden"], out, options["activation"], rate)
