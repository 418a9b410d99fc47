"""Serving: models kept warm for batches and events, and their export to ONNX, int8 and FPGA tools, each verified.

`Predictor` is loaded at once; whatever writes or runs ONNX, and with it PyTorch, when it is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from gemel.base.plugins import require
from gemel.core.learn.serving._predictor import Predictor

if TYPE_CHECKING:
    from gemel.core.learn.serving._hls import export_hls
    from gemel.core.learn.serving._onnx import export_onnx
    from gemel.core.learn.serving._running import OnnxPredictor, Quantised, quantise_int8, quantised, verify_onnx

_HOMES = {
    "export_hls": "_hls",
    "export_onnx": "_onnx",
    "OnnxPredictor": "_running",
    "Quantised": "_running",
    "quantise_int8": "_running",
    "quantised": "_running",
    "verify_onnx": "_running",
}

__all__ = [
    "OnnxPredictor",
    "Predictor",
    "Quantised",
    "export_hls",
    "export_onnx",
    "quantise_int8",
    "quantised",
    "verify_onnx",
]


def __getattr__(name: str) -> Any:
    """Return what needs ONNX when it is asked for.

    Raises:
        MissingExtra: It is not installed.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("onnx", extra="ml")

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
