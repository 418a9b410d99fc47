"""Several processes that train together come to what one alone comes to; on this machine, and as a Slurm job."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_slurm import Slurm, started
from training_stage import Regression, work

from gemel.base.errors import Diverged, InvalidInput
from gemel.core.graph._progress import Cancelled, StepContext, inside
from gemel.core.learn.training import Job, Outcome, Settings, fit, launch, scaling, slurm_script

SETTINGS = Settings(
    steps=60,
    batch=16,
    evaluate=10,
    checkpoint=20,
    precision="float64",
    learning_rate=0.01,
    threads=1,
    schedule="cosine",
)


def alone(settings: Settings = SETTINGS, **options: Any) -> tuple[Outcome, torch.Tensor]:
    settings = dataclasses.replace(settings, processes=1)
    parts = work(settings, **options)
    outcome = fit(parts.objective, parts.batches, settings, evaluate=parts.evaluate)
    return outcome, weights(parts.objective)


def weights(objective: Any) -> torch.Tensor:
    return torch.cat([item.detach().flatten() for item in objective.module.parameters()])


def assert_same_curve(ours: tuple[dict[str, Any], ...], theirs: tuple[dict[str, Any], ...]) -> None:
    for name in ("step", "loss", "absolute", "learning_rate", "validation/loss"):
        # Two halves are averaged instead of one whole: some roundings of 1e-16, far below the 1e-6 that is asked for.
        np.testing.assert_allclose([entry[name] for entry in ours], [entry[name] for entry in theirs], rtol=1e-9)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, processes=2, accumulate=2, clip=1.0)
    parts = work(settings)
    outcome = fit(parts.objective, parts.batches, settings, folder=tmp_path, evaluate=parts.evaluate)
    whole, expected = alone(settings)
    assert_same_curve(outcome.curve, whole.curve)
    torch.testing.assert_close(weights(parts.objective), expected, rtol=1e-9, atol=1e-12)
    assert (outcome.samples, outcome.reason, outcome.resumed_from) == (960, "finished", None)
    assert outcome.best == pytest.approx(whole.best, rel=1e-9)
    # One process goes on where two ended.
    more = dataclasses.replace(settings, processes=1)
    assert fit(parts.objective, parts.batches, more, folder=tmp_path, evaluate=parts.evaluate).resumed_from == 60


@pytest.mark.slow
def test_what_goes_wrong_in_a_process_comes_out_as_it_is(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, learning_rate=1e200, optimiser="sgd")
    with pytest.raises(Diverged, match="no finite number") as caught:
        launch(Job("training_stage:work"), settings, tmp_path, 2)
    assert caught.value.context["step"] < 10


@pytest.mark.slow
def test_a_cancelled_run_cancels_all_processes_and_leaves_a_checkpoint(tmp_path: Path) -> None:
    context = StepContext("run-1", "train")
    context.tell = lambda fraction, _message: context.cancelled.set() if fraction else None
    settings = dataclasses.replace(SETTINGS, steps=1_000_000, checkpoint=1_000_000)
    with inside(context), pytest.raises(Cancelled):
        launch(Job("training_stage:work"), settings, tmp_path, 2)
    assert 0 < torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] < 1_000_000
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "cancelled"


@pytest.mark.slow
def test_scaling_is_measured() -> None:
    settings = dataclasses.replace(SETTINGS, steps=40)
    rows = scaling(Job("training_stage:work"), settings, (1, 2))
    assert [row["processes"] for row in rows] == [1, 2]
    assert (rows[0]["speedup"], rows[0]["efficiency"]) == (1.0, 1.0)
    assert rows[1]["speedup"] == rows[1]["samples_per_second"] / rows[0]["samples_per_second"]
    assert rows[1]["efficiency"] == rows[1]["speedup"] / 2
    json.dumps(rows)


def test_what_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    job = Job("training_stage:work")
    with pytest.raises(InvalidInput, match="batch = 16"):
        launch(job, SETTINGS, tmp_path, 3)
    with pytest.raises(InvalidInput, match="batch = 16"):
        slurm_script(job, SETTINGS, tmp_path, tasks=3)
    with pytest.raises(InvalidInput, match="4 nodes"):
        slurm_script(job, SETTINGS, tmp_path, nodes=4, tasks=2)
    for factory in ("nowhere:work", "training_stage:nothing", "training_stage"):
        with pytest.raises(InvalidInput, match="cannot be found"):
            Job(factory).work(SETTINGS)
    assert not list(tmp_path.iterdir())


def test_an_objective_that_cannot_travel_is_refused() -> None:
    settings = dataclasses.replace(SETTINGS, processes=2)
    parts = work(settings)
    assert isinstance(parts.objective, Regression)
    parts.objective.at[3] = threading.Event().set
    with pytest.raises(InvalidInput, match="cannot be sent"):
        fit(parts.objective, parts.batches, settings)


def test_the_script_of_a_slurm_job_is_one_that_bash_reads(tmp_path: Path) -> None:
    folder = tmp_path / "my run's"
    script = slurm_script(
        Job("training_stage:work", {"wait": "$HOME `id`"}),
        SETTINGS,
        folder,
        nodes=2,
        tasks=4,
        options={"time": "01:00:00"},
    )
    (tmp_path / "job.sh").write_text(script.partition("FIRST=")[0])
    subprocess.run(["bash", str(tmp_path / "job.sh")], check=True)
    told = json.loads((folder / "job.json").read_text())
    assert (told["job"]["arguments"], told["settings"]["processes"]) == ({"wait": "$HOME `id`"}, 4)
    lines = script.splitlines()
    assert {"#SBATCH --nodes=2", "#SBATCH --ntasks=4", "#SBATCH --time=01:00:00", "#SBATCH --requeue"} <= set(lines)
    assert shlex.split(lines[-1])[-1] == str(folder)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with started(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.mark.slow
def test_a_slurm_job_trains_on_two_tasks_and_goes_on_when_it_is_submitted_again(tmp_path: Path, slurm: Slurm) -> None:
    gate, folder = tmp_path / "gate", tmp_path / "run"
    script = slurm_script(Job("training_stage:work", {"wait": str(gate), "at": 45}), SETTINGS, folder, tasks=2)
    paths = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent)]), "GLOO_SOCKET_IFNAME": "lo"}
    first = slurm.submit(script, tmp_path, paths)
    slurm.until_gone(first, lambda: len(list(tmp_path.glob("gate.*"))) == 2)
    slurm.run("scancel", "--signal=KILL", first)
    assert slurm.ended(first)["JobState"] in ("FAILED", "CANCELLED")
    gate.touch()
    second = slurm.submit(script, tmp_path, paths)
    said = folder / f"slurm-{second}.out"
    assert slurm.ended(second)["JobState"] == "COMPLETED", said.read_text()
    curve = tuple(json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines())
    assert_same_curve(curve, alone()[0].curve)
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert (state["step"], state["reason"]) == (60, "finished")
