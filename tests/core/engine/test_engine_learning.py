"""A twin that learns: drift in a replayed stream leads to a judged and promoted model, and one verb leads back."""

from __future__ import annotations

import pytest
from pump_stage import write_pump

from gemel.base.config import load_settings
from gemel.base.errors import CheckFailed, InvalidInput, NotFound, TwinInvalid
from gemel.base.plugins import require
from gemel.core.engine import Service, open_engine
from stage import until


def started(engine, graph="train"):
    run = engine.finish(engine.start(engine.twin("pump"), graph), 300)
    assert run.state == "finished", run.error
    return engine.output(run, "verdict")


@pytest.mark.slow
def test_drift_leads_without_a_hand_to_a_better_model_and_one_verb_back(engine, here):
    write_pump(here)
    first = started(engine)
    assert first["promoted"] and first["version"] == 1 and first["name"] == "pump.pressure"
    engine.serve()
    twin = engine.go_live(engine.twin("pump"))
    until(lambda: engine.models.holder("pump.pressure", "champion") == 2, 240)
    until(lambda: twin.status().sequence == 210, 240)
    # Those that came before the drift were answered by version 1 for ever: the run names it.
    runs = [run for run in engine.runs.journal.list(twin="pump", limit=1000) if run.graph == "update"]
    assert {run.arguments["pressure"].partition("#")[0] for run in runs} >= {"pump.pressure@1"}
    service = Service(engine)
    judged = service.models.version("pump.pressure@2")["judgement"]
    assert judged["passed"] and {item["id"] for item in judged["verdicts"]} >= {
        "better-than-champion",
        "unseen-by-champion",
    }
    # The worn pump gives half the pressure, 2 bar less. When the drift is told, half of the last hour is from before.
    assert judged["figures"]["champion"]["rmse"] > max(1.0, 1.25 * judged["figures"]["challenger"]["rmse"])
    told = [event.type for event in engine.log.read("models/pump.pressure")]
    assert told == ["gemel.model.registered", "gemel.model.judged", "gemel.model.promoted"] * 2
    assert service.models.rollback("pump.pressure", "a hand")["version"] == 1
    assert [item["verb"] for item in service.models.history("pump.pressure")] == ["rollback", "promote", "promote"]


def test_a_run_keeps_the_version_that_was_in_service_when_it_began(sqlite_engine, here):
    engine = sqlite_engine
    write_pump(here)
    twin = engine.twin("pump")
    observation = {"speed": 40.0, "pressure": 4.0}
    with pytest.raises(NotFound, match="pressure"):
        engine.start(twin, "update", {"observation": observation})
    started(engine)
    run = engine.finish(engine.start(twin, "update", {"observation": observation}), 60)
    assert run.arguments["pressure"] == engine.models.pin("pump.pressure@champion")
    assert abs(engine.output(run, "state")["modelled"] - 4.0) < 0.1


def test_training_again_gives_the_version_that_is_there_and_one_rolled_back_stays_back(sqlite_engine, here):
    engine = sqlite_engine
    write_pump(here)
    twin = engine.twin("pump")
    assert started(engine)["version"] == 1
    assert started(engine)["reason"] in ("every verdict passed", "in service already")
    assert len(engine.models.versions("pump.pressure")) == 1
    run = engine.finish(engine.start(twin, "train", {"seed": 1}), 120)
    second = engine.output(run, "verdict")
    assert second["version"] == 2
    # Of two seeds one is better; whichever is not in service does not come back by itself after a rollback.
    if second["promoted"]:
        engine.models.rollback("pump.pressure", "by hand")
        again = engine.finish(engine.start(twin, "train", {"seed": 1}), 120)
        verdict = engine.output(again, "verdict")
        assert not verdict["promoted"] and "rolled" in str(verdict["judgement"]["verdicts"][-1]["id"])
    assert engine.models.holder("pump.pressure", "champion") == 1


def test_a_model_judged_by_what_it_has_seen_is_caught(sqlite_engine, here):
    engine = sqlite_engine
    folder = write_pump(here)
    service = Service(engine)
    data = str(folder / "first.csv")
    description = engine.twin("pump").manifest.models["pressure"]
    trained = engine.finish(service.models.train(description, data, "loose")["run"], 120)
    assert trained.state == "finished", trained.error
    judged = engine.finish(service.models.judge("loose@1", data)["run"], 60)
    verdict = engine.output(judged, "judgement")
    assert (
        not verdict["passed"] and "120 of 200 samples were seen in the training of the challenger" in verdict["reason"]
    )
    with pytest.raises(CheckFailed, match="unseen-by-challenger"):
        service.models.promote("loose", 1)
    assert service.models.trainings()[0]["state"] == "finished"
    assert service.models.training(service.models.trainings()[0]["id"])["curve"]


def test_a_model_is_trained_on_a_dataset_in_the_lake(sqlite_engine, here):
    engine = sqlite_engine
    folder = write_pump(here)
    service = Service(engine)
    service.data.put(folder / "first.csv", "pump:first.csv")
    description = engine.twin("pump").manifest.models["pressure"]
    run = engine.finish(service.models.train(description, "pump:first.csv", "loose")["run"], 120)
    assert run.state == "finished", run.error
    assert engine.models.get("loose@1").document["record"]["data"]["samples"] == 200
    with pytest.raises(NotFound):
        service.models.train(description, "pump:second.csv", "loose")


def test_a_shadow_is_asked_and_not_heard(sqlite_engine, here):
    engine = sqlite_engine
    write_pump(here)
    started(engine)
    service = Service(engine)
    run = engine.finish(engine.start(engine.twin("pump"), "train", {"seed": 1}), 120)
    other = 3 - engine.models.holder("pump.pressure", "champion")
    assert engine.output(run, "verdict")["version"] == 2
    service.models.assign("pump.pressure", "shadow", other)
    answer = service.models.predict("pump.pressure", {"speed": {"values": [40.0, 45.0], "unit": "s-1"}})
    assert answer["version"] != other and answer["outputs"]["pressure"]["unit"] == "bar"
    (event,) = [item for item in engine.log.read("models/pump.pressure") if item.type == "gemel.model.shadowed"]
    assert event.data["shadow"] == other
    assert event.data["answers"]["champion"] == answer["outputs"]
    assert event.data["answers"]["shadow"]["pressure"]["values"] != answer["outputs"]["pressure"]["values"]


@pytest.mark.slow
def test_trainings_and_promotions_are_told_to_mlflow_where_one_is_named(home, here, sqlite_url):
    write_pump(here)
    with open_engine(load_settings(home=home, assignments=["learn.tracking=sqlite"])) as engine:
        assert started(engine)["promoted"]
    tracking = require("mlflow.tracking", extra="ml")
    client = tracking.MlflowClient(f"sqlite:///{home / 'mlflow.db'}", f"sqlite:///{home / 'mlflow.db'}")
    found = client.get_model_version_by_alias("pump.pressure", "champion")
    assert found.tags["version"] == "1"
    experiment = client.get_experiment_by_name("gemel")
    names = {run.info.run_name for run in client.search_runs([experiment.experiment_id])}
    assert any(name.startswith("training-") for name in names)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "same number of samples"),
        ({"spead": [1.0]}, "speed"),
        ({"speed": ["fast"]}, "no number"),
        ({"speed": {"value": [1.0]}}, "no list of numbers"),
        ({"speed": {"values": [1.0], "unit": "kg"}}, "kg"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_wrong(sqlite_engine, here, inputs, words):
    engine = sqlite_engine
    write_pump(here)
    started(engine)
    with pytest.raises((InvalidInput, NotFound), match=words):
        Service(engine).models.predict("pump.pressure", inputs)


def test_a_description_in_twin_toml_is_checked_when_the_twin_is_read(sqlite_engine, here):
    folder = write_pump(here)
    text = (folder / "twin.toml").read_text()
    (folder / "twin.toml").write_text(text.replace('kind = "mlp"\n', 'kindd = "mlp"\n'))
    with pytest.raises(TwinInvalid, match="no 'kindd'"):
        sqlite_engine.twin("pump")
