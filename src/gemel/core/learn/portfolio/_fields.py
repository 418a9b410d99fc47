"""Kinds for vectors, fields and graphs: mlp, cnn, unet, graphnet."""

from __future__ import annotations

from gemel.core.learn.portfolio._kind import PortfolioKind
from gemel.core.learn.portfolio._options import choice, flag, number, rows, whole, wholes

_NETWORKS = "gemel.core.learn.portfolio.networks"
_WAYS = ("ensemble", "dropout", "quantile")
CLASSES = whole(2, "classes of each int64 output, counted from 0", least=2)
DROPOUT = number(0.0, "share of units left out while it learns", 0.0, 0.95)
ACTIVATION = choice("silu", "between layers", ("silu", "gelu", "relu", "tanh"))

mlp = PortfolioKind(
    name="mlp",
    framework="torch",
    task="regression",
    draws=False,
    told="""
A multilayer perceptron (Rumelhart, Hinton & Williams 1986): dense layers, ports flattened into one vector.

Good for a moderate number of inputs without order in space or time, for emulating smooth functions, and as the first
network to try. Not good for fields and long series, whose neighbourhoods it does not know (take `cnn`, `unet`, `lstm`), and
seldom better than `boosted_trees` on tables of a few thousand rows. Outputs of int64 are classes.
""",
    made=f"{_NETWORKS}.mlp:learner",
    shown={
        "inputs": {"x": "1", "y": "1"},
        "outputs": {"z": "1"},
        "options": {"hidden": [32, 32]},
        "training": {"steps": 400, "batch": 64, "learning_rate": 0.01, "schedule": "cosine", "evaluate": 100},
    },
    options={
        "hidden": wholes((64, 64), "widths of the hidden layers", empty=True),
        "activation": ACTIVATION,
        "dropout": DROPOUT,
        "classes": CLASSES,
    },
    methods=_WAYS,
)

cnn = PortfolioKind(
    name="cnn",
    framework="torch",
    task="regression",
    draws=False,
    told="""
A convolutional network (LeCun et al. 1998): what matters in a neighbourhood is learned once and used everywhere. Inputs are
fields (or series) of one shape, `(y, x)` or `(channels, y, x)`, and single numbers that hold everywhere; outputs are numbers
of any shape, or classes (int64).

Good for telling what a field shows: classes of events, integrals, parameters behind an image. Not good for outputs that are
fields themselves (take `unet`), and where far ends of the field matter to each other at once.
""",
    made=f"{_NETWORKS}.cnn:learner",
    shown={
        "inputs": {"field": {"shape": [12, 12]}},
        "outputs": {"z": "1"},
        "options": {"channels": [8, 16], "hidden": [16]},
        "training": {"steps": 200, "batch": 32, "learning_rate": 0.003, "evaluate": 100},
    },
    options={
        "channels": wholes((16, 32), "channels of each convolution; the field is halved behind each"),
        "kernel": whole(3, "width of a convolution, odd"),
        "hidden": wholes((64,), "widths of the dense layers", empty=True),
        "dimensions": whole(None, "1 or 2, where shapes do not tell: (channels, time) is 1"),
        "activation": ACTIVATION,
        "dropout": DROPOUT,
        "classes": CLASSES,
    },
    methods=_WAYS,
)

unet = PortfolioKind(
    name="unet",
    framework="torch",
    task="regression",
    draws=False,
    told="""
A U-Net (Ronneberger, Fischer & Brox 2015) with group normalisation: from fields to fields of the same shape, by halving,
doubling, and joining what was seen at each scale. Lengths are multiples of 2^depth. Outputs of int64 are a class for every
cell.

Good for segmentation, downscaling on the same grid, filling and sharpening. Not good for few samples of large fields, and
where totals must be kept exactly (it knows no conservation).
""",
    made=f"{_NETWORKS}.unet:learner",
    shown={
        "inputs": {"blurred": {"shape": [16, 16]}},
        "outputs": {"sharp": {"shape": [16, 16]}},
        "options": {"width": 8, "depth": 2},
        "training": {"steps": 150, "batch": 16, "learning_rate": 0.003, "evaluate": 75},
    },
    options={
        "width": whole(16, "channels at full resolution; doubled at each halving"),
        "depth": whole(3, "how often the field is halved"),
        "dimensions": whole(None, "1 or 2, where shapes do not tell: (channels, time) is 1"),
        "activation": ACTIVATION,
        "dropout": DROPOUT,
        "classes": CLASSES,
    },
    methods=_WAYS,
)

graphnet = PortfolioKind(
    name="graphnet",
    framework="torch",
    task="regression",
    draws=False,
    told="""
Message passing on a fixed graph (Battaglia et al. 2018; Sanchez-Gonzalez et al. 2020): nodes hear their neighbours in
rounds. Ports are `(nodes,)` or `(nodes, features)`, and single numbers that go to every node. The graph is said by edges or by
coordinates and a number of neighbours.

Good for irregular meshes, sensor and river networks, detector cells. Not good for regular grids (take `unet`), for graphs that
change from sample to sample, and for influences farther than `rounds` edges away.
""",
    made=f"{_NETWORKS}.graphnet:learner",
    shown={
        "inputs": {"u": {"shape": [10]}},
        "outputs": {"v": {"shape": [10]}},
        "options": {"edges": [[node, (node + 1) % 10] for node in range(10)], "width": 16},
        "training": {"steps": 300, "batch": 32, "learning_rate": 0.003, "evaluate": 100},
    },
    options={
        "edges": rows("pairs of nodes, counted from 0; empty: the nearest by coordinates", 2),
        "directed": flag(False, "whether an edge leads from its first node to its second alone"),
        "coordinates": rows("of every node; differences are told to messages"),
        "neighbours": whole(4, "nearest nodes that each hears, where coordinates make the graph"),
        "width": whole(32, "numbers of a node and a message"),
        "rounds": whole(2, "rounds of messages"),
        "activation": ACTIVATION,
        "dropout": DROPOUT,
        "classes": CLASSES,
    },
    methods=_WAYS,
)
