"""Gaussian processes as ONNX operators: the mean of the posterior, covariances with the training samples times weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.gaussian_process import GaussianProcessRegressor


def is_process(estimator: Any) -> bool:
    """Return whether an estimator is a Gaussian process of the portfolio's kernels."""
    return isinstance(estimator, GaussianProcessRegressor)


def process_graph(estimator: Any, width: int) -> onnx.ModelProto:
    """Return a model of scaled inputs (sample, number) of float64 that gives the mean, (sample, 1).

    Args:
        estimator: Fitted; its kernel is variance * shape + noise, and noise does not reach other samples.
        width: How many numbers go in.
    """
    variance, shape = estimator.kernel_.k1.k1.constant_value, estimator.kernel_.k1.k2
    lengths = np.broadcast_to(np.asarray(shape.length_scale, np.float64), (width,))
    known = estimator.X_train_ / lengths
    constants = {
        "lengths": lengths.copy(),
        "known": known.T.copy(),
        "squares": (known**2).sum(axis=1),
        "weights": (variance * estimator.alpha_).reshape(-1, 1),
        "zero": np.array(0.0),
        "axis": np.array([1], np.int64),
    } | _constants(shape)
    nodes = [
        helper.make_node("Div", ["table", "lengths"], ["x"]),
        helper.make_node("Mul", ["x", "x"], ["xx"]),
        helper.make_node("ReduceSum", ["xx", "axis"], ["own"], keepdims=1),
        helper.make_node("MatMul", ["x", "known"], ["product"]),
        helper.make_node("Add", ["product", "product"], ["twice"]),
        helper.make_node("Add", ["own", "squares"], ["sum"]),
        helper.make_node("Sub", ["sum", "twice"], ["rough"]),
        helper.make_node("Max", ["rough", "zero"], ["square"]),  # rounding may leave it just below 0
        *_shape(shape),
        helper.make_node("MatMul", ["covariance", "weights"], ["answer"]),
    ]
    table = helper.make_tensor_value_info("table", TensorProto.DOUBLE, [None, width])
    answer = helper.make_tensor_value_info("answer", TensorProto.DOUBLE, [None, 1])
    tensors = [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "process", [table], [answer], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)])


def _constants(shape: Any) -> dict[str, NDArray[Any]]:
    if type(shape).__name__ == "RationalQuadratic":
        return {"factor": np.array(0.5 / shape.alpha), "power": np.array(-shape.alpha), "one": np.array(1.0)}
    if type(shape).__name__ == "RBF":
        return {"factor": np.array(-0.5)}
    return {"factor": np.array(math.sqrt(2.0 * shape.nu)), "one": np.array(1.0), "third": np.array(1.0 / 3.0)}


def _shape(shape: Any) -> list[Any]:
    """Return the nodes from the squared distance, over the lengths, to the correlation (Rasmussen & Williams, ch. 4)."""
    name = type(shape).__name__
    if name == "RBF":
        scaled = helper.make_node("Mul", ["square", "factor"], ["scaled"])
        return [scaled, helper.make_node("Exp", ["scaled"], ["covariance"])]
    if name == "RationalQuadratic":
        scaled = helper.make_node("Mul", ["square", "factor"], ["scaled"])
        base = helper.make_node("Add", ["scaled", "one"], ["base"])
        return [scaled, base, helper.make_node("Pow", ["base", "power"], ["covariance"])]
    nodes = [
        helper.make_node("Sqrt", ["square"], ["distance"]),
        helper.make_node("Mul", ["distance", "factor"], ["scaled"]),
        helper.make_node("Neg", ["scaled"], ["minus"]),
        helper.make_node("Exp", ["minus"], ["decay"]),
        helper.make_node("Add", ["scaled", "one"], ["linear"]),
    ]
    if shape.nu == 1.5:
        return [*nodes, helper.make_node("Mul", ["linear", "decay"], ["covariance"])]
    return [
        *nodes,
        helper.make_node("Mul", ["scaled", "scaled"], ["second"]),
        helper.make_node("Mul", ["second", "third"], ["bent"]),
        helper.make_node("Add", ["linear", "bent"], ["polynomial"]),
        helper.make_node("Mul", ["polynomial", "decay"], ["covariance"]),
    ]
