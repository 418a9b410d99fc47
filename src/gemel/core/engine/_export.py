"""A run's output as bytes in a format that other programs read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gemel.base.errors import InvalidInput, did_you_mean
from gemel.core.graph import encode


def export(value: Any, format: str | None) -> tuple[bytes, str]:
    """Return (bytes, media type) of `value`; the default is NetCDF for arrays and JSON for everything else.

    Raises:
        InvalidInput: The format is unknown, or cannot hold this kind of value.
    """
    chosen = format or ("netcdf" if isinstance(value, (xr.DataArray, xr.Dataset, pd.DataFrame)) else "json")
    if chosen not in EXPORTS:
        hint = did_you_mean(chosen, EXPORTS) or f"Choose one of: {', '.join(EXPORTS)}."
        raise InvalidInput(f"'{chosen}' is not a format for outputs.", hint=hint)
    return EXPORTS[chosen](value)


def _as_netcdf(value: Any) -> tuple[bytes, str]:
    if not isinstance(value, (xr.DataArray, xr.Dataset, pd.DataFrame)):
        raise InvalidInput(f"A {type(value).__name__} cannot be written as NetCDF.", hint="Ask for format=json.")
    return encode(value).data, "application/x-netcdf"


def _as_json(value: Any) -> tuple[bytes, str]:
    if isinstance(value, (xr.DataArray, xr.Dataset)):
        value = value.to_dict()
    elif isinstance(value, pd.DataFrame):
        value = value.to_dict("records")
    return json.dumps(_jsonable(value), ensure_ascii=False).encode(), "application/json"


def _as_csv(value: Any) -> tuple[bytes, str]:
    if isinstance(value, (xr.DataArray, xr.Dataset)):
        named = value.to_dataset(name=value.name or "value") if isinstance(value, xr.DataArray) else value
        value = named.to_dataframe().reset_index()
    elif isinstance(value, list) and all(isinstance(row, dict) for row in value):
        value = pd.DataFrame(value)
    if not isinstance(value, pd.DataFrame):
        raise InvalidInput(f"A {type(value).__name__} is not a table.", hint="Ask for format=json.")
    return value.to_csv(index=False).encode(), "text/csv"


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _jsonable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_jsonable(item) for item in value]
    if isinstance(value, np.generic):
        return _jsonable(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.isoformat() if hasattr(value, "isoformat") else value


EXPORTS: dict[str, Callable[[Any], tuple[bytes, str]]] = {"netcdf": _as_netcdf, "json": _as_json, "csv": _as_csv}
