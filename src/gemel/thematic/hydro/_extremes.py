"""Return levels from annual extremes, fitted by L-moments; short records make wide intervals, which are given too."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro._periods import within
from gemel.thematic.hydro._record import VARIABLES

Array = NDArray[np.float64]

#: A year counts when at least so many of its days are observed.
FULL_YEAR = 330


def l_moments(sample: ArrayLike) -> tuple[float, float, float]:
    """Return the first two L-moments and the L-skewness (Hosking 1990, doi 10.1111/j.2517-6161.1990.tb01775.x).

    Args:
        sample: At least three finite numbers, not all equal.

    Raises:
        InvalidInput: Too few numbers, or no spread.

    >>> [round(float(m), 3) for m in l_moments([1.0, 2.0, 3.0, 4.0])]
    [2.5, 0.833, 0.0]
    """
    x = np.sort(np.asarray(sample, dtype=np.float64))
    n = x.size
    if n < 3 or not np.isfinite(x).all() or x[0] == x[-1]:
        raise InvalidInput("L-moments need at least three finite values that are not all equal.", values=n)
    j = np.arange(n)
    b0 = x.mean()
    b1 = float(np.sum(j * x) / (n * (n - 1)))
    b2 = float(np.sum(j * (j - 1) * x) / (n * (n - 1) * (n - 2)))
    second = 2.0 * b1 - b0
    return float(b0), float(second), float((6.0 * b2 - 6.0 * b1 + b0) / second)


def fit_gev(sample: ArrayLike, *, gumbel: bool = False) -> tuple[float, float, float]:
    """Return location, scale and shape k of a generalised extreme value distribution with the sample's L-moments.

    Hosking, Wallis & Wood 1985, doi 10.1080/00401706.1985.10488049, eq. 14 and Hosking 1990, table 1; k > 0 is bounded above.

    Args:
        sample: Annual maxima.
        gumbel: Fix k at 0 (Gumbel): two parameters, the safer choice for a short record.
    """
    first, second, skew = l_moments(sample)
    c = 2.0 / (3.0 + skew) - math.log(2.0) / math.log(3.0)
    k = 0.0 if gumbel else 7.8590 * c + 2.9554 * c * c
    if abs(k) < 1e-6:
        scale = second / math.log(2.0)
        return first - float(np.euler_gamma) * scale, scale, 0.0
    gamma = math.gamma(1.0 + k)
    scale = second * k / ((1.0 - 2.0**-k) * gamma)
    return first - scale * (1.0 - gamma) / k, scale, k


def gev_quantile(probability: ArrayLike, parameters: tuple[float, float, float]) -> Array:
    """Return the value not exceeded with the given probability.

    >>> float(gev_quantile(np.exp(-1.0), (10.0, 2.0, 0.0)))
    10.0
    """
    location, scale, k = parameters
    reduced = -np.log(np.asarray(probability, dtype=np.float64))
    growth = -np.log(reduced) if k == 0.0 else (1.0 - reduced**k) / k
    return np.asarray(location + scale * growth)


def annual_extremes(record: xr.Dataset, period: str | None = None, *, low: bool = False) -> Array:
    """Return each year's largest daily discharge, or with `low` its smallest 7-day mean, in m3 s-1.

    Args:
        record: Daily record; years with fewer than `FULL_YEAR` observed days are left out.
        period: Only days in it.
        low: Low flow instead of floods.
    """
    days = np.ones(record.sizes["time"], bool) if period is None else within(record["time"].values, period)
    series = record["discharge"].to_series().where(days)
    by_year = series.groupby(pd.DatetimeIndex(series.index).year)
    full = by_year.count() >= FULL_YEAR
    weekly = series.rolling(7, min_periods=7).mean()
    out = weekly.groupby(pd.DatetimeIndex(series.index).year).min() if low else by_year.max()
    return np.asarray(out[full], dtype=np.float64)


def return_levels(
    record: xr.Dataset,
    period: str | None = None,
    *,
    return_periods: tuple[float, ...] = (2.0, 5.0, 10.0),
    seed: int = 0,
    draws: int = 1000,
) -> xr.Dataset:
    """Return flood return levels with 90 % intervals, from annual maxima and Gumbel's distribution.

    Ten years say little of rare floods: the interval is a parametric bootstrap and does not hold the doubt about
    the distribution itself.

    Args:
        record: Daily record.
        period: Years to use; all if not given.
        return_periods: In years, each above 1.
        seed: Seed of the bootstrap.
        draws: Size of the bootstrap.

    Returns:
        `level`, `low`, `high` (return_period) in m3 s-1; attribute `years`.

    Raises:
        InvalidInput: Fewer than three full years.
    """
    maxima = annual_extremes(record, period)
    if maxima.size < 3:
        raise InvalidInput(f"Return levels need three full years; there are {maxima.size}.", years=int(maxima.size))
    if min(return_periods) <= 1.0:
        raise InvalidInput("A return period must be longer than one year.", return_periods=list(return_periods))
    probability = 1.0 - 1.0 / np.asarray(return_periods, dtype=np.float64)
    fitted = fit_gev(maxima, gumbel=True)
    uniform = np.random.default_rng(seed).uniform(1e-9, 1.0, (draws, maxima.size))
    again = [gev_quantile(probability, fit_gev(s, gumbel=True)) for s in gev_quantile(uniform, fitted)]
    low, high = np.quantile(again, (0.05, 0.95), axis=0)
    flow = VARIABLES["discharge"]
    data = {
        "level": ("return_period", gev_quantile(probability, fitted), {**flow, "long_name": "flood return level"}),
        "low": ("return_period", np.maximum(low, 0.0), {**flow, "long_name": "5 % bound"}),
        "high": ("return_period", high, {**flow, "long_name": "95 % bound"}),
    }
    coords = {"return_period": ("return_period", np.asarray(return_periods), {"units": "year"})}
    return xr.Dataset(data, coords=coords, attrs={"years": int(maxima.size), "distribution": "Gumbel, L-moments"})


def low_flow_level(record: xr.Dataset, period: str, *, share: float = 0.1) -> float:
    """Return the discharge (m3 s-1) that is undercut on the given share of days (0.1 is Q90) in a period."""
    values = record["discharge"].values[within(record["time"].values, period)]
    if not np.isfinite(values).any():
        raise InvalidInput(f"No discharge is known in {period}.", period=period)
    return float(np.nanquantile(values, share))
