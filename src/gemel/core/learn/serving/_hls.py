"""Export to FPGA projects by hls4ml."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import onnx

from gemel.base.errors import Conflict, InvalidInput, MissingTool
from gemel.base.plugins import require
from gemel.core.learn.models import Bundle
from gemel.core.learn.serving._onnx import export_onnx

_COMPILER = "g++"


def export_hls(
    bundle: Bundle, folder: Path, *, precision: str = "fixed<16,6>", part: str = "xcu250-figd2104-2L-e"
) -> Path:
    """Return the folder of an hls4ml project (C++ for high-level synthesis) that was made of a model.

    Not tested with hls4ml itself, which is not among gemel's packages.

    Args:
        bundle: A model of one input and one output that ONNX can tell.
        folder: Where the project is to lie; must not exist.
        precision: Fixed-point type of all numbers.
        part: FPGA that it is for.

    Raises:
        MissingExtra: hls4ml is not installed.
        MissingTool: There is no C++ compiler.
        InvalidInput: The model has several inputs or outputs, or layers that hls4ml does not know.
        Conflict: The folder exists.
    """
    if len(bundle.description.inputs) != 1 or len(bundle.description.outputs) != 1:
        raise InvalidInput("hls4ml takes models of one input and one output.", hint="Give the one input a shape.")
    hls4ml: Any = require("hls4ml", extra="hls")
    if shutil.which(_COMPILER) is None:
        raise MissingTool(f"hls4ml needs '{_COMPILER}', which is not there.", hint="sudo apt-get install g++")
    if folder.exists():
        raise Conflict(f"'{folder}' is there already.", hint="Name another folder, or remove it.")
    model = onnx.load_from_string(export_onnx(bundle))
    try:
        config = hls4ml.utils.config_from_onnx_model(model, granularity="name", default_precision=precision)
        project = hls4ml.converters.convert_from_onnx_model(model, output_dir=str(folder), part=part, hls_config=config)
        project.write()
    except Exception as error:
        # hls4ml raises plain exceptions for layers that it does not know.
        raise InvalidInput(f"hls4ml cannot take this model: {error}") from error
    return folder
