"""SU(2) and SU(3) in two dimensions: the exact plaquette, and a heat bath that finds it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from gemel.base.errors import InvalidInput
from gemel.thematic import lattice as lft
from gemel.thematic.lattice import _kernel as kernel


def random_matrices(colours, shape, seed):
    rng = np.random.default_rng(seed)
    q, r = np.linalg.qr(rng.normal(size=(*shape, colours, colours)) + 1j * rng.normal(size=(*shape, colours, colours)))
    q = q * (np.diagonal(r, axis1=-2, axis2=-1) / np.abs(np.diagonal(r, axis1=-2, axis2=-1)))[..., None, :]
    return q / np.linalg.det(q)[..., None, None] ** (1 / colours)


@pytest.mark.parametrize(
    ("colours", "beta", "published"),
    [(2, 2.0, 0.433127), (2, 2.2, 0.464479), (2, 2.7, 0.532971), (2, 4.0, 0.658047),
     (3, 4.0, 0.279619), (3, 5.0, 0.353954), (3, 6.0, 0.422532)],
)  # fmt: skip
def test_exact_plaquettes_are_the_published_ones(colours, beta, published):
    assert lft.exact_sun_plaquette(colours, beta) == pytest.approx(published, abs=6e-7)


@pytest.mark.parametrize("beta", [0.3, 2.0, 12.0])
def test_two_colours_give_the_ratio_of_bessel_functions(beta):
    assert lft.exact_sun_plaquette(2, beta) == pytest.approx(special.iv(2, beta) / special.iv(1, beta), abs=1e-9)


def test_strong_coupling_of_three_colours():
    """beta/18 + beta^2/216 to second order."""
    assert lft.exact_sun_plaquette(3, 0.02) == pytest.approx(0.02 / 18 + 0.02**2 / 216, rel=1e-5)


@pytest.mark.parametrize("strength", [0.0, 0.4, 3.0, 20.0])
def test_kennedy_pendleton_draws_have_the_moments_of_their_density(strength):
    rng = np.random.default_rng(1)
    draws = np.array([kernel.kennedy_pendleton(strength, rng) for _ in range(20_000)])
    grid = np.cos(np.pi * (np.arange(4000) + 0.5) / 4000)
    weight = (1 - grid**2) * np.exp(strength * (grid - 1))  # sqrt(1 - a^2) da on Chebyshev nodes
    for power in (1, 2, 3):
        known = (weight * grid**power).sum() / weight.sum()
        values = draws**power
        assert abs(values.mean() - known) < 4 * values.std() / np.sqrt(len(draws))


def test_plaquette_is_gauge_invariant_and_one_on_a_cold_lattice():
    assert lft.sun_plaquette(lft.cold_links(3, 2, (4, 4))) == pytest.approx([1.0, 1.0])
    links, turn = random_matrices(3, (1, 2, 4, 4), 1), random_matrices(3, (1, 4, 4), 2)
    turned = links.copy()
    for mu in (0, 1):
        ahead = np.roll(turn, -1, axis=1 + mu)
        turned[:, mu] = turn @ links[:, mu] @ np.conj(np.swapaxes(ahead, -1, -2))
    assert np.abs(lft.sun_plaquette(turned) - lft.sun_plaquette(links)).max() < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize(("colours", "beta"), [(2, 2.2), (2, 0.5), (3, 5.0)])
def test_heat_bath_finds_the_exact_plaquette(colours, beta):
    """On 8 x 8 the finite volume is a matter of (I_2/I_1)^64: none."""
    rng, rows = np.random.default_rng(3), []
    links = lft.cold_links(colours, 4, (8, 8))
    for sweep in range(280):
        links = lft.sun_heat_bath(links, beta, rng)
        if sweep >= 30:
            rows.append(lft.sun_plaquette(links))
    found = lft.gamma_method(np.stack(rows, axis=1))
    assert abs(found.value - lft.exact_sun_plaquette(colours, beta)) < 4 * found.error
    assert found.error < 0.003
    one = np.eye(colours)
    assert np.abs(links @ np.conj(np.swapaxes(links, -1, -2)) - one).max() < 1e-12
    assert np.abs(np.linalg.det(links) - 1).max() < 1e-12


def test_wrong_shapes_and_colours_are_refused():
    with pytest.raises(InvalidInput, match="two colours"):
        lft.cold_links(1, 1, (4, 4))
    with pytest.raises(InvalidInput, match=r"\(2, 2\)"):
        lft.sun_plaquette(np.zeros((2, 2), dtype=complex))
    with pytest.raises(InvalidInput, match="beta"):
        lft.exact_sun_plaquette(3, 0.0)
