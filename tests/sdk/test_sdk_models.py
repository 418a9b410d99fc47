"""Models and trainings by the Python client and the command line: the same here and behind an address."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemel import Client, connect
from gemel.base.config import load_settings
from gemel.base.errors import CheckFailed, Conflict, InvalidInput, NotFound
from gemel.core.engine import Service, open_engine
from stage import gemel, serving, until

sys.path.append(str(Path(__file__).parents[1] / "core" / "engine"))
from pump_stage import observed

DESCRIPTION = {
    "kind": "mlp",
    "inputs": {"speed": "s-1"},
    "outputs": {"pressure": "bar"},
    "options": {"hidden": [8]},
    "training": {"steps": 300, "batch": 32, "learning_rate": 0.02},
}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("records")
    found = {}
    for name, seed in (("first", 1), ("second", 2)):
        path = folder / f"{name}.csv"
        observed(200, 0, seed=seed).to_csv(path, index=False)
        found[name] = str(path)
    return found


@pytest.fixture(scope="module", params=["local", "remote"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("models") / "home"
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(open_engine(load_settings(home=home, environ={}, folder=home)))
        if request.param == "local":
            yield Client(Service(engine), stack)
            return
        server = stack.enter_context(serving(Service(engine)))
        yield stack.enter_context(connect(server.url, home=home))


@pytest.fixture(scope="module")
def trained(client: Client, records: dict[str, str]) -> Client:
    """Return the client of an engine with two versions of a model, of which the first is champion."""
    for seed in (0, 1):
        asked = client.models.train(DESCRIPTION, records["first"], "pressure", seed=seed)
        assert client.run(asked["run"]).watch().outputs["version"].to_json()["version"] == seed + 1
    judged = client.run(client.models.judge("pressure@1", records["second"])["run"]).watch()
    assert judged.outputs["judgement"].to_json()["passed"]
    client.models.promote("pressure", 1, "first of all")
    return client


def test_a_model_is_listed_shown_and_asked(trained):
    models = trained.models
    (short,) = models.list()
    assert short["versions"] == 2 and short["aliases"] == {"champion": 1, "challenger": None, "shadow": None}
    assert [item["version"] for item in models.get("pressure")["versions"]] == [2, 1]
    version = models.version("pressure@1")
    assert version["record"]["split"]["parts"]["test"]["samples"] == 30 and version["judgement"]["passed"]
    answer = models.predict("pressure@champion", {"speed": [40.0, 50.0]})["outputs"]["pressure"]
    assert answer["unit"] == "bar" and answer["uncertainty"] == "unknown"
    assert answer["values"] == pytest.approx([4.0, 5.0], abs=0.2)
    with pytest.raises(NotFound):
        models.predict("pressure@7", {"speed": [1.0]})
    with pytest.raises(InvalidInput):
        models.predict("pressure", {"speed": "fast"})


def test_what_was_not_judged_is_not_promoted_and_nothing_is_before_the_first(trained, records):
    with pytest.raises(CheckFailed, match="not been judged"):
        trained.models.promote("pressure", 2)
    with pytest.raises(Conflict):
        trained.models.rollback("pressure")
    assert [item["why"] for item in trained.models.history("pressure") if item["alias"] == "champion"] == [
        "first of all"
    ]
    assert trained.models.at("pressure", "2100-01-01")["version"] == 1
    with pytest.raises(NotFound):
        trained.models.at("pressure", "2000-01-01")


def test_versions_are_taken_away_as_files(trained, tmp_path):
    content, kind = trained.models.export("pressure@1", "netcdf")
    assert kind == "application/x-netcdf" and content[:4] == b"\x89HDF"
    with pytest.raises(InvalidInput, match="not a format"):
        trained.models.export("pressure@1", "pickle")


def test_trainings_tell_their_curves(trained):
    (newest, _) = trained.models.trainings()
    assert newest["state"] == "finished" and newest["step"] == 300
    curve = trained.models.training(newest["id"])["curve"]
    assert curve[0]["loss"] > curve[-1]["loss"]
    with pytest.raises(Conflict, match="does not run"):
        trained.models.steer(newest["id"], {"stop": True})
    with pytest.raises(NotFound):
        trained.models.training("training-0")


def test_a_running_training_is_watched_changed_and_stopped(client, records):
    long = DESCRIPTION | {"training": {"steps": 2_000_000, "batch": 32, "evaluate": 20}}
    asked = client.models.train(long, records["first"], "endless")

    def running():
        return [item for item in client.models.trainings() if item["state"] == "running" and item["step"] > 0]

    (training,) = until(running, 60)
    client.models.steer(training["id"], {"learning_rate": 1e-5})
    until(lambda: any(entry["learning_rate"] == 1e-5 for entry in client.models.training(training["id"])["curve"]), 60)
    client.models.steer(training["id"], {"stop": True})
    run = client.run(asked["run"]).watch()
    assert run.outputs["version"].to_json()["name"] == "endless"
    record = client.models.version("endless@1")["record"]
    assert record["training"]["reason"] == "stopped" and record["training"]["steps"] < 2_000_000


def test_the_command_line_does_the_whole_way(home, tmp_path, records):
    (tmp_path / "pump.json").write_text(json.dumps(DESCRIPTION))

    def said(*arguments, code=0):
        ended = gemel(*arguments, "--json", home=home, cwd=tmp_path)
        assert ended.returncode == code, ended.stderr
        return json.loads(ended.stdout)

    assert said("train", "pump.json", "--data", records["first"], "--as", "pressure")["state"] == "finished"
    assert said("promote", "pressure", "1", code=3)["error"]["code"] == "check.failed"
    assert said("model", "judge", "pressure@1", records["first"])["passed"] is False
    assert said("model", "judge", "pressure@1", records["second"])["passed"] is True
    assert said("promote", "pressure", "1", "--why", "better")["version"] == 1
    assert said("model", "history", "pressure")["history"][0]["why"] == "better"
    assert said("model", "shadow", "pressure", "1")["aliases"]["shadow"] == 1
    answer = said("model", "predict", "pressure", "--set", "speed=[40.0]")
    assert answer["outputs"]["pressure"]["values"] == pytest.approx([4.0], abs=0.2)
    assert said("model", "export", "pressure@1", "pressure.nc")["bytes"] == (tmp_path / "pressure.nc").stat().st_size
    assert said("model", "rollback", "pressure", code=1)["error"]["code"] == "conflict"
    assert "mlp" in [item["name"] for item in said("model", "kinds")["kinds"]]
    plain = gemel("model", "show", "pressure", home=home, cwd=tmp_path)
    assert "champion" in plain.stdout


def test_two_threads_of_one_engine_train_the_same_once(client, records):
    told = []

    def work():
        asked = client.models.train(DESCRIPTION, records["second"], "twice")
        told.append(client.run(asked["run"]).watch().outputs["version"].to_json()["version"])

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert told == [1, 1]
