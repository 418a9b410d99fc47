"""Cubes as tables with one row per combination of labels and one column per band, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gemel.base.plugins import require
from gemel.infra.lake._axes import bands_dim, crs_of, geometry_dim, is_temporal, parsed_crs, with_grid
from gemel.infra.lake._blocks import rows
from gemel.infra.lake.formats._format import unsuitable
from gemel.infra.lake.formats._values import band_units, instants, labels_of

PROPERTIES = "properties"  # the dimension that load_geojson makes of features' properties
_VALUE = "value"


def columns_dim(cube: xr.DataArray) -> str | None:
    """Return the dimension whose labels become columns: bands, else the properties of features, else none."""
    return bands_dim(cube) or (PROPERTIES if PROPERTIES in cube.dims else None)


def value_columns(cube: xr.DataArray) -> list[str]:
    """Return the names of the columns that hold values."""
    dim = columns_dim(cube)
    if dim is not None:
        return labels_of(cube, dim)
    name = str(cube.name) if cube.name is not None else _VALUE
    return [name if name not in cube.coords and name not in cube.dims else _VALUE]


def column_units(cube: xr.DataArray) -> dict[str, str]:
    """Return the unit of each column of values, as far as known."""
    columns, units = value_columns(cube), band_units(cube)
    if bands_dim(cube) is None:
        own = str(cube.attrs.get("units", ""))
        return dict.fromkeys(columns, own) if own else {}
    return {name: units[name] for name in columns if units.get(name)}


def description(cube: xr.DataArray) -> dict[str, Any]:
    """Return what is needed to make the cube of its table again, as JSON has it."""
    crs = crs_of(cube)
    return {
        "dimensions": [str(dim) for dim in cube.dims],
        "columns": columns_dim(cube),
        "values": value_columns(cube),
        "name": None if cube.name is None else str(cube.name),
        "units": column_units(cube),
        "temporal": [str(dim) for dim in cube.dims if is_temporal(cube[dim])],
        "dtype": str(cube.dtype),
        "crs": None if crs is None or geometry_dim(cube) else crs.to_wkt(),
        "geometries": [dim for dim in (geometry_dim(cube),) if dim],
        "sizes": {str(dim): size for dim, size in cube.sizes.items()},
    }


def pieces(cube: xr.DataArray, format: str, *, texts: bool = False) -> Iterator[pd.DataFrame]:
    """Yield the table of a cube in pieces that fit into memory, in the order of its cells.

    Columns are the dimensions (but for the one that makes columns), coordinates along them, and the values. Instants
    become text by RFC 3339 where `texts` says so, all of a column alike.

    Raises:
        InvalidInput: Two columns would share a name.
    """
    dim = columns_dim(cube)
    ordered = _spoken(cube) if texts else cube
    ordered = ordered.transpose(..., dim) if dim is not None else ordered
    names = value_columns(cube)
    index = [str(item) for item in ordered.dims if item != dim]
    beside = _beside(ordered, dim)
    all_names = [*index, *beside, *names]
    if len(set(all_names)) != len(all_names):
        raise unsuitable(format, f"two columns would share a name: {', '.join(all_names)}", "Rename bands or labels.")
    if ordered.size == 0:
        yield pd.DataFrame(columns=all_names)
        return
    # A row costs far more than its cells once its labels are written out.
    for region in rows(ordered, limit=4 << 20):
        yield _piece(ordered.isel(region), index, beside, names)


def _spoken(cube: xr.DataArray) -> xr.DataArray:
    for name in [name for name, item in cube.coords.items() if item.ndim == 1 and is_temporal(item)]:
        labels = cube[name].values
        gaps = np.isnat(labels) if labels.dtype.kind == "M" else np.zeros(len(labels), dtype=bool)
        words = np.full(len(labels), None, dtype=object)
        if not gaps.all():
            words[~gaps] = instants(labels[~gaps])
        cube = cube.assign_coords({name: (cube[name].dims, words)})
    return cube


def _piece(part: xr.DataArray, index: list[str], beside: list[str], names: list[str]) -> pd.DataFrame:
    shape = [part.sizes[dim] for dim in index]
    grids = np.indices(shape).reshape(len(shape), -1)
    columns: dict[str, Any] = {}
    for axis, dim in enumerate(index):
        columns[dim] = part[dim].values[grids[axis]]
    for name in beside:
        item = part[name]
        columns[name] = item.values[tuple(grids[index.index(str(dim))] for dim in item.dims)]
    cells = part.values.reshape(-1, len(names))
    for position, name in enumerate(names):
        columns[name] = _tidy_values(cells[:, position])
    return pd.DataFrame(columns)


def _tidy_values(values: np.ndarray[Any, Any]) -> Any:
    if values.dtype.kind != "O":
        return values
    found = [item for item in values if item is not None]
    if found and all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in found):
        return np.array([np.nan if item is None else item for item in values], dtype=np.float64)
    return values


def _beside(cube: xr.DataArray, dim: str | None) -> list[str]:
    """Return the names of coordinates that lie along rows and are no dimension, in the order of the alphabet."""
    return sorted(
        str(name)
        for name, item in cube.coords.items()
        if name not in cube.dims and item.ndim > 0 and dim not in item.dims
    )


def cube_of(table: pd.DataFrame, note: Mapping[str, Any], crs: Any = None) -> xr.DataArray | None:
    """Return the cube that a table was made of, or None when its rows are no longer those that were written.

    Args:
        table: The rows, in the order they were written; geometries in the column of their dimension.
        note: What `description` returned.
        crs: Reference system of the geometries.
    """
    dim, sizes = note["columns"], dict(note["sizes"])
    index = [name for name in note["dimensions"] if name != dim]
    shape = [sizes[name] for name in index]
    names = list(note["values"])
    if len(table) != int(np.prod(shape, dtype=np.int64)) or not {*index, *names} <= set(table.columns):
        return None
    coords: dict[str, Any] = {}
    for axis, name in enumerate(index):
        line = np.arange(len(table)).reshape(shape)[tuple(slice(None) if i == axis else 0 for i in range(len(shape)))]
        coords[name] = (name, _labels(table[name].iloc[line], name in note["temporal"]))
    cells = _cells(table, names, str(note["dtype"])).reshape([*shape, len(names)])
    if dim is None:
        cube = xr.DataArray(cells[..., 0], coords, index, name=note["name"])
    else:
        cube = xr.DataArray(cells, coords | {dim: (dim, np.array(names))}, [*index, dim], name=note["name"])
    return _finished(cube.transpose(*note["dimensions"]), note, crs)


def vector_cube(features: Any, columns: list[str] | None = None) -> xr.DataArray:
    """Return features (a `GeoDataFrame`) as a cube of geometries, and of their properties along `properties`.

    Without columns to make values of, values are NaN. Columns that make no values stay coordinates beside geometries.
    """
    require("xvec", extra="data")
    shapes = np.empty(len(features), dtype=object)
    shapes[:] = list(features.geometry.values)
    others = [str(name) for name in features.columns if name != features.geometry.name]
    chosen = [name for name in others if features[name].dtype.kind in "iufb"] if columns is None else columns
    if chosen:
        cells = _cells(features, chosen, "").reshape(len(features), len(chosen))
        cube = xr.DataArray(cells, {PROPERTIES: chosen}, ("geometry", PROPERTIES))
    else:
        cube = xr.DataArray(np.full(len(features), np.nan), dims=("geometry",))
    beside = {name: ("geometry", _labels(features[name], False)) for name in others if name not in chosen}
    cube = cube.assign_coords({"geometry": ("geometry", shapes)} | beside)
    indexed: xr.DataArray = cube.xvec.set_geom_indexes("geometry", crs=features.crs)
    return indexed


def renamed_geometry(features: Any, name: str) -> Any:
    """Return features with their geometries in the column `name`."""
    return features if features.geometry.name == name else features.rename_geometry(name)


def _finished(cube: xr.DataArray, note: Mapping[str, Any], crs: Any) -> xr.DataArray:
    units = dict(note.get("units") or {})
    if len(set(units.values())) == 1:
        cube = cube.assign_attrs(units=next(iter(units.values())))
    elif units:
        labels = labels_of(cube, note["columns"])
        cube = cube.assign_coords(units=(note["columns"], np.array([units.get(name, "") for name in labels])))
    if note.get("crs"):
        cube = with_grid(cube, parsed_crs(note["crs"]))
    for name in note.get("geometries") or ():
        require("xvec", extra="data")
        cube = cube.xvec.set_geom_indexes(name, crs=crs)
    return cube


def _labels(column: Any, temporal: bool) -> np.ndarray[Any, Any]:
    if temporal:
        return np.asarray(pd.to_datetime(column, utc=True, format="ISO8601").dt.tz_localize(None))
    values = column.to_numpy()
    if values.dtype.kind == "O" and all(isinstance(item, str) for item in values):
        values = values.astype(str)
    labels: np.ndarray[Any, Any] = np.asarray(values)
    return labels


def _cells(table: Any, names: list[str], dtype: str) -> np.ndarray[Any, Any]:
    columns = [table[name] for name in names]
    if not all(column.dtype.kind in "biuf" for column in columns):
        return np.stack([_objects(column) for column in columns], axis=-1)
    cells = np.stack([column.to_numpy() for column in columns], axis=-1)
    wanted = np.dtype(dtype) if dtype else cells.dtype
    lossy = wanted.kind in "biu" and cells.dtype.kind == "f" and bool(np.isnan(cells).any())
    found: np.ndarray[Any, Any] = cells if lossy or wanted.kind not in "biuf" else cells.astype(wanted)
    return found


def _objects(column: Any) -> np.ndarray[Any, Any]:
    found = np.empty(len(column), dtype=object)
    found[:] = [None if item is None or item is pd.NA or item != item else item for item in column]
    return found
