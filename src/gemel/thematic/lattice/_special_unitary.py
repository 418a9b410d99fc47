"""SU(N) gauge fields on a periodic lattice of two dimensions: matrices, heat bath and the exact plaquette."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gemel.base.errors import InvalidInput
from gemel.thematic.lattice import _kernel as kernel

Array = NDArray[np.float64]
Links = NDArray[np.complex128]


def cold_links(colours: int, chains: int, shape: tuple[int, int]) -> Links:
    """Return unit matrices on every link, (chain, 2, x, y, N, N).

    Raises:
        InvalidInput: Fewer than two colours.
    """
    if colours < 2:
        raise InvalidInput(f"SU(N) needs two colours or more, not {colours}.")
    links = np.zeros((chains, 2, *shape, colours, colours), dtype=np.complex128)
    links[..., np.arange(colours), np.arange(colours)] = 1.0
    return links


def sun_plaquette(links: Links) -> Array:
    """Return the mean over the lattice of Re Tr P / N for each configuration (chain,)."""
    along, across = _directions(links)
    ahead = np.roll(across, -1, axis=1)
    above = np.roll(along, -1, axis=2)
    trace = np.einsum("...ab,...bc,...dc,...ad->...", along, ahead, above.conj(), across.conj(), optimize=True)
    return np.asarray(trace.real.mean(axis=(1, 2)) / links.shape[-1])


def _directions(links: Links) -> tuple[Links, Links]:
    if links.ndim != 6 or links.shape[1] != 2 or links.shape[-1] != links.shape[-2] or min(links.shape[2:4]) < 2:
        raise InvalidInput(
            f"SU(N) links are (chain, 2, x, y, N, N) with two sites or more each way, not {links.shape}."
        )
    return links[:, 0], links[:, 1]


def sun_heat_bath(links: Links, beta: float, rng: np.random.Generator) -> Links:
    """Return the links after a heat-bath sweep with the action -beta/N sum Re Tr P.

    Kennedy & Pendleton 1985 (doi 10.1016/0370-2693(85)91632-6) for SU(2); for N > 2 in all SU(2) subgroups, Cabibbo &
    Marinari 1982 (doi 10.1016/0370-2693(82)90696-7). The matrices are made unitary again against rounding.
    """
    _directions(links)
    moved = np.ascontiguousarray(links, dtype=np.complex128).copy()
    kernel.sun_sweep(moved, float(beta), rng)
    return unitary(moved)


def unitary(links: Links) -> Links:
    """Return the special unitary matrices next to the given ones (QR with positive diagonal, then determinant 1)."""
    q, r = np.linalg.qr(links)
    diagonal = np.diagonal(r, axis1=-2, axis2=-1)
    q = q * (diagonal / np.abs(diagonal))[..., None, :]
    return np.asarray(q / np.linalg.det(q)[..., None, None] ** (1.0 / links.shape[-1]))


def exact_sun_plaquette(colours: int, beta: float) -> float:
    """Return <Re Tr P>/N in an infinite volume, where plaquettes are independent: d ln z / d beta.

    z = sum_q det I_(q+i-j)(beta/N) is the one-matrix integral of exp(beta/N Re Tr U) (Gross & Witten 1980, doi
    10.1103/PhysRevD.21.446, for SU(N) with the sum over q); SU(2) gives I_2(beta)/I_1(beta).

    >>> round(exact_sun_plaquette(2, 2.2), 6), round(exact_sun_plaquette(3, 6.0), 6)
    (0.464479, 0.422532)
    """
    if colours < 2 or not 0.0 < beta <= 200.0:
        raise InvalidInput(f"The exact plaquette needs N >= 2 and 0 < beta <= 200, not {colours} and {beta:g}.")
    step = 1e-4 * max(1.0, beta)
    # Fourth-order difference of ln z: off by 1e-15 relative or so, less than the rounding of the logarithms.
    points = [_log_matrix_integral(colours, beta + k * step) for k in (-2, -1, 1, 2)]
    return float((points[0] - 8.0 * points[1] + 8.0 * points[2] - points[3]) / (12.0 * step))


def _log_matrix_integral(colours: int, beta: float) -> float:
    argument = beta / colours
    most = int(np.ceil(12.0 + 9.0 * np.sqrt(argument))) + colours
    differences = np.subtract.outer(np.arange(colours), np.arange(colours))
    orders = np.abs(np.arange(-most, most + 1)[:, None, None] + differences)
    total = np.linalg.det(special.ive(orders, argument)).sum()
    return float(np.log(total) + colours * argument)
