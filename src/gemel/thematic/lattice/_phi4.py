"""Scalar field with a quartic self-interaction on a periodic lattice of two dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.thematic.lattice import _kernel as kernel

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Phi4:
    """Action S = sum over sites of sum_mu (phi(x+mu) - phi(x))^2 + m^2 phi^2 + lambda phi^4.

    The convention of Albergo, Kanwar, Shanahan (2019, arXiv:1904.12072) and the tutorial arXiv:2101.08176: no factor
    1/2 in front of the kinetic and mass terms, so a free field has variance 1/(2 (m^2 + k^2)) per mode.

    Attributes:
        mass_squared: m^2 in lattice units; may be negative.
        coupling: lambda in lattice units.

    >>> Phi4(-4.0, 8.0).action(np.ones((1, 2, 2))).tolist()
    [16.0]
    """

    mass_squared: float
    coupling: float

    def __post_init__(self) -> None:
        """Refuse an action that has no lower bound, so that no probability belongs to it."""
        bounded = self.coupling > 0.0 or (self.coupling == 0.0 and self.mass_squared > 0.0)
        if not bounded or not np.isfinite([self.mass_squared, self.coupling]).all():
            hint = "Take a coupling above 0, or a coupling of 0 with a positive squared mass."
            message = f"The action with m^2 = {self.mass_squared:g} and lambda = {self.coupling:g} has no lower bound."
            raise InvalidInput(message, hint=hint)

    def action(self, field: Array) -> Array:
        """Return S of every configuration: field (chain, x, y) -> (chain,)."""
        return np.asarray(kernel.phi4_action(checked_scalar(field), self.mass_squared, self.coupling))

    def force(self, field: Array) -> Array:
        """Return -dS/dphi, shaped as the field."""
        return np.asarray(kernel.phi4_force(checked_scalar(field), self.mass_squared, self.coupling))


def checked_scalar(field: Array) -> Array:
    """Return the field as contiguous float64 (chain, x, y).

    Raises:
        InvalidInput: Another number of axes, or an axis with fewer than two sites.
    """
    array = np.ascontiguousarray(field, dtype=np.float64)
    if array.ndim != 3 or min(array.shape[1:]) < 2:
        raise InvalidInput(f"A scalar field is (chain, x, y) with two sites or more each way, not {array.shape}.")
    return array


def metropolis_sweep(action: Phi4, field: Array, width: float, rng: np.random.Generator) -> tuple[Array, float]:
    """Return the field after one local Metropolis sweep over all sites, and the share of offers taken.

    A second way to the same distribution, which knows neither momenta nor forces.

    Args:
        action: Its mass and coupling.
        field: (chain, x, y), left as it is.
        width: Greatest shift of a site.
        rng: Source of chance, moved on.
    """
    moved = checked_scalar(field).copy()
    taken = kernel.phi4_sweep(moved, (action.mass_squared, action.coupling), width, rng)
    return moved, taken / moved.size


def phi4_observables(field: Array) -> dict[str, Array]:
    """Return what one measures of each configuration, each (chain,).

    `magnetisation` M (mean of phi), `absolute_magnetisation` |M|, `magnetisation_squared` M^2 and `fourth` M^4,
    `phi_squared` (mean of phi^2), `neighbours` (mean of phi(x) phi(x+mu) over sites and both directions).
    """
    phi = checked_scalar(field)
    mean = phi.mean(axis=(1, 2))
    pairs = 0.5 * phi * (np.roll(phi, -1, axis=1) + np.roll(phi, -1, axis=2))
    return {
        "magnetisation": mean,
        "absolute_magnetisation": np.abs(mean),
        "magnetisation_squared": mean**2,
        "fourth": mean**4,
        "phi_squared": np.mean(phi**2, axis=(1, 2)),
        "neighbours": pairs.mean(axis=(1, 2)),
    }


def two_point(field: Array) -> Array:
    """Return the two-point function of each configuration, mean over y of phi(y) phi(y+x), as (chain, x, y).

    Not connected; for the connected one take the squared mean of M off (in the symmetric phase it vanishes).
    """
    phi = checked_scalar(field)
    power = np.abs(np.fft.fft2(phi, axes=(1, 2))) ** 2
    return np.asarray(np.fft.ifft2(power, axes=(1, 2)).real / (phi.shape[1] * phi.shape[2]))


def zero_momentum_correlator(field: Array) -> Array:
    """Return C(t), the two-point function summed over x, for every separation t along y, as (chain, t)."""
    slices = checked_scalar(field).sum(axis=1)
    width, extent = np.shape(field)[1], slices.shape[1]
    power = np.abs(np.fft.fft(slices, axis=1)) ** 2
    return np.asarray(np.fft.ifft(power, axis=1).real / (extent * width))


def pole_mass(correlator: Array) -> float:
    """Return the mass that a periodic correlator decays with: the mean of arcosh((C(t-1) + C(t+1)) / (2 C(t))).

    Albergo et al. 2019; exact at every t for a single state.

    Args:
        correlator: C(t) (t,), the mean over configurations.

    Raises:
        InvalidInput: The noise leaves no time slice with a real mass.

    >>> t = np.arange(8)
    >>> round(pole_mass(np.cosh(0.7 * (t - 4))), 12)
    0.7
    """
    c = np.asarray(correlator, dtype=np.float64)
    ratio = (c[:-2] + c[2:]) / (2.0 * c[1:-1])
    real = np.isfinite(ratio) & (ratio >= 1.0)
    if not real.any():
        raise InvalidInput("The correlator is too noisy for a mass.", hint="Take more configurations.")
    return float(np.arccosh(ratio[real]).mean())


def binder_cumulant(magnetisation_squared: float, fourth: float) -> float:
    """Return U = 1 - <M^4> / (3 <M^2>^2): 0 for a Gaussian, 2/3 deep in the broken phase (Binder 1981).

    >>> binder_cumulant(1.0, 3.0)
    0.0
    """
    return 1.0 - fourth / (3.0 * magnetisation_squared**2)


def ising_energy(field: Array) -> float:
    """Return the mean over directions of the connected two-point function at distance 1 (Albergo et al. 2019)."""
    measured = phi4_observables(field)
    return float(measured["neighbours"].mean() - measured["magnetisation"].mean() ** 2)


def _momenta_squared(extent: int) -> Array:
    return np.asarray(4.0 * np.sin(np.pi * np.arange(extent) / extent) ** 2)


def free_field(mass_squared: float, shape: tuple[int, int]) -> dict[str, Array]:
    """Return exact expectation values without interaction (lambda = 0), summed over lattice momenta.

    Every Fourier mode is Gaussian with variance V / (2 (m^2 + k^2)), where k^2 = sum_mu 4 sin^2(pi n_mu / L_mu)
    (textbooks such as Montvay & Muenster 1994, with this module's missing factor 1/2).

    Args:
        mass_squared: m^2 > 0.
        shape: Sites along x and y.

    Returns:
        `phi_squared`, `magnetisation_squared` <M^2>, `susceptibility` V <M^2>, `fourth` <M^4>, `neighbours`,
        `action` <S> and `mass` (2 arsinh(m/2)) as scalars, `correlator` C(t) along y and `two_point` (x, y).
    """
    Phi4(mass_squared, 0.0)
    width, height = shape
    volume = width * height
    modes = 1.0 / (2.0 * (mass_squared + _momenta_squared(width)[:, None] + _momenta_squared(height)[None, :]))
    pair = np.fft.ifft2(modes).real
    square = 1.0 / (2.0 * mass_squared * volume)
    return {
        "phi_squared": np.asarray(pair[0, 0]),
        "magnetisation_squared": np.asarray(square),
        "susceptibility": np.asarray(volume * square),
        "fourth": np.asarray(3.0 * square**2),
        "neighbours": np.asarray(0.5 * (pair[1, 0] + pair[0, 1])),
        "action": np.asarray(0.5 * volume),
        "mass": np.asarray(2.0 * np.arcsinh(0.5 * np.sqrt(mass_squared))),
        "correlator": np.fft.ifft(modes[0]).real,
        "two_point": pair,
    }
