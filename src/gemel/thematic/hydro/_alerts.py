"""Alerts: what may happen where, when, and how likely."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro._forecast import exceedance


def alerts(
    predicted: xr.Dataset,
    levels: xr.Dataset,
    *,
    limit: float = 0.3,
    low_flow: float | None = None,
) -> list[dict[str, Any]]:
    """Return one alert for each threshold and lead day whose probability reaches the limit, likeliest first.

    Args:
        predicted: Result of `forecast`.
        levels: Result of `return_levels`: exceeding one is a flood.
        limit: Probability from which an alert is given, 0 to 1.
        low_flow: Discharge in m3 s-1 below which the river is in drought.

    Returns:
        Plain documents: `event`, `place`, `level`, `probability`, `threshold`, `unit`, `lead_days`, `valid`,
        `issued`, `limit`; times in ISO 8601 with Z.

    Raises:
        InvalidInput: A limit that is no probability.
    """
    if not 0.0 < limit <= 1.0:
        raise InvalidInput(f"An alert limit lies above 0 and up to 1, not {limit}.", limit=limit)
    found = []
    for period in levels["return_period"].values:
        threshold = float(levels["level"].sel(return_period=period))
        chance = exceedance(predicted, threshold).values
        found += _alerts(predicted, chance, ("flood", f"{period:g}-year", threshold), limit)
    if low_flow is not None:
        chance = 1.0 - exceedance(predicted, low_flow).values
        found += _alerts(predicted, chance, ("drought", "low flow", low_flow), limit)
    return sorted(found, key=lambda a: -a["probability"])


def _alerts(
    predicted: xr.Dataset, chance: np.ndarray, what: tuple[str, str, float], limit: float
) -> list[dict[str, Any]]:
    return [
        {
            "event": what[0],
            "place": str(predicted.attrs["place"]),
            "level": what[1],
            "probability": round(float(p), 4),
            "threshold": what[2],
            "unit": "m3 s-1",
            "lead_days": int(lead),
            "valid": _iso(valid),
            "issued": _iso(pd.Timestamp(predicted["issued"].values).to_datetime64()),
            "limit": limit,
        }
        for p, lead, valid in zip(chance, predicted["lead"].values, predicted["time"].values, strict=True)
        if p >= limit
    ]


def _iso(time: np.datetime64) -> str:
    return f"{np.datetime_as_string(time, unit='s')}Z"
