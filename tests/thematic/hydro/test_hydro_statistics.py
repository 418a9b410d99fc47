from __future__ import annotations

import numpy as np
import pytest
import scoringrules
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaincinv
from scipy.stats import norm

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro import (
    brier,
    coverage,
    crps,
    drought_today,
    fit_gev,
    gev_quantile,
    kge,
    l_moments,
    low_flow_level,
    nse,
    reliability,
    return_levels,
    skill,
    spi,
    ssi,
)
from gemel.thematic.hydro._drought import fit_gamma, standardise
from gemel.thematic.hydro._extremes import annual_extremes


def test_l_moments_of_known_distributions():
    grid = (np.arange(20000) + 0.5) / 20000
    assert l_moments(grid) == pytest.approx((0.5, 1 / 6, 0.0), abs=1e-4)
    # Hosking 1990, table 1: Gumbel has L-skewness 0.1699 and second L-moment scale * ln 2.
    gumbel = -np.log(-np.log(grid))
    first, second, skew = l_moments(gumbel)
    assert (first, second, skew) == pytest.approx((0.5772, np.log(2.0), 0.1699), abs=2e-3)


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.2])
def test_gev_parameters_are_recovered(shape):
    probability = (np.arange(20000) + 0.5) / 20000
    sample = gev_quantile(probability, (100.0, 20.0, shape))
    assert fit_gev(sample) == pytest.approx((100.0, 20.0, shape), rel=0.01, abs=0.005)


def test_gumbel_estimates_are_nearly_unbiased_in_short_records():
    rng = np.random.default_rng(3)
    fits = [fit_gev(100.0 - 20.0 * np.log(-np.log(rng.uniform(size=10))), gumbel=True) for _ in range(2000)]
    # The mean of 2000 fits: standard errors of 0.15 (location) and 0.12 (scale).
    assert np.mean(fits, axis=0) == pytest.approx([100.0, 20.0, 0.0], abs=0.8)


def test_return_levels_of_the_fulda(fulda):
    levels = return_levels(fulda)
    assert levels.attrs["years"] == 10
    value = levels["level"].values
    assert (np.diff(value) > 0).all()
    assert (levels["low"] < levels["level"]).all() and (levels["level"] < levels["high"]).all()
    # Two years is the median of the maxima, by definition; ten of them bracket it.
    assert np.quantile(annual_extremes(fulda), 0.2) < value[0] < np.quantile(annual_extremes(fulda), 0.8)
    assert return_levels(fulda).identical(levels)


def test_return_levels_need_years(fulda):
    with pytest.raises(InvalidInput, match="three full years"):
        return_levels(fulda, "1980/1981")
    with pytest.raises(InvalidInput, match="longer than one year"):
        return_levels(fulda, return_periods=(1.0,))
    with pytest.raises(InvalidInput, match="L-moments"):
        l_moments([3.0, 3.0, 3.0])


def test_low_flow_is_undercut_as_often_as_said(fulda):
    level = low_flow_level(fulda, "1980/1984", share=0.1)
    days = fulda["discharge"].sel(time=slice("1980", "1984")).values
    assert (days < level).mean() == pytest.approx(0.1, abs=0.01)
    assert (annual_extremes(fulda, low=True) < annual_extremes(fulda)).all()


@given(st.floats(0.3, 20.0), st.floats(0.1, 50.0))
def test_gamma_fit_recovers_its_parameters(shape, scale):
    sample = scale * gammaincinv(shape, (np.arange(4000) + 0.5) / 4000)
    assert fit_gamma(sample[sample > 0]) == pytest.approx((shape, scale), rel=0.03)


def synthetic_rain(seed, years):
    """Daily rain with a season and dry days (synthetic)."""
    rng = np.random.default_rng(seed)
    time = np.arange(np.datetime64("1950-01-01"), np.datetime64(f"{1950 + years}-01-01")).astype("datetime64[ns]")
    wet = rng.uniform(size=time.size) < 0.3
    depth = rng.gamma(0.7, 8.0, time.size) * (1.2 + np.sin(2 * np.pi * np.arange(time.size) / 365.25))
    return xr.DataArray(wet * depth, dims="time", coords={"time": time}, attrs={"units": "mm d-1"})


def test_spi_is_standard_normal_outside_its_calibration():
    index = spi(synthetic_rain(2, 120), scale=3, calibration="1950/2009").sel(time=slice("2010", None)).values
    # 720 months in about 240 independent seasons: the standard error of the mean is 0.065, of the deviation 0.046.
    assert abs(index.mean()) < 0.15
    assert index.std() == pytest.approx(1.0, abs=0.12)


def test_spi_of_the_fulda(fulda):
    index = spi(fulda["precipitation"], scale=3)
    known = index.values[np.isfinite(index.values)]
    assert abs(known.mean()) < 0.05
    assert 0.95 < known.std() < 1.05
    assert index.isel(time=slice(0, 2)).isnull().all(), "no three months are known yet"
    assert str(index["time"].values[np.nanargmin(index.values)])[:7] == "1988-06"


def test_ssi_ranks_the_augusts_of_the_fulda_by_their_flow(fulda):
    index = ssi(fulda["discharge"])
    monthly = fulda["discharge"].resample(time="MS").mean()
    august = (monthly["time.month"] == 8).values
    assert np.argsort(index.values[august]).tolist() == np.argsort(monthly.values[august]).tolist()
    assert abs(np.nanmean(index.values)) < 0.05


def test_dry_months_have_a_place_of_their_own():
    sample = np.array([0.0, 0.0, 0.0, 1.0, 2.0, 5.0])
    score = standardise(np.array([0.0, np.nan, 5.0]), sample)
    assert -1.0 < score[0] < 0.0
    assert np.isnan(score[1])
    assert score[2] > 0.5
    assert np.isnan(standardise(np.array([1.0]), np.zeros(10))).all()


def test_gaps_make_a_month_unknown():
    rain = synthetic_rain(4, 12)
    rain[60:75] = np.nan
    assert np.isnan(spi(rain, scale=1).values[2])
    with pytest.raises(InvalidInput):
        spi(rain, scale=0)


def test_drought_today_ranks_today_among_other_years(fulda):
    dry = fulda["discharge"].copy()
    dry[-60:] = 5.0
    score, count = drought_today(dry, days=30)
    assert score < -2.0
    # Nine turns of the year with about 31 days each (leap years blur the ends).
    assert count == pytest.approx(9 * 31, abs=9)
    dry[-20:] = np.nan
    assert np.isnan(drought_today(dry, days=30)[0])


def test_efficiencies():
    observed = np.array([1.0, 2.0, 3.0, np.nan, 6.0])
    assert nse(observed, observed) == kge(observed, observed) == 1.0
    assert nse(observed, np.full(5, 3.0)) == 0.0
    # Twice the flow: correlation 1, spread 2, bias 2 (2009); the coefficient of variation stays (2012).
    assert kge(observed, 2 * observed) == pytest.approx(1 - np.sqrt(2))
    assert kge(observed, 2 * observed, variant=2012) == pytest.approx(0.0)
    with pytest.raises(InvalidInput):
        nse([1.0, np.nan], [1.0, 2.0])
    with pytest.raises(InvalidInput):
        nse([1.0, 2.0], [1.0])


def test_crps_of_a_normal_forecast_is_the_closed_form():
    members = norm.ppf((np.arange(4000) + 0.5) / 4000)
    y = np.array([-1.5, 0.0, 0.7])
    closed = y * (2 * norm.cdf(y) - 1) + 2 * norm.pdf(y) - 1 / np.sqrt(np.pi)  # Gneiting & Raftery 2007, eq. 21 at mu=0
    np.testing.assert_allclose(crps(y, np.tile(members, (3, 1))), closed, atol=1e-3)


def test_crps_agrees_with_scoringrules():
    rng = np.random.default_rng(11)
    y, members = rng.gamma(2.0, 10.0, 200), rng.gamma(2.0, 10.0, (200, 37))
    np.testing.assert_allclose(crps(y, members), scoringrules.crps_ensemble(y, members, estimator="nrg"), rtol=1e-10)


def test_one_member_scores_its_absolute_error():
    assert crps([3.0, -1.0], [[1.0], [1.0]]).tolist() == [2.0, 2.0]


def test_reliability_brier_coverage_and_skill():
    diagram = reliability([0.05, 0.05, 0.95, 1.0], [0, 1, 1, 1])
    assert diagram == {"forecast": pytest.approx([0.05, 0.975]), "observed": [0.5, 1.0], "count": [2.0, 2.0]}
    assert brier([0.0, 1.0], [0, 1]) == 0.0
    assert coverage([1.0, 5.0, np.nan], [0.0, 0.0, 0.0], [2.0, 2.0, 2.0]) == 0.5
    assert skill(1.0, 4.0) == 0.75
