"""NetCDF-4 by the Climate and Forecast conventions, written and read block by block."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import xarray as xr

from gemel.base.plugins import require
from gemel.infra.lake._axes import crs_of, geometry_dim
from gemel.infra.lake._blocks import chunk_sizes, regions
from gemel.infra.lake._guard import check_hdf5, check_sizes
from gemel.infra.lake._lazy import Window, lazy_variable
from gemel.infra.lake.formats._cf import CONVENTIONS, Layout, clean_attributes, layout, restored, time_encoding
from gemel.infra.lake.formats._format import Format, Options, cube_empty, reading, unreadable, unsuitable
from gemel.infra.lake.formats._values import as_cube, kind_of

_NAME = "netCDF"
_CLASSIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_CONTAINER = "geometry_container"


def _write(value: Any, path: Path, options: Options) -> list[Path]:
    kind = kind_of(value)
    if kind in ("table", "plain"):
        raise unsuitable(_NAME, f"it holds cubes, and this is a {kind} value", "Try CSV, Parquet or JSON.")
    if kind == "vector":
        return _write_vector(value, path)
    plan = layout(value, _NAME, bands_as_variables=options["bands_as_variables"])
    if not plan.numeric:
        plan.dataset().to_netcdf(path, engine="h5netcdf")
        return [path]
    plan.coordinates.assign_attrs(plan.attributes).to_netcdf(path, engine="h5netcdf")
    with h5netcdf.File(path, "r+") as file:
        if "coordinates" in file.attrs:
            del file.attrs["coordinates"]  # xarray's note of coordinates that no variable has yet
        targets = {name: _declared(file, name, cube, plan, options) for name, cube in plan.variables.items()}
        _fill(targets, plan.variables)
    return [path]


def _declared(file: Any, name: str, cube: xr.DataArray, plan: Layout, options: Options) -> Any:
    for dim, size in cube.sizes.items():
        if dim not in file.dimensions:
            file.dimensions[dim] = size
    dtype = _storable(cube.dtype)
    packing: dict[str, Any] = {}
    if cube.ndim:
        chunks = chunk_sizes(cube, options["chunks"])
        packing["chunks"] = tuple(chunks[str(dim)] for dim in cube.dims)
        if options["zlib"]:
            packing |= {"compression": "gzip", "compression_opts": options["complevel"], "shuffle": True}
    fill = dtype.type(np.nan) if dtype.kind == "f" else None
    variable = file.create_variable(name, tuple(map(str, cube.dims)), dtype=dtype, fillvalue=fill, **packing)
    marks = {"dtype": "bool"} if cube.dtype.kind == "b" else {}
    for key, item in (plan.attributes_of(cube) | marks).items():
        variable.attrs[key] = item
    return variable


def _fill(targets: Mapping[str, Any], cubes: Mapping[str, xr.DataArray]) -> None:
    for name, cube in cubes.items():
        target = targets[name]
        if cube.ndim == 0:
            target[...] = np.asarray(cube.values).astype(target.dtype)
            continue
        chunks = dict(zip(map(str, cube.dims), target.chunks or cube.shape, strict=True))
        for region in regions(cube, chunks):
            target[tuple(region.values())] = cube.isel(region).values.astype(target.dtype, copy=False)


def _storable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the NetCDF type that holds `dtype`: it has neither booleans nor floats of 2 or 16 bytes."""
    if dtype.kind == "b":
        return np.dtype("int8")
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return np.dtype("float32") if dtype.itemsize < 4 else np.dtype("float64")
    return dtype.newbyteorder("=")


def _write_vector(cube: xr.DataArray, path: Path) -> list[Path]:
    require("xvec", extra="data")
    dim = geometry_dim(cube)
    if cube.size == 0:
        raise cube_empty(_NAME, cube.sizes)
    name = str(cube.name) if cube.name is not None and cube.name not in cube.coords else "value"
    crs = crs_of(cube)
    dataset = cube.assign_attrs(clean_attributes(cube.attrs)).to_dataset(name=name)
    try:
        encoded = dataset.drop_encoding().xvec.encode_cf()
    except (ValueError, NotImplementedError) as error:
        raise unsuitable(_NAME, f"its geometries are not those of CF ({error})", "Try GPKG or GeoJSON.") from error
    for item in encoded.variables.values():
        item.attrs = clean_attributes(item.attrs)
        if item.dtype.kind == "M":
            item.encoding = time_encoding(xr.DataArray(item))
    marks = {"Conventions": CONVENTIONS, "gemel_geometry": str(dim), "gemel_name": str(cube.name or "")}
    marks |= {"gemel_crs": crs.to_wkt()} if crs is not None else {}
    encoded.assign_attrs(marks).to_netcdf(path, engine="h5netcdf")
    return [path]


def _read(path: Path, options: Options) -> Any:
    dataset = open_netcdf(path)
    if _CONTAINER in dataset.variables:
        return _read_vector(dataset)
    return restored(_watched(dataset, path), _NAME, options["variables"])


def _watched(dataset: xr.Dataset, path: Path) -> xr.Dataset:
    """Return the dataset with variables that name the file when it turns out to be damaged where they are read."""
    lazy = {name: item for name, item in dataset.variables.items() if item.ndim and name not in dataset.indexes}
    watched = {name: _watched_variable(item, path) for name, item in lazy.items()}
    coords = {name: item for name, item in watched.items() if name in dataset.coords}
    return dataset.assign({name: item for name, item in watched.items() if name not in coords}).assign_coords(coords)


def _watched_variable(variable: xr.Variable, path: Path) -> xr.Variable:
    def read(window: Window) -> np.ndarray[Any, Any]:
        with reading(_NAME, path):
            values: np.ndarray[Any, Any] = variable[window].values
        return values

    found = lazy_variable([*map(str, variable.dims)], variable.shape, variable.dtype, read, attrs=variable.attrs)
    found.encoding = variable.encoding
    return found


def open_netcdf(path: Path) -> xr.Dataset:
    """Return the dataset in a NetCDF file (4, or the classic 3), its variables read when asked for.

    Raises:
        InvalidInput: The file is neither, or declares more than it can hold.
    """
    with path.open("rb") as stream:
        magic = stream.read(8)
    if magic == _HDF5:
        check_hdf5(path, _NAME)
        engine = "h5netcdf"
    elif magic[:4] in _CLASSIC:
        engine = "scipy"
    else:
        raise unreadable(_NAME, path, "it does not begin as NetCDF files do")
    dataset = xr.open_dataset(path, engine=engine, decode_coords="all", cache=False, decode_timedelta=False)
    check_sizes(dataset.sizes, _NAME, path)
    return dataset


def _read_vector(dataset: xr.Dataset) -> xr.DataArray:
    require("xvec", extra="data")
    with dataset:
        loaded = dataset.load()
    name, crs = loaded.attrs.get("gemel_name"), loaded.attrs.get("gemel_crs")
    decoded = loaded.reset_coords(drop=False) if _CONTAINER in loaded.coords else loaded
    decoded = decoded.xvec.decode_cf()
    cube = as_cube(decoded, _NAME)
    dim = geometry_dim(cube)
    if crs and dim:
        cube = cube.xvec.set_crs(**{dim: crs}, allow_override=True)
    return cube.rename(name or None)


NETCDF = Format(
    name=_NAME,
    title="Network Common Data Form (NetCDF-4, CF-1.11)",
    description=(
        "One file for the whole cube, with grid mapping, units and coordinates by the CF conventions. Each band is a "
        "variable of its own, so that each has its unit; bands that cannot be names stay a dimension."
    ),
    media_type="application/x-netcdf",
    suffix=".nc",
    kinds=("raster", "vector"),
    aliases=("netcdf4", "nc", "cf"),
    writer=_write,
    reader=_read,
    output_parameters={
        "zlib": {"type": "boolean", "default": True, "description": "Whether cells are compressed, without loss."},
        "complevel": {
            "type": "integer",
            "minimum": 1,
            "maximum": 9,
            "default": 4,
            "description": "How hard to compress, from 1 (fast) to 9 (small).",
        },
        "bands_as_variables": {
            "type": "boolean",
            "default": True,
            "description": "Whether each band becomes a variable; else bands are a dimension.",
        },
        "chunks": {
            "type": ["object", "null"],
            "default": None,
            "description": 'Chunk size by dimension, such as {"t": 1, "y": 512, "x": 512}.',
        },
    },
    input_parameters={
        "variables": {
            "type": ["array", "null"],
            "items": {"type": "string"},
            "default": None,
            "description": "Names of the variables to read; default all, which then must share their dimensions.",
        }
    },
)
