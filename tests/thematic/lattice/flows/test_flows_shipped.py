"""The trained flows that come with the package: exact observables, and proposals as good as they are said to be."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from gemel.base.errors import InvalidInput
from gemel.thematic import lattice as lft
from gemel.thematic.lattice import flows

torch.set_num_threads(1)

SAMPLES = 6000
#: Name, least acceptance and least effective size. Measured on 65,536 samples: acceptance 0.93, 0.94, 0.94, 0.75.
BARS = [("phi4_6x6", 0.85, 0.85), ("phi4_8x8", 0.85, 0.85), ("u1_L8_b2", 0.85, 0.9)]
BARS += [pytest.param("u1_L16_b5", 0.65, 0.7, marks=pytest.mark.slow)]
#: HMC of shared/reference/physics.md section 2.1: susceptibility and <phi^2> with errors.
HMC = {
    "phi4_6x6": {"susceptibility": (1.0597, 0.0025), "phi_squared": (0.16141, 0.00005)},
    "phi4_8x8": {"susceptibility": (0.7466, 0.0017), "phi_squared": (0.14351, 0.00004)},
}


@pytest.mark.parametrize(("name", "acceptance", "effective"), BARS)
def test_trained_flow_gives_exact_observables_at_the_promised_acceptance(name, acceptance, effective):
    """Within 4.5 sigma of the exact values or of HMC, by weights and by a chain."""
    trained = flows.load(flows.shipped()[name])
    found = flows.evaluate(trained.proposal, trained.spec.target(), SAMPLES, seed=11)
    assert found.acceptance > acceptance
    assert found.effective > effective
    assert found.longest_rejection < 60
    wanted = HMC.get(name) or {key: (found.exact[key], 0.0) for key in ("plaquette", "charge_squared")}
    for key, (value, error) in wanted.items():
        ours, own = found.reweighted[key]
        assert abs(ours - value) < 4.5 * np.hypot(own, error)
        chain = found.metropolis[key]
        assert abs(chain.value - value) < 4.5 * np.hypot(chain.error, error)
    if "log_partition" in found.exact:
        log_z, own = found.log_partition
        assert abs(log_z - found.exact["log_partition"]) < 4.5 * own


@pytest.mark.parametrize(("beta", "gain"), [(2.0, -0.1), (5.0, 0.1), (7.0, 0.05)])
@pytest.mark.slow
def test_one_conditional_flow_serves_a_range_of_couplings(beta, gain):
    """Exact at every beta, and at large beta better than its own prior, which needs no training.

    Measured on 16,384 samples, acceptance of flow and prior: 0.90 and 0.92 at beta = 2, 0.76 and 0.56 at 5, 0.61 and 0.42
    at 7. At small beta there is nothing left to gain.
    """
    trained = flows.load(flows.shipped()["u1_L16_b2to7"])
    theory = trained.spec.target(beta)
    found = flows.evaluate(trained.proposal, theory, 3000, seed=3)
    prior = flows.evaluate(_untrained(flows.FlowSpec("u1", 16, beta=beta)), theory, 3000, seed=3)
    assert found.acceptance > prior.acceptance + gain
    for key in ("plaquette", "charge_squared"):
        value, error = found.reweighted[key]
        assert abs(value - found.exact[key]) < 4.5 * error


def _untrained(spec):
    """The identity: a flow that is its prior."""
    return flows.build(dataclasses.replace(spec, layers=1)).double()


def test_couplings_outside_of_the_span_are_refused():
    trained = flows.load(flows.shipped()["u1_L16_b2to7"])
    with pytest.raises(InvalidInput):
        trained.spec.target(9.0)
    with pytest.raises(InvalidInput):
        flows.evaluate(trained.flow, lft.U1(9.0), 10)


@pytest.mark.parametrize("name", list(flows.shipped()))
def test_files_are_small_and_say_how_they_were_made(name):
    path = flows.shipped()[name]
    assert path.stat().st_size < 300_000
    trained = flows.load(path)
    assert trained.record["steps"] == trained.spec.steps
    # Ten CPU minutes is the bar of the theories; these took less than two, the start included.
    start = (trained.record["start"] or {}).get("record", {})
    assert 0 < trained.record["cpu_seconds"] + start.get("cpu_seconds", 0.0) < 300
    assert trained.record["threads"] == 1


def test_trained_float64_flow_inverts_to_rounding():
    for name in ("phi4_8x8", "u1_L16_b5"):
        flow = flows.load(flows.shipped()[name]).flow
        with torch.no_grad():
            z = flow.draw_prior(50, torch.Generator().manual_seed(1))
            x, logdet = flow(z)
            back, undone = flow.inverse(x)
        # Angles on the two sides of the cut at pi are the same.
        apart = (back - z).abs() if name.startswith("phi4") else torch.as_tensor(lft.wrapped((back - z).numpy())).abs()
        assert apart.max().item() < 1e-10
        assert (logdet + undone).abs().max().item() < 1e-8


def test_proposals_do_not_depend_on_how_many_are_asked_for():
    """Whole chunks come out the same in a longer draw: streams can go on."""
    trained = flows.load(flows.shipped()["u1_L8_b2"])
    few = flows.propose(trained.flow, trained.spec.target(), 200, 1, chunk=100)
    many = flows.propose(trained.flow, trained.spec.target(), 250, 1, chunk=100)
    assert np.array_equal(many.log_q[:200], few.log_q)
    assert len(many.observables["plaquette"]) == 250


def test_a_trial_is_a_row_of_json():
    spec = flows.FlowSpec("u1", 4, beta=1.0, layers=8, hidden=4, steps=2, batch=8)
    row = flows.trial(spec, 7, samples=2000)
    assert json.loads(json.dumps(row)) == row
    assert row["spec"]["seed"] == 7
    assert set(row) == {"spec", "record", "evaluation"}
    assert 0 < row["evaluation"]["effective"] <= 1
