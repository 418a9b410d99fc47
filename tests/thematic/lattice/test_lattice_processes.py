"""The references as processes: typed, described, deterministic, and right."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.core.graph import Process, Registry, decode, encode, graph, validate
from gemel.thematic import lattice as lft

PROCESSES = ("phi4_hmc", "u1_hmc", "u1_exact", "phi4_free_exact", "autocorrelation", "accept_reject", "advise_hmc")


@pytest.mark.parametrize("name", PROCESSES)
def test_every_process_describes_itself(name):
    item = getattr(lft, name)
    assert isinstance(item, Process)
    described = item.describe()
    assert described["id"] == name
    assert described["summary"]
    assert all(parameter["description"] for parameter in described["parameters"])


def test_gauge_chains_meet_the_exact_values_through_processes_alone():
    chains = lft.u1_hmc(2.0, extent=6, draws=300, chains=64, thermalisation=100, seed=5)
    assert chains["plaquette"].dims == ("chain", "draw")
    assert chains["field"].dims == ("chain", "direction", "x", "y")
    assert {item.attrs["units"] for item in chains.data_vars.values()} == {"1", "rad"}
    found, exact = lft.autocorrelation(chains), lft.u1_exact(2.0, extent=6)
    for name in ("plaquette", "charge_squared"):
        assert abs(found[name]["value"] - exact[name]) < 4 * found[name]["error"]
    assert sum(exact["charges"].values()) == pytest.approx(1.0, abs=1e-3)
    assert exact["wilson_loops"]["1"] == pytest.approx(exact["plaquette"], abs=1e-12)


def test_scalar_chains_meet_the_free_field_and_repeat_by_seed():
    settings = {"extent": 4, "draws": 200, "chains": 64, "thermalisation": 80}
    chains = lft.phi4_hmc(0.8, 0.0, seed=6, **settings)
    exact = lft.phi4_free_exact(0.8, extent=4)
    found = lft.autocorrelation(chains)
    for name in ("phi_squared", "magnetisation_squared"):
        assert abs(found[name]["value"] - float(exact[name])) < 4 * found[name]["error"]
    assert exact["correlator"].dims == ("separation",)
    xr.testing.assert_identical(chains, lft.phi4_hmc(0.8, 0.0, seed=6, **settings))
    assert not lft.phi4_hmc(0.8, 0.0, seed=7, **settings).identical(chains)


def test_what_never_varies_has_no_time():
    frozen = xr.Dataset({"charge": (("chain", "draw"), np.ones((2, 50))), "other": ("x", np.zeros(3))})
    found = lft.autocorrelation(frozen)
    assert set(found) == {"charge"}
    assert found["charge"]["value"] == 1.0
    assert found["charge"]["tau"] is None
    with pytest.raises(InvalidInput, match="chain and draw"):
        lft.autocorrelation(frozen[["other"]])


def test_accept_reject_makes_the_model_exact():
    rng = np.random.default_rng(1)
    x = rng.normal(scale=1.4, size=20_000)
    log_p, log_q = -0.5 * x**2, -0.5 * (x / 1.4) ** 2
    walk = lft.accept_reject(xr.DataArray(log_p, dims="draw"), xr.DataArray(log_q, dims="draw"), seed=2)
    found = lft.gamma_method(x[walk["chosen"].values] ** 2)
    assert abs(found.value - 1.0) < 4 * found.error
    assert float(walk["effective_sample_size"]) == pytest.approx(np.sqrt(2 * 1.96 - 1) / 1.96, abs=0.01)
    assert 0 < int(walk["longest_rejection"]) < 200


def test_a_graph_of_them_is_valid():
    @graph
    def judged(beta: float = 2.0):
        return lft.autocorrelation(lft.u1_hmc(beta, extent=4, draws=20, chains=2))

    registry = Registry({name: getattr(lft, name) for name in PROCESSES})
    assert validate(judged, registry, {"beta": 3.0}) == []
    assert validate(judged, registry, {"beta": "strong"})


MAKERS = {
    "chains": lambda: lft.u1_hmc(2.0, extent=4, draws=5, chains=2, thermalisation=2),
    "times": lambda: lft.autocorrelation(lft.u1_hmc(2.0, extent=4, draws=30, chains=2, thermalisation=2)),
    "exact": lambda: lft.u1_exact(2.0, extent=4),
    "free": lambda: lft.phi4_free_exact(1.0, extent=4),
    "walk": lambda: lft.accept_reject(xr.DataArray(np.arange(5.0)), xr.DataArray(np.zeros(5))),
}


@pytest.mark.parametrize("name", MAKERS)
def test_results_travel_between_steps(name):
    """What a step returns is stored and read back by the next one."""
    result = MAKERS[name]()
    stored = encode(result)
    back = decode(stored.format, stored.data)
    if isinstance(result, xr.Dataset):
        xr.testing.assert_identical(back.load(), result)
    else:
        assert back == result
