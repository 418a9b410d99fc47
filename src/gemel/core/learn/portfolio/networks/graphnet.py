"""Message passing on a fixed graph."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor, nn

from gemel.base.errors import InvalidInput
from gemel.core.learn.models import Description
from gemel.core.learn.portfolio.networks._blocks import dense
from gemel.core.learn.portfolio.networks._layout import Layout
from gemel.core.learn.portfolio.networks._noise import Dropout
from gemel.core.learn.portfolio.networks._supervised import Plan, SupervisedLearner
from gemel.core.learn.portfolio.networks.mlp import dropout_rate


def learner(description: Description, options: Mapping[str, Any]) -> SupervisedLearner:
    """Return a learner: ports are (node,) or (node, features), and single numbers that go to every node.

    Raises:
        InvalidInput: No input has nodes, the graph is not said in one way, or it leads to nodes that are not there.
    """
    shapes = [port.shape for port in description.inputs if port.shape]
    if not shapes:
        raise InvalidInput("A model of the kind 'graphnet' takes values on nodes.", hint="Such as shape = [nodes].")
    nodes = shapes[0][0]
    edges, lengths = graph(options, nodes)
    layout = Layout((nodes,), what="nodes")
    body = partial(GraphBody, options, edges, lengths, dropout_rate(description, options))
    return SupervisedLearner(Plan(description, options, body, layout, layout))


def graph(options: Mapping[str, Any], nodes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the edges (edge, [from, to]) of a graph and what is known of each, (edge, feature).

    Features are the difference of coordinates and its length, over the mean length; none without coordinates.

    Raises:
        InvalidInput: It is not said in one way, or leads to nodes that are not there.
    """
    coordinates = np.asarray(options["coordinates"], np.float64)
    if len(coordinates) not in (0, nodes) or not (len(coordinates) or len(options["edges"])):
        raise InvalidInput(
            f"A graph of {nodes} nodes needs edges, or coordinates of every node; got {len(coordinates)} coordinates.",
            hint="edges = [[0, 1], [1, 2]], or coordinates = [[x, y], ...] with neighbours = 4.",
        )
    if len(options["edges"]):
        edges = np.asarray(options["edges"], np.int64)
        edges = edges if options["directed"] else np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    else:
        edges = _nearest(coordinates, options["neighbours"])
    if edges.min() < 0 or edges.max() >= nodes:
        raise InvalidInput(f"Edges lead from node {edges.min()} to {edges.max()}; there are 0 to {nodes - 1}.")
    return edges, _features(edges, coordinates)


def _nearest(coordinates: NDArray[np.float64], neighbours: int) -> NDArray[np.int64]:
    count = len(coordinates)
    if count <= neighbours:
        raise InvalidInput(f"{count} nodes have no {neighbours} neighbours each.")
    found = cKDTree(coordinates).query(coordinates, neighbours + 1)[1][:, 1:]
    pairs = np.stack([found.reshape(-1), np.repeat(np.arange(count), neighbours)], axis=1)
    return np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0).astype(np.int64)


def _features(edges: NDArray[np.int64], coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(coordinates):
        return np.zeros((len(edges), 0))
    ways = coordinates[edges[:, 0]] - coordinates[edges[:, 1]]
    lengths = np.linalg.norm(ways, axis=1, keepdims=True)
    return np.concatenate([ways, lengths], axis=1) / max(float(lengths.mean()), 1e-300)


class GraphBody(nn.Module):
    """Nodes encoded, messages passed in rounds, nodes decoded (Battaglia et al. 2018; Sanchez-Gonzalez et al. 2020)."""

    edges: Tensor
    features: Tensor

    def __init__(
        self,
        options: Mapping[str, Any],
        edges: NDArray[np.int64],
        features: NDArray[np.float64],
        rate: float,
        into: int,
        out: int,
    ) -> None:
        super().__init__()
        width, activation = options["width"], options["activation"]
        self.register_buffer("edges", torch.from_numpy(edges.T.copy()), persistent=False)
        self.register_buffer("features", torch.from_numpy(features.astype(np.float32)), persistent=False)
        self.encode = dense(into, (width,), width, activation)
        message = partial(dense, 2 * width + features.shape[1], (width,), width, activation)
        self.messages = nn.ModuleList([message() for _ in range(options["rounds"])])
        self.updates = nn.ModuleList([dense(2 * width, (width,), width, activation) for _ in range(options["rounds"])])
        self.decode = dense(width, (width,), out, activation)
        self.dropout = Dropout(rate)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return (sample, node, channel): each node has heard those that are `rounds` edges away."""
        state = self.encode(nodes)
        known = self.features.expand(state.shape[0], -1, -1)
        for message, update in zip(self.messages, self.updates, strict=True):
            sent = message(torch.cat([state[:, self.edges[0]], state[:, self.edges[1]], known], dim=-1))
            heard = sent.new_zeros(state.shape).index_add(1, self.edges[1], sent)
            state = state + self.dropout(update(torch.cat([state, heard], dim=-1)))
        last: Tensor = self.decode(state)
        return last
