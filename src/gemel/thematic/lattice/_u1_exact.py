"""Exact results of two-dimensional U(1) gauge theory on a torus, by expansion in characters."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gemel.base.errors import InvalidInput

Array = NDArray[np.float64]
_NODES = 600


@functools.cache
def _quadrature() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return nodes, weights


def _character(order: Array, beta: float) -> tuple[Array, Array, Array]:
    """Return A(nu) = mean over P of exp(beta (cos P - 1)) cos(nu P), for real nu, with its first two derivatives."""
    nodes, weights = _quadrature()
    angle = np.pi * nodes
    weight = 0.5 * weights * np.exp(beta * (np.cos(angle) - 1.0))
    phase = np.multiply.outer(order, angle)
    cosine, sine = np.cos(phase), np.sin(phase)
    return cosine @ weight, -(sine @ (weight * angle)), -(cosine @ (weight * angle**2))


def _orders(beta: float) -> Array:
    """Return representations enough for the terms left out to vanish in float64: I_n/I_0 falls as exp(-n^2/2 beta)."""
    most = int(np.ceil(12.0 + 9.0 * np.sqrt(beta)))
    return np.arange(-most, most + 1, dtype=np.float64)


def _checked(beta: float, shape: tuple[int, int]) -> int:
    if not 0.0 < beta <= 200.0 or min(shape) < 2:
        raise InvalidInput(
            f"The expansion needs 0 < beta <= 200 and two sites or more each way, not {beta:g}, {shape}."
        )
    return shape[0] * shape[1]


def log_partition(beta: float, shape: tuple[int, int]) -> float:
    """Return ln of the integral of exp(beta sum cos P) over V - 1 plaquette angles (2 pi each).

    Z = (2 pi)^(V-1) sum_n I_n(beta)^V (Migdal 1975: on a torus one representation runs through all plaquettes).
    """
    volume = _checked(beta, shape)
    terms = np.log(special.ive(_orders(beta), beta)) * volume
    return float(special.logsumexp(terms) + volume * beta + (volume - 1) * np.log(2.0 * np.pi))


def exact_u1(beta: float, shape: tuple[int, int]) -> dict[str, float]:
    """Return `plaquette`, `charge_squared` <Q^2>, `susceptibility` <Q^2>/V and `log_partition` on the torus.

    With Z(theta) = sum_n A(n + theta/2pi)^V: plaquette = d ln Z / d beta / V; <Q^2> = -d^2 ln Z / d theta^2 at 0
    (Bonati & Rossi 2019, arXiv:1901.09830).

    Args:
        beta: In (0, 200].
        shape: Sites along x and y.

    >>> {name: round(value, 6) for name, value in exact_u1(2.0, (8, 8)).items()}["plaquette"]
    0.697775
    """
    volume = _checked(beta, shape)
    order = _orders(beta)
    ratio = special.ive(order, beta) / special.ive(0, beta)
    slope = 0.5 * (special.ive(order - 1, beta) + special.ive(order + 1, beta)) / special.ive(0, beta)
    weight = ratio**volume
    plaquette = np.sum(ratio ** (volume - 1) * slope) / weight.sum()
    value, first, second = (part / special.ive(0, beta) for part in _character(order, beta))
    bend = volume * value ** (volume - 1) * second + volume * (volume - 1) * value ** (volume - 2) * first**2
    square = -np.sum(bend) / (4.0 * np.pi**2 * np.sum(value**volume))
    return {
        "plaquette": float(plaquette),
        "charge_squared": float(square),
        "susceptibility": float(square / volume),
        "log_partition": log_partition(beta, shape),
    }


def exact_wilson_loop(beta: float, shape: tuple[int, int], area: int) -> float:
    """Return <cos> of a contractible loop around `area` plaquettes: sum_n I_n^(V-a) I_(n+1)^a / sum_n I_n^V.

    In an infinite volume that is the area law (I_1/I_0)^a (Migdal 1975).

    Raises:
        InvalidInput: The area lies outside of 0 to V.
    """
    volume = _checked(beta, shape)
    if not 0 <= area <= volume:
        raise InvalidInput(f"An area of {area} plaquettes does not lie on a lattice of {volume}.")
    order = _orders(beta)
    ratio = special.ive(order, beta) / special.ive(0, beta)
    next_one = special.ive(order + 1, beta) / special.ive(0, beta)
    return float(np.sum(ratio ** (volume - area) * next_one**area) / np.sum(ratio**volume))


def exact_charge_distribution(beta: float, shape: tuple[int, int], charges: NDArray[np.int64]) -> Array:
    """Return the probability of each topological charge: the integral of cos(2 pi Q nu) A(nu)^V over all nu, over Z.

    It follows from Z(theta) = sum_n A(n + theta/2pi)^V by Fourier's integral over theta. Exact to about 1e-13, absolute.
    """
    volume = _checked(beta, shape)
    # No charge exceeds V/2 nor, but for e^-72, twelve deviations (at most sqrt(V/12)): A(nu)^V is band-limited, so that
    # sums on this grid are exact integrals.
    band = min(0.5 * volume, 3.5 * np.sqrt(volume) + 10.0)
    step = 1.0 / (1.0 + band + float(np.max(np.abs(charges), initial=0)))
    # A bell of width sqrt(beta/V), then a tail below (1/(pi nu))^V, which counts for the smallest lattices alone.
    reach = 14.0 * np.sqrt(max(beta, 1.0) / volume) + 2.0 + 10.0 ** (10.0 / volume) / np.pi
    order = np.arange(-reach, reach, step)
    value = _character(order, beta)[0] / special.ive(0, beta)
    total = np.sum((special.ive(_orders(beta), beta) / special.ive(0, beta)) ** volume)
    waves = np.cos(2.0 * np.pi * np.multiply.outer(np.asarray(charges), order))
    return np.asarray(waves @ value**volume * step / total)
