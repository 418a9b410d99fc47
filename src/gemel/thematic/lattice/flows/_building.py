"""From a specification to a flow with fresh weights, and from a flow to one of another size."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from gemel.base.errors import InvalidInput
from gemel.thematic.lattice.flows._flow import Flow
from gemel.thematic.lattice.flows._gauge import Stripes
from gemel.thematic.lattice.flows._priors import Noise, VonMises
from gemel.thematic.lattice.flows._scalar import Checkerboard, Shells, Sitewise
from gemel.thematic.lattice.flows._spec import FlowSpec

_MASS_SQUARED = 1.0  # of the free field that shells start as
_BOUND = 1.5  # beyond it splines of scalar fields are straight
_SITEWISE = 12  # bins


def build(spec: FlowSpec) -> Flow:
    """Return an untrained flow in float32, its weights a function of the seed; every coupling starts as the identity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        return _scalar(spec) if spec.theory == "phi4" else _gauge(spec)


def _scalar(spec: FlowSpec) -> Flow:
    layers: list[nn.Module] = []
    if spec.prior == "shells":
        layers += [Shells(spec.extent, _MASS_SQUARED), Sitewise(_SITEWISE)]
    for n in range(spec.layers):
        layer = Checkerboard(spec.extent, n % 2, spec.hidden, knots=spec.knots, reach=spec.reach, bound=_BOUND)
        layers.append(layer)
    return Flow(Noise(spec.extent), layers)


def _gauge(spec: FlowSpec) -> Flow:
    layers = [
        Stripes(
            spec.extent,
            n % 2,
            n // 2 % 4,
            hidden=spec.hidden,
            knots=spec.knots,
            reach=spec.reach,
            conditions=0 if spec.span is None else 1,
        )
        for n in range(spec.layers)
    ]
    uniform = spec.prior == "uniform"
    beta = 0.0 if uniform or spec.beta is None else spec.beta
    return Flow(VonMises(spec.extent, beta, follows=not uniform), layers, spec.span)


def carry_over(flow: Flow, start: Flow) -> None:
    """Give a flow the weights of one for another extent or coupling: they belong to neighbourhoods, not to sites.

    Amplitudes of momentum shells are interpolated along the lattice momentum squared.

    Raises:
        InvalidInput: The layers differ.
    """
    wanted, found = flow.state_dict(), dict(start.state_dict())
    for new, old in zip(flow.layers, start.layers, strict=False):
        if isinstance(new, Shells) and isinstance(old, Shells):
            values = np.interp(new.values.numpy(), old.values.numpy(), old.log_amplitude.detach().double().numpy())
            found["layers.0.log_amplitude"] = torch.as_tensor(values)
    if [(k, v.shape) for k, v in wanted.items()] != [(k, found[k].shape) for k in wanted if k in found]:
        hint = "Layers, hidden units, knots, reach and the kind of prior have to be those of the flow to go on from."
        raise InvalidInput("These weights are of another kind of flow.", hint=hint)
    flow.load_state_dict({name: found[name].to(wanted[name].dtype) for name in wanted})
