"""Honest figures of a model on a period that it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro._calibrate import calibrate, process_run, scored_days
from gemel.thematic.hydro._hindcast import hindcast
from gemel.thematic.hydro._periods import within
from gemel.thematic.hydro._reference import climate, persistence
from gemel.thematic.hydro._residual import hybrid_run, train_residual
from gemel.thematic.hydro._scores import coverage, crps, kge, nse, reliability, skill

Array = NDArray[np.float64]


def validate(record: xr.Dataset, model: xr.Dataset, test: str, *, members: int = 50, seed: int = 0) -> xr.Dataset:
    """Return the figures of simulations and forecasts on a test period.

    Args:
        record: Daily record.
        model: Result of `train`; its training period may not touch the test period.
        test: Period of issue.
        members: Size of the ensemble.
        seed: Seed of filter and analogues.

    Returns:
        Scalars `process_nse`, `process_kge`, `process_log_nse` and the same of `hybrid`. Per `lead`: `nse` of the
        forecast mean, `nse_persistence`, `crps`, `crps_persistence` (the better of two dressings), `crps_climate`,
        `skill_persistence`, `skill_climate`, `coverage_90`, `coverage_50`. `reliability_forecast`,
        `reliability_observed`, `reliability_count` (bin): events "above the training period's 80 % quantile", all
        leads together. `filter_surprise`: mean square of the filter's innovations in the variances that it told; 1 is
        right, less is too wide.

    Raises:
        InvalidInput: Test and training overlap, or the test period is too short.
    """
    train = model.attrs["train"]
    time = record["time"].values
    if (within(time, train) & within(time, test)).any():
        raise InvalidInput(f"Test period {test} touches training period {train}.", train=train, test=test)
    issued = hindcast(record, model, test, members=members, seed=seed)
    out = xr.Dataset(
        {n: ("lead", v) for n, v in _by_lead(record, train, issued).items()}, coords={"lead": issued["lead"]}
    )
    for name, run in (("process", process_run(record, model)), ("hybrid", hybrid_run(record, model, model))):
        for score, value in simulation_figures(record, run, test).items():
            out[f"{name}_{score}"] = value
    level = float(np.quantile(record["discharge"].values[scored_days(record, train)], 0.8))
    for name, values in _diagram(issued, level).items():
        out[f"reliability_{name}"] = ("bin", values)
    out["filter_surprise"] = float(np.nanmean(issued["surprise"].values ** 2))
    return out.assign_attrs(train=train, test=test, place=model.attrs["place"], members=members, event_m3s=level)


def simulation_figures(record: xr.Dataset, run: xr.DataArray, period: str) -> dict[str, float]:
    """Return `nse`, `kge` and `log_nse` (NSE of the logarithm) of a simulation on a period."""
    days = scored_days(record, period)
    observed, flow = record["discharge"].values[days], run.values[days]
    low = 0.01 * observed.mean()
    logs = nse(np.log(observed + low), np.log(flow + low))
    return {"nse": nse(observed, flow), "kge": kge(observed, flow), "log_nse": logs}


def rotate(record: xr.Dataset, splits: Sequence[tuple[str, str]], seeds: Sequence[int]) -> xr.Dataset:
    """Return NSE of process model and hybrid for every split and seed.

    Args:
        record: Daily record.
        splits: Pairs of training and test period.
        seeds: Each calibrates and trains anew.

    Returns:
        `process_nse`, `hybrid_nse` (split, seed); coordinates `train` and `test` (split).
    """
    table = np.empty((2, len(splits), len(seeds)))
    for i, (train, test) in enumerate(splits):
        for j, seed in enumerate(seeds):
            parameters = calibrate(record, train, seed)
            residual = train_residual(record, parameters, seed)
            runs = (process_run(record, parameters), hybrid_run(record, parameters, residual))
            table[:, i, j] = [simulation_figures(record, run, test)["nse"] for run in runs]
    coords = {
        "seed": list(seeds),
        "train": ("split", [s[0] for s in splits]),
        "test": ("split", [s[1] for s in splits]),
    }
    data = {"process_nse": (("split", "seed"), table[0]), "hybrid_nse": (("split", "seed"), table[1])}
    return xr.Dataset(data, coords=coords, attrs={"place": record.attrs["place"]})


def _by_lead(record: xr.Dataset, train: str, issued: xr.Dataset) -> dict[str, Array]:
    latest, observed = issued["latest"].values, issued["observed"].values
    levels = issued["discharge_quantile"].values
    dressed = [persistence(record, train, latest, kind=k) for k in ("ratio", "difference")]
    rows = []
    for k in range(levels.shape[1]):
        known = np.isfinite(observed[:, k]) & np.isfinite(latest)
        seen = observed[known, k]
        valid = pd.DatetimeIndex(issued["issued"].values[known]) + pd.Timedelta(days=k + 1)
        rivals = [float(crps(seen, d[known, k]).mean()) for d in dressed]
        usual = float(crps(seen, climate(record, train, valid)).mean())
        own = levels[known, k]
        rows.append(_figures(seen, own, latest[known], (min(rivals), usual)))
    return {name: np.array([r[name] for r in rows]) for name in rows[0]}


def _figures(seen: Array, own: Array, latest: Array, rivals: tuple[float, float]) -> dict[str, float]:
    score = float(crps(seen, own).mean())
    return {
        "nse": nse(seen, own.mean(axis=1)),
        "nse_persistence": nse(seen, latest),
        "crps": score,
        "crps_persistence": rivals[0],
        "crps_climate": rivals[1],
        "skill_persistence": skill(score, rivals[0]),
        "skill_climate": skill(score, rivals[1]),
        # Columns 4, 94, 24 and 74 are the 0.05, 0.95, 0.25 and 0.75 quantiles.
        "coverage_90": coverage(seen, own[:, 4], own[:, 94]),
        "coverage_50": coverage(seen, own[:, 24], own[:, 74]),
    }


def _diagram(issued: xr.Dataset, level: float) -> dict[str, list[float]]:
    observed = issued["observed"].values
    known = np.isfinite(observed)
    probability = (issued["discharge_quantile"].values > level).mean(axis=-1)
    return reliability(probability[known], observed[known] > level)
