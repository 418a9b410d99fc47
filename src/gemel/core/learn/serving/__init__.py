"""Serving: models kept warm for batches and events, and their export to ONNX, int8 and FPGA tools, each verified."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gemel.base.plugins import require
from gemel.core.learn.serving._predictor import Predictor

if TYPE_CHECKING:
    from gemel.core.learn.serving._hls import export_hls
    from gemel.core.learn.serving._onnx import export_onnx
    from gemel.core.learn.serving._running import OnnxPredictor, Quantised, quantise_int8, quantised, verify_onnx

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

_LATE = {
    "_hls": ("export_hls",),
    "_onnx": ("export_onnx",),
    "_running": ("OnnxPredictor", "Quantised", "quantise_int8", "quantised", "verify_onnx"),
}


def __getattr__(name: str) -> Any:
    """Return what needs ONNX, imported when it is asked for: whoever only predicts does not pay for it."""
    for module, names in _LATE.items():
        if name in names:
            for package in ("torch", "onnx", "onnxscript", "onnxruntime"):
                require(package, extra="ml")
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
