"""Kinds for what goes on in time: lstm, transformer, neural_ode."""

from __future__ import annotations

from gemel.core.learn.portfolio._fields import ACTIVATION, CLASSES, DROPOUT
from gemel.core.learn.portfolio._kind import PortfolioKind
from gemel.core.learn.portfolio._options import choice, flag, number, whole, wholes

_NETWORKS = "gemel.core.learn.portfolio.networks"

lstm = PortfolioKind(
    name="lstm",
    framework="torch",
    task="regression",
    draws=False,
    told="""
Long short-term memory (Hochreiter & Schmidhuber 1997) with open forget gates at the start (Gers et al. 2000). Inputs are
series `(time,)` or `(time, features)` of one length, and single numbers that hold all along; outputs are series of the same
length, each instant knowing those before it, or numbers of any shape, from the last instant.

Good for stores that fill and drain: rainfall to runoff (Kratzert et al. 2018), delays, states that are not observed. Not good
for series of many thousand steps, and slow to train on a CPU beside `boosted_trees` on lagged values.
""",
    made=f"{_NETWORKS}.lstm:learner",
    shown={
        "inputs": {"x": {"shape": [12]}},
        "outputs": {"y": "1"},
        "options": {"hidden": 16},
        "training": {"steps": 200, "batch": 64, "learning_rate": 0.01, "evaluate": 100},
    },
    options={
        "hidden": whole(64, "cells of a layer"),
        "layers": whole(1, "layers"),
        "dropout": DROPOUT,
        "classes": CLASSES,
    },
    methods=("ensemble", "dropout", "quantile"),
)

transformer = PortfolioKind(
    name="transformer",
    framework="torch",
    task="regression",
    draws=False,
    told="""
A transformer encoder (Vaswani et al. 2017) with normalisation before each block (Xiong et al. 2020), on series: ports as those
of `lstm`. With `causal` every instant knows those before it alone; outputs that are no series come from the last instant.

Good for long series in which far instants matter, and many samples. Not good for few samples (`lstm` and `boosted_trees` need
fewer), and for very long series: its cost grows with the square of the length.
""",
    made=f"{_NETWORKS}.transformer:learner",
    shown={
        "inputs": {"x": {"shape": [12]}},
        "outputs": {"y": "1"},
        "options": {"width": 16, "heads": 2, "layers": 1},
        "training": {"steps": 200, "batch": 64, "learning_rate": 0.005, "evaluate": 100},
    },
    options={
        "width": whole(64, "channels; a multiple of twice the heads"),
        "heads": whole(4, "heads of attention"),
        "layers": whole(2, "layers"),
        "causal": flag(True, "whether an instant knows only those before it"),
        "dropout": DROPOUT,
        "classes": CLASSES,
    },
    methods=("ensemble", "dropout", "quantile"),
)

neural_ode = PortfolioKind(
    name="neural_ode",
    framework="torch",
    task="regression",
    draws=False,
    told="""
A neural ordinary differential equation (Chen et al. 2018): a network says how fast the state changes, and a Runge-Kutta method
of fixed steps integrates it; gradients go through every step. One input, the state; one output in the same unit, the state
after `duration`, of the same shape, or at times equally spaced up to it, of shape `(times, *shape)`.

Good for dynamics that are smooth and autonomous, and for states at times between those of the data. Not good for stiff
equations (fixed explicit steps), noise, and forcing from outside. It learns no noise: its ensembles tell the model's doubt
alone, which `conformal = true` completes.
""",
    made=f"{_NETWORKS}.neural_ode:learner",
    shown={
        "inputs": {"state": {"unit": "m", "shape": [2]}},
        "outputs": {"later": {"unit": "m", "shape": [4, 2]}},
        "options": {"hidden": [32], "steps": 2},
        "training": {"steps": 200, "batch": 32, "learning_rate": 0.01, "evaluate": 100},
    },
    options={
        "duration": number(1.0, "time from the input to the last output, in any unit", 1e-12),
        "steps": whole(4, "steps between two times of the output"),
        "scheme": choice("rk4", "Runge-Kutta method", ("rk4", "dopri5")),
        "hidden": wholes((64, 64), "widths of the hidden layers", empty=True),
        "activation": ACTIVATION,
    },
    methods=("ensemble",),
)
