"""Figures that the checks judge: shipped flows beside exact results and Monte Carlo, and how exact the flows are."""

from __future__ import annotations

from typing import Any

import numpy as np

from gemel.base.plugins import require
from gemel.core.graph import process, progress
from gemel.thematic import lattice

from ._ensembles import loaded
from ._flows import measured

_PHI4_CHAINS, _PHI4_DRAWS = 64, 2000


@process(categories=("lattice", "validation"))
def flow_figures(name: str, samples: int = 65536, seed: int = 1) -> dict[str, Any]:
    """Figures of a shipped flow beside exact results, or beside hybrid Monte Carlo where nothing is exact.

    Args:
        name: Of the flow.
        samples: To draw.
        seed: Of all chance.
    """
    trained = loaded(name)
    found = measured(trained, samples, seed)
    if trained.spec.theory == "phi4":
        reference = _phi4_reference(trained.spec, seed)
        found["susceptibility"] = _beside(found["metropolis"]["susceptibility"], *reference)
    else:
        for observable in ("plaquette", "charge_squared"):
            found[observable] = _beside(found["metropolis"][observable], found["exact"][observable])
    return found


def _phi4_reference(spec: Any, seed: int) -> tuple[float, float]:
    chains = lattice.phi4_hmc.function(
        spec.mass_squared, spec.coupling, spec.extent, _PHI4_DRAWS, _PHI4_CHAINS, 300, seed, "omelyan"
    )
    found = lattice.gamma_method(np.asarray(chains["magnetisation_squared"], dtype=np.float64))
    volume = spec.extent**2
    return volume * found.value, volume * found.error


def _beside(found: dict[str, Any], reference: float, error: float = 0.0) -> dict[str, float]:
    """Return a value beside its reference, and how many standard errors of both they are apart."""
    apart = abs(found["value"] - reference) / np.hypot(found["error"], error)
    return {
        "value": found["value"],
        "error": found["error"],
        "reference": reference,
        "reference_error": error,
        "away": float(apart),
    }


@process(categories=("lattice", "validation"))
def exactness(seed: int = 1) -> dict[str, float]:
    """Largest errors of the shipped flows in float64: there and back, log-determinant, gauge invariance.

    Args:
        seed: Of the fields.
    """
    torch = require("torch", extra="ml")
    from gemel.thematic.lattice.flows import LinkFlow

    found = {"inverse": 0.0, "log_determinant": 0.0}
    for number, name in enumerate(("u1_L8_b2", "phi4_8x8")):
        progress(number / 3, f"{name}: there and back")
        flow, generator = loaded(name).flow, torch.Generator().manual_seed(seed)
        with torch.no_grad():
            z = flow.draw_prior(64, generator)
            x, _ = flow(z)
            back, _ = flow.inverse(x)
        off = float((torch.remainder(back - z + torch.pi, 2 * torch.pi) - torch.pi).abs().max())
        found["inverse"] = max(found["inverse"], off)
        found["log_determinant"] = max(found["log_determinant"], _determinant_error(torch, flow, z[0]))
    found["gauge"] = _gauge_error(torch, LinkFlow(loaded("u1_L8_b2").flow), seed)
    return found


def _determinant_error(torch: Any, flow: Any, z: Any) -> float:
    """Return the difference of ln |det| to that of the Jacobian matrix, made by automatic differentiation.

    On a torus the plaquettes of a configuration add up to a multiple of 2 pi, so a flow of plaquettes moves V - 1 free
    ones; the last one follows.
    """
    torus = hasattr(flow.layers[0], "move_links")
    size = z.numel()
    free = size - 1 if torus else size
    total = z.sum()

    def mapped(free_part: Any) -> Any:
        whole = torch.cat([free_part, (total - free_part.sum()).reshape(1)]) if torus else free_part
        return flow(whole.reshape(1, *z.shape))[0].reshape(-1)[:free]

    jacobian = torch.autograd.functional.jacobian(mapped, z.reshape(-1)[:free])
    with torch.no_grad():
        told = flow(z[None])[1][0]
    return float((torch.linalg.slogdet(jacobian)[1] - told).abs())


def _gauge_error(torch: Any, flow: Any, seed: int) -> float:
    rng = np.random.default_rng(seed)
    extent = flow.flow.extent
    links = rng.uniform(-np.pi, np.pi, (32, 2, extent, extent))
    turned = lattice.gauge_transformed(links, rng.uniform(-np.pi, np.pi, (32, extent, extent)))
    with torch.no_grad():
        first, second = (flow.log_prob(torch.as_tensor(item)) for item in (links, turned))
    return float((first - second).abs().max())


@process(categories=("lattice", "validation"))
def unitary_figures(seed: int = 1) -> dict[str, Any]:
    """Plaquettes of SU(2) and SU(3) by heat bath beside exact ones of infinite volume.

    Args:
        seed: Of all chance.
    """
    found = {}
    for colours, beta in ((2, 2.2), (3, 6.0)):
        rng = np.random.default_rng(seed)
        links = lattice.cold_links(colours, 16, (8, 8))
        rows = []
        for sweep in range(150):
            links = lattice.sun_heat_bath(links, beta, rng)
            if sweep >= 50:
                rows.append(lattice.sun_plaquette(links))
            progress(sweep / 150, f"SU({colours}): sweep {sweep} of 150")
        estimate = lattice.gamma_method(np.stack(rows, axis=1))
        exact = lattice.exact_sun_plaquette(colours, beta)
        found[f"su{colours}"] = _beside({"value": estimate.value, "error": estimate.error}, exact)
    return found


@process(categories=("lattice", "validation"))
def figures_of(
    u1_8: dict[str, Any],
    u1_16: dict[str, Any],
    phi4_8: dict[str, Any],
    exact: dict[str, Any],
    unitary: dict[str, Any],
    transition: dict[str, Any],
) -> dict[str, Any]:
    """All figures that the checks judge.

    Args:
        u1_8: U(1), 8x8, beta = 2.
        u1_16: U(1), 16x16, beta = 5.
        phi4_8: Quartic theory, 8x8.
        exact: How exact the flows are.
        unitary: SU(2) and SU(3).
        transition: Of the quartic theory.
    """
    flows = {"u1_8": u1_8, "u1_16": u1_16, "phi4_8": phi4_8}
    return {**flows, "exactness": exact, "transition": transition, **unitary}
