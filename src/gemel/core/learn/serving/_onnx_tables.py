"""Export of scikit-learn's estimators to ONNX: each by skl2onnx, joined with the scaling in one graph of float64."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gemel.base.errors import InvalidInput
from gemel.base.plugins import require
from gemel.core.learn.models import Description
from gemel.core.learn.samples import Port
from gemel.core.learn.serving._onnx_process import is_process, process_graph
from gemel.core.learn.serving._onnx_trees import boosted_graph, is_boosted

_OPSET, _OPSET_TREES = 18, 3
_TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64}


@runtime_checkable
class Tabular(Protocol):
    """A learner made of estimators, one for every number of every output."""

    levels: tuple[float, ...]
    classes: int

    def estimators(self) -> list[tuple[Any, Any]]:
        """Return (target, estimator), which takes scaled inputs (sample, number)."""

    def scales(self) -> Any:
        """Return the scaling of the ports."""


def table_graph(learners: Sequence[Any], description: Description) -> onnx.ModelProto:
    """Return the graph of one learner, or of the mean of several.

    Raises:
        InvalidInput: An estimator has no form in ONNX.
        MissingExtra: skl2onnx is not installed.
    """
    graph = _Graph()
    answers = [_answered(graph, learner, description, f"m{number}") for number, learner in enumerate(learners)]
    outputs = []
    for port in description.outputs:
        total = graph.node("Sum", [answer[port.name] for answer in answers])
        middle = graph.node("Mul", [total, graph.constant(np.float64(1.0 / len(answers)))])
        if port.dtype == "int64":
            graph.node("Cast", [middle], f"{port.name}_probability", to=TensorProto.FLOAT)
            graph.node("ArgMax", [middle], port.name, axis=-1, keepdims=0)
            outputs += [_value(port.name, port), _value(f"{port.name}_probability", port, learners[0].classes)]
        else:
            graph.node("Cast", [middle], port.name, to=_TYPES[port.dtype])
            outputs.append(_value(port.name, port))
    return graph.model([_value(port.name, port) for port in description.inputs], outputs)


class _Graph:
    """Nodes and constants while they are put together."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._count = 0

    def node(self, operator: str, inputs: Sequence[str], output: str = "", *, outputs: int = 1, **settings: Any) -> str:
        """Return the name of the first output of a node that is added."""
        self._count += 1
        names = [output] if output else [f"n{self._count}_{place}" for place in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **settings))
        return names[0]

    def constant(self, values: Any) -> str:
        """Return the name of a constant that is added."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def joined(self, model: onnx.ModelProto, table: str, prefix: str) -> list[str]:
        """Return the names of a model's outputs after its nodes are added, its one input being `table`."""
        named = onnx.compose.add_prefix(model, prefix)
        inside = named.graph.input[0].name
        for node in named.graph.node:
            node.input[:] = [table if name == inside else name for name in node.input]
        self.nodes += list(named.graph.node)
        self.constants += list(named.graph.initializer)
        return [output.name for output in named.graph.output]

    def model(self, inputs: list[Any], outputs: list[Any]) -> onnx.ModelProto:
        """Return the whole."""
        graph = helper.make_graph(self.nodes, "gemel", inputs, outputs, self.constants)
        domains = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _OPSET_TREES)]
        return helper.make_model(graph, opset_imports=domains, ir_version=9, producer_name="gemel")


def _answered(graph: _Graph, learner: Any, description: Description, prefix: str) -> dict[str, str]:
    scaling = learner.scales()
    parts = []
    for port in description.inputs:
        number = graph.node("Cast", [port.name], to=TensorProto.DOUBLE)
        mean, deviation = (graph.constant(np.asarray(item, np.float64)) for item in scaling.inputs[port.name])
        centred = graph.node("Div", [graph.node("Sub", [number, mean]), deviation])
        parts.append(graph.node("Reshape", [centred, graph.constant(np.array([-1, port.size], np.int64))]))
    table = graph.node("Concat", parts, axis=1)
    width, found = sum(port.size for port in description.inputs), dict[str, str]()
    columns: dict[str, list[str]] = {port.name: [] for port in description.outputs}
    for place, (target, estimator) in enumerate(learner.estimators()):
        names = graph.joined(_converted(estimator, width), table, f"{prefix}e{place}_")
        columns[target.port.name].append(_column(graph, names, estimator, target, learner.classes))
    for port in description.outputs:
        found[port.name] = _physical(graph, columns[port.name], port, learner)
    return found


def _converted(estimator: Any, width: int) -> onnx.ModelProto:
    if is_boosted(estimator):
        return boosted_graph(estimator, width)
    if is_process(estimator):
        return process_graph(estimator, width)
    skl2onnx = require("skl2onnx", extra="ml")
    types = require("skl2onnx.common.data_types", extra="ml")
    options = {type(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None
    opset = {"": _OPSET, "ai.onnx.ml": _OPSET_TREES}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = skl2onnx.to_onnx(
                estimator,
                initial_types=[("table", types.DoubleTensorType([None, width]))],
                target_opset=opset,
                options=options,
            )
    except Exception as error:
        # Each converter raises what it likes for what it does not know.
        name = type(estimator).__name__
        raise InvalidInput(f"{name} has no form in ONNX: {error}", hint="Serve it with gemel.") from error
    return cast("onnx.ModelProto", found)


def _column(graph: _Graph, names: list[str], estimator: Any, target: Any, classes: int) -> str:
    """Return (sample, 1) of float64, or (sample, 1, class) of probabilities."""
    if target.port.dtype != "int64":
        number = graph.node("Cast", [names[0]], to=TensorProto.DOUBLE)
        return graph.node("Reshape", [number, graph.constant(np.array([-1, 1], np.int64))])
    own = np.asarray(estimator.classes_, np.int64)
    spread = np.zeros((len(own), classes))
    spread[np.arange(len(own)), own] = 1.0
    chances = graph.node("MatMul", [graph.node("Cast", [names[1]], to=TensorProto.DOUBLE), graph.constant(spread)])
    return graph.node("Reshape", [chances, graph.constant(np.array([-1, 1, classes], np.int64))])


def _physical(graph: _Graph, columns: list[str], port: Port, learner: Any) -> str:
    whole = graph.node("Concat", columns, axis=1)
    if port.dtype == "int64":
        return graph.node("Reshape", [whole, graph.constant(np.array([-1, *port.shape, learner.classes], np.int64))])
    if len(columns) > port.size:
        whole = _median(graph, whole, port, learner.levels)
    shaped = graph.node("Reshape", [whole, graph.constant(np.array([-1, *port.shape], np.int64))])
    mean, deviation = (graph.constant(np.asarray(item, np.float64)) for item in learner.scales().outputs[port.name])
    return graph.node("Add", [graph.node("Mul", [shaped, deviation]), mean])


def _median(graph: _Graph, whole: str, port: Port, levels: tuple[float, ...]) -> str:
    """Return the median among quantiles in order of size; they come (sample, number x level)."""
    if 0.5 not in levels:
        raise InvalidInput(f"Among the levels {list(levels)} is no median, which the graph would answer.")
    count = len(levels)
    apart = graph.node("Reshape", [whole, graph.constant(np.array([-1, port.size, count], np.int64))])
    ranked = graph.node(
        "TopK", [apart, graph.constant(np.array([count], np.int64))], outputs=2, axis=-1, largest=0, sorted=1
    )
    return graph.node("Gather", [ranked, graph.constant(np.array(levels.index(0.5), np.int64))], axis=-1)


def _value(name: str, port: Port, classes: int | None = None) -> Any:
    shape: list[str | int] = ["sample", *port.shape]
    if classes is not None:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [*shape, classes])
    return helper.make_tensor_value_info(name, _TYPES[port.dtype], shape)
