"""Histogram gradient boosting as ONNX operators: skl2onnx writes its thresholds in float32, which sends samples astray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_DOUBLES = ("nodes_values", "target_weights", "base_values")


def is_boosted(estimator: Any) -> bool:
    """Return whether an estimator is made of histogram gradient boosting."""
    return type(estimator).__name__.startswith("HistGradientBoosting")


def boosted_graph(estimator: Any, width: int) -> onnx.ModelProto:
    """Return a model of scaled inputs (sample, number) of float64; it gives numbers (sample, 1), or labels and chances.

    Args:
        estimator: Fitted regressor or classifier.
        width: How many numbers go in.
    """
    stages = estimator._predictors
    targets = len(stages[0])
    trees = [(tree.nodes, target) for stage in stages for target, tree in enumerate(stage)]
    settings = _columns(trees) | {"base_values": np.ravel(estimator._baseline_prediction).astype(np.float64)}
    tensors = {f"{name}_as_tensor": numpy_helper.from_array(settings.pop(name)) for name in _DOUBLES}
    lists = {name: values.tolist() for name, values in settings.items()}
    modes: dict[str, Any] = {"nodes_modes": ["LEAF" if leaf else "BRANCH_LEQ" for leaf in lists.pop("leaf")]}
    nodes = [
        helper.make_node(
            "TreeEnsembleRegressor",
            ["table"],
            ["sums"],
            domain="ai.onnx.ml",
            n_targets=targets,
            post_transform="NONE",
            aggregate_function="SUM",
            **lists,
            **tensors,
            **modes,
        )
    ]
    # Trees are walked in float64, but their operator gives float32.
    nodes.append(helper.make_node("Cast", ["sums"], ["raw"], to=TensorProto.DOUBLE))
    ends, outputs = _ends(estimator, targets)
    table = helper.make_tensor_value_info("table", TensorProto.DOUBLE, [None, width])
    graph = helper.make_graph([*nodes, *ends], "trees", [table], outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)])


def _columns(trees: list[tuple[NDArray[Any], int]]) -> dict[str, NDArray[Any]]:
    parts = [_tree(number, nodes, target) for number, (nodes, target) in enumerate(trees)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _tree(number: int, nodes: NDArray[Any], target: int) -> Mapping[str, NDArray[Any]]:
    leaf = nodes["is_leaf"].astype(bool)
    leaves, own = np.flatnonzero(leaf), np.arange(len(nodes))
    return {
        "leaf": leaf,
        "nodes_treeids": np.full(len(nodes), number),
        "nodes_nodeids": own,
        "nodes_featureids": np.where(leaf, 0, nodes["feature_idx"].astype(np.int64)),
        "nodes_values": np.where(leaf, 0.0, nodes["num_threshold"]).astype(np.float64),
        "nodes_truenodeids": np.where(leaf, 0, nodes["left"].astype(np.int64)),
        "nodes_falsenodeids": np.where(leaf, 0, nodes["right"].astype(np.int64)),
        "target_treeids": np.full(len(leaves), number),
        "target_nodeids": leaves,
        "target_ids": np.full(len(leaves), target),
        "target_weights": nodes["value"][leaf].astype(np.float64),
    }


def _ends(estimator: Any, targets: int) -> tuple[list[Any], list[Any]]:
    """Return the nodes from raw sums to answers, and what the graph gives."""
    if not hasattr(estimator, "classes_"):
        answer = helper.make_tensor_value_info("answer", TensorProto.DOUBLE, [None, 1])
        return [helper.make_node("Identity", ["raw"], ["answer"])], [answer]
    if targets > 1:
        nodes = [helper.make_node("Softmax", ["raw"], ["chances"], axis=-1)]
    else:
        one = helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.array([[1.0]])))
        nodes = [
            one,
            helper.make_node("Sigmoid", ["raw"], ["second"]),
            helper.make_node("Sub", ["one", "second"], ["first"]),
        ]
        nodes += [helper.make_node("Concat", ["first", "second"], ["chances"], axis=1)]
    nodes += [helper.make_node("ArgMax", ["chances"], ["label"], axis=1, keepdims=0)]
    label = helper.make_tensor_value_info("label", TensorProto.INT64, [None])
    return nodes, [label, helper.make_tensor_value_info("chances", TensorProto.DOUBLE, [None, len(estimator.classes_)])]
