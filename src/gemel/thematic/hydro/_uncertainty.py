"""How well a state is known, told from its ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gemel.thematic.hydro._assimilate import scaled

Array = NDArray[np.float64]

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)

_STORES = ("production", "routing", "snow")


def uncertainty(state: xr.Dataset) -> dict[str, Any]:
    """Return how well the variables of a state are known, from the spread of its members after the last observation.

    The spread is scaled by the factor that made the filter's innovations as large as it expected on training days.

    Args:
        state: Result of `update` or `replay`.

    Returns:
        For `discharge` (m3 s-1) and the stores `production`, `routing` and `snow` (mm): `standard_error`, `quantiles`
        by level, and `unit`. Numbers are None where nothing is known, as of the discharge of a state before its first
        day.
    """
    factor = float(state.attrs.get("filter_spread", 1.0))
    stores = {name: scaled(state["condition"].sel(slot=name).values, factor) for name in _STORES}
    found = {name: _told(np.maximum(members, 0.0), "mm") for name, members in stores.items()}
    return {"discharge": _told(state["discharge"].values, "m3 s-1")} | found


def _told(members: Array, unit: str) -> dict[str, Any]:
    if not np.isfinite(members).all():
        return {"standard_error": None, "unit": unit, "quantiles": dict.fromkeys(map(str, LEVELS))}
    values = np.quantile(members, LEVELS).tolist()
    quantiles = {str(level): value for level, value in zip(LEVELS, values, strict=True)}
    return {"standard_error": float(members.std(ddof=1)), "unit": unit, "quantiles": quantiles}
