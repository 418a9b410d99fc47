"""Compact U(1) gauge fields on a periodic lattice of two dimensions: link angles in radians."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.thematic.lattice import _kernel as kernel

Array = NDArray[np.float64]


@dataclass(frozen=True)
class U1:
    """Wilson's action S = -beta sum over plaquettes of cos P (Wilson 1974; convention of arXiv:2003.06413).

    Attributes:
        beta: Inverse squared coupling in lattice units, not negative.

    >>> U1(2.0).action(np.zeros((1, 2, 4, 4))).tolist()
    [-32.0]
    """

    beta: float

    def __post_init__(self) -> None:
        """Refuse what no Boltzmann weight belongs to."""
        if not 0.0 <= self.beta < np.inf:
            raise InvalidInput(f"beta is {self.beta:g}, and has to be 0 or more.")

    def action(self, links: Array) -> Array:
        """Return S of every configuration: links (chain, 2, x, y) -> (chain,)."""
        return np.asarray(kernel.u1_action(checked_links(links), self.beta))

    def force(self, links: Array) -> Array:
        """Return -dS/dtheta, shaped as the links."""
        return np.asarray(kernel.u1_force(checked_links(links), self.beta))


def checked_links(links: Array) -> Array:
    """Return link angles as contiguous float64 (chain, 2, x, y).

    Raises:
        InvalidInput: Another shape.
    """
    array = np.ascontiguousarray(links, dtype=np.float64)
    if array.ndim != 4 or array.shape[1] != 2 or min(array.shape[2:]) < 2:
        raise InvalidInput(f"Link angles are (chain, 2, x, y) with two sites or more each way, not {array.shape}.")
    return array


def wrapped(angles: Array) -> Array:
    """Return angles moved into [-pi, pi)."""
    return np.asarray(np.mod(np.asarray(angles) + np.pi, 2.0 * np.pi) - np.pi)


def plaquettes(links: Array) -> Array:
    """Return the plaquette angles in [-pi, pi): theta_0(x) + theta_1(x+0) - theta_0(x+1) - theta_1(x), (chain, x, y)."""
    return wrapped(kernel.u1_plaquettes(checked_links(links)))


def topological_charge(links: Array) -> NDArray[np.int64]:
    """Return Q = sum of wrapped plaquette angles / 2 pi, a whole number on a periodic lattice, as (chain,)."""
    return np.asarray(np.rint(plaquettes(links).sum(axis=(1, 2)) / (2.0 * np.pi)), dtype=np.int64)


def wilson_loop(links: Array, width: int, height: int) -> Array:
    """Return the mean over positions of the cosine of the angle around a width x height rectangle, as (chain,).

    Raises:
        InvalidInput: The loop does not fit on the lattice.
    """
    theta = checked_links(links)
    if not (1 <= width < theta.shape[2] and 1 <= height < theta.shape[3]):
        raise InvalidInput(f"A loop of {width} x {height} does not lie on a lattice of {theta.shape[2:]}.")
    along = sum(np.roll(theta[:, 0], -i, axis=1) for i in range(width))
    across = sum(np.roll(theta[:, 1], -i, axis=2) for i in range(height))
    around = along + np.roll(across, -width, axis=1) - np.roll(along, -height, axis=2) - across
    return np.asarray(np.cos(around).mean(axis=(1, 2)))


def u1_observables(links: Array) -> dict[str, Array]:
    """Return `plaquette` (mean cosine), `charge` Q and `charge_squared` of each configuration, each (chain,)."""
    angles = plaquettes(links)
    charge = np.rint(angles.sum(axis=(1, 2)) / (2.0 * np.pi))
    return {"plaquette": np.cos(angles).mean(axis=(1, 2)), "charge": charge, "charge_squared": charge**2}


def gauge_transformed(links: Array, angles: Array) -> Array:
    """Return links after a gauge transformation, theta_mu(x) + alpha(x) - alpha(x + mu).

    Args:
        links: (chain, 2, x, y).
        angles: alpha, (chain, x, y) or (x, y).
    """
    alpha = np.broadcast_to(angles, (len(links), *np.shape(links)[2:]))
    steps = [alpha - np.roll(alpha, -1, axis=1), alpha - np.roll(alpha, -1, axis=2)]
    return checked_links(links) + np.stack(steps, axis=1)


def instanton(shape: tuple[int, int], charge: int = 1) -> Array:
    """Return links (2, x, y) whose plaquettes all are 2 pi charge / V: the classical solution of that charge.

    The field strength is constant; the links that close the torus carry what its total flux leaves over.
    """
    width, height = shape
    flux = 2.0 * np.pi * charge / (width * height)
    links = np.zeros((2, width, height))
    links[1] = flux * np.arange(width)[:, None]
    links[0, -1] = -flux * width * np.arange(height)
    return links


@dataclass(frozen=True)
class Winding:
    """Metropolis update that adds an instanton or anti-instanton to each chain, with equal chance.

    The proposal is a shift of the angles and its own inverse is offered as often, so the plain Metropolis rule keeps the
    distribution (Albandea et al. 2021, arXiv:2106.14234).

    Attributes:
        theory: The action.
    """

    theory: U1

    def __call__(self, links: Array, rng: np.random.Generator) -> Array:
        """Return the links after one update of every chain."""
        sign = rng.choice(np.array([-1.0, 1.0]), size=(len(links), 1, 1, 1))
        offered = links + sign * instanton(np.shape(links)[2:])
        rise = self.theory.action(offered) - self.theory.action(links)
        taken = np.log(1.0 - rng.random(len(links))) < -rise
        return np.where(taken[:, None, None, None], wrapped(offered), links)


def heat_bath_sweep(theory: U1, links: Array, rng: np.random.Generator, *, reflections: int = 0) -> Array:
    """Return the links after each was drawn anew from its distribution given all others.

    Given its two plaquettes a link has a von Mises distribution about the angle of its staples, with the concentration
    beta times their length; those of one parity share no plaquette and are drawn together.

    Args:
        theory: The action.
        links: (chain, 2, x, y) with even extents.
        rng: Source of chance, moved on.
        reflections: Over-relaxation sweeps afterwards, which mirror every link at its staples (Adler 1981).

    Raises:
        InvalidInput: An odd extent, where the two parities would touch.
    """
    moved = checked_links(links).copy()
    if moved.shape[2] % 2 or moved.shape[3] % 2:
        raise InvalidInput(f"A heat bath by parities needs even extents, not {moved.shape[2:]}.")
    for sweep in range(1 + reflections):
        for direction in (0, 1):
            for parity in (0, 1):
                _redraw(theory.beta, moved, (direction, parity), rng if sweep == 0 else None)
    return wrapped(moved)


def _redraw(beta: float, links: Array, which: tuple[int, int], rng: np.random.Generator | None) -> None:
    direction, parity = which
    angles = kernel.u1_plaquettes(links)
    if direction == 1:
        angles = -angles
    axis = 2 if direction == 0 else 1
    # The link's plaquettes are +angles here and -angles one step back across it.
    pull = np.exp(1j * (links[:, direction] - angles)) + np.exp(
        1j * (links[:, direction] + np.roll(angles, 1, axis=axis))
    )
    rows = (slice(None), slice(None), slice(parity, None, 2))
    chosen = rows if direction == 0 else (slice(None), slice(parity, None, 2))
    centre, length = np.angle(pull[chosen]), np.abs(pull[chosen])
    if rng is None:
        links[:, direction][chosen] = 2.0 * centre - links[:, direction][chosen]
    else:
        links[:, direction][chosen] = rng.vonmises(centre, beta * length)


def prior_plaquettes(beta: float, shape: tuple[int, int], count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return independent von Mises plaquettes (count, x, y) that sum to 0 modulo 2 pi, and their log density (count,).

    All plaquettes but one, whose place is drawn at random, are those of an open lattice, where plaquettes are
    independent; the last is fixed by the torus. The density is the mixture over places, by V - 1 of the angles.
    """
    volume = shape[0] * shape[1]
    angles = rng.vonmises(0.0, beta, size=(count, volume))
    place = rng.integers(volume, size=count)
    rows = np.arange(count)
    angles[rows, place] = 0.0
    angles[rows, place] = wrapped(-angles.sum(axis=1))
    cosines = np.cos(angles)
    # log of the mean over places of exp(-beta cos P): the term that the fixed plaquette lacks
    lacking = np.log(np.mean(np.exp(-beta * (cosines + 1.0)), axis=1)) + beta
    log_density = beta * cosines.sum(axis=1) + lacking - (volume - 1) * np.log(2.0 * np.pi * np.i0(beta))
    return angles.reshape(count, *shape), np.asarray(log_density)


def exact_plaquettes(beta: float, shape: tuple[int, int], count: int, rng: np.random.Generator) -> Array:
    """Return independent exact plaquette configurations (count, x, y) by rejection: an oracle special to two dimensions.

    V - 1 von Mises plaquettes are kept with chance exp(beta (cos P - 1)), P being the last one that closes the torus.
    """
    kept: list[Array] = []
    found, volume = 0, shape[0] * shape[1]
    while found < count:
        angles = rng.vonmises(0.0, beta, size=(max(64, 2 * (count - found)), volume))
        angles[:, -1] = wrapped(-angles[:, :-1].sum(axis=1))
        taken = rng.random(len(angles)) < np.exp(beta * (np.cos(angles[:, -1]) - 1.0))
        kept.append(angles[taken])
        found += int(taken.sum())
    return np.concatenate(kept)[:count].reshape(count, *shape)


def links_of(angles: Array) -> Array:
    """Return links (chain, 2, x, y) that have the given plaquettes (chain, x, y), in a gauge of many zeros.

    Raises:
        InvalidInput: The angles of a configuration do not add up to a multiple of 2 pi.
    """
    flux = np.asarray(angles, dtype=np.float64)
    total = flux.sum(axis=(1, 2))
    if np.any(np.abs(wrapped(total)) > 1e-8):
        raise InvalidInput("Plaquettes of a periodic lattice add up to a multiple of 2 pi; these do not.")
    links = np.zeros((len(flux), 2, *flux.shape[1:]))
    links[:, 1, 1:] = np.cumsum(flux, axis=1)[:, :-1]
    # The last column closes the torus: what the row sums leave over is carried by its x-links.
    rows = flux.sum(axis=1)
    links[:, 0, -1, 1:] = -np.cumsum(rows, axis=1)[:, :-1]
    return links
