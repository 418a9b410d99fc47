"""The lattice twin: every bar of its own checks, ensembles beside exact results, flows trained and measured in steps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import gemel.twins.lattice
from gemel.core.engine import open_engine
from gemel.testing import TwinContract

TINY = {"theory": "u1", "extent": 4, "beta": 1.5, "layers": 4, "hidden": 4, "steps": 30, "batch": 64}


class TestLatticeContract(TwinContract):
    folder = Path(gemel.twins.lattice.__file__).parent


@pytest.fixture
def engine(home):
    with open_engine() as engine:
        yield engine


def outputs(engine, graph, **parameters):
    run = engine.finish(engine.start(engine.twin("lattice"), graph, parameters), 500)
    assert run.state == "finished", run.error
    return engine.outputs(run)


@pytest.mark.slow
def test_every_bar_of_the_twin_holds(engine):
    report = engine.check(engine.twin("lattice"))
    assert report.passed, [check for check in report.checks if not check["passed"]]
    ran = {check["id"]: check["value"] for check in report.checks}
    assert ran["u1-16-ess"] >= 0.7 and ran["phi4-acceptance"] >= 0.4 and ran["inverse"] < 1e-10


def test_an_ensemble_stands_beside_what_is_exact(engine):
    found = outputs(engine, "ensemble", beta=2.0, extent=8)
    rows = {row["observable"]: row for row in found["table"]}
    assert rows["plaquette"]["exact"] == pytest.approx(0.697775, abs=1e-6)
    for row in rows.values():
        # Five standard errors: two observables by two ways, fixed seeds.
        assert abs(row["hmc"] - row["exact"]) < 5 * row["error"]
        assert abs(row["prior"] - row["exact"]) < 5 * row["prior_error"]
    assert found["chains"]["field"].dims == ("chain", "direction", "x", "y")


@pytest.mark.slow
def test_training_and_measuring_are_two_steps_and_a_trained_flow_goes_on(engine):
    flow = outputs(engine, "train", flow=TINY)["flow"]
    spec = json.loads(flow.attrs["lattice_flow"])
    assert spec["record"]["steps"] == 30
    onward = outputs(engine, "trial", flow=TINY | {"beta": 2.5}, samples=4096)["figures"]
    assert onward["samples"] == 4096 and 0.0 < onward["effective"] <= 1.0
    plaquette = onward["reweighted"]["plaquette"]
    assert abs(plaquette[0] - onward["exact"]["plaquette"]) < 5 * plaquette[1]


def test_run_parameters_are_proposed_from_stored_configurations(engine):
    advice = outputs(engine, "advise", budget=30000)["advice"]
    assert advice["spent"] <= 30000 and 0.3 < advice["acceptance"] <= 1.0
    assert advice["length"] == pytest.approx(advice["steps"] * advice["step"])


def test_a_specification_that_cannot_be_is_named(engine):
    run = engine.finish(engine.start(engine.twin("lattice"), "train", {"flow": TINY | {"extent": 6}}), 100)
    assert run.state == "failed" and "multiple of 4" in json.dumps(run.error)


@pytest.mark.slow
def test_the_scan_finds_the_transition(engine):
    found = outputs(engine, "scan")
    crossings = found["transition"]["crossings"]
    # Finite lattices cross early: each larger pair crosses nearer to the transition in infinite volume.
    assert crossings["8-16"]["mass_squared"] > crossings["16-32"]["mass_squared"] > -1.30
    assert found["transition"]["apart"] < 0.03
    rows = found["u1"]
    for name in ("plaquette", "charge_squared"):
        away = (rows[name] - rows[f"{name}_exact"]) / rows[f"{name}_standard_error"]
        assert float(np.sqrt((away**2).mean())) < 2.0  # root mean square of six; 1 is expected
