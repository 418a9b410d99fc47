"""From data to a judged model: what is recorded, what the gate catches, how a search keeps its hands off the test part."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr

from gemel.base.errors import InvalidInput, NotFound
from gemel.core.graph import decode, encode
from gemel.core.learn.lifecycle import Gate, challenged, evaluated, held_out, samples_of, searched, trained
from gemel.core.learn.models import Bundle, Description
from gemel.core.learn.processes import evaluate_model, predict_model, train_model, watch_model

ABOUT = {
    "kind": "boosted_trees",
    "inputs": {"x": "m"},
    "outputs": {"y": "m"},
    "split": {"shares": {"train": 0.5, "validation": 0.2, "test": 0.3}},
}
NET = ABOUT | {
    "kind": "mlp",
    "options": {"hidden": [16]},
    "training": {"steps": 200, "batch": 32, "learning_rate": 0.02},
}


def data(seed=0, count=300, slope=2.0, noise=0.1):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1.0, 1.0, count)
    y = slope * x + rng.normal(0.0, noise, count)
    return xr.Dataset({"x": ("sample", x, {"units": "m"}), "y": ("sample", y, {"units": "m"})})


def test_the_record_says_what_was_seen_and_how_good_it_is_on_what_was_not():
    bundle = trained(data(), Description.read(ABOUT))
    record = bundle.record
    assert record["split"]["parts"]["test"]["samples"] == 90 and record["data"]["samples"] == 300
    assert len(bundle.seen) == 210 and record["metrics"]["r2"] > 0.95
    # The noise is 0.1: no honest figure on held-out data is far below it.
    assert 0.08 < record["metrics"]["rmse"] < 0.2
    assert set(bundle.reference) == {"inputs/x", "answers/y", "errors/y"}
    again = Bundle.from_dataset(decode("netcdf", encode(bundle.to_dataset()).data))
    assert evaluated(again, held_out(data(), again)) == record["metrics"]


def test_the_same_training_gives_the_same_model_and_another_seed_another():
    first, second = (trained(data(), Description.read(NET), seed=3) for _ in range(2))
    assert first.digest == second.digest
    assert trained(data(), Description.read(NET), seed=4).digest != first.digest


def test_trainings_beside_each_other_do_not_hear_each_others_noise():
    about = Description.read(NET | {"uncertainty": {"method": "dropout", "rate": 0.2}})
    alone = {seed: trained(data(), about, seed=seed).digest for seed in (1, 2)}
    with ThreadPoolExecutor(2) as pool:
        beside = dict(zip(alone, pool.map(lambda seed: trained(data(), about, seed=seed).digest, alone), strict=True))
    assert beside == alone


def test_a_training_that_goes_on_remembers_what_the_first_one_saw():
    first = trained(data(), Description.read(NET))
    second = trained(data(seed=1, slope=2.2), Description.read(NET), start=first)
    assert len(second.seen) == 420 and second.record["parent"] == first.digest
    with pytest.raises(InvalidInput, match="same kind"):
        trained(data(), Description.read(ABOUT), start=first)


def test_the_gate_lets_the_better_one_pass_and_says_by_how_much():
    worse = trained(data(noise=1.0), Description.read(ABOUT))
    better = trained(data(seed=1), Description.read(ABOUT))
    judged = samples_of(data(seed=2), better.description)
    verdicts, figures = challenged(better, worse, judged, Gate(bars={"r2": {"minimum": 0.9}}))
    assert all(item.passed for item in verdicts) and figures["gain"]["low_90"] > 0.0
    verdicts, _ = challenged(worse, better, judged, Gate())
    assert [item.id for item in verdicts if not item.passed] == ["better-than-champion"]


@pytest.mark.parametrize(
    ("gate", "failed"),
    [
        (Gate(bars={"r2": {"minimum": 0.9999}}), "bar-r2"),
        (Gate(bars={"skill": {"minimum": 0.0}}), "bar-skill"),
        (Gate(fewest=1000), "enough-samples"),
        (Gate(margin=0.99), "better-than-champion"),
    ],
)
def test_each_bar_of_the_gate_can_stay_shut(gate, failed):
    champion = trained(data(), Description.read(ABOUT))
    challenger = trained(data(seed=1), Description.read(ABOUT))
    verdicts, _ = challenged(challenger, champion, samples_of(data(seed=2), challenger.description), gate)
    assert failed in [item.id for item in verdicts if not item.passed]


def test_leaked_data_are_caught_on_both_sides():
    one, other = trained(data(), Description.read(ABOUT)), trained(data(seed=1), Description.read(ABOUT))
    verdicts, _ = challenged(one, other, samples_of(data(), one.description), Gate())
    assert "unseen-by-challenger" in [item.id for item in verdicts if not item.passed]
    verdicts, _ = challenged(one, other, samples_of(data(seed=1), one.description), Gate())
    assert "unseen-by-champion" in [item.id for item in verdicts if not item.passed]


def test_a_gate_that_makes_no_sense_is_refused():
    bundle = trained(data(), Description.read(ABOUT))
    samples = samples_of(data(seed=1), bundle.description)
    with pytest.raises(NotFound, match="rsme"):
        challenged(bundle, None, samples, Gate(metric="rsme"))
    with pytest.raises(InvalidInput, match="bar on 'r2'"):
        challenged(bundle, None, samples, Gate(bars={"r2": {"at_least": 0.3}}))


def test_processes_work_as_plain_functions():
    model = train_model.function(data(), ABOUT)
    assert evaluate_model.function(model, data())["samples"] == 90
    answer = predict_model.function(model, data(seed=5).drop_vars("y"))
    assert answer["y"].attrs["units"] == "m" and answer["y"].attrs["uncertainty"] == "unknown"
    calm = watch_model.function(model, data(seed=6))
    moved = watch_model.function(model, data(seed=6, slope=4.0))
    assert calm["drifted"] == [] and moved["drifted"] == ["errors/y"]
    far = data(seed=6)
    far["x"] = far["x"] + 1.0
    assert "inputs/x" in watch_model.function(model, far.drop_vars("y"))["drifted"]


def test_intervals_of_a_calibrated_model_cover_what_they_promise():
    about = ABOUT | {"uncertainty": {"method": "quantile", "conformal": True}}
    bundle = trained(data(count=1500), Description.read(about))
    # 450 held-out samples: five binomial standard errors of 90 % are 0.07.
    assert 0.83 < bundle.record["metrics"]["coverage_90"] < 0.97


@pytest.mark.slow
def test_a_search_finds_the_better_setting_and_goes_on_where_it_was(tmp_path):
    space = {"training.learning_rate": {"low": 1e-6, "high": 0.1, "log": True}}
    about = Description.read(NET | {"training": {"steps": 80, "batch": 32}})
    first = searched(data(), about, space, trials=4, folder=tmp_path)
    found = searched(data(), about, space, trials=8, folder=tmp_path)
    assert len(found["trials"]) == 8 and found["trials"][:4] == first["trials"]
    assert found["score"] == min(item["score"] for item in found["trials"] if item["state"] == "complete")
    assert found["description"]["training"]["learning_rate"] == found["values"]["training.learning_rate"] > 1e-3
    with pytest.raises(InvalidInput, match="cannot be searched"):
        searched(data(), about, {"split.seed": {"choices": [1, 2]}}, trials=1)
