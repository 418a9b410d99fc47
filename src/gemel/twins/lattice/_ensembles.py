"""Ensembles by Monte Carlo and by flows, beside each other and beside exact results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gemel.base.plugins import require
from gemel.core.graph import Dataset, process, progress
from gemel.thematic import lattice

from ._flows import from_dataset, to_dataset, training_seconds

Array = NDArray[np.float64]
_CHAINS, _DRAWS = 32, 400
_TOPOLOGY = (16, 5.0)


@process(categories=("lattice",))
def sampled(beta: float, extent: float, seed: int = 1) -> Dataset:
    """Chains of hybrid Monte Carlo of U(1) with winding updates.

    Args:
        beta: Inverse coupling.
        extent: Sites each way, a whole number.
        seed: Of all chance.
    """
    found: xr.Dataset = lattice.u1_hmc.function(beta, int(extent), _DRAWS, _CHAINS, 300, seed, True)
    return found


@process(categories=("lattice",))
def references_of(beta: float, extent: float, seed: int = 1) -> dict[str, Any]:
    """What is exact, and what the prior of independent plaquettes gives with accept/reject alone.

    Args:
        beta: Inverse coupling.
        extent: Sites each way, a whole number.
        seed: Of all chance.
    """
    shape = (int(extent), int(extent))
    prior = _prior_walk(beta, shape, 16384, seed)
    return {"exact": dict(lattice.exact_u1(beta, shape)), "prior": {name: _told(item) for name, item in prior.items()}}


@process(categories=("lattice",))
def compared(chains: Dataset, references: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each observable: hybrid Monte Carlo, prior with accept/reject, exact.

    Args:
        chains: From `sampled`.
        references: From `references_of`.
    """
    rows = []
    for name in ("plaquette", "charge_squared"):
        found = lattice.gamma_method(np.asarray(chains[name].transpose("chain", "draw"), dtype=np.float64))
        prior, exact = references["prior"][name], references["exact"][name]
        rows.append(
            {
                "observable": name,
                "hmc": found.value,
                "error": found.error,
                "autocorrelation": found.tau,
                "prior": prior["value"],
                "prior_error": prior["error"],
                "exact": exact,
            }
        )
    return rows


@process(categories=("lattice", "statistics"))
def advised(
    mass_squared: float, coupling: float, extent: float, budget: int = 100_000, seed: int = 1
) -> dict[str, Any]:
    """Length and step of hybrid Monte Carlo of the quartic theory, proposed from stored configurations.

    Args:
        mass_squared: Squared mass.
        coupling: Quartic coupling.
        extent: Sites each way, a whole number.
        budget: Force evaluations that may be spent.
        seed: Of all chance.
    """
    chains = lattice.phi4_hmc.function(mass_squared, coupling, int(extent), 1, 128, 300, seed, "omelyan")
    theory = {"theory": "phi4", "mass_squared": mass_squared, "coupling": coupling}
    found: dict[str, Any] = lattice.advise_hmc.function(
        theory, chains["field"].rename(chain="configuration"), budget, seed=seed
    )
    return found


@process(categories=("lattice", "learning"))
def shipped_flow(name: str) -> Dataset:
    """A trained flow that comes with gemel.

    Args:
        name: Of the flow.
    """
    return to_dataset(loaded(name))


def loaded(name: str) -> Any:
    """Return a trained flow that comes with gemel.

    Raises:
        NotFound: There is none of this name.
    """
    require("torch", extra="ml")
    from gemel.base.errors import not_found
    from gemel.thematic.lattice.flows import load, shipped

    known = shipped()
    if name not in known:
        raise not_found("trained flow", name, known)
    return load(known[name])


@process(categories=("lattice", "statistics"))
def topology_of(flow: Dataset, seed: int = 1) -> list[dict[str, Any]]:
    """Five ways to the topological charge of U(1): autocorrelation, and independent samples for each CPU second.

    Hybrid Monte Carlo alone, with winding updates, the prior with accept/reject, exact rejection, and the flow; the last
    column counts the flow's training on so many independent samples as repay it against each other way.

    Args:
        flow: For 16x16 sites at beta = 5.
        seed: Of all chance.
    """
    extent, beta = _TOPOLOGY
    shape, theory, trained = (extent, extent), lattice.U1(beta), from_dataset(flow)
    ways: dict[str, Callable[[], Any]] = {
        "hmc": lambda: _hmc_charge(theory, shape, seed, winding=False),
        "hmc with winding": lambda: _hmc_charge(theory, shape, seed, winding=True),
        "prior with accept/reject": lambda: _prior_walk(beta, shape, 65536, seed)["charge_squared"],
        "exact rejection": lambda: _rejection(beta, shape, 20000, seed),
        "flow with accept/reject": lambda: _flow_charge(trained, theory, seed),
    }
    exact = lattice.exact_u1(beta, shape)["charge_squared"]
    rows = []
    for number, (name, way) in enumerate(ways.items()):
        progress(number / len(ways), name)
        begun = time.process_time()
        found = way()
        seconds = time.process_time() - begun
        row = {"way": name, "charge_squared": found.value, "error": found.error, "exact": exact, "tau": found.tau}
        rows.append(row | {"converged": found.cut, "independent_per_second": found.independent / seconds})
    return _repaid(rows, training_seconds(trained.record))


def _repaid(rows: list[dict[str, Any]], training: float) -> list[dict[str, Any]]:
    flow = rows[-1]["independent_per_second"]
    for row in rows[:-1]:
        slower = row["independent_per_second"]
        # n / slower = training + n / flow: beyond so many samples the flow is ahead; never where it is no faster.
        row["flow_repaid_after"] = training / (1.0 / slower - 1.0 / flow) if flow > slower else None
    return rows


def _hmc_charge(theory: Any, shape: tuple[int, int], seed: int, *, winding: bool) -> Any:
    between = (lattice.Winding(theory),) if winding else ()
    state = lattice.ChainState.fresh(np.zeros((_CHAINS, 2, *shape)), seed)
    state = lattice.thermalise(theory, state, 200, between=between)
    measured, _ = lattice.sample(theory, state, 600, lattice.u1_observables, between=between)
    return lattice.gamma_method(measured["charge_squared"])


def _prior_walk(beta: float, shape: tuple[int, int], count: int, seed: int) -> dict[str, Any]:
    """Return estimates of the observables by independence Metropolis on the prior, which needs no training."""
    rng = np.random.default_rng(seed)
    angles, log_q = lattice.prior_plaquettes(beta, shape, count, rng)
    walk = lattice.independence_metropolis(beta * np.cos(angles).sum(axis=(1, 2)), log_q, rng)
    return {
        "plaquette": lattice.gamma_method(np.cos(angles).mean(axis=(1, 2))[walk.chosen]),
        "charge_squared": lattice.gamma_method(_charge(angles)[walk.chosen]),
    }


def _rejection(beta: float, shape: tuple[int, int], count: int, seed: int) -> Any:
    angles = lattice.exact_plaquettes(beta, shape, count, np.random.default_rng(seed))
    return lattice.gamma_method(_charge(angles))


def _flow_charge(trained: Any, theory: Any, seed: int) -> Any:
    from gemel.thematic.lattice.flows import propose

    found = propose(trained.proposal, theory, 65536, seed)
    walk = lattice.independence_metropolis(found.log_p, found.log_q, np.random.default_rng(seed))
    return lattice.gamma_method(found.observables["charge_squared"][walk.chosen])


def _charge(angles: Array) -> Array:
    return np.asarray(np.rint(angles.sum(axis=(1, 2)) / (2.0 * np.pi)) ** 2)


def _told(estimate: Any) -> Mapping[str, float]:
    return {"value": estimate.value, "error": estimate.error, "tau": estimate.tau}
