"""Spins of two values, by exact enumeration: what proposals of discrete fields are tested against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gemel.base.errors import InvalidInput

Array = NDArray[np.float64]
MOST_SPINS = 14


@dataclass(frozen=True, eq=False)
class Ising:
    """Energy E(s) = -sum over pairs J_ij s_i s_j - sum h_i s_i, spins of +1 and -1, probability exp(-E/T)/Z.

    A state is a whole number: bit i is 1 where spin i is -1.

    Attributes:
        couplings: J (spin, spin), symmetric with zeros on the diagonal; each pair counts once.
        fields: h (spin,).
        temperature: T, positive.
    """

    couplings: Array
    fields: Array
    temperature: float

    def __post_init__(self) -> None:
        """Refuse what is not an energy, or too large to enumerate."""
        j, h = np.asarray(self.couplings, dtype=np.float64), np.asarray(self.fields, dtype=np.float64)
        square = j.ndim == 2 and j.shape == (len(h), len(h))
        if not square or not np.array_equal(j, j.T) or np.diagonal(j).any() or not np.isfinite(j).all():
            raise InvalidInput("Couplings are a symmetric matrix with zeros on its diagonal, one row for each field.")
        if not 1 <= len(h) <= MOST_SPINS or not self.temperature > 0.0:
            raise InvalidInput(f"1 to {MOST_SPINS} spins and a temperature above 0, not {len(h)}, {self.temperature}.")
        object.__setattr__(self, "couplings", j)
        object.__setattr__(self, "fields", h)

    @classmethod
    def lattice(cls, shape: tuple[int, int], temperature: float, coupling: float = 1.0, field: float = 0.0) -> Ising:
        """Return the nearest-neighbour model on a periodic lattice, spin number x * height + y."""
        count = shape[0] * shape[1]
        site = np.arange(count).reshape(shape)
        j = np.zeros((count, count))
        for axis in (0, 1):
            np.add.at(j, (site.ravel(), np.roll(site, -1, axis).ravel()), coupling)
        j = j + j.T
        np.fill_diagonal(j, 0.0)
        return cls(j, np.full(count, field), temperature)

    @property
    def spins(self) -> Array:
        """Return the spins of every state (state, spin)."""
        count = len(self.fields)
        return np.asarray(1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1))

    @property
    def energies(self) -> Array:
        """Return E of every state (state,)."""
        s = self.spins
        return np.asarray(-0.5 * np.einsum("ai,ij,aj->a", s, self.couplings, s, optimize=True) - s @ self.fields)

    @property
    def probabilities(self) -> Array:
        """Return Boltzmann's probability of every state (state,)."""
        return np.asarray(special.softmax(-self.energies / self.temperature))


def single_flips(count: int) -> Array:
    """Return the proposal of local updates as a matrix (state, state): one of `count` spins, drawn at random, flips."""
    states = np.arange(2**count)
    out = np.zeros((2**count, 2**count))
    for spin in range(count):
        out[states, states ^ (1 << spin)] = 1.0 / count
    return out


def transition_matrix(model: Ising, proposal: Array) -> Array:
    """Return Metropolis' chain P (from, to) for a symmetric proposal: Q min(1, exp(-(E' - E)/T)), rejections stay.

    Raises:
        InvalidInput: The proposal is not symmetric, or its rows do not sum to 1.
    """
    if not np.allclose(proposal, proposal.T, atol=1e-10) or not np.allclose(proposal.sum(axis=1), 1.0, atol=1e-8):
        raise InvalidInput("A proposal for this acceptance is symmetric, and its rows sum to 1.")
    energy = model.energies
    rise = np.maximum(energy[None, :] - energy[:, None], 0.0)
    moved = proposal * np.exp(-rise / model.temperature)
    np.fill_diagonal(moved, 0.0)
    np.fill_diagonal(moved, 1.0 - moved.sum(axis=1))
    return moved


def spectral_gap(model: Ising, transitions: Array) -> float:
    """Return 1 - |second eigenvalue| of a reversible chain: the rate at which it forgets (Levin & Peres 2017, chapter 12)."""
    root = np.exp(-0.5 * (model.energies - model.energies.min()) / model.temperature)
    similar = root[:, None] * transitions / root[None, :]
    values = np.sort(np.abs(np.linalg.eigvalsh(0.5 * (similar + similar.T))))
    return float(1.0 - values[-2])
