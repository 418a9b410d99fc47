"""Normalising flows for lattice fields (needs the extra `ml`): built from a document, trained by reverse KL, judged by weights.

`FlowSpec` -> `train` -> `evaluate`; `load(shipped()["u1_L16_b5"])` gives a trained one. `LinkFlow` carries a flow of
plaquettes to link angles. For U(1) the prior, independent von Mises plaquettes, is special to two dimensions and good
by itself: show it, and HMC with winding updates, beside any flow.
"""

from gemel.base.plugins import require

require("torch", extra="ml")

from gemel.thematic.lattice.flows._building import build, carry_over  # noqa: E402 - after the check for torch
from gemel.thematic.lattice.flows._defended import Defended  # noqa: E402
from gemel.thematic.lattice.flows._evaluation import (  # noqa: E402
    Evaluation,
    Proposals,
    evaluate,
    judge,
    propose,
    trial,
)
from gemel.thematic.lattice.flows._flow import Flow, Layer, Prior  # noqa: E402
from gemel.thematic.lattice.flows._gauge import Stripes  # noqa: E402
from gemel.thematic.lattice.flows._links import LinkFlow  # noqa: E402
from gemel.thematic.lattice.flows._objective import ReverseKL, action  # noqa: E402
from gemel.thematic.lattice.flows._priors import Noise, VonMises  # noqa: E402
from gemel.thematic.lattice.flows._scalar import Checkerboard, Shells, Sitewise  # noqa: E402
from gemel.thematic.lattice.flows._spec import FlowSpec, read_spec  # noqa: E402
from gemel.thematic.lattice.flows._training import Trained, load, save, shipped, train  # noqa: E402

__all__ = [
    "Checkerboard",
    "Defended",
    "Evaluation",
    "Flow",
    "FlowSpec",
    "Layer",
    "LinkFlow",
    "Noise",
    "Prior",
    "Proposals",
    "ReverseKL",
    "Shells",
    "Sitewise",
    "Stripes",
    "Trained",
    "VonMises",
    "action",
    "build",
    "carry_over",
    "evaluate",
    "judge",
    "load",
    "propose",
    "read_spec",
    "save",
    "shipped",
    "train",
    "trial",
]
