"""What a training leaves in its folder, and how it is steered through it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_stage import Regression, network, samples, weights_of, work

from gemel.base.errors import Conflict, Diverged, InvalidInput, ResultCorrupt
from gemel.core.graph._progress import Cancelled, StepContext, inside
from gemel.core.learn.training import Outcome, SampleBatches, Settings, _fit, control, fit

SETTINGS = Settings(steps=60, batch=16, evaluate=10, checkpoint=20)


def train(folder: Path | None, settings: Settings = SETTINGS, seed: int = 0, **options: Any) -> tuple[Outcome, str]:
    parts = work(settings, seed, **options)
    outcome = fit(parts.objective, parts.batches, settings, seed=seed, folder=folder, evaluate=parts.evaluate)
    return outcome, weights_of(parts)


def interrupted(folder: Path, at: int, how: Callable[[], None], settings: Settings = SETTINGS, **options: Any) -> None:
    """Train until something happens before step `at`."""
    parts = work(settings, **options)
    assert isinstance(parts.objective, Regression)
    parts.objective.at[at] = how
    fit(parts.objective, parts.batches, settings, folder=folder, evaluate=parts.evaluate)


def power_cut() -> None:
    raise RuntimeError("no power")


def told(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "status.json").read_text()))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


def test_the_folder_tells_the_curve_and_how_it_ended(tmp_path: Path) -> None:
    outcome, _ = train(tmp_path)
    assert lines(tmp_path) == list(outcome.curve)
    assert [entry["step"] for entry in outcome.curve] == [10, 20, 30, 40, 50, 60]
    assert set(outcome.curve[0]) == {"step", "loss", "absolute", "learning_rate", "validation/loss"}
    status = told(tmp_path)
    assert (status["state"], status["step"], status["steps"], status["eta"]) == ("finished", 60, 60, 0.0)
    assert status["losses"]["validation/loss"] == outcome.curve[-1]["validation/loss"]
    assert status["data"]["samples"] == 256


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    outcome, _ = train(tmp_path)
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"loss", "absolute", "learning_rate", "validation/loss"} <= set(found.Tags()["scalars"])
    last = found.Scalars("validation/loss")[-1]
    # TensorBoard keeps float32.
    assert (last.step, last.value) == (60, pytest.approx(outcome.curve[-1]["validation/loss"], rel=1e-7))


def test_a_checkpoint_is_a_file_that_torch_opens(tmp_path: Path) -> None:
    _, weights = train(tmp_path, dataclasses.replace(SETTINGS, patience=None))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    module = network()
    module.load_state_dict(state["best"]["module"])
    assert b"".join(item.detach().numpy().tobytes() for item in module.parameters()).hex() == weights
    assert (state["step"], state["reason"]) == (60, "finished")


@pytest.mark.parametrize("options", [{}, {"dropout": 0.4, "noise": 0.2}])
def test_it_goes_on_as_if_nothing_had_happened(tmp_path: Path, options: dict[str, Any]) -> None:
    settings = dataclasses.replace(SETTINGS, schedule="cosine", warmup=7, accumulate=2, clip=1.0, checkpoint=17)
    whole = train(tmp_path / "whole", settings, **options)
    with pytest.raises(RuntimeError, match="no power"):
        interrupted(tmp_path / "cut", 29, power_cut, settings, **options)
    assert told(tmp_path / "cut")["state"] == "failed"
    again = train(tmp_path / "cut", settings, **options)
    assert again[0].resumed_from == 17
    assert (again[0].curve, again[1]) == (whole[0].curve, whole[1])
    assert lines(tmp_path / "cut") == list(whole[0].curve)


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    before, weights = train(tmp_path)
    again, same = train(tmp_path)
    assert again == dataclasses.replace(before, resumed_from=60, seconds=again.seconds)
    assert same == weights


def test_more_steps_go_on_where_fewer_ended(tmp_path: Path) -> None:
    train(tmp_path / "a", dataclasses.replace(SETTINGS, steps=30))
    longer, weights = train(tmp_path / "a")
    assert longer.resumed_from == 30
    assert weights == train(tmp_path / "b")[1]


@pytest.mark.parametrize("place", [0.01, 0.3, 0.9, 0.9999])
def test_a_corrupt_checkpoint_is_found_and_the_one_before_goes_on(
    tmp_path: Path, place: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fit, "_SHARE", 0.0)  # every checkpoint is written, however short the steps are
    whole, weights = train(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="no power"):
        interrupted(tmp_path / "cut", 55, power_cut, dataclasses.replace(SETTINGS, checkpoint=5))
    newest = tmp_path / "cut" / "checkpoint.pt"
    _flip(newest, place)
    again, same = train(tmp_path / "cut", dataclasses.replace(SETTINGS, checkpoint=5))
    assert again.resumed_from == 50
    noted = {entry["step"]: entry["notes"] for entry in again.curve if "notes" in entry}
    assert noted == {60: ["step 50: checkpoint.pt was corrupt; it went on from checkpoint.old.pt"]}
    assert same == weights
    assert [entry["loss"] for entry in again.curve] == [entry["loss"] for entry in whole.curve]


def _flip(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 4
    path.write_bytes(content)


def test_when_both_checkpoints_are_corrupt_it_names_them(tmp_path: Path) -> None:
    train(tmp_path)
    for name in ("checkpoint.pt", "checkpoint.old.pt"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-100])
    with pytest.raises(ResultCorrupt) as caught:
        train(tmp_path)
    assert caught.value.context["files"] == [str(tmp_path / "checkpoint.pt"), str(tmp_path / "checkpoint.old.pt")]


@pytest.mark.parametrize(
    ("changes", "options", "difference"),
    [
        ({"learning_rate": 0.5}, {}, "learning_rate: 0.001 -> 0.5"),
        ({"batch": 32}, {}, "batch: 16 -> 32"),
        ({"steps": 50}, {}, "steps: 60 -> 50"),
        ({"fraction": 0.5}, {}, "fraction: 1.0 -> 0.5"),
        ({}, {"hidden": 9}, r"weights 0.bias: \(8,\) -> \(9,\)"),
        ({}, {"count": 100}, "data: .*'samples': 256.* -> .*'samples': 100"),
        ({}, {"seed": 1}, "seed: 0 -> 1"),
    ],
)
def test_a_folder_of_another_training_is_refused(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], difference: str
) -> None:
    train(tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(InvalidInput, match=difference):
        train(tmp_path, dataclasses.replace(SETTINGS, **changes), **options)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    def second() -> None:
        train(tmp_path)

    with pytest.raises(Conflict, match="is running"):
        interrupted(tmp_path, 5, second)


def test_a_training_that_diverges_leaves_its_last_good_checkpoint(tmp_path: Path) -> None:
    parts = work(SETTINGS)
    assert isinstance(parts.objective, Regression)

    def spoiled() -> None:
        with torch.no_grad():
            next(parts.objective.module.parameters())[0] = math.inf

    parts.objective.at[45] = spoiled
    with pytest.raises(Diverged) as caught:
        fit(parts.objective, parts.batches, SETTINGS, folder=tmp_path)
    step = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"]
    assert step in (20, 40)
    assert caught.value.context == {"step": 46, "checkpoint": str(tmp_path / "checkpoint.pt")}
    assert told(tmp_path)["state"] == "diverged"
    assert train_without_evaluation(tmp_path).resumed_from == step


def train_without_evaluation(folder: Path) -> Outcome:
    parts = work(SETTINGS)
    return fit(parts.objective, parts.batches, SETTINGS, folder=folder)


def test_weights_that_became_infinite_are_never_stored(tmp_path: Path) -> None:
    # The loss of every step is finite; the last step's gradient is not: sqrt has none at 0.
    class Rooted(Regression):
        def loss(self, batch: Any, step: Any) -> Any:
            loss, parts = super().loss(batch, step)
            root = (0.0 * next(self.module.parameters())).abs().sum().sqrt()
            return (loss + root if step.number == 19 else loss), parts

    settings = dataclasses.replace(SETTINGS, steps=20, checkpoint=10)
    with pytest.raises(Diverged, match="step 20"):
        fit(Rooted(network()), SampleBatches(samples(), settings), settings, folder=tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 10
    assert all(torch.isfinite(item).all() for item in state["module"].values())


class Running:
    """A training in a thread that waits at a step until it is let go."""

    def __init__(self, folder: Path, at: int = 500) -> None:
        self.folder, self.reached, self.go = folder, threading.Event(), threading.Event()
        self.ended: list[Any] = []
        self.at = at
        self.settings = dataclasses.replace(SETTINGS, steps=100_000, evaluate=250, checkpoint=1000)
        self.thread = threading.Thread(target=self._train)

    def _train(self) -> None:
        parts = work(self.settings)
        assert isinstance(parts.objective, Regression)
        parts.objective.at[self.at] = self._wait
        try:
            self.ended.append(fit(parts.objective, parts.batches, self.settings, folder=self.folder))
        except BaseException as error:
            self.ended.append(error)

    def _wait(self) -> None:
        self.reached.set()
        assert self.go.wait(60)

    def after(self, write: Callable[[], None]) -> Any:
        """Return how it ended when something was written while it ran."""
        self.thread.start()
        assert self.reached.wait(60)
        write()
        self.go.set()
        self.thread.join(120)
        return self.ended[0]


def test_a_running_training_takes_another_learning_rate_and_stops(tmp_path: Path) -> None:
    def write() -> None:
        control(tmp_path, learning_rate=1e-5, stop=True)

    outcome = Running(tmp_path).after(write)
    assert isinstance(outcome, Outcome), outcome
    assert outcome.reason == "stopped"
    assert 500 <= outcome.steps < 100_000
    last = outcome.curve[-1]
    assert last["notes"] == [
        f"step {outcome.steps}: learning_rate 0.001 -> 1e-05",
        f"step {outcome.steps}: stopped",
    ]
    assert told(tmp_path)["state"] == "stopped"
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["learning_rate"] == 1e-5
    assert not (tmp_path / "control.json").exists()


def test_a_changed_learning_rate_steers_the_steps_that_follow_and_outlives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fit, "_LOOK", 0.0)  # it looks before every step
    settings = dataclasses.replace(SETTINGS, evaluate=1, checkpoint=1000, schedule="linear")
    parts = work(settings)
    assert isinstance(parts.objective, Regression)
    parts.objective.at |= {10: lambda: control(tmp_path, learning_rate=0.5), 30: power_cut}
    with pytest.raises(RuntimeError, match="no power"):
        fit(parts.objective, parts.batches, settings, folder=tmp_path, evaluate=parts.evaluate)
    outcome, _ = train(tmp_path, settings)
    assert outcome.resumed_from == 11
    rates = [entry["learning_rate"] for entry in outcome.curve]
    # Entry n is of step n, counted from 1; it was written while step 11 went on.
    wanted = [(1e-3 if step < 11 else 0.5) * (1 - step / 60) for step in range(60)]
    assert rates == pytest.approx(wanted, rel=1e-12)
    assert outcome.curve[11]["notes"] == ["step 11: learning_rate 0.001 -> 0.5"]


def test_a_stop_right_after_an_evaluation_is_told_in_its_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fit, "_LOOK", 0.0)
    parts = work(SETTINGS)
    assert isinstance(parts.objective, Regression)
    parts.objective.at[19] = lambda: control(tmp_path, stop=True)
    outcome = fit(parts.objective, parts.batches, SETTINGS, folder=tmp_path)
    assert [entry.get("notes") for entry in outcome.curve] == [None, ["step 20: stopped"]]
    assert lines(tmp_path) == list(outcome.curve)
    again = train_without_evaluation(tmp_path)
    assert (again.resumed_from, again.steps, again.reason) == (20, 60, "finished")


def test_a_running_training_is_cancelled_and_goes_on_later(tmp_path: Path) -> None:
    ended = Running(tmp_path).after(lambda: control(tmp_path, cancel=True))
    assert isinstance(ended, Cancelled)
    assert told(tmp_path)["state"] == "cancelled"
    step = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"]
    assert step >= 500
    assert Running(tmp_path, at=step).after(lambda: control(tmp_path, stop=True)).resumed_from == step


def test_a_cancelled_run_leaves_a_checkpoint_first(tmp_path: Path) -> None:
    context = StepContext("run-1", "train")
    settings = dataclasses.replace(SETTINGS, steps=100_000, checkpoint=100_000)
    parts = work(settings)
    assert isinstance(parts.objective, Regression)
    parts.objective.at[100] = context.cancelled.set
    with inside(context), pytest.raises(Cancelled):
        fit(parts.objective, parts.batches, settings, folder=tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] > 100


def test_a_run_hears_of_the_progress(tmp_path: Path) -> None:
    heard: list[tuple[float, str]] = []
    context = StepContext("run-1", "train", tell=lambda fraction, message: heard.append((fraction, message)))
    with inside(context):
        train(None)
    assert heard[0][0] == 0.0
    assert "of 60" in heard[0][1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"learning_rate": -1}', "not a positive number"),
        ('{"learnig_rate": 1}', "no control 'learnig_rate'"),
        ("[]", ""),
    ],
)
def test_a_control_file_that_cannot_be_is_refused_in_the_curve(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "control.json").write_text(content)
    os.utime(tmp_path / "control.json", (0, 0))
    outcome, _ = train(tmp_path)
    assert outcome.reason == "finished"
    notes = [note for entry in outcome.curve for note in entry.get("notes", [])]
    assert len(notes) == 1
    assert notes[0].startswith("step 0: control.json was refused") and reason in notes[0]


def test_a_control_file_that_is_half_written_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "control.json"
    stream = path.open("w")
    stream.write('{"st')
    stream.flush()

    def rest() -> None:
        stream.write('op": true}')
        stream.close()

    running = Running(tmp_path, at=1)
    assert running.after(rest).reason == "stopped"


def test_controls_are_checked_before_they_are_written(tmp_path: Path) -> None:
    for changes in ({"learning_rate": 0.0}, {"stopp": True}, {"learning_rate": True}):
        with pytest.raises(InvalidInput):
            control(tmp_path, **changes)
    assert not list(tmp_path.iterdir())
