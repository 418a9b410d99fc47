"""From a model and what was observed to forecast, alerts, drought indicators and doubt: the processes of every day."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.core.graph import Dataset, Field, Unit, process
from gemel.thematic import hydro

_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_MISFIT_DAYS = 30
# Classes of a standardised index after McKee et al. (1993), table 1.
_DRY, _VERY_DRY = -1.0, -1.5


@process(categories=("hydrology", "assimilation"))
def standing(record: Dataset, model: Dataset, issued: str) -> Dataset:
    """State of the basin at the end of a day, from the record up to that day alone.

    Args:
        record: Daily record.
        model: Forecast model.
        issued: The day, like 1986-04-01.
    """
    return _replayed(record, model, np.datetime64(issued, "D"))


@process(categories=("hydrology", "assimilation"))
def advanced(state: Dataset | None, observation: dict[str, Any], record: Dataset, model: Dataset) -> Dataset:
    """State of the basin after one more observed day; without a state, one is made from the record before that day.

    Args:
        state: State at the end of an earlier day, or null for a twin that begins.
        observation: `time`, `precipitation`, `temperature`, `pet` and `discharge` of the day; null means not observed.
        record: Daily record; only what lies before the observed day is looked at.
        model: Forecast model.
    """
    day = np.datetime64(str(observation["time"]).removesuffix("Z"), "ns")
    before = _replayed(record, model, day - np.timedelta64(1, "D")) if state is None else state
    names = ("precipitation", "temperature", "pet", "discharge")
    values = {name: ("time", [_number(observation.get(name))], record[name].attrs) for name in names}
    return hydro.update(before, xr.Dataset(values, {"time": [day]}, record.attrs), model)


@process(categories=("hydrology", "assimilation"))
def state_or_standing(state: Dataset | None, record: Dataset, model: Dataset, issued: str) -> Dataset:
    """The live state when there is one, else the state at the end of a day made from the record.

    Args:
        state: Live state, or null.
        record: Daily record.
        model: Forecast model.
        issued: The day, like 1986-04-01.
    """
    return _replayed(record, model, np.datetime64(issued, "D")) if state is None else state


@process(categories=("hydrology", "forecast"))
def predicted(state: Dataset, model: Dataset, rain: float = 1.0, temperature: float = 0.0) -> Dataset:
    """Ensemble forecast of the coming five days on weather of historical analogues.

    Args:
        state: Issuing state.
        model: Forecast model.
        rain: Factor on the coming rain.
        temperature: Offset on the coming temperature in K.
    """
    return hydro.forecast(state, model, rain=rain, temperature=temperature)


@process(categories=("hydrology", "forecast"))
def plume(forecast: Dataset, state: Dataset) -> Dataset:
    """What a page shows of a forecast: its quantiles, and the recent past as observed and as modelled a day ahead.

    Args:
        forecast: Ensemble forecast.
        state: The state it was issued from.
    """
    quantiles = forecast["discharge_quantile"].sel(quantile=list(_LEVELS), method="nearest")
    recent = state[["observed", "modelled", "precipitation"]]
    issued = np.datetime_as_string(state["time"].values, unit="s") + "Z"
    shown = recent.rename(observed="discharge_observed", modelled="discharge_modelled").assign(
        discharge=quantiles.assign_coords(quantile=list(_LEVELS))
    )
    shown["precipitation"].attrs.setdefault("long_name", "Precipitation")
    return shown.reset_coords(drop=True).assign_attrs(issued=str(issued), place=forecast.attrs.get("place", ""))


@process(categories=("hydrology", "alerts"))
def warnings_of(forecast: Dataset, levels: Dataset, state: Dataset, limit: float = 0.1) -> list[Any]:
    """Alerts: which level is passed now, or when and with which probability, where that reaches the limit.

    Args:
        forecast: Ensemble forecast.
        levels: Flood levels and the low-flow level.
        state: The state it was issued from; what was just observed has lead 0 and probability 1.
        limit: Probability from which an alert is given.
    """
    coming = hydro.alerts(forecast, levels, limit=limit, low_flow=float(levels["low_flow"]))
    return _passed_now(forecast, levels, state, limit) + coming


@process(categories=("hydrology", "drought"))
def drought_indicators(record: Dataset, state: Dataset, period: str) -> list[Any]:
    """Standardised rain of 90 days and discharge of 30 days, ranked among the same season of the training years.

    Args:
        record: Daily record; only what lies before the end of the state's day is looked at.
        state: State that says which day it is.
        period: Years the ranking is made in.
    """
    known = record.sel(time=slice(None, state["time"].values))
    return [
        _indicator("SPI-90", "Rain of the last 90 days (SPI)", known["precipitation"], 90, period),
        _indicator("SSI-30", "Discharge of the last 30 days (SSI)", known["discharge"], 30, period),
    ]


@process(categories=("hydrology",))
def doubt_of(forecast: Dataset) -> Annotated[Field, Unit("1")]:
    """Share of the forecast's variance that comes from weather, state and model, for each lead day.

    Args:
        forecast: Ensemble forecast.
    """
    return forecast["share"].reset_coords(drop=True).assign_coords(time=forecast["lead"].values).rename(time="lead")


@process(categories=("hydrology", "assimilation"))
def misfit_of(state: Dataset) -> dict[str, Any]:
    """Innovation of the filter by the newest observation: observed less forecast the day before, relative to observed.

    Args:
        state: State with the recent past.
    """
    known = state["observed"].notnull() & state["modelled"].notnull()
    if not known.any():
        return {"variable": "discharge", "value": None, "unit": "1", "observed": None, "modelled": None}
    recent = state[["observed", "modelled", "surprise"]].where(known, drop=True)
    observed, modelled, surprise = (float(recent[name][-1]) for name in ("observed", "modelled", "surprise"))
    last = recent.isel(past=slice(-_MISFIT_DAYS, None))
    usual = abs(last["observed"] - last["modelled"]).mean() / last["observed"].mean()
    return {
        "variable": "discharge",
        "value": abs(observed - modelled) / observed if observed > 0 else None,
        "unit": "1",
        "observed": observed,
        "modelled": modelled,
        # In standard deviations that the filter expected; and what the misfit was lately, relative to the mean.
        "surprise": surprise if np.isfinite(surprise) else None,
        "usual": float(usual),
    }


@process(categories=("hydrology", "assimilation"))
def uncertainty_of(state: Dataset) -> dict[str, Any]:
    """Standard error and quantiles of discharge and stores, from the ensemble after the newest observation.

    Args:
        state: State of the basin.
    """
    return hydro.uncertainty(state)


def _passed_now(forecast: xr.Dataset, levels: xr.Dataset, state: xr.Dataset, limit: float) -> list[dict[str, Any]]:
    observed = float(state["observed"][-1])
    passed = levels["level"].where(levels["level"] <= observed, drop=True)
    if observed < float(levels["low_flow"]):
        event, level, threshold = "drought", "low flow (Q90)", float(levels["low_flow"])
    elif passed.size:
        event, level, threshold = "flood", f"{float(passed['return_period'][-1]):g}-year", float(passed[-1])
    else:
        return []
    now = f"{np.datetime_as_string(state['time'].values, unit='s')}Z"
    where = {"event": event, "place": str(forecast.attrs["place"]), "level": level, "probability": 1.0}
    when = {"lead_days": 0, "valid": now, "issued": now}
    return [{**where, "threshold": threshold, "unit": "m3 s-1", **when, "limit": limit}]


def _replayed(record: xr.Dataset, model: xr.Dataset, day: np.datetime64) -> xr.Dataset:
    # Always from the record's first day: a state made afresh and one that lived day by day are then the same bits.
    known = record.sel(time=slice(None, day))
    if known.sizes["time"] < 2:
        first = np.datetime_as_string(record["time"].values[0], unit="D")
        raise InvalidInput(
            f"The record begins {first}: too late to know the basin on {day}.", hint="Choose a later day."
        )
    begin = hydro.initial_state(model, known["time"].values[0])
    return hydro.replay(begin, known.isel(time=slice(1, None)), model)


def _indicator(name: str, title: str, values: xr.DataArray, days: int, period: str) -> dict[str, Any]:
    index, sample = hydro.drought_today(values, days=days, calibration=period)
    unknown = not np.isfinite(index)
    word = "watch" if not unknown and index <= _DRY else "ok"
    return {
        "name": name,
        "title": title,
        "value": None if unknown else index,
        "unit": "1",
        "interval": None,
        "class": "warning" if not unknown and index <= _VERY_DRY else word,
        "note": f"from {sample} past values of the season; {period} only, so few of them are independent",
    }


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
