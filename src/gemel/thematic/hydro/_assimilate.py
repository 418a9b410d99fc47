"""Keeping an ensemble of basin conditions in step with observed discharge, a day at a time.

Each member steps GR4J and the residual with its own perturbed weather and stores, then the core's ensemble filter moves
the production store, the routing store and an autoregressive model error towards the observation. Random numbers
depend on seed and date alone, so stepping day by day and running a batch give the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.core.assimilation import EnsembleFilter
from gemel.thematic.hydro._calibrate import basin
from gemel.thematic.hydro._forcing import Change, forcing
from gemel.thematic.hydro._kernel import (
    ERROR,
    PRODUCTION,
    ROUTING,
    SIZE,
    UH,
    X1,
    X3,
    Basin,
    Noise,
    Setup,
    advance,
    fresh,
)
from gemel.thematic.hydro._record import VARIABLES
from gemel.thematic.hydro._residual import back, forest, forth

Array = NDArray[np.float64]

#: Sizes of the perturbations; the scores hardly move when any is halved or doubled. How wide they make the ensemble is
#: set right where it is told (`spread`), which a filter does not mind: its gain is the same when all are scaled alike.
NOISE = Noise(rain=0.4, temperature=1.0, production=0.01, routing=0.05, error=0.08, error_memory=0.9, observation=0.03)

#: The filter. Of both methods with factors of 1, 1.05 and 1.1 on the spread it has the lowest CRPS of forecasts within the
#: training years of the Fulda, each block of years held out in turn, mean of two seeds; on those of the second basin it
#: is within 0.1 % of the lowest.
FILTER = EnsembleFilter("transform")

#: What an observation moves; all else follows from these with time.
CORRECTED = [PRODUCTION, ROUTING, ERROR]

#: Days of the recent past that a state carries for views: observed and modelled discharge and the weather.
PAST = 120

#: How much of yesterday's wetness index is left today.
WETNESS_MEMORY = 0.5

SLOTS = (
    "production", "routing", "snow", *(f"uh1_{k + 1}" for k in range(UH)), *(f"uh2_{k + 1}" for k in range(2 * UH)),
    "error", "log_flow", "water", "last_water", "melt", "wet2", "wet5", "wet15", "wet45", "warm3", "warm20",
)  # fmt: skip

_PAST_ATTRS = {
    "observed": {**VARIABLES["discharge"], "long_name": "observed discharge"},
    "modelled": {**VARIABLES["discharge"], "long_name": "modelled discharge, one day ahead, median"},
    "surprise": {"long_name": "innovation in units of what the filter expected", "units": "1"},
    "precipitation": VARIABLES["precipitation"],
    "temperature": VARIABLES["temperature"],
}


def initial_state(model: xr.Dataset, time: str | np.datetime64, *, members: int = 50, seed: int = 0) -> xr.Dataset:
    """Return a cold state at the end of `time`; run a warm-up year of record through it before trusting it.

    Args:
        model: Result of `train`.
        time: The day whose end the state describes; the first observation to `update` with is the next day's.
        members: Size of the ensemble, at least 2.
        seed: Seed of all perturbations of this state's life.

    Returns:
        `condition` (member, slot): stores and water under way in mm, memories in their own units; `discharge` (member)
        of the day, after the filter has seen it (m3 s-1; NaN before the first day); scalar `time`, `wetness` (index of
        recent rain), `warmth` (today's temperature, degC); and, over the last `PAST` days, `observed` and `modelled`
        discharge (m3 s-1; the model's median a day ahead, before it saw the observation), `surprise` (innovation of the
        filter in units of what it expected), `precipitation` and `temperature`.
    """
    if members < 2:
        raise InvalidInput(f"An ensemble needs at least 2 members, not {members}.", members=members)
    condition = np.tile(fresh(basin(model).parameters), (members, 1))
    past = {name: np.full(PAST, np.nan) for name in _PAST_ATTRS}
    before = pd.date_range(end=pd.Timestamp(time).normalize(), periods=PAST, freq="D").to_numpy()
    return _state((condition, np.full(members, np.nan)), before[-1], (0.0, np.nan), (before, past), {"seed": int(seed)})


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
    engine, seed = setup(model), int(state.attrs["seed"])
    days = [stepped(condition, drivers[t], z[t], (seed, rows["time"].values[t]), engine) for t in range(len(z))]
    modelled = back(np.median([day.ahead for day in days], axis=1), view.offset, view.power)
    fresh_past = {
        "observed": observed,
        "modelled": modelled,
        "surprise": np.array([day.surprise for day in days]) / spread(model),
        "precipitation": drivers[:, 0],
        "temperature": drivers[:, 1],
    }
    index = wetness(drivers[:, 0], float(state["wetness"]))[-1]
    past = _extend(state, rows["time"].values, fresh_past)
    flow = back(scaled(days[-1].after, spread(model)), view.offset, view.power)
    today = (float(index), float(drivers[-1, 1]))
    attrs = {"seed": seed, "filter_spread": spread(model)}
    return _state((condition, flow), rows["time"].values[-1], today, past, attrs)


def setup(model: xr.Dataset, fold: int = 0) -> Setup:
    """Return the compiled code's view of a model."""
    return Setup(basin(model), forest(model, fold), NOISE)


def spread(model: xr.Dataset) -> float:
    """Return the factor that makes the filter's standard deviations come true, as fitted on the training years."""
    return float(model.attrs.get("filter_spread", 1.0))


class Day(NamedTuple):
    """What a day brought, in transformed discharge.

    Attributes:
        ahead: Of each member before it saw the observation, (member,).
        after: Of each member once it has, (member,).
        surprise: Observation less the mean of `ahead`, in standard deviations that the filter expected; NaN without one.
    """

    ahead: Array
    after: Array
    surprise: float


def stepped(states: Array, forcing: Array, observed: float, draw: tuple[int, np.datetime64], engine: Setup) -> Day:
    """Return what a day brought, and move the members on by that day, in place.

    Args:
        states: (member, SIZE), changed in place.
        forcing: (4,): rain mm, temperature degC, PET mm, season angle.
        observed: Transformed discharge; NaN means that nothing is corrected.
        draw: Seed and date, on which alone random numbers depend.
        engine: Parameters and transformation, learned residual, sizes of the perturbations.
    """
    seed = [draw[0], int(draw[1].astype("datetime64[D]").astype(np.int64)) + 1_000_000]
    ahead = advance(states, forcing, np.random.default_rng(seed).standard_normal((len(states), 5)), engine)
    if np.isnan(observed):
        return Day(ahead, ahead, np.nan)
    before = np.column_stack([states[:, CORRECTED], ahead])
    seen, error = np.array([observed]), np.array([engine.noise.observation])
    found = FILTER.corrected(before, ahead[:, None], seen, error, seed=[*seed, 3])
    states[:, CORRECTED] = found.values[:, :-1]
    _bound(states, engine.basin)
    return Day(ahead, found.values[:, -1], float(found.surprise[0]))


def _bound(states: Array, basin: Basin) -> None:
    top = basin.parameters
    states[:, PRODUCTION] = np.clip(states[:, PRODUCTION], 1e-3 * top[X1], top[X1])
    states[:, ROUTING] = np.clip(states[:, ROUTING], 1e-3 * top[X3], 3.0 * top[X3])


def scaled(members: Array, factor: float) -> Array:
    """Return members (member, ...) whose spread about their mean is a factor of what it was."""
    mean = members.mean(axis=0)
    return np.asarray(mean + factor * (members - mean))


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
    # A state that was kept by an earlier version may lack a series.
    unknown = np.full(state.sizes["past"], np.nan)
    known = {name: state[name].values if name in state else unknown for name in values}
    return days, {name: np.concatenate([known[name], value])[-PAST:] for name, value in values.items()}


def _state(
    members: tuple[Array, Array],
    time: np.datetime64,
    today: tuple[float, float],
    past: tuple[NDArray[np.datetime64], dict[str, Array]],
    attrs: dict[str, float],
) -> xr.Dataset:
    condition, flow = members
    assert condition.shape[1] == SIZE == len(SLOTS)
    data = {
        "condition": (("member", "slot"), condition, {"long_name": "stores, water under way, model error, memories"}),
        "discharge": ("member", flow, {**VARIABLES["discharge"], "long_name": "discharge, after the observation"}),
        "wetness": ((), today[0], {"long_name": "index of recent rain", "units": "1"}),
        "warmth": ((), today[1], {"long_name": "temperature of the day", "units": "degC"}),
        **{n: ("past", v, dict(_PAST_ATTRS[n])) for n, v in past[1].items()},
    }
    coords = {
        "time": ((), np.asarray(time, dtype="datetime64[ns]"), {"standard_name": "time"}),
        "past": ("past", past[0], {"standard_name": "time"}),
        "slot": ("slot", list(SLOTS)),
    }
    return xr.Dataset(data, coords=coords, attrs={"Conventions": "CF-1.11", **attrs})
