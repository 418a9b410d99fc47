"""Cubes as variables of the Climate and Forecast conventions (CF-1.11), for NetCDF and Zarr, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import did_you_mean
from gemel.infra.lake._axes import (
    GRID_MAPPING,
    axis_attributes,
    axis_of,
    bands_dim,
    crs_of,
    grid_mapping,
    is_temporal,
    time_dim,
)
from gemel.infra.lake._lazy import stacked
from gemel.infra.lake.formats._format import cube_empty, unsuitable
from gemel.infra.lake.formats._values import NUMERIC, by_band, kind_of, labels_of, raster, with_band_units

CONVENTIONS = "CF-1.11"
_BANDS = "gemel_bands"  # name of the dimension whose labels became variables
_LABELS = "gemel_labels"  # those labels in their order, as JSON
_DIMENSIONS = "gemel_dimensions"  # order of the cube's dimensions
_NAME = "gemel_name"
_UNNAMED = "value"
# Names that NetCDF allows without escaping (NetCDF-4 User's Guide, "Permitted Characters in NetCDF Names").
_VALID_NAME = re.compile(r"[A-Za-z0-9_\u0080-\U0010FFFF][^/\x00-\x1f\x7f]*(?<! )")


@dataclass(frozen=True)
class Layout:
    """A cube as a file holds it.

    Attributes:
        coordinates: Dataset of the coordinates alone, with CF attributes and encoding.
        variables: The data, lazily, by the names that they get.
        attributes: Of the file.
    """

    coordinates: xr.Dataset
    variables: dict[str, xr.DataArray]
    attributes: dict[str, Any]

    def dataset(self) -> xr.Dataset:
        """Return everything as one dataset, for cells that are no numbers and are written at once."""
        parts = {name: cube.drop_vars(list(cube.coords)).variable for name, cube in self.variables.items()}
        whole = self.coordinates.assign(parts)
        for name, cube in self.variables.items():
            whole[name].attrs, whole[name].encoding = self.attributes_of(cube), {}
        return whole.assign_attrs(self.attributes)

    def attributes_of(self, cube: xr.DataArray) -> dict[str, Any]:
        """Return the attributes of a variable: its own ones, and the names of its grid mapping and coordinates."""
        own = clean_attributes({n: v for n, v in cube.attrs.items() if n not in ("_FillValue", "missing_value")})
        if GRID_MAPPING in self.coordinates.coords:
            own["grid_mapping"] = GRID_MAPPING
        beside = [str(name) for name in cube.coords if name not in cube.dims and name != GRID_MAPPING]
        return own | ({"coordinates": " ".join(beside)} if beside else {})

    @property
    def numeric(self) -> bool:
        """Return whether all cells are numbers, which can be written block by block."""
        return all(cube.dtype.kind in NUMERIC for cube in self.variables.values())


def layout(value: Any, format: str, *, bands_as_variables: bool = True) -> Layout:
    """Return how a raster cube or a dataset of raster variables lies in a file.

    Raises:
        InvalidInput: It is neither, or has no cells.
    """
    if kind_of(value) == "dataset":
        return _of_dataset(value, format)
    cube = raster(value, format, numeric=False)
    dim = bands_dim(cube)
    if cube.dtype.kind == "c":
        raise unsuitable(format, "its cells are complex numbers", "Save real and imaginary parts apart.")
    attributes = {_DIMENSIONS: " ".join(map(str, cube.dims))}
    if bands_as_variables and dim is not None and _nameable(cube, dim):
        variables = by_band(cube)
        attributes |= {_BANDS: dim, _LABELS: json.dumps(list(variables))}
    else:
        variables = {_free_name(cube): cube}
    if cube.name is not None:
        attributes[_NAME] = str(cube.name)
    return Layout(_coordinates(next(iter(variables.values())), cube), variables, attributes | _global_attributes())


def restored(dataset: xr.Dataset, format: str, wanted: list[str] | None) -> xr.DataArray:
    """Return the cube in a dataset that was just opened: its variables along bands, as they were before writing.

    Args:
        dataset: Opened with `decode_coords="all"`.
        format: For error messages.
        wanted: Names of the variables to take; default all, which must then share their dimensions.
    """
    names = _chosen(dataset, format, wanted)
    cubes = [_without_marks(_in_order(dataset[name], dataset)) for name in names]
    dim = dataset.attrs.get(_BANDS)
    name = dataset.attrs.get(_NAME)
    if dim is None and len(cubes) == 1:
        own = dataset.attrs.get(_DIMENSIONS) is None or name is not None
        return cubes[0].rename((name or cubes[0].name) if own else None)
    order = str(dataset.attrs.get(_DIMENSIONS, "")).split()
    dim = str(dim or "bands")
    position = order.index(dim) if dim in order else (1 if cubes[0].dims[:1] == (time_dim(cubes[0]),) else 0)
    units = [str(cube.attrs.get("units", "")) for cube in cubes]
    return with_band_units(stacked(cubes, dim, names, position).rename(name), dim, units)


def clean_attributes(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes as NetCDF and Zarr can both hold them: text, numbers and lists of them; the rest as JSON text."""
    found: dict[str, Any] = {}
    for name, value in attributes.items():
        if isinstance(value, (bool, np.bool_)):
            found[str(name)] = int(value)
        elif isinstance(value, (str, int, float, np.number)):
            found[str(name)] = value
        elif isinstance(value, (list, tuple, np.ndarray)) and np.asarray(value).dtype.kind in "iufU":
            found[str(name)] = value if np.asarray(value).dtype.kind == "U" else np.asarray(value)
        elif value is not None:
            found[str(name)] = json.dumps(value, default=str)
    return found


def _of_dataset(dataset: xr.Dataset, format: str) -> Layout:
    variables = {str(name): dataset[name] for name in dataset.data_vars}
    if not variables or any(cube.size == 0 for cube in variables.values()):
        raise cube_empty(format, dataset.sizes)
    first = max(variables.values(), key=lambda cube: cube.ndim)
    own = clean_attributes(dataset.attrs)
    coordinates = _coordinates(dataset.drop_vars(list(dataset.data_vars)), first)
    return Layout(coordinates, variables, own | _global_attributes())


def _coordinates(holder: xr.DataArray | xr.Dataset, cube: xr.DataArray) -> xr.Dataset:
    crs = crs_of(cube)
    found = xr.Dataset(coords={name: item.drop_encoding() for name, item in holder.coords.items()})
    for name, item in found.coords.items():
        axis = axis_of(cube, name)
        attributes = clean_attributes(item.attrs)
        if axis is not None:
            attributes = axis_attributes(axis, crs) | attributes
        found[name].attrs = attributes
        if is_temporal(item):
            found[name].encoding = time_encoding(item)
            found[name].attrs.pop("units", None)
        elif item.dtype.kind == "f":
            found[name].encoding = {"_FillValue": None}  # CF-1.11, 2.5.1: coordinates have no missing values
    if crs is None:
        return found
    return found.assign_coords({GRID_MAPPING: ((), np.int64(0), clean_attributes(grid_mapping(crs)))})


def time_encoding(coordinate: xr.DataArray) -> dict[str, Any]:
    """Return the encoding that keeps every instant exactly: whole numbers of the coarsest unit that fits all."""
    if coordinate.dtype.kind != "M":
        return {"units": "seconds since 1970-01-01", "dtype": "int64"}
    values = coordinate.values[~np.isnat(coordinate.values)]
    units = {"D": "days", "s": "seconds", "ms": "milliseconds", "us": "microseconds"}
    for unit, word in units.items():
        if bool(np.all(values.astype(f"M8[{unit}]") == values)):
            return {"units": f"{word} since 1970-01-01", "dtype": "int64"}
    return {"units": "nanoseconds since 1970-01-01", "dtype": "int64"}


def _global_attributes() -> dict[str, Any]:
    return {"Conventions": CONVENTIONS}


def _nameable(cube: xr.DataArray, dim: str) -> bool:
    labels = labels_of(cube, dim)
    taken = {str(name) for name in (*cube.coords, *cube.dims, GRID_MAPPING)}
    texts = cube[dim].dtype.kind in "UT" or all(isinstance(item, str) for item in cube[dim].values.tolist())
    distinct = len(set(labels)) == len(labels) and not taken & set(labels)
    return texts and distinct and all(_VALID_NAME.fullmatch(label) for label in labels)


def _free_name(cube: xr.DataArray) -> str:
    name = _UNNAMED if cube.name is None else str(cube.name)
    taken = {str(item) for item in (*cube.coords, *cube.dims)}
    while name in taken or not _VALID_NAME.fullmatch(name):
        name = f"{_UNNAMED}_{len(name)}"
    return name


def _chosen(dataset: xr.Dataset, format: str, wanted: list[str] | None) -> list[str]:
    known = [str(name) for name in dataset.data_vars]
    if wanted is not None:
        for name in wanted:
            if name not in known:
                hint = f"{did_you_mean(name, known)} Known: {', '.join(known)}.".strip()
                raise unsuitable(format, f"there is no variable '{name}' in the file", hint)
        names = wanted
    elif _LABELS in dataset.attrs:
        names = [name for name in json.loads(dataset.attrs[_LABELS]) if name in known]
    else:
        names = [name for name in known if dataset[name].ndim > 0 and not name.endswith(("_bnds", "_bounds"))] or known
    if not names:
        raise unsuitable(format, "there are no variables in the file")
    if len({dataset[name].dims for name in names}) > 1:
        shown = "; ".join(f"{name} ({', '.join(map(str, dataset[name].dims))})" for name in names[:8])
        hint = 'Name those that belong together with the option "variables".'
        raise unsuitable(format, f"its variables have different dimensions: {shown}", hint)
    return names


def _in_order(cube: xr.DataArray, dataset: xr.Dataset) -> xr.DataArray:
    """Return the cube with its coordinates in the order of the file; xarray takes them from a set, which has none."""
    variables = {name: cube.coords[name].variable for name in dataset.variables if name in cube.coords}
    found = xr.DataArray(cube.variable, xr.Coordinates(variables, dict(cube.xindexes)), name=cube.name)
    found.encoding = cube.encoding
    return found


def _without_marks(cube: xr.DataArray) -> xr.DataArray:
    return (
        cube.assign_attrs({})
        if not cube.attrs
        else cube.drop_attrs(deep=False).assign_attrs(
            {name: value for name, value in cube.attrs.items() if name not in ("grid_mapping", "coordinates")}
        )
    )
