"""Everything a live twin needs, learned from one training period."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gemel.thematic.hydro._assimilate import NOISE
from gemel.thematic.hydro._calibrate import basin, calibrate, scored_days
from gemel.thematic.hydro._dressing import fit_dressing
from gemel.thematic.hydro._hindcast import ahead, raw_forecasts
from gemel.thematic.hydro._kernel import Setup
from gemel.thematic.hydro._periods import within
from gemel.thematic.hydro._residual import fold_of_day, forest, forth, train_residual
from gemel.thematic.hydro._weather import LEADS, weather_archive


def train_forecast(
    record: xr.Dataset, parameters: xr.Dataset, residual: xr.Dataset, seed: int = 0, *, members: int = 50
) -> xr.Dataset:
    """Return the weather archive, the spread of the filter and the dressing of a forecast model.

    All is fitted on forecasts of training days, each made by trees that never saw its year and with analogue weather
    from other years. GR4J's six parameters did see them. The spread is one factor on the filter's standard deviations,
    with which the mean square of its innovations is what it expected (Dee 1995, doi
    10.1175/1520-0493(1995)123<1128:OLEOEC>2.0.CO;2).

    Args:
        record: Daily record.
        parameters: Result of `calibrate`.
        residual: Result of `train_residual` with folds.
        seed: Seed of the filter and the analogues.
        members: Size of the ensemble.
    """
    archive = weather_archive(record, parameters)
    model = parameters.merge(archive).assign_attrs(parameters.attrs | archive.attrs)
    train = parameters.attrs["train"]
    inside = within(record["time"].values, train)
    issue = scored_days(record, train)
    issue[-LEADS:] = False
    for k in range(1, LEADS + 1):
        issue[:-k] &= inside[k:]
    setups = [Setup(basin(parameters), forest(residual, k), NOISE) for k in range(residual.sizes["fold"])]
    fold = np.minimum(fold_of_day(record, train), len(setups) - 1)
    made = raw_forecasts(record, model, issue, (setups, fold), members=members, seed=seed)
    view = basin(parameters)
    z = forth(ahead(record["discharge"].values, issue), view.offset, view.power)
    dressing = fit_dressing(made.raw, z)
    factor = float(np.sqrt(np.nanmean(made.surprise**2)))
    return archive.merge(dressing).assign_attrs(archive.attrs | {"filter_spread": factor})


def train(record: xr.Dataset, train: str, seed: int = 0) -> xr.Dataset:
    """Return a complete model: process parameters, learned residual, weather archive and dressing.

    Args:
        record: Daily record.
        train: Training period, such as `1980/1984`; nothing outside it is fitted to.
        seed: Seed of every step.

    Raises:
        InvalidInput: The period holds too little.
    """
    parameters = calibrate(record, train, seed)
    residual = train_residual(record, parameters, seed)
    return assemble(parameters, residual, train_forecast(record, parameters, residual, seed))


def assemble(parameters: xr.Dataset, residual: xr.Dataset, dressing: xr.Dataset) -> xr.Dataset:
    """Return one model Dataset of the three parts; of the residual only the trees that saw all training days."""
    parts = [parameters, residual.isel(fold=[0]), dressing]
    out = xr.merge(parts, combine_attrs="drop", compat="identical", join="exact")
    attrs = {"title": "Forecast model", "Conventions": "CF-1.11"}
    for part in parts:
        attrs |= part.attrs
    return out.assign_attrs(attrs)
