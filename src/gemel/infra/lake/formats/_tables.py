"""CSV and Parquet: tables, and cubes as tables; geometries as well-known text, or as GeoParquet 1.1."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import xarray as xr

from gemel.base.plugins import require
from gemel.infra.lake._axes import crs_of, geometry_dim, is_temporal
from gemel.infra.lake.formats._format import Format, Options, unsuitable
from gemel.infra.lake.formats._tidy import column_units, cube_of, description, pieces, vector_cube
from gemel.infra.lake.formats._values import as_cube, instants, kind_of

_CSV, _PARQUET = "CSV", "Parquet"
_NOTE = b"gemel"


def _write_csv(value: Any, path: Path, options: Options) -> list[Path]:
    header = options["header"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        for number, table in enumerate(_tables(value, _CSV, texts=True)):
            plain = table.assign(**{str(name): _texts(table[name]) for name in table.columns})
            plain.to_csv(stream, index=False, sep=options["separator"], header=header and number == 0, na_rep="")
    return [path]


def _texts(column: Any) -> Any:
    """Return a column as CSV shows it: instants by RFC 3339, geometries as well-known text."""
    values = column.to_numpy()
    if values.dtype.kind == "M" and len(values):
        return instants(values)
    if values.dtype.kind == "O" and len(values) and hasattr(values[0], "wkt"):
        return [None if item is None else item.wkt for item in values]
    return column


def _tables(value: Any, format: str, *, texts: bool = False) -> Iterator[pd.DataFrame]:
    kind = kind_of(value)
    if kind == "table":
        plain = isinstance(value.index, pd.RangeIndex) and value.index.name is None
        yield value if plain else value.reset_index()
    elif kind in ("raster", "vector"):
        yield from pieces(value, format, texts=texts)
    elif kind == "dataset":
        yield from pieces(as_cube(value, format), format, texts=texts)
    else:
        yield _listed(value, format)


def _listed(value: Any, format: str) -> pd.DataFrame:
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return pd.DataFrame(value)
    if isinstance(value, (list, tuple)) and not any(isinstance(item, (list, dict)) for item in value):
        return pd.DataFrame({"value": list(value)})
    if isinstance(value, (int, float, str)):
        return pd.DataFrame({"value": [value]})
    raise unsuitable(format, f"a {type(value).__name__} is no table", "Try JSON.")


def _read_csv(path: Path, options: Options) -> pd.DataFrame:
    return pd.read_csv(path, sep=options["separator"])


def _write_parquet(value: Any, path: Path, options: Options) -> list[Path]:
    arrow, parquet = require("pyarrow", extra="data"), require("pyarrow.parquet", extra="data")
    dim = geometry_dim(value) if isinstance(value, xr.DataArray) else None
    notes: dict[bytes, bytes] = {}
    if isinstance(value, (xr.DataArray, xr.Dataset)):
        _require_calendar(value)
    if isinstance(value, xr.DataArray):
        notes[_NOTE] = json.dumps(description(value)).encode()
    if dim is not None:
        notes[b"geo"] = json.dumps(_geo_metadata(value, dim)).encode()
    units = column_units(value) if isinstance(value, xr.DataArray) else {}
    writer = None
    try:
        for piece in _tables(value, _PARQUET):
            table = piece if dim is None else piece.assign(**{dim: [item.wkb for item in piece[dim]]})
            found = arrow.Table.from_pandas(table, preserve_index=False)
            if writer is None:
                schema = _with_units(found.schema, units, notes)
                writer = parquet.ParquetWriter(path, schema, compression=options["compression"])
            writer.write_table(found.cast(schema))
    except (arrow.ArrowInvalid, arrow.ArrowTypeError) as error:
        raise unsuitable(_PARQUET, str(error).splitlines()[0], "Columns need one type each.") from error
    finally:
        if writer is not None:
            writer.close()
    return [path]


def _require_calendar(value: xr.DataArray | xr.Dataset) -> None:
    for name, item in value.coords.items():
        if item.dtype.kind == "O" and is_temporal(item):
            calendar = item.values.flat[0].calendar
            hint = (
                'Bring it to the standard calendar: harmonise with calendar "standard". CSV, netCDF and Zarr keep it.'
            )
            raise unsuitable(_PARQUET, f"'{name}' is in the calendar '{calendar}', for which it has no type", hint)


def _with_units(schema: Any, units: dict[str, str], notes: dict[bytes, bytes]) -> Any:
    for position, name in enumerate(schema.names):
        if name in units:
            schema = schema.set(position, schema.field(position).with_metadata({"units": units[name]}))
    return schema.with_metadata({**(schema.metadata or {}), **notes})


def _geo_metadata(cube: xr.DataArray, dim: str) -> dict[str, Any]:
    """Return the file metadata of GeoParquet 1.1.0 (`geo`)."""
    crs = crs_of(cube)
    shapes = cube[dim].values
    types = sorted({item.geom_type for item in shapes})
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": types}
    column["crs"] = None if crs is None else crs.to_json_dict()
    if len(shapes):
        edges = np.array([item.bounds for item in shapes])
        low, high = np.nanmin(edges[:, :2], axis=0), np.nanmax(edges[:, 2:], axis=0)
        column["bbox"] = [*low.tolist(), *high.tolist()]
    return {"version": "1.1.0", "primary_column": dim, "columns": {dim: column}}


def _read_parquet(path: Path, options: Options) -> Any:
    parquet = require("pyarrow.parquet", extra="data")
    metadata = parquet.read_schema(path).metadata or {}
    note = json.loads(metadata[_NOTE]) if _NOTE in metadata else None
    table, crs = _table_of(path, metadata)
    if note is not None and not note.get("geometries"):
        table = table if table is not None else parquet.read_table(path).to_pandas()
    if note is not None:
        cube = cube_of(table, note, crs)
        if cube is not None:
            return cube
    return vector_cube(table) if b"geo" in metadata else table


def _table_of(path: Path, metadata: dict[bytes, bytes]) -> tuple[Any, Any]:
    if b"geo" not in metadata:
        return require("pyarrow.parquet", extra="data").read_table(path).to_pandas(), None
    geo = json.loads(metadata[b"geo"])
    features = require("geopandas", extra="data").read_parquet(path)
    written = geo["columns"][geo["primary_column"]].get("crs")
    return features, None if written is None else pyproj.CRS.from_json_dict(written)


def temporal_columns(table: pd.DataFrame) -> list[str]:
    """Return the names of the columns that hold instants."""
    return [str(name) for name in table.columns if is_temporal(xr.DataArray(table[name].to_numpy()))]


CSV = Format(
    name=_CSV,
    title="Comma-separated values",
    description=(
        "A table as text (RFC 4180, UTF-8). A cube becomes one row per combination of labels and one column per band; "
        "instants are written by RFC 3339, geometries as well-known text."
    ),
    media_type="text/csv",
    suffix=".csv",
    kinds=("table", "vector", "raster"),
    writer=_write_csv,
    reader=_read_csv,
    output_parameters={
        "separator": {
            "type": "string",
            "enum": [",", ";", "\t", "|"],
            "default": ",",
            "description": "What stands between two fields.",
        },
        "header": {"type": "boolean", "default": True, "description": "Whether the first line names the columns."},
    },
    input_parameters={
        "separator": {
            "type": "string",
            "enum": [",", ";", "\t", "|"],
            "default": ",",
            "description": "What stands between two fields.",
        }
    },
)
PARQUET = Format(
    name=_PARQUET,
    title="Apache Parquet and GeoParquet 1.1",
    description=(
        "A table by columns. A cube becomes one row per combination of labels and one column per band, each with its "
        "unit; a vector cube makes a GeoParquet file."
    ),
    media_type="application/vnd.apache.parquet",
    suffix=".parquet",
    kinds=("table", "vector", "raster"),
    aliases=("geoparquet",),
    writer=_write_parquet,
    reader=_read_parquet,
    output_parameters={
        "compression": {
            "type": "string",
            "enum": ["zstd", "snappy", "gzip", "none"],
            "default": "zstd",
            "description": "How columns are compressed.",
        }
    },
)
