"""Forecasts that need no model: what a forecast has to beat."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gemel.thematic.hydro._calibrate import scored_days
from gemel.thematic.hydro._forecast import QUANTILES
from gemel.thematic.hydro._hindcast import ahead
from gemel.thematic.hydro._weather import LEADS

Array = NDArray[np.float64]

#: Half-width in days of the year of the window behind a day's climatology.
CLIMATE_WINDOW = 15


def persistence(record: xr.Dataset, train: str, latest: Array, *, kind: str) -> Array:
    """Return persistence as a probabilistic forecast (issue, lead, quantile) in m3 s-1.

    Today's discharge, dressed with the errors that persistence made at that lead on training days.

    Args:
        record: Daily record.
        train: Training period of the errors.
        latest: Discharge on each day of issue.
        kind: `ratio` (errors are factors) or `difference` (errors are added; below zero becomes zero).
    """
    days = scored_days(record, train)
    days[-LEADS:] = False
    now = record["discharge"].values[days][:, None]
    then = ahead(record["discharge"].values, days)
    miss = np.log((then + 1e-3) / (now + 1e-3)) if kind == "ratio" else then - now
    spread = np.nanquantile(miss, QUANTILES, axis=0).T
    today = latest[:, None, None]
    return np.asarray(today * np.exp(spread) if kind == "ratio" else np.maximum(today + spread, 0.0))


def climate(record: xr.Dataset, train: str, valid: pd.DatetimeIndex) -> Array:
    """Return the climatological forecast (day, quantile): the training period's discharge around that day of the year.

    Args:
        record: Daily record.
        train: Training period.
        valid: Days to forecast.
    """
    days = scored_days(record, train)
    when = pd.DatetimeIndex(record["time"].values[days]).day_of_year.to_numpy()
    flow = record["discharge"].values[days]
    table = np.empty((367, len(QUANTILES)))
    for d in range(1, 367):
        apart = np.abs(when - d)
        near = np.minimum(apart, 365 - apart) <= CLIMATE_WINDOW
        table[d] = np.quantile(flow[near] if near.any() else flow, QUANTILES)
    return np.asarray(table[valid.day_of_year.to_numpy()])
