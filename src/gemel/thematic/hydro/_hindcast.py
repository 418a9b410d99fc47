"""Past forecasts, re-issued day by day with only what was known then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro._assimilate import setup, spread, stepped, wetness
from gemel.thematic.hydro._calibrate import basin
from gemel.thematic.hydro._dressing import dress, quantiles
from gemel.thematic.hydro._forcing import forcing
from gemel.thematic.hydro._forecast import QUANTILES
from gemel.thematic.hydro._kernel import Setup, fresh, project
from gemel.thematic.hydro._periods import within
from gemel.thematic.hydro._record import VARIABLES
from gemel.thematic.hydro._residual import back, forth
from gemel.thematic.hydro._weather import LEADS, analogues, weather_matrix

Array = NDArray[np.float64]


class Reforecasts(NamedTuple):
    """What would have been forecast, before anything is set right.

    Attributes:
        raw: Transformed discharge (issue, member, lead).
        surprise: Innovation of the filter on the day of issue, in standard deviations that it expected (issue,).
    """

    raw: Array
    surprise: Array


def raw_forecasts(
    record: xr.Dataset,
    model: xr.Dataset,
    issue: NDArray[np.bool_],
    setups: tuple[Sequence[Setup], NDArray[np.int64]],
    *,
    members: int = 50,
    seed: int = 0,
) -> Reforecasts:
    """Return undressed ensemble forecasts and how surprised the filter was.

    Args:
        record: Daily record; the filter runs through all of it from its first day.
        model: Parameters, climatology and weather archive.
        issue: Which days of the record to issue a forecast on.
        setups: Compiled models, and which of them each day uses, so that a training day can be forecast by trees
            that never saw its year.
        members: Size of the ensemble.
        seed: Seed of the filter and the analogues.
    """
    view = basin(model)
    time = record["time"].values
    drivers = forcing(record, model)
    wet = wetness(drivers[:, 0])
    z = forth(record["discharge"].values, view.offset, view.power)
    states = np.tile(fresh(view.parameters), (members, 1))
    out, surprise = [], []
    for t in range(int(np.flatnonzero(issue)[-1]) + 1):
        trees = setups[0][setups[1][t]]
        today = stepped(states, drivers[t], z[t], (seed, time[t]), trees)
        if issue[t]:
            chosen = analogues(model, time[t], (wet[t], drivers[t, 1]), members=members, seed=seed)
            weather = weather_matrix(model, time[t], drivers[t, 1], chosen)
            out.append(project(states, weather, trees))
            surprise.append(today.surprise)
    return Reforecasts(np.stack(out), np.array(surprise))


def hindcast(record: xr.Dataset, model: xr.Dataset, period: str, *, members: int = 50, seed: int = 0) -> xr.Dataset:
    """Return the forecasts that would have been issued on each day of a period, and what then happened.

    The same numbers as `update` to the day and `forecast`, in one pass.

    Args:
        record: Daily record.
        model: Result of `train`.
        period: Days of issue whose five days ahead lie in the record.
        members: Size of the ensemble.
        seed: As in `initial_state` and `forecast`.

    Returns:
        `discharge_quantile` (issued, lead, quantile), `observed` (issued, lead; NaN where unknown) and `latest`
        (issued), the discharge of the day of issue, in m3 s-1; `surprise` (issued), the innovation of the filter in
        standard deviations that it told.

    Raises:
        InvalidInput: No such day.
    """
    issue = within(record["time"].values, period)
    issue[-LEADS:] = False
    if not issue.any():
        raise InvalidInput(f"The record has no five days after any day of {period}.", period=period)
    only = ([setup(model)], np.zeros(len(issue), dtype=np.int64))
    made = raw_forecasts(record, model, issue, only, members=members, seed=seed)
    view = basin(model)
    levels = back(quantiles(dress(made.raw, model), QUANTILES, model), view.offset, view.power)
    flow = VARIABLES["discharge"]
    data = {
        "discharge_quantile": (("issued", "lead", "quantile"), levels, {**flow, "long_name": "forecast discharge"}),
        "observed": (("issued", "lead"), ahead(record["discharge"].values, issue), {**flow}),
        "latest": ("issued", record["discharge"].values[issue], {**flow}),
        "surprise": ("issued", made.surprise / spread(model), {"units": "1"}),
    }
    coords = {"issued": record["time"].values[issue], "lead": np.arange(1, LEADS + 1), "quantile": QUANTILES}
    return xr.Dataset(data, coords=coords, attrs={"Conventions": "CF-1.11", "period": period, "seed": seed})


def ahead(values: Array, issue: NDArray[np.bool_]) -> Array:
    """Return values (issue, lead) of the days after each day of issue."""
    return np.asarray(values[np.flatnonzero(issue)[:, None] + np.arange(1, LEADS + 1)])
