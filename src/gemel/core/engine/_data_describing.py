"""What a dataset holds, as a JSON document: dimensions, variables, columns, and a few values of them."""

from __future__ import annotations

import contextlib
import json
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gemel.core.stream import finite

_TEXT = 8000  # characters of what people are shown
_MOST_ROWS = 1000
_plainly = reprlib.Repr()
_plainly.maxdict = _plainly.maxlist = 20
_plainly.maxstring = _plainly.maxother = _TEXT // 4
_plainly.maxlevel = 4


def described(value: Any, rows: int = 0) -> dict[str, Any]:
    """Return what a value is: its `type`, what people are shown of it as `text`, and its parts.

    Nothing of a cube is read but what its labels and the preview take.

    Args:
        value: As a format reads it: a cube, a table, plain JSON, text, bytes.
        rows: So many rows of a table, or cells along each dimension of a cube's first variable, are shown as `preview`.
    """
    document: dict[str, Any] = {"type": type(value).__name__, "text": _spoken(value)}
    few = min(max(rows, 0), _MOST_ROWS)
    if isinstance(value, xr.Dataset | xr.DataArray):
        return document | _cube(value, few)
    if isinstance(value, pd.DataFrame):
        return document | _table(value, few)
    if isinstance(value, Mapping):
        return document | {"members": [str(key)[:100] for key in list(value)[:_MOST_ROWS]]}
    return document | ({"size": len(value)} if hasattr(value, "__len__") else {})


@contextlib.contextmanager
def let_go(value: Any) -> Iterator[Any]:
    """Yield a value, and close the file behind it at the end."""
    try:
        yield value
    finally:
        if isinstance(value, xr.Dataset | xr.DataArray):
            value.close()


def _spoken(value: Any) -> str:
    if isinstance(value, xr.Dataset | xr.DataArray | pd.DataFrame | np.ndarray):
        return repr(value)[:_TEXT]
    if isinstance(value, str):
        return value[:_TEXT]
    return _plainly.repr(value)[:_TEXT]


def _cube(value: xr.Dataset | xr.DataArray, few: int) -> dict[str, Any]:
    arrays = {str(name): item for name, item in value.data_vars.items()} if isinstance(value, xr.Dataset) else {}
    arrays = arrays if isinstance(value, xr.Dataset) else {str(value.name or "value"): value}
    document: dict[str, Any] = {
        "dimensions": {str(dim): _extent(value, dim) | {"size": size} for dim, size in value.sizes.items()},
        "variables": [_variable(name, item) for name, item in arrays.items()],
    }
    if few and arrays:
        name, item = next(iter(arrays.items()))
        corner = item.isel({dim: slice(0, few) for dim in item.dims})
        document["preview"] = {"variable": name, "values": _plain(corner.values)}
    return document


def _extent(value: xr.Dataset | xr.DataArray, dim: Any) -> dict[str, Any]:
    if dim not in value.coords or value.coords[dim].ndim != 1 or not value.sizes[dim]:
        return {}
    first, last = _plain(value.coords[dim].values[[0, -1]])
    units = value.coords[dim].attrs.get("units")
    return {"first": first, "last": last} | ({} if units is None else {"unit": str(units)})


def _variable(name: str, item: xr.DataArray) -> dict[str, Any]:
    unit = item.attrs.get("units")
    facts = {"name": name, "dimensions": [str(dim) for dim in item.dims], "type": str(item.dtype)}
    return facts | ({} if unit is None else {"unit": str(unit)})


def _table(frame: pd.DataFrame, few: int) -> dict[str, Any]:
    columns = [{"name": str(name), "type": str(kind)} for name, kind in frame.dtypes.items()]
    document: dict[str, Any] = {"rows": len(frame), "columns": columns}
    if few:
        # A table of geometries would write itself as GeoJSON.
        head = pd.DataFrame({str(name): list(frame[name].head(few)) for name in frame.columns.unique()})
        document["preview"] = json.loads(head.to_json(orient="records", date_format="iso", default_handler=str))
    return document


def _plain(values: np.ndarray[Any, Any]) -> Any:
    if values.dtype.kind in "biuf":
        return finite(values.tolist())
    if values.dtype.kind == "M":
        return np.datetime_as_string(values, unit="s").tolist()
    return values.astype(str).tolist()
