"""Exported graphs answer as their models do, in ONNX Runtime, at any number of samples."""

from __future__ import annotations

import dataclasses
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from serving_stage import example, samples_for, trained

from gemel.base.errors import CheckFailed, InvalidInput, MissingExtra, NotFound
from gemel.core.learn.models import Bundle, Description
from gemel.core.learn.serving import OnnxPredictor, export_hls, export_onnx, quantise_int8, quantised, verify_onnx

#: In standard deviations of the answers. Weights are float32, with 24 bits; some layers lose a few of them.
FLOAT32 = 1e-4
_KERAS = pytest.param(
    "keras",
    marks=pytest.mark.skipif(find_spec("keras") is None, reason="keras is missing (pip install 'gemel[keras]')"),
)
_SKL2ONNX = pytest.mark.skipif(find_spec("skl2onnx") is None, reason="skl2onnx is missing (pip install 'gemel[ml]')")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "cnn", "unet", "graphnet", "lstm", "transformer", "neural_ode", _KERAS])
def test_graphs_of_networks_answer_as_their_models(name: str) -> None:
    told = example(name)
    bundle = trained(told)
    model = export_onnx(bundle)
    assert verify_onnx(bundle, model, samples_for(told, 33, 5), tolerance=FLOAT32) < FLOAT32
    one = samples_for(told, 1, 6).inputs
    for port, values in OnnxPredictor(model).predict(one).items():
        assert values.shape == (1, *next(item.shape for item in told.outputs if item.name == port))
    text = onnx.load_from_string(model).SerializeToString()
    assert str(Path(__file__).parents[4]).encode() not in text  # nothing tells where it was made


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("boosted_trees", {}),
        ("boosted_trees", {"uncertainty": {"method": "quantile"}}),
        ("boosted_trees", {"uncertainty": {"method": "ensemble", "members": 2, "conformal": True}}),
        ("boosted_trees", {"options": {"loss": "absolute_error", "iterations": 20}}),
        ("boosted_trees", {"outputs": {"c": {"dtype": "int64"}}}),
        ("boosted_trees", {"outputs": {"c": {"dtype": "int64", "shape": [2]}}, "options": {"classes": 4}}),
        ("gaussian_process", {"options": {"kernel": "rbf"}}),
        ("gaussian_process", {"options": {"kernel": "matern32"}}),
        ("gaussian_process", {"options": {"kernel": "matern52", "relevance": False}}),
        ("gaussian_process", {"options": {"kernel": "rational"}}),
        pytest.param(
            "sklearn",
            {"options": {"estimator": "RandomForestRegressor", "settings": {"n_estimators": 10}}},
            marks=_SKL2ONNX,
        ),
        pytest.param(
            "sklearn",
            {"options": {"estimator": "Ridge"}, "outputs": {"z": {"shape": [2, 2], "dtype": "float64"}}},
            marks=_SKL2ONNX,
        ),
        pytest.param(
            "sklearn",
            {"options": {"estimator": "LogisticRegression"}, "outputs": {"c": {"dtype": "int64"}}},
            marks=_SKL2ONNX,
        ),
    ],
)
def test_graphs_of_estimators_answer_as_their_models(name: str, tables: dict[str, object]) -> None:
    told = example(name, **tables)
    bundle = trained(told, 300)
    model, fresh = export_onnx(bundle), samples_for(told, 400, 5)
    # Thresholds and covariances are compared in float64 on both sides; sums of trees come in float32.
    assert verify_onnx(bundle, model, fresh, tolerance=FLOAT32) < FLOAT32
    assert export_onnx(bundle) == model


@pytest.mark.slow
def test_classes_ensembles_and_several_ports_go_through_a_graph() -> None:
    document = example("mlp").document() | {
        "outputs": {"z": "K", "c": {"dtype": "int64"}, "d": {"dtype": "float64", "shape": [2]}},
        "options": {"classes": 3, "hidden": [8]},
        "uncertainty": {"method": "ensemble", "members": 2},
    }
    told = Description.read(document)
    bundle = trained(told)
    model, fresh = export_onnx(bundle), samples_for(told, 50, 5)
    assert verify_onnx(bundle, model, fresh, tolerance=FLOAT32) < FLOAT32
    answer = OnnxPredictor(model).predict(fresh.inputs)
    assert {name: values.dtype.str for name, values in answer.items()} == {
        "z": "<f4", "c": "<i8", "c_probability": "<f4", "d": "<f8",
    }  # fmt: skip
    assert np.array_equal(answer["c"], answer["c_probability"].argmax(axis=-1))
    told_units = {item.key: item.value for item in onnx.load_from_string(model).metadata_props}
    assert json.loads(told_units["units"])["z"] == "K"
    assert told_units["gemel_digest"] == bundle.digest
    assert "not in this graph" in told_units["uncertainty"]
    with pytest.raises(NotFound, match="'y'"):
        OnnxPredictor(model).predict({"x": fresh.inputs["x"]})


def test_a_graph_of_another_model_does_not_pass() -> None:
    told = example("boosted_trees")
    bundle, other = trained(told), trained(dataclasses.replace(told, options={"iterations": 3}))
    with pytest.raises(CheckFailed, match="differs"):
        verify_onnx(bundle, export_onnx(other), samples_for(told, 50), tolerance=FLOAT32)
    assert verify_onnx(bundle, export_onnx(other), samples_for(told, 50)) > FLOAT32


@pytest.mark.parametrize("name", ["flow", "vae", "gan", "diffusion"])
def test_what_draws_has_no_graph_and_says_why(name: str) -> None:
    told = example(name, steps=1)
    with pytest.raises(InvalidInput, match="random"):
        export_onnx(trained(told, 20))


@pytest.mark.slow
def test_eight_bits_make_a_network_smaller_and_tell_what_they_cost() -> None:
    told = example("mlp", steps=300, options={"hidden": [96, 96]})
    bundle = trained(told, 600)
    model, fresh = export_onnx(bundle), samples_for(told, 300, 5)
    small = quantise_int8(model, samples_for(told, 300, 4))
    assert small.size < 0.5  # weights take a quarter; the rest of the graph is small beside 96 x 96 of them
    whole, eight = (OnnxPredictor(item).predict(fresh.inputs)["z"] for item in (model, small.model))
    error = float(np.sqrt(((whole - eight) ** 2).mean()) / whole.std())
    assert 0.0 < error < 0.15
    # What was measured on the samples of calibration holds on others of the same kind.
    assert error < 2 * small.relative["z"] + 0.01
    assert small.difference["z"] == pytest.approx(small.relative["z"] * float(whole.std()), rel=0.2)
    plain = quantised(model)
    assert len(plain) < 0.5 * len(model)
    assert np.sqrt(((OnnxPredictor(plain).predict(fresh.inputs)["z"] - whole) ** 2).mean()) < 0.15 * whole.std()


def test_trees_have_nothing_to_quantise() -> None:
    told = example("boosted_trees")
    model = export_onnx(trained(told))
    for act in (lambda: quantised(model), lambda: quantise_int8(model, samples_for(told, 20))):
        with pytest.raises(InvalidInput, match="8 bits"):
            act()


def test_an_fpga_project_needs_what_makes_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = example("mlp", steps=1, inputs={"x": {"shape": [2]}})
    bundle = trained(told, 20)
    monkeypatch.setitem(sys.modules, "hls4ml", None)
    with pytest.raises(MissingExtra, match="hls4ml") as refused:
        export_hls(bundle, tmp_path / "project")
    assert "pip install" in (refused.value.hint or "")
    with pytest.raises(InvalidInput, match="one input"):
        export_hls(Bundle(example("mlp"), bundle.arrays), tmp_path / "project")


def test_the_graph_opens_in_a_bare_session() -> None:
    """What stands outside of gemel reads it by itself: names, types and a free number of samples."""
    told = example("boosted_trees")
    bundle = trained(told)
    session = onnxruntime.InferenceSession(export_onnx(bundle), providers=["CPUExecutionProvider"])
    assert [(item.name, item.type, item.shape) for item in session.get_inputs()] == [
        ("x", "tensor(float)", ["sample"]),
        ("y", "tensor(float)", ["sample"]),
    ]
    assert [(item.name, item.type) for item in session.get_outputs()] == [("z", "tensor(float)")]
