"""Keeping an ensemble of basin conditions in step with observed discharge, a day at a time.

Each member steps GR4J and the residual with its own perturbed weather and stores, then an ensemble Kalman filter moves
the production store, the routing store and an autoregressive model error towards the observation. Random numbers
depend on seed and date alone, so stepping day by day and running a batch give the same bits.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro._calibrate import basin
from gemel.thematic.hydro._forcing import Change, forcing
from gemel.thematic.hydro._kernel import SIZE, UH, Noise, Setup, assimilate, fresh
from gemel.thematic.hydro._record import VARIABLES
from gemel.thematic.hydro._residual import back, forest, forth

Array = NDArray[np.float64]

#: Sizes of the perturbations; the scores hardly move when any is halved or doubled.
NOISE = Noise(rain=0.4, temperature=1.0, production=0.01, routing=0.05, error=0.08, error_memory=0.9, observation=0.03)

#: Days of the recent past that a state carries for views: observed and modelled discharge and the weather.
PAST = 120

#: How much of yesterday's wetness index is left today.
WETNESS_MEMORY = 0.5

SLOTS = (
    "production", "routing", "snow", *(f"uh1_{k + 1}" for k in range(UH)), *(f"uh2_{k + 1}" for k in range(2 * UH)),
    "error", "log_flow", "water", "last_water", "melt", "wet2", "wet5", "wet15", "wet45", "warm3", "warm20",
)  # fmt: skip


def initial_state(model: xr.Dataset, time: str | np.datetime64, *, members: int = 50, seed: int = 0) -> xr.Dataset:
    """Return a cold state at the end of `time`; run a warm-up year of record through it before trusting it.

    Args:
        model: Result of `train`.
        time: The day whose end the state describes; the first observation to `update` with is the next day's.
        members: Size of the ensemble, at least 2.
        seed: Seed of all perturbations of this state's life.

    Returns:
        `condition` (member, slot): stores and water under way in mm, memories in their own units; scalar `time`,
        `wetness` (index of recent rain), `warmth` (today's temperature, degC); and, over the last `PAST` days, `observed`
        and `modelled` discharge (m3 s-1; the model's median a day ahead, before it saw the observation),
        `precipitation` and `temperature`.
    """
    if members < 2:
        raise InvalidInput(f"An ensemble needs at least 2 members, not {members}.", members=members)
    condition = np.tile(fresh(basin(model).parameters), (members, 1))
    past = {n: np.full(PAST, np.nan) for n in ("observed", "modelled", "precipitation", "temperature")}
    before = pd.date_range(end=pd.Timestamp(time).normalize(), periods=PAST, freq="D").to_numpy()
    return _state(condition, before[-1], (0.0, np.nan), (before, past), seed)


def update(state: xr.Dataset, observation: xr.Dataset, model: xr.Dataset) -> xr.Dataset:
    """Return the state after one observed day; days missing in between are stepped without observation.

    Args:
        state: State at the end of some earlier day.
        observation: One row of a record: `precipitation`, `temperature`, `pet`, `discharge` on `time` (1 long). NaN
            discharge means no correction; NaN weather means the month's usual weather.
        model: Result of `train`.

    Raises:
        InvalidInput: The observation is not later than the state, or is not one day.
    """
    if observation.sizes.get("time") != 1:
        raise InvalidInput("An update takes exactly one day.", hint="Use replay for several days.")
    return replay(state, observation, model)


def replay(
    state: xr.Dataset,
    observations: xr.Dataset,
    model: xr.Dataset,
    *,
    assimilation: bool = True,
    rain: float = 1.0,
    temperature: float = 0.0,
) -> xr.Dataset:
    """Return the state after several observed days: the same bits as `update` day by day.

    Args:
        state: State at the end of some earlier day.
        observations: Rows of a record, in order of time.
        model: Result of `train`.
        assimilation: False: run freely, looking at no discharge.
        rain: Factor on rain (scenario).
        temperature: Offset on temperature in K (scenario).

    Raises:
        InvalidInput: Observations out of order or not later than the state.
    """
    rows = _following(state, observations)
    if rows.sizes["time"] == 0:
        return state
    drivers = forcing(rows, model, Change(rain, temperature))
    view = basin(model)
    observed = rows["discharge"].values.astype(np.float64)
    used = observed if assimilation else np.full_like(observed, np.nan)
    z = forth(used, view.offset, view.power)
    condition = np.array(state["condition"].values, dtype=np.float64)
    draws = normals(rows["time"].values, len(condition), int(state.attrs["seed"]))
    ahead = assimilate(condition, drivers, z, draws, setup(model))
    modelled = back(np.median(ahead, axis=1), view.offset, view.power)
    fresh_past = {
        "observed": observed,
        "modelled": modelled,
        "precipitation": drivers[:, 0],
        "temperature": drivers[:, 1],
    }
    index = wetness(drivers[:, 0], float(state["wetness"]))[-1]
    past = _extend(state, rows["time"].values, fresh_past)
    return _state(condition, rows["time"].values[-1], (float(index), float(drivers[-1, 1])), past, state.attrs["seed"])


def setup(model: xr.Dataset, fold: int = 0) -> Setup:
    """Return the compiled code's view of a model."""
    return Setup(basin(model), forest(model, fold), NOISE)


def normals(time: NDArray[np.datetime64], members: int, seed: int) -> Array:
    """Return standard normal draws (day, member, 6) that depend on the date and the seed alone."""
    ordinals = time.astype("datetime64[D]").astype(np.int64) + 1_000_000
    return np.stack([np.random.default_rng([seed, int(d)]).standard_normal((members, 6)) for d in ordinals])


def wetness(rain: Array, start: float = 0.0) -> Array:
    """Return the index of recent rain of each day: what is left of yesterday's plus log(1 + rain)."""
    out = np.empty(len(rain))
    for t, depth in enumerate(rain):
        start = WETNESS_MEMORY * start + np.log1p(depth)
        out[t] = start
    return out


def _following(state: xr.Dataset, observations: xr.Dataset) -> xr.Dataset:
    time = pd.DatetimeIndex(observations["time"].values).normalize()
    now = pd.Timestamp(state["time"].values)
    if len(time) == 0:
        return observations
    if not time.is_monotonic_increasing or time.has_duplicates or time[0] <= now:
        raise InvalidInput(
            f"Observations from {time[0].date()} cannot follow a state of {now.date()} in order.",
            hint="Hand in days after the state's own, each once, sorted.",
            state=str(now.date()),
            observation=str(time[0].date()),
        )
    days = pd.date_range(now + pd.Timedelta(days=1), time[-1], freq="D")
    rows = observations[list(VARIABLES)].assign_coords(time=time)
    return rows if len(days) == len(time) else rows.reindex(time=days)


def _extend(
    state: xr.Dataset, time: NDArray[np.datetime64], values: dict[str, Array]
) -> tuple[NDArray[np.datetime64], dict[str, Array]]:
    days = np.concatenate([state["past"].values, time])[-PAST:]
    return days, {n: np.concatenate([state[n].values, v])[-PAST:] for n, v in values.items()}


def _state(
    condition: Array,
    time: np.datetime64,
    today: tuple[float, float],
    past: tuple[NDArray[np.datetime64], dict[str, Array]],
    seed: int,
) -> xr.Dataset:
    assert condition.shape[1] == SIZE == len(SLOTS)
    flow = VARIABLES["discharge"]
    attrs = {
        "observed": {**flow, "long_name": "observed discharge"},
        "modelled": {**flow, "long_name": "modelled discharge, one day ahead, median"},
        "precipitation": VARIABLES["precipitation"],
        "temperature": VARIABLES["temperature"],
    }
    data = {
        "condition": (("member", "slot"), condition, {"long_name": "stores, water under way, model error, memories"}),
        "wetness": ((), today[0], {"long_name": "index of recent rain", "units": "1"}),
        "warmth": ((), today[1], {"long_name": "temperature of the day", "units": "degC"}),
        **{n: ("past", v, dict(attrs[n])) for n, v in past[1].items()},
    }
    coords = {
        "time": ((), np.asarray(time, dtype="datetime64[ns]"), {"standard_name": "time"}),
        "past": ("past", past[0], {"standard_name": "time"}),
        "slot": ("slot", list(SLOTS)),
    }
    return xr.Dataset(data, coords=coords, attrs={"Conventions": "CF-1.11", "seed": int(seed)})
