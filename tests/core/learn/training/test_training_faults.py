"""Faults for real: processes killed, disks full, and trainings that go on after them."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from training_stage import work

from gemel.base.errors import StepFailed
from gemel.core.learn.training import Job, Settings, fit, launch
from stage import until
from zygote import Zygote, forking

pytestmark = [pytest.mark.slow, pytest.mark.chaos]
SETTINGS: dict[str, Any] = {"steps": 120, "batch": 16, "evaluate": 10, "checkpoint": 20, "threads": 1}


def _blocked(gate: Path) -> int:
    """Return the process that waits at a gate."""
    return int(until(lambda: list(gate.parent.glob(f"{gate.name}.*")))[0].suffix[1:])


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with forking(str(Path(__file__).with_name("training_life.py"))) as process:
        yield process


def _train(
    zygote: Zygote, folder: Path, settings: dict[str, Any] = SETTINGS, most: int | None = None, **options: Any
) -> Any:
    """Return what a training in a process of its own tells at its end."""
    given = (str(folder), json.dumps(settings), json.dumps(options), "" if most is None else str(most))
    assert zygote.reap(zygote.start(*given)) == 0
    return json.loads(Path(f"{folder}.json").read_text())


def test_after_a_kill_it_comes_to_the_same_bits(tmp_path: Path, zygote: Zygote) -> None:
    options = {"dropout": 0.3, "noise": 0.1}
    whole = _train(zygote, tmp_path / "whole", **options)
    for at in (21, 75, 119):
        folder, gate = tmp_path / f"cut{at}", tmp_path / f"gate{at}"
        waiting = options | {"wait": str(gate), "at": at}
        killed = zygote.start(str(folder), json.dumps(SETTINGS), json.dumps(waiting), "")
        assert _blocked(gate) == killed
        assert zygote.kill(killed) == -signal.SIGKILL
        again = _train(zygote, folder, **options)
        assert again["resumed"] in (20, 40, 60, 80, 100)
        assert (again["curve"], again["weights"]) == (whole["curve"], whole["weights"])


def test_a_checkpoint_that_finds_no_space_leaves_the_last_one(tmp_path: Path, zygote: Zygote) -> None:
    folder = tmp_path / "run"
    assert _train(zygote, folder, SETTINGS | {"steps": 40})["resumed"] is None
    before = (folder / "checkpoint.pt").read_bytes()
    failed = _train(zygote, folder, most=len(before) // 2)
    assert failed["code"] == "store.full"
    assert "goes on" in failed["hint"]
    assert (folder / "checkpoint.pt").read_bytes() == before
    assert not (folder / "checkpoint.new.pt").exists()
    assert _train(zygote, folder)["resumed"] == 40


def _pair(tmp_path: Path, **options: Any) -> tuple[Job, Settings]:
    settings = Settings.read(SETTINGS | {"precision": "float64", "learning_rate": 0.01})
    return Job("training_stage:work", options), settings


def test_when_one_process_is_killed_the_others_end_and_it_goes_on_later(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job, settings = _pair(tmp_path, wait=str(gate), at=75)
    with pytest.raises(StepFailed, match="killed by signal 9") as caught:
        _launch_and_kill(job, settings, tmp_path / "run", gate)
    assert "goes on" in str(caught.value.hint)
    gate.touch()
    again = launch(job, settings, tmp_path / "run", 2)
    assert again.resumed_from in (20, 40, 60)
    alone = dataclasses.replace(settings, processes=1)
    parts = work(alone)
    whole = fit(parts.objective, parts.batches, alone, evaluate=parts.evaluate)
    told = [entry["loss"] for entry in again.curve]
    # Two halves are averaged instead of one whole: a few roundings of 1e-16 a step.
    assert told == pytest.approx([entry["loss"] for entry in whole.curve], rel=1e-10)
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 120


def _launch_and_kill(job: Job, settings: Settings, folder: Path, gate: Path) -> None:
    def kill() -> None:
        until(lambda: len(list(gate.parent.glob(f"{gate.name}.*"))) == 2)
        os.kill(_blocked(gate), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        launch(job, settings, folder, 2)
    finally:
        killer.join()
