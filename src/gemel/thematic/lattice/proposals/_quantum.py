"""Proposals by a quantum circuit, on a simulator of state vectors: Layden et al. 2023, Nature 619, 282 (arXiv:2203.12497)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.core.graph import progress
from gemel.thematic.lattice.proposals._ising import Array, Ising

Amplitudes = NDArray[np.complex128]


@dataclass(frozen=True)
class Circuit:
    """Time evolution by H = (1 - gamma) alpha H_problem + gamma sum X, in `slices` symmetric Trotter steps.

    H_problem is the energy as an operator, alpha = |sum X| / |H_problem| in Frobenius norms. Gates of one slice are
    half a turn by X, the phases of the energy, and half a turn by X: the whole reads the same backwards and each gate is
    a symmetric matrix, so U = U^T whatever the number of slices, and |<s'|U|s>|^2 is symmetric exactly.

    Attributes:
        mixing: gamma, in (0, 1).
        time: t, positive.
        slices: Trotter steps.
    """

    mixing: float
    time: float
    slices: int = 12

    def __post_init__(self) -> None:
        """Refuse what is no evolution."""
        if not 0.0 < self.mixing < 1.0 or not self.time > 0.0 or self.slices < 1:
            raise InvalidInput("A circuit needs 0 < mixing < 1, a time above 0 and one slice or more.")

    def evolved(self, model: Ising, amplitudes: Amplitudes) -> Amplitudes:
        """Return U psi for state vectors (state, ...), first axis the computational basis."""
        psi = np.array(amplitudes, dtype=np.complex128)
        energy, count = model.energies, len(model.fields)
        # The mean energy is a phase common to all; both operators are traceless.
        scale = np.sqrt(count * len(energy)) / max(float(np.linalg.norm(energy)), 1e-300)
        step = self.time / self.slices
        phases = np.exp(-1j * step * (1.0 - self.mixing) * scale * energy).reshape(-1, *[1] * (psi.ndim - 1))
        angle = step * self.mixing
        psi = _turned(psi, 0.5 * angle, count)
        for n in range(self.slices):
            psi = _turned(psi * phases, angle if n + 1 < self.slices else 0.5 * angle, count)
        return psi

    def proposal(self, model: Ising) -> Array:
        """Return |<s'|U|s>|^2 as a matrix (state, state); memory grows as 4^spins."""
        return np.asarray(np.abs(self.evolved(model, np.eye(len(model.energies), dtype=np.complex128))) ** 2)


def _turned(psi: Amplitudes, angle: float, count: int) -> Amplitudes:
    """Return exp(-i angle X) on every qubit."""
    shape = psi.shape
    for spin in range(count):
        pairs = psi.reshape(2 ** (count - 1 - spin), 2, 2**spin, -1)
        psi = (np.cos(angle) * pairs - 1j * np.sin(angle) * pairs[:, ::-1]).reshape(shape)
    return psi


@dataclass(frozen=True, eq=False)
class QuantumChain:
    """A Markov chain whose proposals are measured from circuits with a random mixing and time at every step.

    Both are drawn without regard to the state, so the mixture is symmetric too, and Metropolis' decision
    min(1, exp(-(E' - E)/T)) makes Boltzmann's distribution stationary whatever the circuits do.

    Attributes:
        model: Its energy and temperature.
        mixing: Range of gamma; 0.25 to 0.6 as in Layden et al.
        time: Range of t; 2 to 20 as in Layden et al.
        slice: Longest Trotter step.
    """

    model: Ising
    mixing: tuple[float, float] = (0.25, 0.6)
    time: tuple[float, float] = (2.0, 20.0)
    slice: float = 0.8

    def circuit(self, rng: np.random.Generator) -> Circuit:
        """Return the circuit of one step."""
        time = float(rng.uniform(*self.time))
        return Circuit(float(rng.uniform(*self.mixing)), time, max(1, int(np.ceil(time / self.slice))))

    def proposal(self, rng: np.random.Generator, circuits: int = 16) -> Array:
        """Return the proposal as a matrix (state, state), the mean over circuits."""
        return np.asarray(sum(self.circuit(rng).proposal(self.model) for _ in range(circuits)) / circuits)

    def run(self, state: int, steps: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], float]:
        """Return the states after each step (step,) and the share of proposals taken.

        Raises:
            InvalidInput: No such state.
        """
        energy = self.model.energies
        if not 0 <= state < len(energy):
            raise InvalidInput(f"There is no state {state} of {len(self.model.fields)} spins.")
        out, taken = np.empty(steps, dtype=np.int64), 0
        for n in range(steps):
            offered = self._measured(state, rng)
            if np.log(1.0 - rng.random()) < -(energy[offered] - energy[state]) / self.model.temperature:
                taken += offered != state
                state = offered
            out[n] = state
            if (n + 1) % 100 == 0 or n + 1 == steps:
                progress((n + 1) / steps, f"made {n + 1} of {steps} steps")
        return out, float(taken / steps)

    def _measured(self, state: int, rng: np.random.Generator) -> int:
        start = np.zeros(len(self.model.energies), dtype=np.complex128)
        start[state] = 1.0
        chances = np.abs(self.circuit(rng).evolved(self.model, start)) ** 2
        return int(rng.choice(len(chances), p=chances / chances.sum()))
