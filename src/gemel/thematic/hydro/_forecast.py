"""Calibrated ensemble forecasts of one to five days, issued from a state and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro._assimilate import replay, setup
from gemel.thematic.hydro._doubt import ORIGINS, variance_shares
from gemel.thematic.hydro._dressing import STRATA, dress, error_scale, quantiles, realizations
from gemel.thematic.hydro._forcing import Change, check_change
from gemel.thematic.hydro._kernel import ERROR, PRODUCTION, ROUTING, X1, Setup, project
from gemel.thematic.hydro._record import VARIABLES
from gemel.thematic.hydro._residual import back
from gemel.thematic.hydro._weather import LEADS, analogues, weather_matrix

Array = NDArray[np.float64]

#: Levels of the issued quantiles.
QUANTILES: Array = np.round(np.arange(1, 100) / 100.0, 2)

#: States and weathers in the factorial table behind the shares of doubt.
TABLE = 16


def forecast(
    state: xr.Dataset,
    model: xr.Dataset,
    *,
    days: int = LEADS,
    rain: float = 1.0,
    temperature: float = 0.0,
    seed: int = 0,
) -> xr.Dataset:
    """Return the forecast issued at the end of the state's day, with its doubt.

    Args:
        state: The issuing state: all that is known of the basin. No record is needed, so no later day can be seen.
        model: Result of `train`; its weather archive supplies the analogues.
        days: 1 to 5.
        rain: Factor on the coming rain (scenario).
        temperature: Offset on the coming temperature in K (scenario).
        seed: Seed of the pairing of weather, state and model error.

    Returns:
        `discharge_quantile` (quantile, time) at 0.01 ... 0.99 and `discharge` (realization, time), both calibrated;
        `share` (origin, time) of the variance by weather, state and model; `precipitation` and `temperature`
        (realization, time) that drove it. Coordinates `time` (valid), `issued`, `lead` (days). Attributes name the
        scenario.

    Raises:
        InvalidInput: Days outside 1 to 5, or a scenario that the basin cannot have.
    """
    if not 1 <= days <= LEADS:
        raise InvalidInput(f"A forecast reaches 1 to {LEADS} days, not {days}.", days=days)
    change = Change(rain, temperature)
    check_change(model, change)
    issued = pd.Timestamp(state["time"].values).to_datetime64()
    members = state.sizes["member"]
    today = (float(state["wetness"]), float(state["warmth"]))
    chosen = analogues(model, issued, today, members=members, seed=seed)
    weather = weather_matrix(model, issued, today[1], chosen, days=days, change=change)
    condition = np.ascontiguousarray(state["condition"].values, dtype=np.float64)
    engine = setup(model)
    raw = project(condition, weather, engine)
    fitted = model.isel(lead=slice(0, days))
    sample = dress(raw, fitted)
    table = _table(condition, weather, engine)
    view = engine.basin
    rng = np.random.default_rng([seed, int(issued.astype("datetime64[D]").astype(int)) + 1_000_000, 2])
    return _dataset(
        issued,
        back(quantiles(sample, QUANTILES, fitted).T, view.offset, view.power),
        back(realizations(sample, members, fitted, rng), view.offset, view.power),
        shares_of_doubt(table, fitted, view.offset, view.power),
        weather,
        {"rain_factor": rain, "temperature_offset": temperature, "seed": seed, "place": model.attrs["place"]},
    )


def relive(
    state: xr.Dataset,
    earlier: xr.Dataset,
    recent: xr.Dataset,
    model: xr.Dataset,
    *,
    rain: float = 1.0,
    temperature: float = 0.0,
) -> xr.Dataset:
    """Return the state as it would be had the recent past had other weather: what a `forecast` what-if may start from.

    The recent past is run twice from the earlier state, without observations, as it was and as the scenario has it;
    the difference is added to the state. A scenario that changes nothing gives the state back, bit for bit.

    Args:
        state: Issuing state.
        earlier: A state of the same ensemble some days before.
        recent: The record's rows between the two, ending at the issuing state's day.
        model: Result of `train`.
        rain: Factor on rain.
        temperature: Offset on temperature in K.

    Raises:
        InvalidInput: The recent rows do not lead from one state to the other, or a scenario the basin cannot have.
    """
    as_was = replay(earlier, recent, model, assimilation=False)
    as_if = replay(earlier, recent, model, assimilation=False, rain=rain, temperature=temperature)
    if as_was["time"].values != state["time"].values or as_was.sizes["member"] != state.sizes["member"]:
        raise InvalidInput("The recent rows do not end at the issuing state's day, or the ensembles differ.")
    moved = state["condition"].values + (as_if["condition"].values - as_was["condition"].values)
    top = model["parameter"].values[X1]
    moved[:, PRODUCTION] = np.clip(moved[:, PRODUCTION], 1e-3 * top, top)
    moved[:, ROUTING:ERROR] = np.maximum(moved[:, ROUTING:ERROR], 0.0)
    out = state.copy()
    out["condition"] = (("member", "slot"), moved, state["condition"].attrs)
    for name in ("wetness", "warmth"):
        out[name] = state[name] + (as_if[name] - as_was[name])
    return out


def _table(condition: Array, weather: Array, engine: Setup) -> Array:
    """Return transformed discharge (weather, state, lead) for every pairing of some weathers with some states."""
    n = min(TABLE, len(condition))
    pick = np.linspace(0, len(condition) - 1, n).astype(int)
    states = np.ascontiguousarray(np.tile(condition[pick], (n, 1)))
    weathers = np.ascontiguousarray(np.repeat(weather[pick], n, axis=0))
    raw = project(states, weathers, engine)
    return np.asarray(raw).reshape(n, n, -1)


def shares_of_doubt(table: Array, model: xr.Dataset, offset: float, power: float) -> Array:
    """Return the shares (origin, lead) of the variance of discharge that weather, state and model make.

    Args:
        table: Transformed discharge (weather, state, lead).
        model: Whatever holds the dressing of these leads.
        offset: Box-Cox offset in m3 s-1.
        power: Box-Cox power.
    """
    out = np.empty((len(ORIGINS), table.shape[2]))
    for k in range(table.shape[2]):
        raw = table[:, :, k]
        factor, error = error_scale(
            np.asarray(raw.var(ddof=1)), model["dress_floor"].values[k], model["dress_gain"].values[k]
        )
        center = raw.mean()
        z = center + model["dress_bias"].values[k] + (raw - center) * factor
        out[:, k] = variance_shares(back(z[:, :, None] + error * STRATA, offset, power))
    return out


def exceedance(predicted: xr.Dataset, threshold: float) -> xr.DataArray:
    """Return the probability (time) that discharge exceeds a threshold, read off the calibrated quantiles.

    Args:
        predicted: Result of `forecast`.
        threshold: Discharge in m3 s-1; below the 0.01 quantile the answer is 1, above the 0.99 quantile 0.
    """
    level = np.concatenate([[0.0], predicted["quantile"].values, [1.0]])
    values = predicted["discharge_quantile"].transpose("time", "quantile").values
    out = [1.0 - float(np.interp(threshold, v, level[1:-1], left=0.0, right=1.0)) for v in values]
    return xr.DataArray(
        np.array(out), dims="time", coords={"time": predicted["time"]}, name="probability", attrs={"units": "1"}
    )


def _dataset(
    issued: np.datetime64, levels: Array, members: Array, shares: Array, weather: Array, attrs: dict[str, object]
) -> xr.Dataset:
    lead = np.arange(1, levels.shape[1] + 1)
    time = pd.DatetimeIndex(issued + lead.astype("timedelta64[D]")).to_numpy().astype("datetime64[ns]")
    flow = VARIABLES["discharge"]
    data = {
        "discharge_quantile": (("quantile", "time"), levels, {**flow, "long_name": "forecast discharge, quantiles"}),
        "discharge": (("realization", "time"), members, {**flow, "long_name": "forecast discharge, members"}),
        "share": (("origin", "time"), shares, {"long_name": "share of the forecast variance", "units": "1"}),
        "precipitation": (("realization", "time"), weather[..., 0], dict(VARIABLES["precipitation"])),
        "temperature": (("realization", "time"), weather[..., 1], dict(VARIABLES["temperature"])),
    }
    coords = {
        "time": ("time", time, {"standard_name": "time"}),
        "issued": ((), np.asarray(issued, dtype="datetime64[ns]"), {"standard_name": "forecast_reference_time"}),
        "lead": ("time", lead, {"standard_name": "forecast_period", "units": "d"}),
        "quantile": ("quantile", QUANTILES, {"units": "1"}),
        "realization": ("realization", np.arange(len(members)), {"standard_name": "realization"}),
        "origin": ("origin", list(ORIGINS)),
    }
    fixed = {"Conventions": "CF-1.11", "weather": "historical analogues", "title": "Discharge forecast"}
    return xr.Dataset(data, coords=coords, attrs={**fixed, **attrs})
