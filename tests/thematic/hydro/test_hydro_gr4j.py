"""GR4J against its paper, written a second time in plain Python, and against what must hold of any water balance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemel.thematic.hydro import _kernel as kernel
from gemel.thematic.hydro import oudin_pet

PARAMETERS = st.tuples(st.floats(30.0, 1500.0), st.floats(-4.0, 3.0), st.floats(10.0, 400.0), st.floats(0.6, 7.9))


def paper_gr4j(rain, pet, x1, x2, x3, x4):
    """Perrin et al. 2003, appendix, with the unit hydrographs as whole convolutions."""

    def sh1(t):
        return 0.0 if t <= 0 else min(1.0, (t / x4) ** 2.5)

    def sh2(t):
        if t <= x4:
            return 0.5 * (max(t, 0.0) / x4) ** 2.5
        return 1.0 - 0.5 * (2.0 - t / x4) ** 2.5 if t < 2 * x4 else 1.0

    store, route, routed, out = 0.6 * x1, 0.7 * x3, [], []
    for p, e in zip(rain, pet, strict=True):
        net_rain, net_pet = max(p - e, 0.0), max(e - p, 0.0)
        a, b = math.tanh(net_rain / x1), math.tanh(net_pet / x1)
        into = x1 * (1 - (store / x1) ** 2) * a / (1 + store / x1 * a)
        gone = store * (2 - store / x1) * b / (1 + (1 - store / x1) * b)
        store = store - gone + into
        percolated = store * (1 - (1 + (4 / 9 * store / x1) ** 4) ** -0.25)
        store -= percolated
        routed.append(percolated + net_rain - into)
        q9 = sum(0.9 * r * (sh1(k + 1) - sh1(k)) for k, r in enumerate(reversed(routed)))
        q1 = sum(0.1 * r * (sh2(k + 1) - sh2(k)) for k, r in enumerate(reversed(routed)))
        exchange = x2 * (route / x3) ** 3.5
        route = max(0.0, route + q9 + exchange)
        flow = route * (1 - (1 + (route / x3) ** 4) ** -0.25)
        route -= flow
        out.append(flow + max(0.0, q1 + exchange))
    return np.array(out)


def weather(seed, days):
    rng = np.random.default_rng(seed)
    rain = rng.exponential(6.0, days) * (rng.uniform(size=days) < 0.4)
    return rain, rng.uniform(-8.0, 15.0, days), rng.uniform(0.0, 4.0, days)


def vector(x, degree_day=3.0, threshold=0.5):
    return np.array([*x, degree_day, threshold])


@settings(max_examples=25, deadline=None)
@given(PARAMETERS, st.integers(0, 1000))
def test_it_is_the_model_of_the_paper(x, seed):
    rain, _, pet = weather(seed, 120)
    p = vector(x)
    ours = kernel.simulate(kernel.fresh(p), rain, np.full(120, np.nan), pet, p)
    # Two orders of summation differ by rounding alone.
    np.testing.assert_allclose(ours, paper_gr4j(rain, pet, *x), rtol=1e-9, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(PARAMETERS, st.integers(0, 1000))
def test_without_exchange_and_evaporation_no_drop_is_lost(x, seed):
    rain, temperature, _ = weather(seed, 200)
    p = vector((x[0], 0.0, x[2], x[3]))
    state = kernel.fresh(p)
    before = state[kernel.PRODUCTION] + state[kernel.ROUTING]
    flow = kernel.simulate(state, rain, temperature, np.zeros(200), p)
    # The first place of each unit hydrograph left the basin today.
    under_way = state[kernel.UH1 + 1 : kernel.UH2].sum() + state[kernel.UH2 + 1 : kernel.ERROR].sum()
    after = state[kernel.PRODUCTION] + state[kernel.ROUTING] + state[kernel.SNOW] + under_way
    assert flow.sum() + after - before == pytest.approx(rain.sum(), abs=1e-8)


@settings(max_examples=25, deadline=None)
@given(PARAMETERS, st.integers(0, 1000))
def test_stores_and_discharge_stay_possible(x, seed):
    rain, temperature, pet = weather(seed, 300)
    p = vector(x)
    state = kernel.fresh(p)
    flow = kernel.simulate(state, rain, temperature, pet, p)
    assert (flow >= 0).all()
    assert 0 <= state[kernel.PRODUCTION] <= p[0]
    assert state[kernel.ROUTING] >= 0
    assert state[kernel.SNOW] >= 0


@given(st.floats(0.5, 8.0))
def test_unit_hydrographs_pass_on_all_water(x4):
    ordinates = kernel.ordinates(x4)
    assert ordinates[: kernel.UH].sum() == pytest.approx(1.0)
    assert ordinates[kernel.UH :].sum() == pytest.approx(1.0)


def test_day_by_day_is_the_same_as_all_at_once():
    rain, temperature, pet = weather(7, 60)
    p = vector((350.0, 0.5, 60.0, 2.3))
    whole, single = kernel.fresh(p), kernel.fresh(p)
    batch = kernel.simulate(whole, rain, temperature, pet, p)
    uh = kernel.ordinates(p[kernel.X4])
    steps = [kernel.day(single, rain[t], temperature[t], pet[t], p, uh) for t in range(60)]
    assert batch.tolist() == steps
    assert whole.tolist() == single.tolist()


def test_snow_waits_for_warmth():
    p = vector((350.0, 0.0, 60.0, 2.0), degree_day=4.0, threshold=0.0)
    state = kernel.fresh(p)
    assert kernel.snow_day(state, 10.0, -5.0, p) == 0.0
    assert state[kernel.SNOW] == 10.0
    assert kernel.snow_day(state, 0.0, 2.0, p) == 8.0
    assert kernel.snow_day(state, 0.0, 2.0, p) == 2.0, "no more melts than lies there"
    assert kernel.snow_day(state, 6.0, 0.0, p) == 3.0, "half snow at the threshold"


def test_a_basin_without_temperature_has_no_snow():
    p = vector((350.0, 0.0, 60.0, 2.0))
    assert kernel.snow_day(kernel.fresh(p), 7.0, math.nan, p) == 7.0


def test_pet_follows_the_paper():
    # Oudin eq. 3 with FAO-56 example 8: Ra 32.2 MJ m-2 d-1, so PET at 20 degC = 32.2 / 2.45 * 25 / 100.
    assert float(oudin_pet(20.0, 246, -20.0)) == pytest.approx(32.2 / 2.45 * 0.25, rel=2e-3)
    assert oudin_pet([-5.0, -20.0], [10, 10], 51.0).tolist() == [0.0, 0.0]
