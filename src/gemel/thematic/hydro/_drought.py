"""Standardised drought indices: rain (SPI) and streamflow, monthly and as of today."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import digamma, gammainc, ndtri, polygamma

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro._periods import within

Array = NDArray[np.float64]

#: Indices beyond this many standard deviations cannot be told from so few years and are cut off.
BOUND = 3.5

#: Fewest values that a month's distribution is fitted to.
FEWEST = 4


def fit_gamma(sample: Array) -> tuple[float, float]:
    """Return shape and scale of the gamma distribution of greatest likelihood for positive numbers.

    Thom's estimate (1958), which McKee et al. 1993 used for the SPI, refined by Newton steps.

    Raises:
        InvalidInput: Fewer than two different positive numbers.
    """
    gap = float(np.log(sample.mean()) - np.log(sample).mean()) if sample.size and sample.min() > 0 else 0.0
    if gap <= 1e-12:
        raise InvalidInput(
            "A gamma distribution needs at least two different positive values.", values=int(sample.size)
        )
    shape = (1.0 + np.sqrt(1.0 + 4.0 * gap / 3.0)) / (4.0 * gap)
    for _ in range(4):
        step = (np.log(shape) - digamma(shape) - gap) / (1.0 / shape - polygamma(1, shape))
        shape = max(shape - step, shape / 2.0)
    return float(shape), float(sample.mean() / shape)


def standardise(values: Array, sample: Array) -> Array:
    """Return standard normal scores of values under the gamma distribution of a sample; NaN stays NaN.

    Zeros have a probability of their own, placed at its centre of mass (Stagge et al. 2015, doi 10.1002/joc.4267,
    eqs 2-3), so that the index keeps mean 0 in dry places.

    Args:
        values: Sums or means, not negative.
        sample: Calibration values of the same season; NaN are left out.
    """
    known = sample[np.isfinite(sample)]
    positive = known[known > 0]
    out = np.full(values.shape, np.nan)
    if known.size < FEWEST or np.unique(positive).size < 2:
        return out
    zeros = known.size - positive.size
    dry = zeros / (known.size + 1.0)
    shape, scale = fit_gamma(positive)
    wet = values > 0
    out[wet] = dry + (1.0 - dry) * gammainc(shape, values[wet] / scale)
    out[values == 0] = (zeros + 1.0) / (2.0 * (known.size + 1.0))
    return np.asarray(np.clip(ndtri(out), -BOUND, BOUND))


def spi(precipitation: xr.DataArray, *, scale: int = 3, calibration: str | None = None) -> xr.DataArray:
    """Return the standardised precipitation index of each month (McKee, Doesken & Kleist 1993).

    A month with fewer than 90 % of its days observed is a gap. Ten years are a third of the customary thirty: take
    the index as a rank among these years.

    Args:
        precipitation: Daily (time), mm d-1.
        scale: Months to accumulate.
        calibration: Period whose months the distributions are fitted to; all if not given.
    """
    return _monthly(precipitation, scale, calibration, "standardised precipitation index")


def ssi(discharge: xr.DataArray, *, scale: int = 1, calibration: str | None = None) -> xr.DataArray:
    """Return the standardised streamflow index of each month: as `spi`, of discharge (Shukla & Wood 2008).

    Args:
        discharge: Daily (time), m3 s-1.
        scale: Months to average.
        calibration: Period whose months the distributions are fitted to; all if not given.
    """
    return _monthly(discharge, scale, calibration, "standardised streamflow index")


def drought_today(
    values: xr.DataArray, *, days: int = 90, window: int = 15, calibration: str | None = None
) -> tuple[float, int]:
    """Return the standardised index of the last `days` days of a series, and from how many past values it comes.

    The mean of the last days is ranked among the means that ended within `window` days of the same day of earlier
    years. Neighbouring means overlap, so they are fewer independent values than their number says.

    Args:
        values: Daily rain or discharge (time), up to and including today.
        days: Days to average; more than a tenth missing makes the index NaN.
        window: Half-width of the season in days.
        calibration: Only means ending in this period; all before today if not given.
    """
    series = values.to_series()
    means = series.rolling(days, min_periods=int(np.ceil(0.9 * days))).mean()
    time = pd.DatetimeIndex(series.index)
    apart = np.abs(time.day_of_year.to_numpy() - time[-1].day_of_year)
    # Today's own stretch must not be among what it is compared with.
    usable = (np.minimum(apart, 365 - apart) <= window) & np.asarray(time[-1] - time > pd.Timedelta(days=182))
    if calibration is not None:
        usable &= within(time, calibration)
    sample = means.to_numpy(dtype=np.float64)[usable]
    score = standardise(means.to_numpy(dtype=np.float64)[-1:], sample)
    return float(score[0]), int(np.isfinite(sample).sum())


def _monthly(values: xr.DataArray, scale: int, calibration: str | None, name: str) -> xr.DataArray:
    if scale < 1:
        raise InvalidInput(f"An index accumulates at least one month, not {scale}.", scale=scale)
    series = values.to_series()
    month = pd.DatetimeIndex(series.index).to_period("M")
    mean = series.groupby(month).mean()
    full = series.groupby(month).count() >= 0.9 * pd.PeriodIndex(mean.index).days_in_month
    rolled = mean.where(full).rolling(scale, min_periods=scale).mean()
    stamps = pd.PeriodIndex(rolled.index).to_timestamp()
    inside = np.ones(len(rolled), bool) if calibration is None else within(stamps, calibration)
    numbers = rolled.to_numpy(dtype=np.float64)
    out = np.full(numbers.shape, np.nan)
    for m in range(1, 13):
        these = np.asarray(stamps.month == m)
        out[these] = standardise(numbers[these], numbers[these & inside])
    time = stamps.to_numpy().astype("datetime64[ns]")
    attrs = {"units": "1", "long_name": name, "scale_months": scale, "calibration": calibration or "all"}
    return xr.DataArray(out, dims="time", coords={"time": time}, name="index", attrs=attrs)
