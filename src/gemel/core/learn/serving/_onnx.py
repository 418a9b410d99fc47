"""Export to ONNX: physical numbers in and out, the scaling inside, any number of samples."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, cast, runtime_checkable

import onnx
import torch
from torch import Tensor, nn

from gemel.base.errors import InvalidInput
from gemel.core.learn.models import Bundle, Description, Learner
from gemel.core.learn.serving._onnx_tables import Tabular, table_graph
from gemel.core.learn.uncertainty import ConformalLearner, EnsembleLearner, loaded

#: Operators of ONNX that are used; every onnxruntime since 1.17 knows them.
OPSET = 20


@runtime_checkable
class Graphed(Protocol):
    """A learner that is one module of PyTorch."""

    def graph(self) -> nn.Module:
        """Return a module of physical inputs, in the order of the ports, to a tuple of physical answers."""


class _Mean(nn.Module):
    """The mean of several models; of classes that of their probabilities."""

    def __init__(self, members: Sequence[nn.Module], names: Sequence[str]) -> None:
        super().__init__()
        self.members, self._names = nn.ModuleList(members), tuple(names)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        answers = [member(*inputs) for member in self.members]
        means = [torch.stack([answer[place] for answer in answers]) for place in range(len(self._names))]
        found = [item.mean(dim=0) if item.is_floating_point() else item[0] for item in means]
        for place, name in enumerate(self._names):
            if name.endswith("_probability") and name.removesuffix("_probability") == self._names[place - 1]:
                found[place - 1] = found[place].argmax(dim=-1)
        return tuple(found)


def export_onnx(bundle: Bundle) -> bytes:
    """Return a model as ONNX: inputs and outputs named as its ports, (sample, *shape), in the ports' units and dtypes.

    Classes come with `NAME_probability`, ensembles as the mean of their members. The graph gives the one best answer: draws
    and quantiles are not in it, which its metadata `uncertainty` says.

    Raises:
        InvalidInput: The kind cannot be exported; says why.
        MissingExtra: What writes the graph is not installed.
    """
    learner = _bare(loaded(bundle))
    if _all(learner, Graphed):
        model = _of_modules(learner, bundle.description)
    elif _all(learner, Tabular):
        model = table_graph(_members(learner), bundle.description)
    else:
        raise InvalidInput(
            f"A model of the kind '{bundle.description.kind}' has no ONNX graph: it answers by drawing random numbers.",
            hint="Serve it with gemel, or export a model of a kind such as mlp.",
        )
    told = {
        "gemel_digest": bundle.digest,
        "gemel_kind": bundle.description.kind,
        "units": json.dumps(
            {port.name: port.unit for port in (*bundle.description.inputs, *bundle.description.outputs)}
        ),
        "uncertainty": "not in this graph" if bundle.description.uncertainty else "unknown",
    }
    onnx.helper.set_model_props(model, told)
    onnx.checker.check_model(model)
    return cast("bytes", model.SerializeToString(deterministic=True))


def _bare(learner: Learner) -> Learner:
    return learner.inner if isinstance(learner, ConformalLearner) else learner


def _members(learner: Learner) -> tuple[Any, ...]:
    return learner.members if isinstance(learner, EnsembleLearner) else (learner,)


def _all(learner: Learner, kind: Any) -> bool:
    return all(isinstance(item, kind) for item in _members(learner))


def _of_modules(learner: Learner, description: Description) -> onnx.ModelProto:
    names = _answer_names(description)
    members = [cast("Graphed", item).graph() for item in _members(learner)]
    module = (members[0] if len(members) == 1 else _Mean(members, names)).eval()
    # Two samples: with one, the exporter would take the number of samples for a constant.
    given = tuple(torch.zeros(2, *port.shape, dtype=getattr(torch, port.dtype)) for port in description.inputs)
    shapes = ({0: torch.export.Dim("sample")},) * len(given)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            given,
            dynamo=True,
            dynamic_shapes=(shapes,),
            input_names=[port.name for port in description.inputs],
            output_names=names,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return _plain(program.model_proto)


def _answer_names(description: Description) -> list[str]:
    """Return what a model of outputs answers: each port, and behind one of classes its probabilities."""
    names: list[str] = []
    for port in description.outputs:
        names += [port.name, f"{port.name}_probability"] if port.dtype == "int64" else [port.name]
    return names


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph without notes on where its source lay on the machine that exported it."""
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        del node.metadata_props[:]
        node.doc_string = ""
    # Shapes between nodes are inferred by whoever loads it; as written they keep quantisers from transposing weights.
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
    del model.graph.metadata_props[:]
    model.graph.doc_string = ""
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the exporter says to its own developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
