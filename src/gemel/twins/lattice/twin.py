"""Graphs of the lattice twin: training, measuring, scanning and judging, each a batch step of its own."""

from __future__ import annotations

from typing import Any

from gemel.core.graph import Dataset, graph

from ._ensembles import advised, compared, references_of, sampled, shipped_flow, topology_of
from ._flows import measured_flow, trained_flow
from ._scans import beta_scan, mass_scan, transition_of
from ._validation import exactness, figures_of, flow_figures, unitary_figures


@graph
def ensemble(beta: float = 2.0, extent: float = 8.0, seed: int = 1) -> Dataset:
    """An ensemble of U(1) fields at a coupling, by hybrid Monte Carlo with winding updates, beside what is exact."""
    drawn = sampled(beta, extent, seed)
    return {"chains": drawn, "table": compared(drawn, references_of(beta, extent, seed))}  # type: ignore[return-value]


@graph
def train(flow: dict[str, Any], start: Dataset | None = None) -> Dataset:
    """Train a flow from its specification with a fixed number of steps, from fresh weights or from another flow."""
    return {"flow": trained_flow(flow, start)}  # type: ignore[return-value]


@graph
def measure(flow: Dataset, samples: int = 65536, seed: int = 1, beta: float = 0.0) -> dict[str, Any]:
    """Draw from a flow, correct by accept/reject and by weights, and measure."""
    return {"figures": measured_flow(flow, samples, seed, beta)}


@graph
def trial(flow: dict[str, Any], samples: int = 65536, seed: int = 1, beta: float = 0.0) -> dict[str, Any]:
    """Train a flow for any theory, extent and coupling, and measure what it is worth, beside exact results."""
    return {"figures": measured_flow(trained_flow(flow), samples, seed, beta)}


@graph
def scan(seed: int = 1) -> Dataset:
    """Scan the quartic theory over its mass across the transition, and U(1) over its coupling beside exact results."""
    points = mass_scan(seed)
    return {"phi4": points, "transition": transition_of(points), "u1": beta_scan(seed)}  # type: ignore[return-value]


@graph
def advise(
    mass_squared: float = -4.0, coupling: float = 6.008, sites: int = 8, budget: int = 100000, seed: int = 1
) -> dict[str, Any]:
    """Propose run parameters of hybrid Monte Carlo from stored configurations of the quartic theory."""
    return {"advice": advised(mass_squared, coupling, sites, budget, seed)}


@graph
def topology(seed: int = 1) -> dict[str, Any]:
    """Independent samples of the topological charge for each CPU second, by five ways, training included."""
    return {"table": topology_of(shipped_flow("u1_L16_b5"), seed)}


@graph
def validate(samples: int = 65536, seed: int = 1) -> dict[str, Any]:
    """Figures beside exact results and Monte Carlo, of the flows that come with gemel."""
    return {
        "figures": figures_of(
            flow_figures("u1_L8_b2", samples, seed),
            flow_figures("u1_L16_b5", samples, seed),
            flow_figures("phi4_8x8", samples, seed),
            exactness(seed),
            unitary_figures(seed),
            transition_of(mass_scan(seed)),
        )
    }
