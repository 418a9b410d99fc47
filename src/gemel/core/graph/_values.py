"""Values of steps as bytes and back: JSON for plain values, NetCDF-4 for fields, datasets and tables. Never pickle."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pandas as pd
import shapely
import xarray as xr

from gemel.base import units
from gemel.base.errors import InvalidInput
from gemel.base.plugins import require
from gemel.core.graph._types import ValueType

_KIND = "gemel_kind"
_NAME = "gemel_name"
_INDEX = "gemel_index"  # number of rows, and names of the columns that were a table's index, as JSON
_TIME = "gemel_time_unit"  # finest resolution of the instants inside, which decoding must not change
_MISSING = "gemel_missing_"  # prefix of the mask beside a text column with gaps: NetCDF knows no missing text
_GEOMETRY = "gemel_geometry"  # of a coordinate of geometries written as text: their CRS as WKT, or an empty text
_RESOLUTIONS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
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
        return Encoded("netcdf", _netcdf(_wrapped(_without_shapes(value))), _unit_of(value))
    if isinstance(value, xr.Dataset):
        return Encoded("netcdf", _netcdf(value.assign_attrs({_KIND: "dataset"})), None)
    if isinstance(value, pd.DataFrame):
        return Encoded("netcdf", _netcdf(_from_table(value)), None)
    return Encoded("json", _json(value), None)


def settled(value: Any, encoded: Encoded) -> Any:
    """Return `value` as `decode` would give it back, so that a later run sees the same as the first one.

    A tuple becomes a list and a dictionary's keys become text; arrays and tables keep their form as they are.
    """
    plain = isinstance(value, (str, int, float, bool, type(None))) and not isinstance(value, np.generic)
    return value if encoded.format != "json" or plain else json.loads(encoded.data)


def decode(format: str, data: bytes | Path) -> Any:
    """Return the value stored in `data` (bytes or a file); a large file is opened lazily in chunks."""
    if format == "json":
        return json.loads(data if isinstance(data, bytes) else data.read_bytes())
    large = isinstance(data, Path) and data.stat().st_size > _LAZY_BYTES
    source = io.BytesIO(data) if isinstance(data, bytes) else data
    # Instants and spans are decoded by what encoding noted of them, not by units that only look like it ("days").
    raw = xr.open_dataset(source, engine="h5netcdf", chunks={} if large else None, decode_cf=False)
    dataset = xr.decode_cf(
        raw,
        decode_times=xr.coders.CFDatetimeCoder(time_unit=raw.attrs.get(_TIME, "ns")),
        decode_timedelta=xr.coders.CFTimedeltaCoder(decode_via_units=False),
    )
    return _unwrapped(dataset if large else _loaded(dataset))


def _loaded(dataset: xr.Dataset) -> xr.Dataset:
    with dataset:
        return dataset.load()


def adapt(value: Any, wanted: ValueType, where: str) -> Any:
    """Return `value` in the unit that `wanted` declares; a field without units is taken to be in it already.

    Raises:
        InvalidInput: The value is of another kind than wanted.
        UnitMismatch: Its unit measures something else.
    """
    if "field" in wanted.kinds and isinstance(value, xr.DataArray) and wanted.unit:
        return _in_unit(value, wanted.unit)
    if value is None:
        if wanted.nullable or wanted.is_any:
            return None
        raise InvalidInput(f"{where} is null, where {wanted.spoken()} is wanted.", hint="Does the function return it?")
    kind = kind_of(value)
    # Where a standard speaks of a cube it means one; elsewhere a number stands for a constant field.
    constant_field = "field" in wanted.kinds and kind in ("number", "integer") and wanted.contract is None
    if not (wanted.accepts(ValueType((kind,))) or constant_field):
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
    index, _ = attributes.pop(_INDEX, "[]"), attributes.pop(_TIME, None)
    if kind == "field":
        array = dataset[next(iter(dataset.data_vars))]
        return _with_shapes(array.rename(name or None))
    if kind == "table":
        return _to_table(dataset, *json.loads(index))
    return dataset.drop_attrs(deep=False).assign_attrs(attributes)


def _without_shapes(cube: xr.DataArray) -> xr.DataArray:
    """Return the cube with geometries among its labels as hexadecimal well-known binary, which NetCDF can hold."""
    for name, coordinate in cube.coords.items():
        if coordinate.dtype.hasobject and coordinate.size and isinstance(coordinate.values.flat[0], shapely.Geometry):
            crs = getattr(cube.xindexes.get(name), "crs", None)
            texts = shapely.to_wkb(coordinate.values, hex=True).astype(object)
            attributes = {key: item for key, item in coordinate.attrs.items() if key != "crs"}
            attributes[_GEOMETRY] = crs.to_wkt() if crs is not None else ""
            cube = cube.drop_indexes(name).assign_coords({name: (coordinate.dims, texts, attributes)})
    return cube


def _with_shapes(cube: xr.DataArray) -> xr.DataArray:
    for name, coordinate in cube.coords.items():
        if _GEOMETRY in coordinate.attrs:
            attributes = dict(coordinate.attrs)
            crs = attributes.pop(_GEOMETRY)
            shapes = shapely.from_wkb(coordinate.values.astype(str))
            cube = cube.drop_vars([name]).assign_coords({name: (coordinate.dims, shapes, attributes)})
            require("xvec", extra="data")
            cube = cube.xvec.set_geom_indexes(name, crs=crs or None)
            cube.coords[name].attrs |= attributes
    return cube


def _from_table(table: pd.DataFrame) -> xr.Dataset:
    plain = isinstance(table.index, pd.RangeIndex) and table.index.equals(pd.RangeIndex(len(table)))
    index = [] if plain and table.index.name is None else list(table.index.names)
    try:
        flat = table.reset_index() if index else table
        if not (flat.columns.is_unique and all(isinstance(name, str) for name in flat.columns)):
            raise ValueError("two columns share a name, or a name is not text")
        columns = {name: ("gemel_row", _column(flat[name])) for name in flat.columns}
        columns |= {f"{_MISSING}{name}": ("gemel_row", flat[name].isna()) for name in flat.columns if _gaps(flat[name])}
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"The table cannot be stored: {error}.", hint="Columns need distinct names.") from error
    return xr.Dataset(columns).assign_attrs({_KIND: "table", _INDEX: json.dumps([len(table), index])})


def _column(column: pd.Series) -> Any:
    if not isinstance(column.dtype, np.dtype) and not isinstance(column.dtype, pd.StringDtype):
        raise ValueError(f"column '{column.name}' is of the pandas type {column.dtype}; turn it into numbers or text")
    return column.fillna("").to_numpy(dtype=object) if _textual(column) else column.to_numpy()


def _textual(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.StringDtype) or column.dtype == object


def _gaps(column: pd.Series) -> bool:
    return _textual(column) and bool(column.isna().any())


def _to_table(dataset: xr.Dataset, rows: int, index: list[str | None]) -> pd.DataFrame:
    columns = {
        str(name): pd.Series(array.values) for name, array in dataset.data_vars.items() if _MISSING not in str(name)
    }
    for name, column in columns.items():
        if f"{_MISSING}{name}" in dataset:
            columns[name] = column.mask(dataset[f"{_MISSING}{name}"].values)
    table = pd.DataFrame(columns, index=pd.RangeIndex(rows))
    return table.set_index(list(table.columns[: len(index)])).rename_axis(index) if index else table


def _netcdf(dataset: xr.Dataset) -> bytes:
    _check_attributes(dataset)
    # How a file that was read once was packed is no business of the result: packing would round it.
    resolution = _resolution(dataset)
    dataset = dataset.drop_encoding().assign_attrs({_TIME: resolution})
    # Counting from 1970 as numpy does: from any other day, the far ends of a resolution overflow.
    instants = {"units": f"{_RESOLUTIONS[resolution]} since 1970-01-01", "dtype": "int64"}
    encoding = {name: instants for name, item in dataset.variables.items() if item.dtype.kind == "M"}
    try:
        _check_text(dataset)
        data = dataset.to_netcdf(engine="h5netcdf", encoding=encoding)
    except (TypeError, ValueError, NotImplementedError, OverflowError) as error:
        raise InvalidInput(f"The dataset cannot be stored as NetCDF: {error}.") from error
    return bytes(data)


def _resolution(dataset: xr.Dataset) -> str:
    found = [np.datetime_data(item.dtype)[0] for item in dataset.variables.values() if item.dtype.kind == "M"]
    return max(found, key=list(_RESOLUTIONS).index, default="ns")


def _check_text(dataset: xr.Dataset) -> None:
    for name, variable in dataset.variables.items():
        if variable.dtype.kind not in "OUT":
            continue
        if variable.size and isinstance(variable.values.flat[0], cftime.datetime):
            continue  # instants of another calendar, which CF has units for
        for text in variable.values.ravel():
            if not isinstance(text, str):
                raise ValueError(f"'{name}' holds {text!r} among its texts")
            if "\0" in text:
                raise ValueError(f"'{name}' holds a text with a NUL character")


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
        return _ENCODER.encode(_plain(value)).encode()
    except (TypeError, ValueError) as error:
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
