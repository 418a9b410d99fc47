"""All compiled loops of the module; one file, because numba's disk cache does not notice edits of a callee elsewhere.

Scalar fields are (chain, x, y); link angles are (chain, 2, x, y), direction 0 pointing along x; all axes are periodic.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@numba.njit(cache=True)
def phi4_action(field: Array, mass_squared: float, coupling: float) -> Array:
    """Return the action of each configuration (chain,)."""
    chains, width, height = field.shape
    out = np.zeros(chains)
    for c in range(chains):
        total = 0.0
        for x in range(width):
            right = x + 1 if x + 1 < width else 0
            for y in range(height):
                up = y + 1 if y + 1 < height else 0
                phi = field[c, x, y]
                along, across = field[c, right, y] - phi, field[c, x, up] - phi
                square = phi * phi
                total += along * along + across * across + square * (mass_squared + coupling * square)
        out[c] = total
    return out


@numba.njit(cache=True)
def phi4_force(field: Array, mass_squared: float, coupling: float) -> Array:
    """Return minus the derivative of the action by each field value, shaped as the field."""
    chains, width, height = field.shape
    out = np.empty_like(field)
    for c in range(chains):
        for x in range(width):
            right, left = (x + 1 if x + 1 < width else 0), (x - 1 if x > 0 else width - 1)
            for y in range(height):
                up, down = (y + 1 if y + 1 < height else 0), (y - 1 if y > 0 else height - 1)
                phi = field[c, x, y]
                around = field[c, right, y] + field[c, left, y] + field[c, x, up] + field[c, x, down]
                out[c, x, y] = 2.0 * around - phi * (8.0 + 2.0 * mass_squared + 4.0 * coupling * phi * phi)
    return out


@numba.njit(cache=True)
def phi4_sweep(field: Array, action: tuple[float, float], width: float, rng: np.random.Generator) -> int:
    """Offer every site in turn a uniform shift within ±width, in place; return how many were taken (Metropolis 1953)."""
    mass_squared, coupling = action
    chains, extent_x, extent_y = field.shape
    taken = 0
    for c in range(chains):
        for x in range(extent_x):
            for y in range(extent_y):
                around = field[c, (x + 1) % extent_x, y] + field[c, x - 1, y]
                around += field[c, x, (y + 1) % extent_y] + field[c, x, y - 1]
                old = field[c, x, y]
                new = old + width * (2.0 * rng.random() - 1.0)
                squares = new * new - old * old
                rise = squares * (4.0 + mass_squared + coupling * (new * new + old * old)) - 2.0 * (new - old) * around
                if rise <= 0.0 or rng.random() < math.exp(-rise):
                    field[c, x, y] = new
                    taken += 1
    return taken


@numba.njit(cache=True)
def u1_plaquettes(links: Array) -> Array:
    """Return the angle of every plaquette (chain, x, y), not wrapped."""
    chains, _, width, height = links.shape
    out = np.empty((chains, width, height))
    for c in range(chains):
        for x in range(width):
            right = x + 1 if x + 1 < width else 0
            for y in range(height):
                up = y + 1 if y + 1 < height else 0
                out[c, x, y] = links[c, 0, x, y] + links[c, 1, right, y] - links[c, 0, x, up] - links[c, 1, x, y]
    return out


@numba.njit(cache=True)
def u1_action(links: Array, beta: float) -> Array:
    """Return minus beta times the sum of plaquette cosines (chain,)."""
    angles = u1_plaquettes(links)
    out = np.zeros(links.shape[0])
    for c in range(links.shape[0]):
        out[c] = -beta * np.sum(np.cos(angles[c]))
    return out


@numba.njit(cache=True)
def u1_force(links: Array, beta: float) -> Array:
    """Return minus the derivative of the action by each link angle."""
    sines = np.sin(u1_plaquettes(links))
    out = np.empty_like(links)
    chains, _, width, height = links.shape
    for c in range(chains):
        for x in range(width):
            for y in range(height):
                # Python's index -1 is the periodic neighbour below 0.
                out[c, 0, x, y] = -beta * (sines[c, x, y] - sines[c, x, y - 1])
                out[c, 1, x, y] = -beta * (sines[c, x - 1, y] - sines[c, x, y])
    return out


@numba.njit(cache=True)
def metropolis_walk(log_weight: Array, draws: Array) -> NDArray[np.int64]:
    """Return which proposal each state of the chain is (proposal,); the first is always taken."""
    out = np.empty(len(log_weight), dtype=np.int64)
    now = 0
    out[0] = 0
    for i in range(1, len(log_weight)):
        if math.log(draws[i]) < log_weight[i] - log_weight[now]:
            now = i
        out[i] = now
    return out


@numba.njit(cache=True)
def kennedy_pendleton(strength: float, rng: np.random.Generator) -> float:
    """Return a0 of an SU(2) matrix with density sqrt(1 - a0^2) exp(strength a0) (Kennedy & Pendleton 1985)."""
    if strength < 1e-12:
        # Uniform on SU(2): the semicircle by rejection.
        while True:
            x = 2.0 * rng.random() - 1.0
            y = rng.random()
            if y * y <= 1.0 - x * x:
                return x
    while True:
        turn = math.cos(2.0 * math.pi * rng.random()) ** 2
        first, second = -math.log(1.0 - rng.random()), -math.log(1.0 - rng.random())
        delta = (first * turn + second) / strength
        last = rng.random()
        if last * last <= 1.0 - 0.5 * delta and delta <= 2.0:
            return 1.0 - delta


@numba.njit(cache=True)
def su2_draw(strength: float, rng: np.random.Generator) -> tuple[complex, complex]:
    """Return the first row (a, b) of an SU(2) matrix [[a, b], [-b*, a*]] with density exp(strength Tr/2)."""
    a0 = kennedy_pendleton(strength, rng)
    length = math.sqrt(max(0.0, 1.0 - a0 * a0))
    height = 2.0 * rng.random() - 1.0
    angle = 2.0 * math.pi * rng.random()
    across = length * math.sqrt(max(0.0, 1.0 - height * height))
    return complex(a0, length * height), complex(across * math.sin(angle), across * math.cos(angle))


@numba.njit(cache=True)
def sun_sweep(links: NDArray[np.complex128], beta: float, rng: np.random.Generator) -> None:
    """Draw every link anew, in place, subgroup by subgroup (Creutz 1980; Cabibbo & Marinari 1982).

    The links are (chain, direction, x, y, N, N), the action is -beta/N sum Re Tr P.
    """
    chains, _, width, height, n, _ = links.shape
    for c in range(chains):
        for d in range(2):
            for x in range(width):
                for y in range(height):
                    right, up = (x + 1) % width, (y + 1) % height
                    if d == 0:
                        one = links[c, 1, right, y] @ links[c, 0, x, up].conj().T @ links[c, 1, x, y].conj().T
                        two = (
                            links[c, 1, right, y - 1].conj().T @ links[c, 0, x, y - 1].conj().T @ links[c, 1, x, y - 1]
                        )
                    else:
                        one = links[c, 0, x, up] @ links[c, 1, right, y].conj().T @ links[c, 0, x, y].conj().T
                        two = links[c, 0, x - 1, up].conj().T @ links[c, 1, x - 1, y].conj().T @ links[c, 0, x - 1, y]
                    sun_link(links[c, d, x, y], one + two, beta / n, rng)


@numba.njit(cache=True)
def sun_link(
    link: NDArray[np.complex128], staple: NDArray[np.complex128], scale: float, rng: np.random.Generator
) -> None:
    """Draw one link with density exp(scale Re Tr(U staple)) anew in every SU(2) subgroup, in place."""
    n = link.shape[0]
    for i in range(n - 1):
        for j in range(i + 1, n):
            whole = link @ staple
            # The quaternion part of the 2x2 block: the rest does not feel the subgroup.
            a = 0.5 * (whole[i, i] + whole[j, j].conjugate())
            b = 0.5 * (whole[i, j] - whole[j, i].conjugate())
            size = math.sqrt(abs(a) ** 2 + abs(b) ** 2)
            p, q = su2_draw(2.0 * scale * size, rng)
            if size > 1e-14:
                # new block = draw @ conjugate of the unit quaternion (a, b)
                u, v = a.conjugate() / size, -b / size
                p, q = p * u - q * v.conjugate(), p * v + q * u.conjugate()
            for k in range(n):
                upper, lower = link[i, k], link[j, k]
                link[i, k] = p * upper + q * lower
                link[j, k] = -q.conjugate() * upper + p.conjugate() * lower
