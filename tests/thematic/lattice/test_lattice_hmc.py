"""Hybrid Monte Carlo: reversible, of second order, with the acceptance that theory tells, and resumable to the bit."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from gemel.base.errors import InvalidInput
from gemel.core.graph._progress import Cancelled, StepContext, inside
from gemel.thematic import lattice as lft

THEORIES = {"phi4": (lft.Phi4(-4.0, 8.0), (16, 6, 6)), "u1": (lft.U1(3.0), (16, 2, 6, 6))}


def phase_space(shape, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(scale=0.4, size=shape), rng.normal(size=shape)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(THEORIES)), st.sampled_from(lft.INTEGRATORS), st.integers(0, 10**6))
def test_reversed_momenta_lead_back(name, integrator, seed):
    theory, shape = THEORIES[name]
    field, momentum = phase_space(shape, seed)
    there, final = lft.integrate(theory, field, momentum, 12, 0.05, integrator=integrator)
    back, first = lft.integrate(theory, there, -final, 12, 0.05, integrator=integrator)
    assert np.abs(there - field).max() > 0.1
    assert np.abs(back - field).max() < 1e-10
    assert np.abs(first + momentum).max() < 1e-10


@pytest.mark.parametrize("name", sorted(THEORIES))
@pytest.mark.parametrize("integrator", lft.INTEGRATORS)
def test_energy_is_kept_to_second_order(name, integrator):
    theory, shape = THEORIES[name]
    field, momentum = phase_space(shape, 1)
    start = lft.hamiltonian(theory, field, momentum)
    off = []
    for steps in (20, 40, 80):
        end = lft.integrate(theory, field, momentum, steps, 1.0 / steps, integrator=integrator)
        off.append(np.sqrt(np.mean((lft.hamiltonian(theory, *end) - start) ** 2)))
    orders = np.log2(np.array(off[:-1]) / np.array(off[1:]))
    assert np.abs(orders - 2.0).max() < 0.15


def test_minimum_norm_integrator_is_the_better_one_at_equal_cost():
    theory, shape = THEORIES["phi4"]
    field, momentum = phase_space(shape, 2)
    start = lft.hamiltonian(theory, field, momentum)
    ends = [
        lft.integrate(theory, field, momentum, 40, 1 / 40, integrator="leapfrog"),
        lft.integrate(theory, field, momentum, 20, 1 / 20, integrator="omelyan"),
    ]
    leapfrog, omelyan = (np.std(lft.hamiltonian(theory, *end) - start) for end in ends)
    assert omelyan < 0.6 * leapfrog


@pytest.mark.parametrize("integrator", lft.INTEGRATORS)
def test_phase_space_volume_is_kept(integrator):
    """Determinant 1 of the map, by finite differences: what a wrong update order would break."""
    theory, shape = lft.Phi4(-1.0, 1.0), (1, 2, 2)
    point, step = np.concatenate([part.ravel() for part in phase_space(shape, 3)]), 1e-6

    def move(z):
        end = lft.integrate(theory, z[:4].reshape(shape), z[4:].reshape(shape), 3, 0.2, integrator=integrator)
        return np.concatenate([part.ravel() for part in end])

    columns = [(move(point + step * unit) - move(point - step * unit)) / (2 * step) for unit in np.eye(8)]
    assert np.linalg.det(np.array(columns)) == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize("name", sorted(THEORIES))
def test_energy_changes_obey_creutz_and_the_erfc_law(name):
    """<exp(-dH)> = 1 exactly, acceptance = erfc(sqrt(<dH>)/2) for many sites (Gupta et al. 1990)."""
    theory, shape = THEORIES[name]
    recipe = lft.Recipe(jitter=0.0, integrator="leapfrog")
    state = lft.ChainState.fresh(np.zeros((32, *shape[1:-2], 16, 16)), 4)
    state = lft.thermalise(theory, state, 150, recipe)
    state = dataclasses.replace(state, step=1 / {"phi4": 10, "u1": 6}[name])
    measured, _ = lft.sample(theory, state, 500, lambda field: {}, recipe)
    creutz = lft.gamma_method(np.exp(-measured["delta_h"]))
    assert abs(creutz.value - 1.0) < 4 * creutz.error
    assert creutz.error < 0.02
    mean, taken = measured["delta_h"].mean(), lft.gamma_method(measured["accepted"])
    assert mean > 0.1  # else the law would be tested where it is trivial
    assert taken.value == pytest.approx(special.erfc(0.5 * np.sqrt(mean)), abs=4 * taken.error)


@pytest.mark.parametrize("target", [0.7, 0.9])
def test_step_is_tuned_to_the_target_in_thermalisation_alone(target):
    theory, recipe = lft.Phi4(-4.0, 8.0), lft.Recipe(target=target, integrator="leapfrog")
    state = lft.ChainState.fresh(np.zeros((64, 8, 8)), 1, step=0.5)
    state = lft.thermalise(theory, state, 200, recipe)
    measured, end = lft.sample(theory, state, 150, lambda field: {}, recipe)
    assert measured["accepted"].mean() == pytest.approx(target, abs=0.05)
    assert end.step == state.step


def test_two_halves_are_the_whole_to_the_bit(tmp_path):
    theory = lft.U1(2.0)
    between = (lft.Winding(theory),)
    start = lft.thermalise(theory, lft.ChainState.fresh(np.zeros((4, 2, 4, 4)), 9), 20, between=between)
    whole, end = lft.sample(theory, start, 30, lft.u1_observables, between=between)
    first, state = lft.sample(theory, start, 11, lft.u1_observables, between=between)
    stored = lft.load_state(lft.save_state(tmp_path / "state.h5", state))
    second, last = lft.sample(theory, stored, 19, lft.u1_observables, between=between)
    for name, values in whole.items():
        assert (np.concatenate([first[name], second[name]], axis=1) == values).all(), name
    assert (last.field == end.field).all()
    assert (last.rng, last.trajectories) == (end.rng, end.trajectories)
    # Thermalisation goes on as well, with its tuning.
    fresh = lft.ChainState.fresh(np.zeros((4, 2, 4, 4)), 9)
    parted = lft.thermalise(theory, lft.thermalise(theory, fresh, 8, between=between), 12, between=between)
    assert (parted.field == start.field).all()
    assert parted.step == start.step


RUN = """
import sys, pathlib
import numpy as np
from gemel.thematic import lattice as lft
path, theory = pathlib.Path(sys.argv[1]), lft.Phi4(-4.0, 8.0)
state = lft.load_state(path) if path.exists() else lft.ChainState.fresh(np.zeros((4, 4, 4)), 2)
while state.trajectories < 60:
    _, state = lft.sample(theory, state, 5, lft.phi4_observables)
    lft.save_state(path, state)
    print(state.trajectories, flush=True)
    if len(sys.argv) > 2 and state.trajectories >= 20:
        sys.stdin.read()
"""


@pytest.mark.chaos
def test_killed_run_goes_on_with_the_same_chain(tmp_path):
    path = tmp_path / "state.h5"
    command = [sys.executable, "-c", RUN, str(path)]
    with subprocess.Popen([*command, "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert [process.stdout.readline().strip() for _ in range(4)] == ["5", "10", "15", "20"]
        os.kill(process.pid, signal.SIGKILL)
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    theory = lft.Phi4(-4.0, 8.0)
    _, whole = lft.sample(theory, lft.ChainState.fresh(np.zeros((4, 4, 4)), 2), 60, lft.phi4_observables)
    found = lft.load_state(path)
    assert found.trajectories == 60
    assert (found.field == whole.field).all()


def test_diverging_trajectories_are_refused_and_the_field_stays():
    theory, recipe = lft.Phi4(-4.0, 8.0), lft.Recipe(length=50.0, jitter=0.0)
    state = lft.ChainState.fresh(np.full((3, 4, 4), 0.5), 1, step=10.0)
    measured, end = lft.sample(theory, state, 5, lft.phi4_observables, recipe)
    assert np.isposinf(measured["delta_h"]).all()
    assert (measured["accepted"] == 0.0).all()
    assert (end.field == state.field).all()


def test_progress_is_told_and_a_cancelled_run_stops():
    theory, told = lft.Phi4(1.0, 0.0), []
    state = lft.ChainState.fresh(np.zeros((1, 2, 2)), 0)
    context = StepContext("run", "node", tell=lambda fraction, message: told.append((fraction, message)))
    with inside(context):
        lft.sample(theory, state, 4, lft.phi4_observables)
        assert [fraction for fraction, _ in told] == [0.25, 0.5, 0.75, 1.0]
        context.cancelled.set()
        with pytest.raises(Cancelled):
            lft.sample(theory, state, 4, lft.phi4_observables)


@pytest.mark.parametrize(
    "settings_", [{"integrator": "euler"}, {"length": 0.0}, {"target": 1.0}, {"jitter": 1.0}, {"length": float("nan")}]
)
def test_bad_recipes_are_refused(settings_):
    with pytest.raises(InvalidInput):
        lft.Recipe(**settings_)


@pytest.mark.parametrize(("value", "step"), [(np.nan, 0.1), (0.0, 0.0)])
def test_bad_starts_are_refused(value, step):
    with pytest.raises(InvalidInput, match="finite"):
        lft.ChainState.fresh(np.full((1, 2, 2), value), 0, step=step)


def test_tuning_that_nothing_is_taken_in_comes_to_an_end():
    """A force of the wrong sign: no step is small enough, and the tuning stops at a thousandth of the length."""

    class Wrong(lft.Phi4):
        def force(self, field):
            return -1e6 * super().force(field)

    theory = Wrong(1.0, 1.0)
    start = lft.ChainState.fresh(np.ones((1, 2, 2)), 1, step=0.01)
    assert lft.thermalise(theory, start, 60).step == pytest.approx(0.001)


def test_foreign_generator_state_is_refused():
    state = lft.ChainState.fresh(np.zeros((1, 2, 2)), 0)
    with pytest.raises(InvalidInput, match="PCG64"):
        dataclasses.replace(state, rng={"bit_generator": "MT19937"}).generator()
