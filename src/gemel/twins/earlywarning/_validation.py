"""How good the twin is on days that no fit has seen: the processes of validation."""

from __future__ import annotations

from typing import Any

import xarray as xr

from gemel.core.graph import Dataset, process, progress
from gemel.thematic import hydro

_SEEDS = (0, 1, 2, 3, 4)


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
        "filter": {"surprise": float(first["filter_surprise"]), "second": float(second["filter_surprise"])},
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


def _by_lead(figures: xr.Dataset) -> dict[str, Any]:
    names = ("nse", "nse_persistence", "crps", "skill_climate", "skill_persistence", "coverage_90", "coverage_50")
    return {name: figures[name].values.tolist() for name in names} | {"lead_days": figures["lead"].values.tolist()}
