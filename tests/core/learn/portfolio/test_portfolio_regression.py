"""Kinds that map inputs to outputs learn problems whose answer is known, better than the simple way would."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portfolio_stage import again, described, explained, needs_keras, taught
from scipy.ndimage import gaussian_filter

from gemel.base.errors import InvalidInput
from gemel.core.learn.models import Bundle, Training
from gemel.core.learn.portfolio._scaling import Scaling
from gemel.core.learn.portfolio.networks._layout import Layout
from gemel.core.learn.portfolio.networks.graphnet import graph
from gemel.core.learn.portfolio.networks.neural_ode import TABLEAUS, advanced
from gemel.core.learn.samples import Port, Samples
from gemel.core.learn.uncertainty import learner_of

QUICK = {"batch": 64, "learning_rate": 0.01, "schedule": "cosine", "evaluate": 200}


def waves(count: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-1, 1, (2, count))
    return Samples({"x": x, "y": y}, {"z": 100.0 + 5.0 * np.sin(3 * x) * y})


def test_a_perceptron_learns_a_smooth_function_that_no_line_fits() -> None:
    told = described("mlp", {"x": "1", "y": "1"}, {"z": "K"}, training=QUICK | {"steps": 800})
    train, test = waves(1000, 0), waves(300, 1)
    learner = taught(told, train)
    table = np.stack([*train.inputs.values(), np.ones(1000)], axis=1)
    line = np.linalg.lstsq(table, train.outputs["z"], rcond=None)[0]
    linear = np.stack([*test.inputs.values(), np.ones(300)], axis=1) @ line
    # The function is odd in each input: the best line explains nothing, and noise-free data leave no reason for less
    # than 0.99.
    assert 1 - ((linear - test.outputs["z"]) ** 2).mean() / test.outputs["z"].var() < 0.1
    assert explained(learner, test, "z") > 0.99
    assert learner.predict(test.inputs)["z"].dtype == np.float32


def test_classes_are_told_with_probabilities() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, 1200))
    ring = np.digitize(np.hypot(x, y), [0.5, 0.9])
    samples = Samples({"x": x, "y": y}, {"ring": ring})
    for kind, training in (("mlp", QUICK | {"steps": 500}), ("boosted_trees", {})):
        told = described(
            kind, {"x": "1", "y": "1"}, {"ring": {"dtype": "int64"}}, options={"classes": 3}, training=training
        )
        learner = taught(told, samples.take(np.arange(900)))
        answer = learner.predict(samples.take(np.arange(900, 1200)).inputs)
        assert answer["ring"].dtype == np.int64
        assert answer["ring_probability"].shape == (300, 3)
        assert np.allclose(answer["ring_probability"].sum(axis=1), 1.0, atol=1e-5)
        assert np.array_equal(answer["ring_probability"].argmax(axis=1), answer["ring"])
        assert (answer["ring"] == ring[900:]).mean() > 0.93  # the commonest class has half of the samples
        with pytest.raises(InvalidInput, match="classes"):
            taught(told, Samples(samples.inputs, {"ring": ring + 5}))


def test_several_outputs_of_different_shapes_are_learned_together() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (600, 3))
    samples = Samples({"x": x}, {"a": x.sum(axis=1), "b": x[:, :2, None] * np.ones(2), "c": (x[:, 0] > 0).astype(int)})
    outputs = {"a": "m", "b": {"unit": "K", "shape": [2, 2]}, "c": {"dtype": "int64"}}
    told = described("mlp", {"x": {"shape": [3]}}, outputs, training=QUICK | {"steps": 300})
    learner = taught(told, samples)
    answer = learner.predict(samples.inputs)
    assert {name: values.shape[1:] for name, values in answer.items()} == {
        "a": (), "b": (2, 2), "c": (), "c_probability": (2,),
    }  # fmt: skip
    assert min(explained(learner, samples, name) for name in ("a", "b")) > 0.98


@pytest.mark.slow
def test_a_convolutional_network_hears_a_frequency_whatever_the_phase() -> None:
    rng = np.random.default_rng(0)
    frequency, phase = rng.uniform(1, 5, 1500), rng.uniform(0, 2 * np.pi, 1500)
    series = np.sin(2 * np.pi * frequency[:, None] * np.arange(32) / 32 + phase[:, None])
    samples = Samples({"x": series}, {"frequency": frequency})
    told = described(
        "cnn", {"x": {"shape": [32]}}, {"frequency": "Hz"},
        options={"channels": [16, 16], "hidden": [32], "kernel": 5}, training=QUICK | {"steps": 500, "learning_rate": 0.005},
    )  # fmt: skip
    train, test = samples.take(np.arange(1200)), samples.take(np.arange(1200, 1500))
    line = np.linalg.lstsq(train.inputs["x"], train.outputs["frequency"] - 3, rcond=None)[0]
    linear = 3 + test.inputs["x"] @ line
    # With every phase alike, the frequency is uncorrelated with every value of the series.
    assert 1 - ((linear - test.outputs["frequency"]) ** 2).mean() / test.outputs["frequency"].var() < 0.1
    assert explained(taught(told, train), test, "frequency") > 0.95


@pytest.mark.slow
def test_a_unet_sharpens_what_was_blurred() -> None:
    rng = np.random.default_rng(0)
    sharp = np.zeros((500, 16, 16))
    for field in sharp:
        for _ in range(3):
            y, x, height, width = *rng.integers(0, 12, 2), *rng.integers(2, 6, 2)
            field[y : y + height, x : x + width] += rng.uniform(1, 2)
    blurred = gaussian_filter(sharp, (0, 1.0, 1.0))
    samples = Samples({"blurred": blurred}, {"sharp": sharp})
    told = described(
        "unet", {"blurred": {"shape": [16, 16]}}, {"sharp": {"shape": [16, 16]}},
        options={"width": 12, "depth": 2}, training={"steps": 250, "batch": 16, "learning_rate": 0.004, "schedule": "cosine"},
    )  # fmt: skip
    test = samples.take(np.arange(420, 500))
    answer = taught(told, samples.take(np.arange(420))).predict(test.inputs)["sharp"]
    error, before = (
        float(np.sqrt(((field - test.outputs["sharp"]) ** 2).mean())) for field in (answer, test.inputs["blurred"])
    )
    assert error < 0.6 * before


def test_a_graph_network_hears_its_neighbours_and_knows_no_order() -> None:
    nodes = 8
    rng = np.random.default_rng(0)
    u = rng.normal(size=(800, nodes))
    v = np.tanh(np.roll(u, 1, axis=1)) + np.tanh(np.roll(u, -1, axis=1)) - u**2 / 4
    edges = [[node, (node + 1) % nodes] for node in range(nodes)]
    told = described(
        "graphnet", {"u": {"shape": [nodes]}}, {"v": {"shape": [nodes]}},
        options={"edges": edges, "width": 24, "rounds": 1}, training=QUICK | {"steps": 300, "batch": 32},
    )  # fmt: skip
    learner = taught(told, Samples({"u": u[:600]}, {"v": v[:600]}))
    assert explained(learner, Samples({"u": u[600:]}, {"v": v[600:]}), "v") > 0.97
    one = learner.predict({"u": u[600:610]})["v"]
    turned = learner.predict({"u": np.roll(u[600:610], 3, axis=1)})["v"]
    # A ring looks the same from every node, and all nodes share weights and scale: turning it turns the answer.
    assert np.allclose(turned, np.roll(one, 3, axis=1), atol=1e-5)


def test_a_graph_of_nearest_neighbours_is_symmetric_and_knows_its_distances() -> None:
    grid = [[x, y] for x in range(3) for y in range(3)]
    options = {"edges": (), "coordinates": grid, "neighbours": 2, "directed": False}
    edges, features = graph(options, 9)
    pairs = {tuple(edge) for edge in edges.tolist()}
    assert pairs == {(to, start) for start, to in pairs}
    assert all(start != to for start, to in pairs)
    lengths = np.linalg.norm(np.asarray(grid)[edges[:, 0]] - np.asarray(grid)[edges[:, 1]], axis=1)
    assert np.allclose(features[:, 2], lengths / lengths.mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options", "steps"),
    [("lstm", {"hidden": 24}, 500), ("transformer", {"width": 32, "heads": 2, "layers": 1}, 500)],
)
def test_series_are_remembered_over_a_delay(kind: str, options: dict[str, object], steps: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 12))
    y = np.concatenate([np.zeros((900, 3)), x[:, :-3]], axis=1)
    samples = Samples({"x": x}, {"y": y})
    told = described(
        kind, {"x": {"shape": [12]}}, {"y": {"shape": [12]}}, options=options, training=QUICK | {"steps": steps}
    )
    test = samples.take(np.arange(700, 900))
    learner = taught(told, samples.take(np.arange(700)))
    persistence = 1 - ((test.inputs["x"] - test.outputs["y"]) ** 2).mean() / test.outputs["y"].var()
    assert persistence < 0.0  # the newest value says nothing of the one three steps before
    assert explained(learner, test, "y") > 0.95
    # What is still to come must not change what was said before it.
    changed = test.inputs["x"].copy()
    changed[:, 8:] += 5.0
    before, after = learner.predict(test.inputs)["y"], learner.predict({"x": changed})["y"]
    assert np.allclose(before[:, :8], after[:, :8], atol=1e-5)
    assert not np.allclose(before[:, 11], after[:, 11], atol=0.1)


def test_runge_kutta_methods_converge_in_their_order() -> None:
    def turn(state: torch.Tensor) -> torch.Tensor:
        return torch.stack([state[1], -state[0]])

    for scheme, order in (("rk4", 4), ("dopri5", 5)):
        errors = []
        for steps in (8, 16):
            state = torch.tensor([1.0, 0.0], dtype=torch.float64)
            for _ in range(steps):
                state = advanced(turn, state, 2.0 / steps, scheme)
            truth = torch.tensor([math.cos(2.0), -math.sin(2.0)], dtype=torch.float64)
            errors.append(float((state - truth).abs().max()))
        assert math.log2(errors[0] / errors[1]) > order - 0.3, scheme
        assert sum(TABLEAUS[scheme][1]) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.slow
def test_a_neural_ode_finds_the_rotation_of_an_oscillator() -> None:
    rng = np.random.default_rng(0)
    angles = np.arange(1, 5) * 0.25
    turns = np.stack([np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) for a in angles])
    state = rng.uniform(-1, 1, (600, 2))
    later = np.einsum("tij,nj->nti", turns, state)
    told = described(
        "neural_ode", {"state": {"unit": "m", "shape": [2]}}, {"later": {"unit": "m", "shape": [4, 2]}},
        options={"hidden": [32], "steps": 2, "duration": 1.0, "activation": "tanh"}, training=QUICK | {"steps": 600},
    )  # fmt: skip
    learner = taught(told, Samples({"state": state}, {"later": later}))
    asked = rng.uniform(-0.8, 0.8, (100, 2))
    found = learner.predict({"state": asked})["later"]
    assert np.abs(found - np.einsum("tij,nj->nti", turns, asked)).max() < 0.05
    # Its answers after the last time are a rotation matrix times the state, to 2 %.
    matrix = np.linalg.lstsq(asked, found[:, 3], rcond=None)[0].T
    assert np.abs(matrix - turns[3]).max() < 0.02


def test_a_gaussian_process_is_its_closed_form() -> None:
    rng = np.random.default_rng(0)
    x, asked = np.sort(rng.uniform(-2, 2, 25)), np.linspace(-3, 3, 11)
    y = np.sin(2 * x)
    told = described(
        "gaussian_process", {"x": "m"}, {"y": {"unit": "K", "dtype": "float64"}},
        options={"kernel": "rbf", "length": 0.7, "noise": 0.01, "tune": False},
    )  # fmt: skip
    samples = Samples({"x": x.astype(np.float64)}, {"y": y})
    learner = taught(described(**{**told.document(), "inputs": {"x": {"unit": "m", "dtype": "float64"}}}), samples)
    u, v = (x - x.mean()) / x.std(), (asked - x.mean()) / x.std()

    def covariance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * (first[:, None] - second) ** 2 / 0.7**2)

    known = covariance(u, u) + 0.01 * np.eye(25)
    mean = covariance(v, u) @ np.linalg.solve(known, (y - y.mean()) / y.std())
    variance = 1.01 - np.einsum("ij,ji->i", covariance(v, u), np.linalg.solve(known, covariance(u, v)))
    mixture = learner.components({"x": asked})["y"]  # type: ignore[attr-defined]
    assert np.allclose(learner.predict({"x": asked})["y"], mean * y.std() + y.mean(), atol=1e-9)
    assert np.allclose(mixture.deviation, np.sqrt(variance) * y.std(), atol=1e-7)


def test_ridge_is_its_closed_form_and_trees_beat_it_on_steps() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (800, 4))
    y = np.where(x[:, 0] > 0.2, 3.0, 0.0) * (x[:, 1] > -0.3) + 0.5 * x[:, 2]
    train, test = Samples({"x": x[:600]}, {"y": y[:600]}), Samples({"x": x[600:]}, {"y": y[600:]})
    ports = {"x": {"shape": [4], "dtype": "float64"}}, {"y": {"dtype": "float64"}}
    linear = taught(described("sklearn", *ports, options={"estimator": "Ridge", "settings": {"alpha": 2.0}}), train)
    z, target = (x[:600] - x[:600].mean(0)) / x[:600].std(0), (y[:600] - y[:600].mean()) / y[:600].std()
    weights = np.linalg.solve(z.T @ z + 2.0 * np.eye(4), z.T @ target)
    told = ((x[600:] - x[:600].mean(0)) / x[:600].std(0)) @ weights * y[:600].std() + y[:600].mean()
    assert np.allclose(linear.predict(test.inputs)["y"], told, atol=1e-9)
    trees = taught(described("boosted_trees", *ports), train)
    assert explained(linear, test, "y") < 0.75
    assert explained(trees, test, "y") > 0.97


@needs_keras
@pytest.mark.slow
def test_keras_layers_learn_and_their_dropout_is_off_in_answers() -> None:
    told = described(
        "keras", {"x": "1", "y": "1"}, {"z": "K"},
        options={"layers": [
            {"class": "Dense", "units": 48, "activation": "silu"}, {"class": "Dense", "units": 48, "activation": "silu"},
            {"class": "Dropout", "rate": 0.02},
        ]},
        training=QUICK | {"steps": 500},
    )  # fmt: skip
    learner, test = taught(told, waves(1000, 0)), waves(200, 1)
    assert explained(learner, test, "z") > 0.95
    assert np.array_equal(learner.predict(test.inputs)["z"], again(told, learner).predict(test.inputs)["z"])
    fields = described(
        "keras", {"x": {"shape": [8, 2]}}, {"y": "1"},
        options={"layers": [{"class": "Conv1D", "filters": 4, "kernel_size": 3}, {"class": "GlobalAveragePooling1D"}]},
        training={"steps": 2},
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(20, 8, 2))
    assert taught(fields, Samples({"x": x}, {"y": x.mean(axis=(1, 2))})).predict({"x": x})["y"].shape == (20,)


def test_a_killed_training_goes_on_and_warm_weights_are_ahead(tmp_path: Path) -> None:
    short, whole = QUICK | {"steps": 60, "schedule": "constant"}, QUICK | {"steps": 120, "schedule": "constant"}
    parts = waves(400, 0), waves(100, 1)
    ports = {"x": "1", "y": "1"}, {"z": "K"}
    told = described("mlp", *ports, training=whole, options={"dropout": 0.1})
    straight = learner_of(told)
    straight.fit(*parts, Training(seed=3))
    learner_of(described("mlp", *ports, training=short, options={"dropout": 0.1})).fit(*parts, Training(3, tmp_path))
    resumed = learner_of(told)
    outcome = resumed.fit(*parts, Training(3, tmp_path))
    assert outcome["resumed_from"] == 60
    # Batches, noise and dropout are functions of seed and step alone: the way does not matter.
    assert Bundle(told, resumed.arrays()).digest == Bundle(told, straight.arrays()).digest
    warm = learner_of(described("mlp", *ports, training=short, options={"dropout": 0.1}))
    cold = learner_of(described("mlp", *ports, training=short, options={"dropout": 0.1}))
    ahead = warm.fit(*parts, Training(seed=9, weights=straight.arrays()))["loss"]
    assert ahead < cold.fit(*parts, Training(seed=9))["loss"]


def test_metrics_are_measured_in_the_units_of_the_ports() -> None:
    def bias(truth: object, answer: object) -> float:
        return float((answer["z"] - truth["z"]).mean())  # type: ignore[index]

    training = Training(metrics={"bias": bias})
    for kind, steps in (("mlp", {"steps": 20, "evaluate": 10}), ("boosted_trees", {})):
        learner = learner_of(described(kind, {"x": "1", "y": "1"}, {"z": "K"}, training=steps))
        told = learner.fit(waves(200, 0), waves(50, 1), training)
        answer = learner.predict(waves(50, 1).inputs)
        assert told["best"]["bias"] == pytest.approx(bias(waves(50, 1).outputs, answer), abs=1e-5)


def test_scaling_knows_the_training_part_alone_and_leaves_constants() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(5.0, 2.0, (50, 3))
    x[:, 1] = 7.0
    scaling = Scaling.of(Samples({"x": x}, {"c": np.arange(50)}))
    mean, deviation = scaling.inputs["x"]
    assert np.allclose(mean, x.mean(axis=0))
    assert deviation[1] == 1.0
    assert "c" not in scaling.outputs
    back = Scaling.read(scaling.arrays())
    assert all(np.array_equal(one, two) for one, two in zip(back.inputs["x"], scaling.inputs["x"], strict=True))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=2), st.integers(1, 3), st.booleans(), st.integers(1, 3))
def test_layouts_give_back_what_they_took(space: list[int], channels: int, first: bool, width: int) -> None:
    layout = Layout(tuple(space), channel_first=first)
    many = (channels, *space) if first else (*space, channels)
    ports = [Port("one", shape=tuple(space)), Port("many", shape=many)]
    values = {port.name: torch.randn(2, *port.shape) for port in ports}
    packed = layout.packed(ports, values)
    assert packed.shape == (2, *space, 1 + channels)
    wide = packed.unsqueeze(-1).expand(*packed.shape, width).reshape(2, *space, -1)
    found = layout.unpacked(ports, [width, width], wide)
    for port in ports:
        assert found[port.name].shape == (2, *port.shape, width)
        assert torch.equal(found[port.name][..., -1], values[port.name])
