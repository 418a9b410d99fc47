"""The scalar field against finite differences, its free limit, published values and a second algorithm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput
from gemel.thematic import lattice as lft

COUPLINGS = st.tuples(st.floats(-5.0, 5.0), st.floats(0.1, 9.0))


def some_field(seed, shape=(3, 4, 6)):
    return np.random.default_rng(seed).normal(size=shape)


def plain_action(phi, mass_squared, coupling):
    """The formula of physics.md, phi (2 phi - forward - backward) in each direction, written with rolls."""
    total = mass_squared * phi**2 + coupling * phi**4
    for axis in (1, 2):
        total = total + phi * (2 * phi - np.roll(phi, 1, axis) - np.roll(phi, -1, axis))
    return total.sum(axis=(1, 2))


def chains_of(theory, *, extent, chains=64, draws=400, seed=3, recipe=None):
    state = lft.ChainState.fresh(np.zeros((chains, extent, extent)), seed)
    state = lft.thermalise(theory, state, 150, recipe)
    return lft.sample(theory, state, draws, lft.phi4_observables, recipe)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), COUPLINGS)
def test_action_is_the_formula_of_the_reference(seed, couplings):
    phi = some_field(seed)
    assert lft.Phi4(*couplings).action(phi) == pytest.approx(plain_action(phi, *couplings), rel=1e-12, abs=1e-10)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), COUPLINGS)
def test_force_is_minus_the_slope_of_the_action(seed, couplings):
    theory, phi, way = lft.Phi4(*couplings), some_field(seed), some_field(seed + 1)
    step = 1e-5
    slope = (plain_action(phi + step * way, *couplings) - plain_action(phi - step * way, *couplings)) / (2 * step)
    along = (theory.force(phi) * way).sum(axis=(1, 2))
    assert along == pytest.approx(-slope, rel=1e-6, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 5), st.integers(0, 5))
def test_everything_is_blind_to_translations_and_sign(seed, along, across):
    phi, theory = some_field(seed), lft.Phi4(-1.0, 0.5)
    moved = -np.roll(phi, (along, across), axis=(1, 2))
    assert theory.action(moved) == pytest.approx(theory.action(phi), rel=1e-12)
    assert lft.two_point(moved) == pytest.approx(lft.two_point(phi), abs=1e-12)
    assert lft.phi4_observables(moved)["neighbours"] == pytest.approx(
        lft.phi4_observables(phi)["neighbours"], abs=1e-12
    )


def test_two_point_function_is_the_sum_over_pairs():
    phi = some_field(4)
    for x, y in ((0, 0), (1, 0), (2, 5)):
        pairs = (phi * np.roll(phi, (-x, -y), axis=(1, 2))).mean(axis=(1, 2))
        assert lft.two_point(phi)[:, x, y] == pytest.approx(pairs, abs=1e-12)
    # The correlator at zero momentum is that function summed over x.
    assert lft.zero_momentum_correlator(phi) == pytest.approx(lft.two_point(phi).sum(axis=1), abs=1e-12)


def test_free_field_is_the_inverse_of_its_matrix():
    """Half the inverse of the matrix of the quadratic form, built by brute force."""
    shape, mass_squared = (4, 6), 0.7
    unit = np.eye(24).reshape(24, *shape)
    matrix = 0.5 * -lft.Phi4(mass_squared, 0.0).force(unit).reshape(24, 24)
    pair = (0.5 * np.linalg.inv(matrix))[0].reshape(shape)
    exact = lft.free_field(mass_squared, shape)
    assert exact["two_point"] == pytest.approx(pair, abs=1e-13)
    assert float(exact["magnetisation_squared"]) == pytest.approx(pair.mean(), rel=1e-12)
    assert exact["correlator"] == pytest.approx(pair.sum(axis=0), abs=1e-13)


def test_free_correlator_has_the_exact_pole():
    exact = lft.free_field(0.49, (8, 8))
    assert lft.pole_mass(exact["correlator"]) == pytest.approx(float(exact["mass"]), abs=1e-10)


@pytest.mark.parametrize("integrator", lft.INTEGRATORS)
def test_hmc_gives_the_exact_free_field(integrator):
    """A factor 2 in force, momenta or action would be off by tens of standard errors."""
    measured, _ = chains_of(lft.Phi4(1.0, 0.0), extent=6, recipe=lft.Recipe(integrator=integrator))
    exact = lft.free_field(1.0, (6, 6))
    for name in ("phi_squared", "magnetisation_squared", "neighbours", "fourth"):
        found = lft.gamma_method(measured[name])
        assert abs(found.value - float(exact[name])) < 4 * found.error, name
        assert found.error < 0.03 * float(exact[name])
    square, fourth = (measured[name].mean() for name in ("magnetisation_squared", "fourth"))
    assert abs(lft.binder_cumulant(square, fourth)) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extent", "coupling", "published", "error", "square", "square_error"),
    [(8, 8.0, 0.7466, 0.0017, 0.14351, 0.00004), (6, 6.975, 1.0597, 0.0025, 0.16141, 0.00005)],
)
def test_published_points_of_the_interacting_field(extent, coupling, published, error, square, square_error):
    """Independent HMC figures of shared/reference/physics.md section 2.1, m^2 = -4."""
    measured, _ = chains_of(lft.Phi4(-4.0, coupling), extent=extent, draws=1500)
    found = lft.gamma_method(extent**2 * measured["magnetisation_squared"])
    assert abs(found.value - published) < 3.5 * np.hypot(found.error, error)
    found = lft.gamma_method(measured["phi_squared"])
    assert abs(found.value - square) < 3.5 * np.hypot(found.error, square_error)
    assert 0.75 < measured["accepted"].mean() < 0.95


@pytest.mark.slow
def test_metropolis_without_forces_agrees_with_hmc():
    theory, rng = lft.Phi4(-4.0, 8.0), np.random.default_rng(5)
    field, rows = np.zeros((64, 6, 6)), []
    for sweep in range(1100):
        field, share = lft.metropolis_sweep(theory, field, 0.7, rng)
        if sweep >= 100:
            rows.append(lft.phi4_observables(field)["phi_squared"])
    local = lft.gamma_method(np.stack(rows, axis=1))
    hybrid = lft.gamma_method(chains_of(theory, extent=6, draws=800)[0]["phi_squared"])
    assert 0.3 < share < 0.8
    assert abs(local.value - hybrid.value) < 3.5 * np.hypot(local.error, hybrid.error)
    assert local.error < 0.003


def test_metropolis_step_knows_the_change_of_the_action():
    """With shifts of nearly nothing all are taken; the free field's variance comes out of large ones."""
    theory, rng = lft.Phi4(2.0, 0.0), np.random.default_rng(8)
    assert lft.metropolis_sweep(theory, np.zeros((2, 4, 4)), 1e-9, rng)[1] == 1.0
    field, rows = np.zeros((400, 4, 4)), []
    for _ in range(200):
        field, _share = lft.metropolis_sweep(theory, field, 0.9, rng)
        rows.append(lft.phi4_observables(field)["phi_squared"])
    found = lft.gamma_method(np.stack(rows[30:], axis=1))
    assert abs(found.value - float(lft.free_field(2.0, (4, 4))["phi_squared"])) < 4 * found.error


@pytest.mark.parametrize("couplings", [(1.0, -0.1), (-1.0, 0.0), (0.0, 0.0), (float("nan"), 1.0)])
def test_action_without_a_lower_bound_is_refused(couplings):
    with pytest.raises(InvalidInput, match="no lower bound"):
        lft.Phi4(*couplings)


def test_wrong_shape_is_named():
    with pytest.raises(InvalidInput, match=r"\(4, 4\)"):
        lft.Phi4(1.0, 0.0).action(np.zeros((4, 4)))


def test_ising_energy_of_aligned_and_alternating_fields():
    signs = np.array([1.0, -1.0])
    board = np.where((np.arange(4)[:, None] + np.arange(4)) % 2 == 0, 1.0, -1.0)
    aligned = signs[:, None, None] * np.ones((2, 4, 4))
    assert lft.ising_energy(aligned) == pytest.approx(1.0)
    assert lft.ising_energy(board[None]) == pytest.approx(-1.0)
