"""Exported graphs: asked by ONNX Runtime, verified against the model that they came from, and made smaller."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from gemel.base.errors import CheckFailed, InvalidInput, not_found
from gemel.core.learn.models import Answer, Bundle
from gemel.core.learn.samples import Samples
from gemel.core.learn.uncertainty import loaded

Arrays = Mapping[str, NDArray[Any]]
#: What is quantised: the scaling stays in floating point, or physical numbers would be rounded to 256 steps.
_OPERATORS = ["MatMul", "Gemm", "Conv"]


@dataclass(frozen=True)
class Quantised:
    """A graph with weights and activations of 8 bits.

    Attributes:
        model: The graph.
        size: Bytes of it over bytes of the graph that it was made of.
        difference: Root mean square difference of each output, in its unit; of classes the share that changed.
        relative: The same over the standard deviation of the output; of classes the share again.
    """

    model: bytes
    size: float
    difference: Mapping[str, float]
    relative: Mapping[str, float]


class OnnxPredictor:
    """A graph loaded in ONNX Runtime; may be asked by several threads at once.

    Attributes:
        inputs: Names of what goes in.
        outputs: Names of what comes out.
    """

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.inputs = [item.name for item in self._session.get_inputs()]
        self.outputs = [item.name for item in self._session.get_outputs()]

    def predict(self, inputs: Arrays) -> Answer:
        """Return the answer, (sample, *shape) by name.

        Raises:
            NotFound: An input is missing.
        """
        for name in self.inputs:
            if name not in inputs:
                raise not_found("input", name, inputs)
        found = self._session.run(None, {name: inputs[name] for name in self.inputs})
        return dict(zip(self.outputs, map(np.asarray, found), strict=True))


def verify_onnx(bundle: Bundle, model: bytes, samples: Samples, *, tolerance: float | None = None) -> float:
    """Return the largest difference between a graph and its model, over all numbers that are not classes.

    Each output counts in standard deviations of the truth in the samples (of the answers, where they hold none), so that
    outputs of different units compare; so does the tolerance, 1e-4 being what float32 keeps after some layers. Classes are
    compared by their probabilities.

    Args:
        bundle: The model.
        model: The graph.
        samples: What both are asked; two or more.
        tolerance: Largest difference that passes; None for any.

    Raises:
        CheckFailed: They differ by more than the tolerance.
    """
    truth, found = loaded(bundle).predict(samples.inputs), OnnxPredictor(model).predict(samples.inputs)
    worst = 0.0
    for name, values in truth.items():
        if values.dtype.kind == "f":
            spread = float(samples.outputs.get(name, values).std(dtype=np.float64)) or 1.0
            worst = max(worst, float(np.abs(found[name].astype(np.float64) - values).max()) / spread)
    if tolerance is not None and worst > tolerance:
        raise CheckFailed(
            f"The graph differs from its model by {worst:.2g} standard deviations; {tolerance:g} is allowed.",
            hint="Do not use it.",
            difference=worst,
        )
    return worst


def quantised(model: bytes) -> bytes:
    """Return a graph whose weights have 8 bits; activations are quantised as they come, which needs no samples.

    Raises:
        InvalidInput: The graph has nothing to quantise, such as trees.
    """
    _check(model)
    with _places() as (before, after), _quiet():
        before.write_bytes(model)
        quantize_dynamic(before, after, op_types_to_quantize=_OPERATORS[:2], weight_type=QuantType.QInt8)
        return _canonical(after)


def quantise_int8(model: bytes, calibration: Samples) -> Quantised:
    """Return a graph with weights and activations of 8 bits, and what it lost on the samples.

    Ranges of the activations come from the samples (the first 1000 of them). Judge the loss on samples of your own too, if
    these are few.

    Args:
        model: A graph of `export_onnx`.
        calibration: Samples such as will be asked.

    Raises:
        InvalidInput: The graph has nothing to quantise, such as trees.
    """
    _check(model)
    with _places() as (before, after), _quiet():
        before.write_bytes(model)
        quant_pre_process(before, before, skip_symbolic_shape=True)
        quantize_static(
            before,
            after,
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        small = _canonical(after)
    truth = OnnxPredictor(model).predict(calibration.inputs)
    found = OnnxPredictor(small).predict(calibration.inputs)
    losses = {name: _loss(values, found[name]) for name, values in truth.items()}
    scales = {
        name: float(values.std(dtype=np.float64)) or 1.0 if values.dtype.kind == "f" else 1.0
        for name, values in truth.items()
    }
    return Quantised(
        small, len(small) / len(model), losses, {name: loss / scales[name] for name, loss in losses.items()}
    )


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, samples: Samples) -> None:
        inputs = {name: values[:1000] for name, values in samples.inputs.items()}
        count = len(next(iter(inputs.values())))
        self._batches = iter(
            [{name: values[at : at + 100] for name, values in inputs.items()} for at in range(0, count, 100)]
        )

    def get_next(self) -> Any:
        return next(self._batches, None)


def _check(model: bytes) -> None:
    operators = {node.op_type for node in onnx.load_from_string(model).graph.node}
    if not operators & set(_OPERATORS) or any("TreeEnsemble" in name for name in operators):
        raise InvalidInput("This graph has no layers whose weights could have 8 bits.", hint="Quantise a network.")


def _loss(truth: NDArray[Any], found: NDArray[Any]) -> float:
    if truth.dtype.kind == "i":
        return float((truth != found).mean())
    return float(np.sqrt(((truth.astype(np.float64) - found) ** 2).mean()))


def _canonical(path: Path) -> bytes:
    return bytes(onnx.load(path).SerializeToString(deterministic=True))


@contextmanager
def _places() -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory(prefix="gemel-onnx-") as folder:
        yield Path(folder) / "before.onnx", Path(folder) / "after.onnx"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the quantiser says on the root logger."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
