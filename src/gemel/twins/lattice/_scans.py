"""Scans over a coupling: the transition of the quartic theory, and U(1) beside what is exact."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gemel.core.graph import Dataset, process, progress
from gemel.thematic import lattice

#: m^2 of the quartic theory at lambda = 1, across the transition; chains, and draws of each.
_MASSES, _COUPLING, _EXTENTS = (-1.20, -1.24, -1.26, -1.28, -1.30, -1.34), 1.0, (8, 16, 32)
_CHAINS, _DRAWS = 32, 2000
_BETAS, _SHAPE = (0.5, 1.0, 2.0, 3.0, 5.0, 7.0), 8
#: Critical m^2 at lambda = 1 in infinite volume (Loinaz & Willey 1998, hep-lat/9712008, to the digits given there), and
#: the Binder cumulant of the two-dimensional Ising universality class (Kamieniarz & Bloete 1993).
CRITICAL_MASS, CRITICAL_CUMULANT = -1.27, 0.6107


@process(categories=("lattice",))
def mass_scan(seed: int = 1) -> Dataset:
    """Susceptibility, |M| and Binder cumulant of the quartic theory over its mass, with standard errors.

    Args:
        seed: Of all chance.

    Returns:
        Variables (extent, mass_squared), standard errors beside them; `cumulants` of each chain (extent, mass_squared,
        chain), from which the error of the crossing is made.
    """
    total, rows = len(_EXTENTS) * len(_MASSES), []
    for number, (extent, mass) in enumerate((extent, mass) for extent in _EXTENTS for mass in _MASSES):
        progress(number / total, f"{extent}×{extent} at m² = {mass:g}")
        rows.append(_point(mass, extent, seed + number))
    shape = (len(_EXTENTS), len(_MASSES))
    data = {name: np.reshape([row[name] for row in rows], (*shape, -1)) for name in rows[0]}
    dims = ("extent", "mass_squared")
    named: dict[str, Any] = {
        name: (dims, item[..., 0], {"units": "1"}) for name, item in data.items() if item.shape[2] == 1
    }
    named["moments"] = ((*dims, "chain_moment"), data["moments"], {"units": "1"})
    return xr.Dataset(
        named, coords={"extent": list(_EXTENTS), "mass_squared": list(_MASSES)}, attrs={"coupling": _COUPLING}
    )


def _point(mass_squared: float, extent: int, seed: int) -> dict[str, Any]:
    chains = lattice.phi4_hmc.function(mass_squared, _COUPLING, extent, _DRAWS, _CHAINS, 500, seed, "omelyan")
    moment = np.asarray(chains["magnetisation"], dtype=np.float64)
    square = lattice.gamma_method(moment**2)
    size = lattice.gamma_method(np.abs(moment))
    second, fourth = (moment**2).mean(axis=1), (moment**4).mean(axis=1)
    volume = extent * extent
    return {
        "susceptibility": volume * square.value,
        "susceptibility_standard_error": volume * square.error,
        "absolute_magnetisation": size.value,
        "absolute_magnetisation_standard_error": size.error,
        "binder_cumulant": _cumulant(second, fourth),
        "autocorrelation": square.tau,
        "moments": np.concatenate([second, fourth]),
    }


def _cumulant(second: NDArray[np.float64], fourth: NDArray[np.float64]) -> float:
    """Return U = 1 - <M^4> / (3 <M^2>^2) (Binder 1981) of moments of chains."""
    return float(1.0 - fourth.mean() / (3.0 * second.mean() ** 2))


@process(categories=("lattice", "statistics"))
def transition_of(points: Dataset) -> dict[str, Any]:
    """Where Binder cumulants of neighbouring extents cross: an estimate of the transition for each pair, with errors.

    Args:
        points: From `mass_scan`.

    Returns:
        `crossings` by pair of extents (m^2, its standard error by a bootstrap over chains, and the cumulant there),
        the published critical mass and cumulant, and how far the largest pair is from that mass.
    """
    rng = np.random.default_rng(0)
    extents = [int(value) for value in points["extent"].values]
    crossings = {}
    for small, large in itertools.pairwise(extents):
        found = [_crossing(points, small, large, None)]
        found += [_crossing(points, small, large, rng) for _ in range(200)]
        masses = np.array([item[0] for item in found])
        crossings[f"{small}-{large}"] = {
            "mass_squared": float(masses[0]),
            "error": float(np.nanstd(masses[1:])),
            "cumulant": float(found[0][1]),
        }
    last = crossings[f"{extents[-2]}-{extents[-1]}"]
    return {
        "crossings": crossings,
        "published_mass": CRITICAL_MASS,
        "published_cumulant": CRITICAL_CUMULANT,
        "apart": abs(last["mass_squared"] - CRITICAL_MASS),
    }


def _crossing(points: xr.Dataset, small: int, large: int, rng: np.random.Generator | None) -> tuple[float, float]:
    masses = points["mass_squared"].values
    lines = []
    for extent in (small, large):
        moments = points["moments"].sel(extent=extent).values.reshape(len(masses), 2, -1)
        count = moments.shape[2]
        chosen = np.arange(count) if rng is None else rng.integers(0, count, count)
        lines.append([_cumulant(item[0, chosen], item[1, chosen]) for item in moments])
    # Masses fall along the scan, and the larger lattice comes from below: the first change of sign is the crossing.
    apart = np.array(lines[1]) - np.array(lines[0])
    at = next((place for place in range(len(apart) - 1) if apart[place] < 0.0 <= apart[place + 1]), None)
    if at is None:
        return float("nan"), float("nan")
    share = apart[at] / (apart[at] - apart[at + 1])
    where = masses[at] + share * (masses[at + 1] - masses[at])
    return float(where), float(lines[1][at] + share * (lines[1][at + 1] - lines[1][at]))


@process(categories=("lattice",))
def beta_scan(seed: int = 1) -> Dataset:
    """Plaquette and topological charge of U(1) over its coupling with standard errors, beside exact values.

    Args:
        seed: Of all chance.
    """
    rows = []
    for number, beta in enumerate(_BETAS):
        progress(number / len(_BETAS), f"β = {beta:g}")
        chains = lattice.u1_hmc.function(beta, _SHAPE, 600, _CHAINS, 300, seed + number, True)
        exact = lattice.exact_u1(beta, (_SHAPE, _SHAPE))
        row: dict[str, float] = {}
        for name in ("plaquette", "charge_squared"):
            found = lattice.gamma_method(np.asarray(chains[name], dtype=np.float64))
            row |= {name: found.value, f"{name}_standard_error": found.error, f"{name}_exact": exact[name]}
        rows.append(row)
    named = {name: ("beta", [row[name] for row in rows], {"units": "1"}) for name in rows[0]}
    return xr.Dataset(named, coords={"beta": list(_BETAS)}, attrs={"extent": _SHAPE})
