"""Values of steps as bytes and back: JSON for plain values, NetCDF-4 for fields, datasets and tables. Never pickle."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gemel.base import units
from gemel.base.errors import InvalidInput
from gemel.core.graph._types import ValueType

_KIND = "gemel_kind"
_NAME = "gemel_name"
_LAZY_BYTES = 64 << 20  # stored results larger than this are opened in chunks instead of read whole


@dataclass(frozen=True)
class Encoded:
    """A value as it is stored.

    Attributes:
        format: `json` or `netcdf`.
        data: The bytes.
        unit: Unit of the value where it has one.
    """

    format: str
    data: bytes
    unit: str | None


def encode(value: Any) -> Encoded:
    """Return `value` as bytes that `decode` turns back into an equal value.

    Raises:
        InvalidInput: The value's class, or one of its attributes, cannot be stored.
    """
    if isinstance(value, xr.DataArray):
        return Encoded("netcdf", _netcdf(_wrapped(value)), _unit_of(value))
    if isinstance(value, xr.Dataset):
        return Encoded("netcdf", _netcdf(value.assign_attrs({_KIND: "dataset"})), None)
    if isinstance(value, pd.DataFrame):
        table = value.reset_index(drop=True).rename_axis("row").to_xarray()
        return Encoded("netcdf", _netcdf(table.assign_attrs({_KIND: "table"})), None)
    return Encoded("json", _json(value), None)


def decode(format: str, data: bytes | Path) -> Any:
    """Return the value stored in `data` (bytes or a file); a large file is opened lazily in chunks."""
    if format == "json":
        return json.loads(data if isinstance(data, bytes) else data.read_bytes())
    if isinstance(data, Path) and data.stat().st_size > _LAZY_BYTES:
        dataset = xr.open_dataset(data, engine="h5netcdf", chunks={})
    else:
        source = io.BytesIO(data) if isinstance(data, bytes) else data
        with xr.open_dataset(source, engine="h5netcdf") as opened:
            dataset = opened.load()
    return _unwrapped(dataset)


def adapt(value: Any, wanted: ValueType, where: str) -> Any:
    """Return `value` in the unit that `wanted` declares; a field without units is taken to be in it already.

    Raises:
        InvalidInput: The value is of another kind than wanted.
        UnitMismatch: Its unit measures something else.
    """
    if "field" in wanted.kinds and isinstance(value, xr.DataArray) and wanted.unit:
        return _in_unit(value, wanted.unit)
    kind = kind_of(value)
    constant_field = "field" in wanted.kinds and kind in ("number", "integer")
    null = value is None and wanted.nullable
    if not (wanted.accepts(ValueType((kind,))) or constant_field or null):
        raise InvalidInput(f"{where} is a {kind}, where {wanted.spoken()} is wanted.")
    return value


def kind_of(value: Any) -> str:
    """Return the kind of a value on the wire (see `KINDS`)."""
    for cls, kind in (
        (xr.DataArray, "field"),
        (xr.Dataset, "dataset"),
        (pd.DataFrame, "table"),
        ((bool, np.bool_), "boolean"),
        ((int, np.integer), "integer"),
        ((float, np.floating), "number"),
        (str, "text"),
        ((list, tuple), "list"),
        (dict, "object"),
        (Path, "file"),
    ):
        if isinstance(value, cls):
            return kind
    return "any"


def _in_unit(value: xr.DataArray, unit: str) -> xr.DataArray:
    found = _unit_of(value)
    if found is not None and not units.equivalent(found, unit):
        value = value.copy(data=units.convert(value.data, found, unit))
    return value if found == unit else value.assign_attrs(units=unit)


def _unit_of(value: xr.DataArray) -> str | None:
    unit = value.attrs.get("units")
    return str(unit) if unit is not None else None


def _wrapped(value: xr.DataArray) -> xr.Dataset:
    name = str(value.name) if value.name is not None else "value"
    # A field may share its name with one of its own coordinates, which a dataset does not allow.
    safe = "value" if name in value.coords else name
    return value.to_dataset(name=safe).assign_attrs({_KIND: "field", _NAME: name if value.name is not None else ""})


def _unwrapped(dataset: xr.Dataset) -> Any:
    attributes = dict(dataset.attrs)
    kind, name = attributes.pop(_KIND, "dataset"), attributes.pop(_NAME, "")
    if kind == "field":
        array = dataset[next(iter(dataset.data_vars))]
        return array.rename(name or None)
    if kind == "table":
        return dataset.to_dataframe().reset_index(drop=True)
    return dataset.drop_attrs(deep=False).assign_attrs(attributes)


def _netcdf(dataset: xr.Dataset) -> bytes:
    _check_attributes(dataset)
    try:
        data = dataset.to_netcdf(engine="h5netcdf")
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"The dataset cannot be stored as NetCDF: {error}.") from error
    return bytes(data)


def _check_attributes(dataset: xr.Dataset) -> None:
    for owner, variable in [("the dataset", dataset), *dataset.variables.items()]:
        for name, value in variable.attrs.items():  # type: ignore[attr-defined]
            if isinstance(value, (dict, bool)) or value is None:
                raise InvalidInput(
                    f"Attribute '{name}' of {owner} is a {type(value).__name__}, which NetCDF cannot hold.",
                    hint="Use text, numbers or lists of them.",
                )


def _json(value: Any) -> bytes:
    try:
        return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False).encode()
    except TypeError as error:
        raise InvalidInput(
            f"A {type(value).__name__} cannot travel between processes: {error}.",
            hint="Return an xarray object, a pandas table, or plain JSON values.",
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
