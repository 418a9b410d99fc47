"""U(1) gauge theory against its exact solution, its symmetries and three algorithms against one another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate as quadrature

from gemel.base.errors import InvalidInput
from gemel.thematic import lattice as lft

# shared/reference/physics.md section 2.1: extent, beta, plaquette, <Q^2>, and how far the latter was rounded.
PUBLISHED = [
    (8, 2.0, 0.697775, 1.2393, 5e-5), (16, 1.0, 0.446390, 10.403, 5e-4), (16, 2.0, 0.697775, 4.957, 5e-4),
    (16, 3.0, 0.809985, 2.832, 5e-4), (16, 5.0, 0.893383, 1.473, 6e-4), (16, 7.0, 0.925532, 1.006, 5e-4),
]  # fmt: skip


def some_links(seed, shape=(3, 2, 4, 6)):
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, size=shape)


def agrees(values, exact, *, sigma=4.0):
    found = lft.gamma_method(values)
    return abs(found.value - exact) < sigma * found.error


@pytest.mark.parametrize(("extent", "beta", "plaquette", "square", "rounding"), PUBLISHED)
def test_exact_values_are_the_published_ones(extent, beta, plaquette, square, rounding):
    exact = lft.exact_u1(beta, (extent, extent))
    assert exact["plaquette"] == pytest.approx(plaquette, abs=6e-7)
    assert exact["charge_squared"] == pytest.approx(square, abs=rounding)


def test_exact_plaquette_is_the_slope_of_the_partition_function():
    beta, shape, step = 1.3, (4, 6), 1e-4
    slope = (lft.log_partition(beta + step, shape) - lft.log_partition(beta - step, shape)) / (2 * step) / 24
    assert lft.exact_u1(beta, shape)["plaquette"] == pytest.approx(slope, abs=1e-7)
    assert lft.exact_wilson_loop(beta, shape, 1) == pytest.approx(slope, abs=1e-7)


def test_two_by_two_lattice_by_brute_integration():
    """Four plaquettes with three of them free, summed on a fine periodic grid (exact to rounding for such functions)."""
    beta, angle = 1.5, 2 * np.pi * np.arange(48) / 48
    a, b, c = np.meshgrid(angle, angle, angle, indexing="ij")
    cosines = np.cos(a) + np.cos(b) + np.cos(c) + np.cos(a + b + c)
    weight = np.exp(beta * cosines)
    exact = lft.exact_u1(beta, (2, 2))
    assert exact["plaquette"] == pytest.approx((weight * cosines).sum() / weight.sum() / 4, abs=1e-10)
    assert exact["log_partition"] == pytest.approx(np.log(weight.mean() * (2 * np.pi) ** 3), abs=1e-10)
    loop = (weight * np.cos(a + b)).sum() / weight.sum()
    assert lft.exact_wilson_loop(beta, (2, 2), 2) == pytest.approx(loop, abs=1e-10)


@pytest.mark.parametrize(("beta", "extent"), [(0.7, 2), (0.5, 4), (2.0, 8), (5.0, 16), (30.0, 8), (4.0, 64)])
def test_charges_are_a_distribution_with_the_exact_variance(beta, extent):
    charges = np.arange(-60, 61)
    chance = lft.exact_charge_distribution(beta, (extent, extent), charges)
    assert chance.sum() == pytest.approx(1.0, abs=1e-7)
    assert chance @ charges**2 == pytest.approx(
        lft.exact_u1(beta, (extent, extent))["charge_squared"], rel=1e-6, abs=1e-9
    )
    # A plaquette holds at most half a turn.
    assert chance[np.abs(charges) > extent**2 // 2] == pytest.approx(0.0, abs=1e-9)
    assert (chance > -1e-9).all()
    assert chance == pytest.approx(chance[::-1], abs=1e-12)


def test_loops_on_a_large_lattice_obey_the_area_law():
    ratio = quadrature.quad(lambda p: np.exp(2 * np.cos(p)) * np.cos(p), 0, np.pi)[0]
    ratio /= quadrature.quad(lambda p: np.exp(2 * np.cos(p)), 0, np.pi)[0]
    for area in (1, 4, 9):
        assert lft.exact_wilson_loop(2.0, (16, 16), area) == pytest.approx(ratio**area, rel=1e-6)
    assert lft.exact_wilson_loop(2.0, (4, 4), 0) == pytest.approx(1.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 9.0))
def test_force_is_minus_the_slope_of_the_action(seed, beta):
    theory, links, way = lft.U1(beta), some_links(seed), some_links(seed + 1)
    step = 1e-5
    slope = (theory.action(links + step * way) - theory.action(links - step * way)) / (2 * step)
    assert (theory.force(links) * way).sum(axis=(1, 2, 3)) == pytest.approx(-slope, rel=1e-6, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 5), st.integers(0, 5))
def test_gauge_and_translation_invariance(seed, along, across):
    links, theory = some_links(seed), lft.U1(2.0)
    alpha = np.random.default_rng(seed + 7).normal(scale=9.0, size=(3, 4, 6))
    for changed in (lft.gauge_transformed(links, alpha), np.roll(links, (along, across), axis=(2, 3))):
        assert np.abs(theory.action(changed) - theory.action(links)).max() < 1e-10
        assert (lft.topological_charge(changed) == lft.topological_charge(links)).all()
        assert np.abs(lft.wilson_loop(changed, 2, 3) - lft.wilson_loop(links, 2, 3)).max() < 1e-10
    turned = lft.gauge_transformed(links, alpha)
    assert np.abs(theory.force(turned) - theory.force(links)).max() < 1e-10


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_charge_is_whole_and_odd_under_conjugation(seed):
    links = some_links(seed)
    total = lft.plaquettes(links).sum(axis=(1, 2)) / (2 * np.pi)
    assert np.abs(total - np.rint(total)).max() < 1e-12
    assert (lft.topological_charge(-links) == -lft.topological_charge(links)).all()


@pytest.mark.parametrize("charge", [-2, 1, 3])
def test_instanton_has_its_charge_and_equal_plaquettes(charge):
    links = lft.instanton((6, 8), charge)[None]
    assert lft.plaquettes(links) == pytest.approx(np.full((1, 6, 8), 2 * np.pi * charge / 48), abs=1e-12)
    assert lft.topological_charge(links).tolist() == [charge]


def test_single_loop_is_the_plaquette_and_too_large_ones_are_refused():
    links = some_links(1)
    assert lft.wilson_loop(links, 1, 1) == pytest.approx(np.cos(lft.plaquettes(links)).mean(axis=(1, 2)), abs=1e-12)
    with pytest.raises(InvalidInput, match="does not lie"):
        lft.wilson_loop(links, 4, 1)


def measured_chains(theory, *, extent, draws, between=(), seed=11, chains=64):
    state = lft.ChainState.fresh(np.zeros((chains, 2, extent, extent)), seed)
    state = lft.thermalise(theory, state, 200, between=between)

    def measure(links):
        return {**lft.u1_observables(links), "loop": lft.wilson_loop(links, 2, 2)}

    return lft.sample(theory, state, draws, measure, between=between)[0]


@pytest.mark.slow
@pytest.mark.parametrize("winding", [False, True])
def test_hmc_gives_the_exact_values(winding):
    theory = lft.U1(2.0)
    measured = measured_chains(theory, extent=8, draws=1500, between=(lft.Winding(theory),) if winding else ())
    exact = lft.exact_u1(2.0, (8, 8))
    assert agrees(measured["plaquette"], exact["plaquette"])
    assert agrees(measured["charge_squared"], exact["charge_squared"])
    assert agrees(measured["loop"], lft.exact_wilson_loop(2.0, (8, 8), 4))
    assert agrees(measured["charge"], 0.0)
    assert lft.gamma_method(measured["plaquette"]).error < 5e-4
    assert lft.gamma_method(measured["charge_squared"]).error < 0.02


@pytest.mark.slow
def test_winding_updates_thaw_the_charge():
    """At L = 16 and beta = 5 plain HMC needs about 100 trajectories per independent charge, with winding some 3."""
    theory, exact = lft.U1(5.0), lft.exact_u1(5.0, (16, 16))["charge_squared"]
    thawed = measured_chains(theory, extent=16, draws=400, between=(lft.Winding(theory),), chains=32)
    frozen = measured_chains(theory, extent=16, draws=400, chains=32)
    quick, slow = (lft.gamma_method(run["charge_squared"]) for run in (thawed, frozen))
    assert abs(quick.value - exact) < 4 * quick.error
    assert quick.tau < 6.0
    assert slow.tau > 5 * quick.tau
    found = lft.gamma_method(thawed["plaquette"])
    assert abs(found.value - 0.893383) < 4 * found.error


@pytest.mark.parametrize("reflections", [0, 1])
def test_heat_bath_gives_the_exact_values(reflections):
    theory, rng, rows = lft.U1(2.0), np.random.default_rng(2), []
    links = np.zeros((64, 2, 6, 4))
    for sweep in range(420):
        links = lft.heat_bath_sweep(theory, links, rng, reflections=reflections)
        if sweep >= 60:
            rows.append(lft.u1_observables(links))
    exact = lft.exact_u1(2.0, (6, 4))
    for name in ("plaquette", "charge_squared"):
        assert agrees(np.stack([row[name] for row in rows], axis=1), exact[name]), name


def test_reflections_keep_the_action():
    """Over-relaxation moves links far, at the action of the heat-bath sweep before it."""
    links = some_links(3, (2, 2, 4, 4))
    theory, rng = lft.U1(1.0), np.random.default_rng(1)
    from_bath = lft.heat_bath_sweep(theory, links, rng)
    both = lft.heat_bath_sweep(theory, links, np.random.default_rng(1), reflections=1)
    assert theory.action(both) == pytest.approx(theory.action(from_bath), abs=1e-10)
    assert np.abs(lft.wrapped(both - from_bath)).max() > 0.1


def test_odd_extents_are_refused_by_the_heat_bath():
    with pytest.raises(InvalidInput, match="even extents"):
        lft.heat_bath_sweep(lft.U1(1.0), np.zeros((1, 2, 5, 4)), np.random.default_rng(0))


def test_rejection_sampler_is_exact_and_links_carry_its_plaquettes():
    angles = lft.exact_plaquettes(2.0, (8, 8), 8000, np.random.default_rng(4))
    exact = lft.exact_u1(2.0, (8, 8))
    links = lft.links_of(angles)
    assert np.abs(lft.wrapped(lft.plaquettes(links) - angles)).max() < 1e-12
    measured = lft.u1_observables(links)
    for name in ("plaquette", "charge_squared"):
        values = measured[name]
        assert abs(values.mean() - exact[name]) < 4 * values.std() / np.sqrt(len(values)), name
    # Every charge as often as it should be: chi^2 over the five likeliest.
    charges = np.arange(-2, 3)
    expected = 8000 * lft.exact_charge_distribution(2.0, (8, 8), charges)
    found = np.array([(measured["charge"] == q).sum() for q in charges])
    assert ((found - expected) ** 2 / expected).sum() < 25.0  # 5 degrees of freedom: chance 1.4e-4


def test_open_plaquettes_are_refused_as_links():
    with pytest.raises(InvalidInput, match="multiple of 2 pi"):
        lft.links_of(np.full((1, 4, 4), 0.1))
