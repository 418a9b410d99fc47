"""What folders tell of trainings, and how running ones are steered."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from gemel.base.errors import Conflict, InvalidInput
from gemel.core.learn.watching import steer, trainings


def told(folder, name, pid, state="running", **more):
    path = folder / name
    path.mkdir(parents=True)
    (path / "status.json").write_text(json.dumps({"state": state, "step": 3, "steps": 10, "pid": pid} | more))
    (path / "curve.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    return path


def test_a_training_whose_process_is_gone_is_interrupted(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    told(tmp_path, "training-a", child.pid)
    told(tmp_path, "training-b", os.getpid())
    told(tmp_path, "training-c", child.pid, state="finished")
    states = {item.id: item.document()["state"] for item in trainings(tmp_path)}
    assert states == {"training-a": "interrupted", "training-b": "running", "training-c": "finished"}


def test_a_line_of_the_curve_that_is_being_written_is_left_out(tmp_path):
    told(tmp_path, "training-a", os.getpid())
    assert trainings(tmp_path)[0].curve() == [{"step": 1, "loss": 2.0}]


def test_changes_are_left_for_a_running_training_only(tmp_path):
    path = told(tmp_path, "training-a", os.getpid())
    (found,) = trainings(tmp_path)
    steer(found, {"learning_rate": 1e-4})
    assert json.loads((path / "control.json").read_text()) == {"learning_rate": 1e-4}
    for wrong in ({"learning_rat": 1.0}, {"learning_rate": 0.0}, {"learning_rate": "fast"}):
        with pytest.raises(InvalidInput):
            steer(found, wrong)
    told(tmp_path, "training-b", os.getpid(), state="finished")
    done = next(item for item in trainings(tmp_path) if item.id == "training-b")
    with pytest.raises(Conflict, match="does not run"):
        steer(done, {"stop": True})


def test_a_folder_without_trainings_has_none(tmp_path):
    assert trainings(tmp_path / "nowhere") == []
