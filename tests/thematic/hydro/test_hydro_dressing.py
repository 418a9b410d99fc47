"""What the dressing promises: whatever the raw ensemble's faults, the issued probabilities come true."""

from __future__ import annotations

import numpy as np
import pytest

from gemel.thematic.hydro import coverage, variance_shares
from gemel.thematic.hydro._dressing import STRATA, dress, fit_dressing, quantiles, realizations


def synthetic(seed, spread):
    """Biased ensembles whose spread is wrong by a factor, and what happened (synthetic)."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.2, 1.0, (3000, 1))
    center = rng.normal(size=(3000, 1))
    raw = center[:, :, None] + spread * scale[:, :, None] * rng.normal(size=(3000, 40, 1)) + 0.3
    return raw, center + scale * rng.normal(size=(3000, 1))


@pytest.mark.parametrize("spread", [0.3, 1.0, 2.0])
def test_intervals_cover_what_they_say(spread):
    raw, observed = synthetic(1, spread)
    model = fit_dressing(raw, observed)
    fresh, happened = synthetic(2, spread)
    levels = quantiles(dress(fresh, model), np.array([0.05, 0.25, 0.75, 0.95]), model)[:, 0]
    # 3000 draws: the standard error of a coverage of 0.9 is 0.0055; of 0.5, 0.009.
    assert coverage(happened[:, 0], levels[:, 0], levels[:, 3]) == pytest.approx(0.9, abs=0.025)
    assert coverage(happened[:, 0], levels[:, 1], levels[:, 2]) == pytest.approx(0.5, abs=0.04)


def test_bias_is_found():
    raw, observed = synthetic(3, 1.0)
    assert float(fit_dressing(raw, observed)["dress_bias"][0]) == pytest.approx(-0.3, abs=0.05)


def test_unknown_outcomes_are_left_out():
    raw, observed = synthetic(4, 1.0)
    gaps = observed.copy()
    gaps[::2] = np.nan
    assert fit_dressing(raw, gaps).equals(fit_dressing(raw[1::2], observed[1::2]))


def test_members_have_the_issued_distribution():
    raw, observed = synthetic(5, 0.5)
    model = fit_dressing(raw, observed)
    sample = dress(raw[0], model)
    members = realizations(sample, 40, model, np.random.default_rng(0))
    low, high = quantiles(sample, np.array([0.005, 0.995]), model)[0]
    assert members.shape == (40, 1)
    assert ((members[:, 0] >= low) & (members[:, 0] <= high)).mean() > 0.9


def test_strata_are_a_centred_unit_error():
    assert STRATA.mean() == pytest.approx(0.0, abs=1e-12)
    assert STRATA.var() == pytest.approx(1.0)


def test_variance_shares_of_a_sum_and_of_a_product():
    a, b = np.array([-1.0, 1.0]), np.array([-3.0, 3.0])
    assert variance_shares(np.add.outer(a, b)) == pytest.approx([0.1, 0.9])
    assert variance_shares(np.multiply.outer(a, b)) == pytest.approx([0.5, 0.5]), "an interaction is split evenly"
    assert variance_shares(np.ones((2, 3, 4))) == pytest.approx([1 / 3] * 3)


def test_variance_shares_of_three_factors_sum_to_one():
    table = np.random.default_rng(1).normal(size=(4, 5, 6)) ** 3
    assert variance_shares(table).sum() == pytest.approx(1.0)
    assert (variance_shares(table) >= 0).all()
