"""Serving: models kept warm for batches and events, and their export to ONNX, int8 and FPGA tools, each verified."""

from gemel.core.learn.serving._hls import export_hls
from gemel.core.learn.serving._onnx import export_onnx
from gemel.core.learn.serving._predictor import Predictor
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
