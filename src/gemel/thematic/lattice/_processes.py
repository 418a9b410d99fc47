"""The references as processes: what a twin's graphs are made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.core.graph import Bounds, Dataset, Field, Unit, process
from gemel.thematic.lattice._autocorrelation import Estimate, gamma_method
from gemel.thematic.lattice._hmc import ChainState, Recipe, sample, thermalise
from gemel.thematic.lattice._phi4 import Phi4, free_field, phi4_observables
from gemel.thematic.lattice._u1 import U1, Winding, u1_observables
from gemel.thematic.lattice._u1_exact import exact_charge_distribution, exact_u1, exact_wilson_loop
from gemel.thematic.lattice._weights import effective_sample_size, independence_metropolis, log_weights

Extent = Annotated[int, Bounds(2, 512)]
Count = Annotated[int, Bounds(1, 10_000_000)]
Integrator = Literal["omelyan", "leapfrog"]
Seed = Annotated[int, Bounds(0, None)]
Dimensionless = Annotated[Field, Unit("1")]
_ONE = {"units": "1"}


@process(categories=("lattice", "reference"))
def phi4_hmc(  # noqa: PLR0913 - named settings of one process
    mass_squared: float,
    coupling: float,
    extent: Extent = 8,
    draws: Count = 1000,
    chains: Count = 32,
    thermalisation: Annotated[int, Bounds(0, 10_000_000)] = 300,
    seed: Seed = 0,
    integrator: Integrator = "omelyan",
) -> Dataset:
    """Hybrid Monte Carlo of the scalar field with quartic self-interaction in two dimensions.

    Duane et al. 1987 with the action of Albergo et al. 2019 (arXiv:1904.12072), S = sum (d phi)^2 + m^2 phi^2 +
    lambda phi^4. The step size is tuned in thermalisation only.

    Args:
        mass_squared: Squared mass in lattice units, may be negative.
        coupling: Quartic coupling in lattice units.
        extent: Sites each way.
        draws: Measured trajectories of each chain.
        chains: Independent chains.
        thermalisation: Trajectories thrown away first.
        seed: Seed of all chance.
        integrator: Molecular-dynamics integrator.

    Returns:
        Observables (chain, draw), among them `accepted` and `delta_h`, and the last configurations (chain, x, y).
    """
    theory, recipe = Phi4(mass_squared, coupling), Recipe(integrator=integrator)
    state = ChainState.fresh(np.zeros((chains, extent, extent)), seed)
    state = thermalise(theory, state, thermalisation, recipe)
    measured, end = sample(theory, state, draws, phi4_observables, recipe)
    about = {"theory": "phi4", "mass_squared": mass_squared, "coupling": coupling, "seed": seed, "step": end.step}
    return _chains(measured, ("chain", "x", "y"), end.field, about)


@process(categories=("lattice", "reference"))
def u1_hmc(  # noqa: PLR0913 - named settings of one process
    beta: float,
    extent: Extent = 8,
    draws: Count = 1000,
    chains: Count = 32,
    thermalisation: Annotated[int, Bounds(0, 10_000_000)] = 300,
    seed: Seed = 0,
    winding: bool = True,
) -> Dataset:
    """Hybrid Monte Carlo of U(1) gauge theory in two dimensions, with or without updates of the winding.

    Without them the topological charge freezes at large beta; with them (Albandea et al. 2021, arXiv:2106.14234) an instanton is offered after every trajectory.

    Args:
        beta: Inverse squared coupling in lattice units.
        extent: Sites each way.
        draws: Measured trajectories of each chain.
        chains: Independent chains.
        thermalisation: Trajectories thrown away first.
        seed: Seed of all chance.
        winding: Whether instantons are offered.

    Returns:
        `plaquette`, `charge`, `charge_squared`, `accepted`, `delta_h` (chain, draw) and the last `field`
        (chain, direction, x, y) in radians.
    """
    theory = U1(beta)
    between = (Winding(theory),) if winding else ()
    state = ChainState.fresh(np.zeros((chains, 2, extent, extent)), seed)
    state = thermalise(theory, state, thermalisation, between=between)
    measured, end = sample(theory, state, draws, u1_observables, between=between)
    about = {"theory": "u1", "beta": beta, "winding": int(winding), "seed": seed, "step": end.step}
    return _chains(measured, ("chain", "direction", "x", "y"), end.field, about)


def _chains(measured: dict[str, Any], dims: tuple[str, ...], field: Any, about: dict[str, Any]) -> xr.Dataset:
    data: dict[str, Any] = {name: (("chain", "draw"), value, dict(_ONE)) for name, value in measured.items()}
    data["field"] = (dims, field, {"units": "rad" if "direction" in dims else "1"})
    return xr.Dataset(data, attrs={"Conventions": "CF-1.11", **about})


@process(categories=("lattice", "reference"))
def u1_exact(
    beta: float, extent: Extent = 8, loops: list[int] | None = None, charges: Annotated[int, Bounds(0, 1000)] = 5
) -> dict[str, Any]:
    """Exact results of U(1) gauge theory on a periodic lattice of two dimensions, by expansion in characters.

    Z = sum_n I_n(beta)^V (Migdal 1975); see `exact_u1`, `exact_wilson_loop`, `exact_charge_distribution`.

    Args:
        beta: Inverse squared coupling in lattice units, in (0, 200].
        extent: Sites each way.
        loops: Areas of Wilson loops in plaquettes; by default 1, 2 and 4.
        charges: Probabilities are told for topological charges up to this size.

    Returns:
        `plaquette`, `charge_squared`, `susceptibility`, `log_partition`, `wilson_loops` by area and `charges` by charge.
    """
    shape = (extent, extent)
    which = np.arange(-charges, charges + 1)
    chance = exact_charge_distribution(beta, shape, which)
    return {
        **exact_u1(beta, shape),
        "wilson_loops": {str(area): exact_wilson_loop(beta, shape, area) for area in loops or [1, 2, 4]},
        "charges": {str(q): float(p) for q, p in zip(which.tolist(), chance, strict=True)},
    }


@process(categories=("lattice", "reference"))
def phi4_free_exact(mass_squared: float, extent: Extent = 8) -> Dataset:
    """Exact results of the scalar field without interaction, summed over lattice momenta.

    Montvay & Muenster 1994, in the convention S = sum (d phi)^2 + m^2 phi^2.

    Args:
        mass_squared: Squared mass in lattice units, above 0.
        extent: Sites each way.

    Returns:
        Scalars `phi_squared`, `magnetisation_squared`, `susceptibility`, `fourth`, `neighbours`, `action`, `mass`;
        `correlator` (separation) and `two_point` (x, y).
    """
    dims: dict[str, tuple[str, ...]] = {"correlator": ("separation",), "two_point": ("x", "y")}
    exact = free_field(mass_squared, (extent, extent))
    data = {name: (dims.get(name, ()), value, dict(_ONE)) for name, value in exact.items()}
    return xr.Dataset(data, attrs={"Conventions": "CF-1.11", "mass_squared": mass_squared})


@process(categories=("lattice", "statistics"))
def autocorrelation(chains: Dataset, stability: Annotated[float, Bounds(0.5, 5.0)] = 1.5) -> dict[str, Any]:
    """Means, errors and integrated autocorrelation times of all observables of chains.

    The Gamma method with automatic windowing (Wolff 2004, hep-lat/0306017), each chain a replica.

    Args:
        chains: Variables with the dimensions chain and draw; others are passed over.
        stability: Wolff's S, the ratio that is assumed of the exponential and the integrated time.

    Returns:
        By observable: value, error, error_of_error, tau, tau_error, window, cut, independent, replicas_agree. One that
        never varies has its value alone, and null for the rest: its autocorrelation time is unknown.
    """
    found = {}
    for name, values in chains.data_vars.items():
        if set(values.dims) == {"chain", "draw"}:
            found[str(name)] = _estimated(np.asarray(values.transpose("chain", "draw"), dtype=np.float64), stability)
    if not found:
        raise InvalidInput(
            "No variable has the dimensions chain and draw.", hint="Hand in the result of phi4_hmc or u1_hmc."
        )
    return found


def _estimated(values: Any, stability: float) -> dict[str, Any]:
    if np.ptp(values) == 0.0:
        return dict.fromkeys(Estimate.__dataclass_fields__) | {"value": float(values.flat[0])}
    # Delta H of a trajectory that diverged is infinite: no error belongs to such a mean.
    if not np.isfinite(values).all():
        return dict.fromkeys(Estimate.__dataclass_fields__)
    return vars(gamma_method(values, stability=stability))


@process(categories=("lattice", "statistics"))
def accept_reject(log_p: Dimensionless, log_q: Dimensionless, seed: Seed = 0) -> Dataset:
    """Independence Metropolis over proposals of a model: which proposal each state of the exact chain is.

    Albergo et al. 2019, arXiv:1904.12072.

    Args:
        log_p: Logarithm of the target density of each proposal, up to a constant (minus the action).
        log_q: Logarithm of the model's density of each proposal.
        seed: Seed of the decisions.

    Returns:
        `chosen` (draw), `log_weight` (draw), and the scalars `acceptance`, `longest_rejection`, and
        `effective_sample_size` as a share of the proposals.
    """
    target, proposal = np.ravel(np.asarray(log_p)), np.ravel(np.asarray(log_q))
    walk = independence_metropolis(target, proposal, np.random.default_rng(seed))
    weight = log_weights(target, proposal)
    data = {
        "chosen": ("draw", walk.chosen, dict(_ONE)),
        "log_weight": ("draw", weight, dict(_ONE)),
        "acceptance": ((), walk.acceptance, dict(_ONE)),
        "longest_rejection": ((), walk.longest_rejection, dict(_ONE)),
        "effective_sample_size": ((), effective_sample_size(weight), dict(_ONE)),
    }
    return xr.Dataset(data, attrs={"Conventions": "CF-1.11", "seed": seed})
