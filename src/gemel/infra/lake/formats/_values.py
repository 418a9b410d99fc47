"""What a writer is handed: which kind of value it is, and its cubes with their bands apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gemel.infra.lake._axes import bands_dim, geometry_dim
from gemel.infra.lake.formats._format import cube_empty, unsuitable

NUMERIC = "biuf"


def kind_of(value: Any) -> str:
    """Return `raster`, `vector`, `dataset`, `table` or `plain`."""
    if isinstance(value, xr.DataArray):
        return "vector" if geometry_dim(value) else "raster"
    if isinstance(value, xr.Dataset):
        return "dataset"
    return "table" if isinstance(value, pd.DataFrame) else "plain"


def raster(value: Any, format: str, *, numeric: bool = True) -> xr.DataArray:
    """Return a value as the one raster cube that a writer asks for; variables of a dataset become bands.

    Raises:
        InvalidInput: It is something else, has no cells, or its cells are no numbers.
    """
    kind = kind_of(value)
    if kind == "dataset":
        value = as_cube(value, format)
    elif kind != "raster":
        raise unsuitable(format, f"it holds raster cubes, and this is a {kind} value", "Try GeoJSON, CSV or JSON.")
    cube: xr.DataArray = value
    if cube.size == 0:
        raise cube_empty(format, cube.sizes)
    if numeric and cube.dtype.kind not in NUMERIC:
        raise unsuitable(format, f"it holds numbers, and the cells are of type {cube.dtype}")
    return cube


def as_cube(dataset: xr.Dataset, format: str) -> xr.DataArray:
    """Return a dataset as one cube with its variables along `bands`.

    Raises:
        InvalidInput: Its variables have different dimensions.
    """
    names = list(dataset.data_vars)
    if not names:
        raise cube_empty(format, dataset.sizes)
    if len(names) == 1:
        return dataset[names[0]]
    if len({dataset[name].dims for name in names}) > 1:
        raise unsuitable(
            format, "the dataset's variables have different dimensions", "Take those that belong together."
        )
    cube = dataset.to_dataarray("bands")
    units = [str(dataset[name].attrs.get("units", "")) for name in names]
    return with_band_units(cube, "bands", units)


def by_band(cube: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return each band as a cube of its own, lazily, with its own unit; a cube without bands under its name."""
    dim = bands_dim(cube)
    if dim is None:
        return {str(cube.name if cube.name is not None else "value"): cube}
    units = band_units(cube)
    parts = {}
    for position, label in enumerate(labels_of(cube, dim)):
        part = cube.isel({dim: position}).drop_vars([n for n in cube.coords if dim in cube[n].dims])
        parts[label] = part.assign_attrs(units=units[label]) if units.get(label) else part
    return parts


def labels_of(cube: xr.DataArray, dim: str) -> list[str]:
    """Return the labels of a dimension as text; positions for one without labels."""
    return [str(item) for item in cube[dim].values.tolist()]


def band_units(cube: xr.DataArray) -> dict[str, str]:
    """Return the unit of each band, as far as known: a coordinate `units` along bands, else the cube's own unit."""
    dim = bands_dim(cube)
    own = str(cube.attrs.get("units", ""))
    if dim is None:
        return {"value": own} if own else {}
    labels = labels_of(cube, dim)
    beside = [name for name in cube.coords if str(name) in ("units", "unit") and cube[name].dims == (dim,)]
    if beside:
        return {label: str(unit) for label, unit in zip(labels, cube[beside[0]].values, strict=True) if str(unit)}
    return dict.fromkeys(labels, own) if own else {}


def with_band_units(cube: xr.DataArray, dim: str, units: list[str]) -> xr.DataArray:
    """Return the cube with the unit of each band: one attribute where they agree, a coordinate `units` where not."""
    distinct = set(units)
    if distinct <= {""}:
        return cube
    if len(distinct) == 1:
        return cube.assign_attrs(units=units[0])
    cube = cube.assign_coords(units=(dim, np.array(units)))
    return cube.drop_attrs(deep=False).assign_attrs({n: v for n, v in cube.attrs.items() if n != "units"})


def instants(labels: np.ndarray[Any, Any]) -> list[str]:
    """Return instants as RFC 3339 writes them: a date where all are midnights, else with time and `Z`.

    >>> instants(np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]"))
    ['2020-01-01', '2020-01-02']
    """
    if labels.dtype.kind != "M":  # another calendar (cftime)
        texts = [item.isoformat() for item in labels.tolist()]
        return [text.removesuffix("T00:00:00") for text in texts] if _midnights(texts) else texts
    days = labels.astype("datetime64[D]")
    if bool(np.all(days == labels)):
        return [str(item) for item in days]
    unit: Any = next(unit for unit in ("s", "ms", "us", "ns") if bool(np.all(labels.astype(f"M8[{unit}]") == labels)))
    return [f"{np.datetime_as_string(item, unit=unit)}Z" for item in labels]


def moments(labels: np.ndarray[Any, Any]) -> list[str]:
    """Return instants with time and `Z`, dates too, as readers want them that insist on a time zone.

    >>> moments(np.array(["2020-01-01"], "datetime64[ns]"))
    ['2020-01-01T00:00:00Z']
    """
    found = instants(labels)
    if labels.dtype.kind != "M":
        return found
    return [text if "T" in text else f"{text}T00:00:00Z" for text in found]


def plain(value: Any) -> Any:
    """Return a value of numpy or pandas as JSON has it: NaN and NaT are null."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist()) if value.dtype.kind != "M" else [plain(item) for item in value]
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.datetime64, pd.Timestamp)):
        return None if pd.isna(value) else instants(np.array([value], "datetime64[ns]"))[0]
    if value is None or value is pd.NA or (isinstance(value, (float, np.floating)) and not np.isfinite(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _midnights(texts: list[str]) -> bool:
    return all(text.endswith("T00:00:00") for text in texts)
