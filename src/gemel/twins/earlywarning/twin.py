"""Processes and graphs of the early-warning twin, over the hydrology in `gemel.thematic.hydro`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.core.graph import Dataset, Field, File, Unit, graph, process, progress
from gemel.thematic import hydro

_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_SEEDS = (0, 1, 2, 3, 4)
_MISFIT_DAYS = 30
# Packaged files whose layout is their own; anything else is read as the documented CSV.
_PACKAGED = {"fulda_climate.csv": "fulda", "bound.txt": "leaf"}
# Classes of a standardised index after McKee et al. (1993), table 1.
_DRY, _VERY_DRY = -1.0, -1.5


@process(categories=("hydrology", "import"))
def basin_record(record: File, area: float = 2976.41, latitude: float = 51.0, place: str = "basin") -> Dataset:
    """Daily record of a basin: precipitation, temperature, potential evapotranspiration, discharge.

    Args:
        record: A packaged record, or a CSV file with the columns date, precipitation (mm d-1), temperature (degC),
            discharge (m3 s-1) and optionally pet (mm d-1).
        area: Basin area in km2 (a packaged record brings its own).
        latitude: Degrees north, for potential evapotranspiration (likewise).
        place: Name of the basin (likewise).
    """
    packaged = _PACKAGED.get(Path(record).name)
    if packaged:
        return hydro.packaged_record(packaged)
    return hydro.read_record(record, area=area, latitude=latitude, place=place)


@process(categories=("hydrology", "calibration"))
def calibrated(record: Dataset, period: str, seed: int = 0) -> Dataset:
    """Parameters of snow model and GR4J, fitted to a period.

    Args:
        record: Daily record.
        period: Training period, like 1980/1984.
        seed: Seed of the search.
    """
    progress(0.0, "fitting GR4J")
    return hydro.calibrate(record, period, seed)


@process(categories=("hydrology", "learning"))
def residual_trees(record: Dataset, parameters: Dataset, seed: int = 0) -> Dataset:
    """Boosted trees that learn what the process model leaves over, on its training period.

    Args:
        record: Daily record.
        parameters: Fitted process model.
        seed: Seed of the training.
    """
    progress(0.0, "learning the residual")
    return hydro.train_residual(record, parameters, seed)


@process(categories=("hydrology", "learning"))
def runoff_model(record: Dataset, parameters: Dataset, residual: Dataset, seed: int = 0) -> Dataset:
    """The whole forecast model: process parameters, trees, weather archive, and calibrated forecast error.

    Args:
        record: Daily record.
        parameters: Fitted process model.
        residual: Trees of the residual.
        seed: Seed of filter and analogues.
    """
    progress(0.0, "fitting forecast errors on reforecasts of the training period")
    return hydro.assemble(parameters, residual, hydro.train_forecast(record, parameters, residual, seed))


@process(categories=("hydrology",))
def flood_levels(record: Dataset, period: str) -> Dataset:
    """Discharge of floods with given return periods, from the annual maxima of a period.

    Args:
        record: Daily record.
        period: Years to use.
    """
    levels = hydro.return_levels(record, period)
    return levels.assign(low_flow=((), hydro.low_flow_level(record, period), {"units": "m3 s-1"}))


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
def warnings_of(forecast: Dataset, levels: Dataset, limit: float = 0.2) -> list[Any]:
    """Alerts: which level is passed when, with which probability, where the probability reaches the limit.

    Args:
        forecast: Ensemble forecast.
        levels: Flood levels and the low-flow level.
        limit: Probability from which an alert is given.
    """
    return hydro.alerts(forecast, levels, limit=limit, low_flow=float(levels["low_flow"]))


@process(categories=("hydrology",))
def thresholds_of(levels: Dataset) -> list[Any]:
    """The levels a page draws as lines.

    Args:
        levels: Flood levels and the low-flow level.
    """
    floods = [
        {
            "label": f"{period:g}-year flood",
            "value": float(levels["level"].sel(return_period=period)),
            "return_period": period,
        }
        for period in levels["return_period"].values.tolist()
    ]
    return [*floods, {"label": "low flow (Q90)", "value": float(levels["low_flow"]), "return_period": None}]


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


@process(categories=("hydrology",))
def misfit_of(state: Dataset) -> dict[str, Any]:
    """Mean distance between observation and the model's forecast of the day before, relative to the mean discharge.

    Args:
        state: State with the recent past.
    """
    recent = state.isel(past=slice(-_MISFIT_DAYS, None))
    known = recent["observed"].notnull() & recent["modelled"].notnull()
    observed, modelled = recent["observed"].where(known, drop=True), recent["modelled"].where(known, drop=True)
    value = float(abs(observed - modelled).mean() / observed.mean()) if observed.size else None
    last = [float(series[-1]) if series.size else None for series in (observed, modelled)]
    return {"variable": "discharge", "value": value, "unit": "1", "observed": last[0], "modelled": last[1]}


@process(categories=("hydrology", "validation"))
def forecast_figures(record: Dataset, model: Dataset, test: str) -> Dataset:
    """Figures of simulations and as-of forecasts on a test period that no fit has seen.

    Args:
        record: Daily record.
        model: Model trained on another period.
        test: Test period.
    """
    progress(0.0, f"re-issuing every forecast of {test}")
    return hydro.validate(record, model, test)


@process(categories=("hydrology", "validation"))
def rotation(record: Dataset, train: str, test: str, rotations: str) -> Dataset:
    """NSE of process model and hybrid on several splits, each trained anew with several seeds.

    Args:
        record: Daily record.
        train: Training period of the first split.
        test: Its test period.
        rotations: Further splits, as train:test with blanks between them.
    """
    pairs = [pair.split(":") for pair in f"{train}:{test} {rotations}".split()]
    results = []
    for number, (fitted, held_out) in enumerate(pairs):
        progress(number / len(pairs), f"trained on {fitted}, tested on {held_out}")
        results.append(hydro.rotate(record, [(fitted, held_out)], _SEEDS))
    return xr.concat(results, "split")


@process(categories=("hydrology", "validation"))
def figures_of(first: Dataset, rotated: Dataset, second: Dataset) -> dict[str, Any]:
    """All figures that the checks judge, as plain numbers.

    Args:
        first: Figures of the first basin.
        rotated: Its rotation over splits and seeds.
        second: Figures of the second basin.
    """
    gain = (rotated["hybrid_nse"] - rotated["process_nse"]).values
    one_day = first.sel(lead=1)
    return {
        "process": {"nse": float(first["process_nse"]), "kge": float(first["process_kge"])},
        "hybrid": {"nse": float(first["hybrid_nse"]), "kge": float(first["hybrid_kge"])},
        "rotation": {
            "splits": [f"{a} → {b}" for a, b in zip(rotated["train"].values, rotated["test"].values, strict=True)],
            "gain": gain.ravel().tolist(),
            "gain_by_split": gain.mean(axis=1).tolist(),
        },
        "one_day": {
            "nse": float(one_day["nse"]),
            "persistence": float(one_day["nse_persistence"]),
            "gain": float(one_day["nse"] - one_day["nse_persistence"]),
        },
        "forecast": _by_lead(first),
        "second": _by_lead(second)
        | {
            "process_nse": float(second["process_nse"]),
            "hybrid_nse": float(second["hybrid_nse"]),
            "hybrid_gain": float(second["hybrid_nse"] - second["process_nse"]),
        },
        "reliability": {
            name: first[f"reliability_{name}"].values.tolist() for name in ("forecast", "observed", "count")
        },
    }


def _trained(record: Any, period: Any) -> Any:
    parameters = calibrated(record, period)
    return runoff_model(record, parameters, residual_trees(record, parameters))


def _issued(record: Any, model: Any, state: Any, period: Any, limit: Any) -> dict[str, Any]:
    coming = predicted(state, model)
    levels = flood_levels(record, period)
    return {
        "forecast": plume(coming, state),
        "alerts": warnings_of(coming, levels, limit),
        "indicators": drought_indicators(record, state, period),
        "doubt": doubt_of(coming),
        "thresholds": thresholds_of(levels),
    }


@graph
def train(record: File, area: float, latitude: float, place: str, train: str) -> Dataset:
    """Fit the whole forecast model to the training period."""
    return {"model": _trained(basin_record(record, area, latitude, place), train)}  # type: ignore[return-value]


@graph
def update(  # noqa: PLR0913 - one parameter for each thing that can be bound
    observation: dict[str, Any],
    record: File,
    area: float,
    latitude: float,
    place: str,
    train: str,
    limit: float = 0.2,
    state: Dataset | None = None,
) -> Dataset:
    """Take in one observed day, and forecast from there."""
    data = basin_record(record, area, latitude, place)
    model = _trained(data, train)
    now = advanced(state, observation, data, model)
    return {  # type: ignore[return-value]
        "state": now,
        **_issued(data, model, now, train, limit),
        "misfit": misfit_of(now),
    }


@graph
def forecast(  # noqa: PLR0913
    record: File, area: float, latitude: float, place: str, train: str, issued: str, limit: float = 0.2
) -> Dataset:
    """Forecast issued at the end of a day, with what was known then and nothing later."""
    data = basin_record(record, area, latitude, place)
    model = _trained(data, train)
    return _issued(data, model, standing(data, model, issued), train, limit)  # type: ignore[return-value]


@graph
def whatif(  # noqa: PLR0913
    record: File,
    area: float,
    latitude: float,
    place: str,
    train: str,
    issued: str,
    rain: float = 1.0,
    temperature: float = 0.0,
    limit: float = 0.2,
    state: Dataset | None = None,
) -> Dataset:
    """Forecast with other weather in the coming days, beside the one without the change."""
    data = basin_record(record, area, latitude, place)
    model = _trained(data, train)
    now = state_or_standing(state, data, model, issued)
    changed = predicted(now, model, rain, temperature)
    levels = flood_levels(data, train)
    return {  # type: ignore[return-value]
        "forecast": plume(changed, now),
        "baseline": plume(predicted(now, model), now),
        "alerts": warnings_of(changed, levels, limit),
        "doubt": doubt_of(changed),
        "thresholds": thresholds_of(levels),
    }


@graph
def validate(  # noqa: PLR0913
    record: File,
    second: File,
    area: float,
    latitude: float,
    place: str,
    train: str,
    test: str,
    rotations: str,
    second_train: str,
    second_test: str,
) -> dict[str, Any]:
    """Figures on days that no fit has seen, over several splits and seeds, and the same chain on a second basin."""
    data = basin_record(record, area, latitude, place)
    other = basin_record(second)
    first = forecast_figures(data, _trained(data, train), test)
    elsewhere = forecast_figures(other, _trained(other, second_train), second_test)
    return {"figures": figures_of(first, rotation(data, train, test, rotations), elsewhere)}


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


def _by_lead(figures: xr.Dataset) -> dict[str, Any]:
    names = ("nse", "nse_persistence", "crps", "skill_climate", "skill_persistence", "coverage_90", "coverage_50")
    return {name: figures[name].values.tolist() for name in names} | {"lead_days": figures["lead"].values.tolist()}


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
