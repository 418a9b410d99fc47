"""The trainer's arithmetic: steps, batches, schedules, precision and stopping, held against closed forms."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from training_stage import Regression, network, samples, weights_of, work

from gemel.base.errors import Diverged, InvalidInput
from gemel.core.learn.samples import Samples
from gemel.core.learn.training import NoBatches, SampleBatches, Settings, Step, fit


class Quadratic:
    """0.5 a (w - b)^2, whose descent is known in closed form."""

    def __init__(self, curvature: float = 2.0, target: float = 3.0) -> None:
        self.module = nn.Module()
        self.module.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.curvature, self.target = curvature, target

    def loss(self, batch: Mapping[str, Tensor], step: Step) -> Tensor:
        return 0.5 * self.curvature * ((self.module.w - self.target) ** 2).sum()

    @property
    def w(self) -> float:
        return float(self.module.w.detach())


def test_descent_is_the_closed_form() -> None:
    objective = Quadratic()
    outcome = fit(
        objective, NoBatches(), Settings(steps=20, batch=1, optimiser="sgd", learning_rate=0.1, precision="float64")
    )
    # w_n = b (1 - (1 - rate a)^n); float64 leaves 20 roundings of 2e-16.
    assert objective.w == pytest.approx(3.0 * (1.0 - 0.8**20), rel=1e-14)
    assert (outcome.steps, outcome.reason, outcome.samples, outcome.resumed_from) == (20, "finished", 20, None)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_descent_follows_the_schedule(schedule: str) -> None:
    steps, warmup, rate, curvature = 12, 3, 0.1, 2.0
    objective = Quadratic(curvature)
    settings = Settings(
        steps=steps, batch=1, optimiser="sgd", learning_rate=rate, precision="float64", schedule=schedule, warmup=warmup
    )
    fit(objective, NoBatches(), settings)
    left = 1.0
    for step in range(steps):
        way = (step - warmup) / (steps - warmup)
        shape = {"constant": 1.0, "linear": 1 - way, "cosine": (1 + math.cos(math.pi * way)) / 2}[schedule]
        left *= 1.0 - rate * curvature * (shape if step >= warmup else (step + 1) / warmup)
    assert objective.w == pytest.approx(3.0 * (1.0 - left), rel=1e-13)


def test_a_clipped_step_is_as_long_as_the_clip() -> None:
    objective = Quadratic(curvature=1000.0)
    fit(
        objective,
        NoBatches(),
        Settings(steps=4, batch=1, optimiser="sgd", learning_rate=1.0, clip=0.25, precision="float64"),
    )
    # PyTorch divides by the norm + 1e-6: four steps of 0.25, short by 1e-6 / 3000 each.
    assert objective.w == pytest.approx(1.0, abs=1e-8)


def test_full_batches_find_the_least_squares_solution() -> None:
    data = samples(64)
    found = nn.Linear(4, 1)
    torch.nn.init.zeros_(found.weight)
    settings = Settings(steps=2000, batch=64, optimiser="sgd", learning_rate=0.3, precision="float64")
    fit(Regression(found), SampleBatches(data, settings), settings)
    design = np.column_stack([data.inputs["x"], np.ones(64)])
    exact = np.linalg.lstsq(design, data.outputs["y"], rcond=None)[0]
    told = np.append(found.weight.detach().numpy()[0], found.bias.detach().numpy())
    # The slowest direction shrinks by 1 - 0.3 * 2 * (least eigenvalue, about 0.6) a step: nothing is left of it.
    np.testing.assert_allclose(told, exact, atol=1e-12)


@given(count=st.integers(1, 40), batch=st.integers(1, 12), seed=st.integers(0, 5))
def test_every_epoch_sees_every_sample_once(count: int, batch: int, seed: int) -> None:
    data = Samples({"x": np.arange(float(count))}, {})
    batches = SampleBatches(data, Settings(batch=batch, precision="float64"), seed)
    steps = -(-3 * count // batch)
    seen = np.concatenate([batches.at(step, (0, 1))["inputs/x"].numpy() for step in range(steps)])
    for epoch in range(3):
        assert sorted(seen[epoch * count : (epoch + 1) * count]) == list(range(count))


@given(step=st.integers(0, 50), size=st.sampled_from([1, 2, 3, 4, 6]), other=st.integers(0, 50))
def test_shares_make_up_the_batch_whatever_was_asked_before(step: int, size: int, other: int) -> None:
    settings = Settings(batch=12, precision="float64")
    whole, shared = SampleBatches(samples(31), settings), SampleBatches(samples(31), settings)
    shared.at(other, (0, 1))
    pieces = [shared.at(step, (rank, size))["outputs/y"] for rank in range(size)]
    assert torch.equal(torch.cat(pieces), whole.at(step, (0, 1))["outputs/y"])


def test_a_fraction_uses_that_share_and_says_so() -> None:
    data = Samples({"x": np.arange(100.0)}, {})
    batches = SampleBatches(data, Settings(batch=50, fraction=0.25), seed=4)
    seen = {float(value) for step in range(4) for value in batches.at(step, (0, 1))["inputs/x"]}
    assert len(seen) == 25
    assert (batches.told["samples"], batches.told["of"]) == (25, 100)
    assert seen != {
        float(value) for value in SampleBatches(data, Settings(batch=50, fraction=0.25), 5).at(0, (0, 1))["inputs/x"]
    }


def test_accumulated_gradients_are_those_of_the_large_batch() -> None:
    found = []
    for pieces in (1, 4):
        settings = Settings(steps=60, batch=32, accumulate=pieces, precision="float64", evaluate=10, learning_rate=0.01)
        parts = work(settings)
        outcome = fit(parts.objective, parts.batches, settings)
        weights = torch.cat([item.detach().flatten() for item in parts.objective.module.parameters()])
        found.append((weights, [(entry["loss"], entry["absolute"]) for entry in outcome.curve]))
    # Sums in another order: a few roundings of 1e-16 a step.
    torch.testing.assert_close(found[1][0], found[0][0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-12)


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_weights() -> None:
    seen = []

    class Watched(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            answer = super().forward(x)
            seen.append(answer.dtype)
            return answer

    module = Watched(4, 1)
    settings = Settings(steps=200, batch=64, precision="bfloat16", device="cpu", learning_rate=0.02)
    outcome = fit(Regression(module), SampleBatches(samples(), settings), settings)
    assert set(seen) == {torch.bfloat16}
    assert module.weight.dtype == torch.float32
    assert outcome.curve[-1]["loss"] < outcome.curve[0]["loss"]


def test_settings_that_this_machine_cannot_do_are_refused() -> None:
    with pytest.raises(InvalidInput, match="needs a GPU"):
        fit(Quadratic(), NoBatches(), Settings(precision="float16", device="cpu"))
    if not torch.cuda.is_available():
        with pytest.raises(InvalidInput, match="has no GPU"):
            fit(Quadratic(), NoBatches(), Settings(device="cuda"))


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"learning_rat": 1}, "no setting 'learning_rat'"),
        ({"steps": 0}, "steps = 0"),
        ({"steps": "ten"}, "steps = 'ten'"),
        ({"steps": 1.5}, "steps = 1.5"),
        ({"optimiser": "adamv"}, "optimiser = 'adamv'"),
        ({"learning_rate": math.nan}, "learning_rate = nan"),
        ({"fraction": 1.2}, "fraction = 1.2"),
        ({"batch": 10, "accumulate": 4}, "batch = 10"),
        ({"clip": -1}, "clip = -1"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(document: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidInput, match=told.replace("(", r"\(")):
        Settings.read(document)


def test_settings_come_back_from_their_document() -> None:
    settings = Settings.read({"steps": 7, "learning_rate": 1, "clip": 2, "patience": 3})
    assert Settings.read(settings.document()) == settings
    assert isinstance(settings.learning_rate, float)


def _scripted(module: nn.Module, scores: list[float], watched: list[Tensor]) -> dict[str, float]:
    watched.append(next(module.parameters()).detach().clone())
    return {"loss": 1.0, "score": scores[len(watched) - 1]}


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_it_stops_early_and_keeps_the_best_weights(sign: float) -> None:
    scores = [5.0, 3.0, 2.0, 2.5, 2.0, 4.0, 1.0]
    module, watched = network(), list[Tensor]()
    settings = Settings(steps=70, batch=16, evaluate=10, patience=3, watch="score" if sign > 0 else "-score")
    signed = [sign * value for value in scores]
    outcome = fit(
        Regression(module),
        SampleBatches(samples(), settings),
        settings,
        evaluate=lambda: _scripted(module, signed, watched),
    )
    # After the third there is no gain in the three that follow (an equal score is none).
    assert (outcome.steps, outcome.reason) == (60, "early")
    assert outcome.best == {"loss": 1.0, "score": sign * 2.0}
    assert torch.equal(next(module.parameters()), watched[2])


def test_a_score_that_is_no_number_is_never_the_best() -> None:
    module, watched = network(), list[Tensor]()
    settings = Settings(steps=40, batch=16, evaluate=10, watch="score")
    outcome = fit(
        Regression(module),
        SampleBatches(samples(), settings),
        settings,
        evaluate=lambda: _scripted(module, [math.nan, 3.0, math.nan, 2.0], watched),
    )
    assert outcome.best["score"] == 2.0
    assert [entry["validation/score"] for entry in outcome.curve] == [None, 3.0, None, 2.0]


def test_watching_what_is_not_measured_is_refused() -> None:
    module = network()
    settings = Settings(steps=10, batch=16, watch="-scor")
    with pytest.raises(InvalidInput, match="no 'scor'") as caught:
        fit(Regression(module), SampleBatches(samples(), settings), settings, evaluate=lambda: {"score": 1.0})
    assert "score" in str(caught.value.hint)


@pytest.mark.parametrize("watch", ["r2", "-rmse", "accuracy", "-mae/flow"])
def test_watching_a_metric_the_wrong_way_round_is_refused(watch: str) -> None:
    module = network()
    settings = Settings(steps=10, batch=16, watch=watch)
    with pytest.raises(InvalidInput, match="keep the worst weights"):
        fit(Regression(module), SampleBatches(samples(), settings), settings, evaluate=lambda: {"r2": 1.0})


def test_noise_is_a_function_of_seed_and_step_alone() -> None:
    def drawn(seed: int, steps: list[int]) -> list[float]:
        step = Step(seed, torch.device("cpu"))
        found = []
        for number in steps:
            step.number = number
            found.append(float(torch.randn((), generator=step.generator)))
        return found

    assert drawn(1, [0, 1, 2, 3])[2:] == drawn(1, [2, 3])
    assert drawn(1, [2]) != drawn(2, [2])


def test_the_same_seed_gives_the_same_bits_and_the_caller_keeps_his_generator() -> None:
    found = []
    for other in (0, 1):
        settings = Settings(steps=30, batch=16)
        parts = work(settings, dropout=0.3, noise=0.1)
        torch.manual_seed(other)
        expected = torch.randn(3, generator=torch.Generator().manual_seed(other))
        fit(parts.objective, parts.batches, settings, seed=5)
        assert torch.equal(torch.randn(3), expected)
        found.append(weights_of(parts))
    assert found[0] == found[1]


def test_a_training_that_diverges_says_at_which_step() -> None:
    # The error grows by 1e30 a step: after six its square is beyond 1e308, the largest float64.
    with pytest.raises(Diverged, match="step 7") as caught:
        settings = Settings(steps=50, batch=1, optimiser="sgd", learning_rate=1e30, precision="float64")
        fit(Quadratic(1.0), NoBatches(), settings)
    assert caught.value.context == {"step": 7, "checkpoint": None}


def test_a_loss_that_is_no_scalar_or_takes_a_reserved_name_is_refused() -> None:
    class Vector(Quadratic):
        def loss(self, batch: Mapping[str, Tensor], step: Step) -> Tensor:
            return self.module.w

    class Named(Quadratic):
        def loss(self, batch: Mapping[str, Tensor], step: Step) -> tuple[Tensor, dict[str, Tensor]]:
            loss = super().loss(batch, step)
            return loss, {"step": loss}

    with pytest.raises(InvalidInput, match=r"shape \(1,\)"):
        fit(Vector(), NoBatches(), Settings(steps=2))
    with pytest.raises(InvalidInput, match="'step'"):
        fit(Named(), NoBatches(), Settings(steps=2))


def test_a_module_without_weights_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no weights"):
        fit(Regression(nn.Tanh()), NoBatches(), Settings(steps=2))
