"""HDF5 that is no NetCDF: groups and datasets by name, their cells read when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, cast

import h5py
import numpy as np
import xarray as xr

from gemel.base.errors import did_you_mean
from gemel.infra.lake._guard import CHUNK_LIMIT, check_hdf5, lying
from gemel.infra.lake._lazy import Window, lazy_variable
from gemel.infra.lake.formats._format import Format, Options, reading, unreadable, unsuitable
from gemel.infra.lake.formats._unnamed import AxisNames

_NAME = "HDF5"
MAGIC = b"\x89HDF\r\n\x1a\n"
_MOST = 10_000  # groups and datasets in one file
_DEEPEST = 32  # groups in each other
_PROPERTIES = "_NCProperties"  # mark of the NetCDF-4 library
_INNER = ("CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "DIMENSION_LABELS", "_Netcdf4Dimid", "_Netcdf4Coordinates",
          "_nc3_strict", _PROPERTIES)  # fmt: skip


def is_netcdf(source: Path | BinaryIO) -> bool:
    """Return whether an HDF5 file is one that NetCDF's reader makes a cube of.

    That is one with variables outside of groups, which the NetCDF-4 library wrote, or whose axes all have scales.
    """
    with h5py.File(source, "r") as file:
        arrays = [item for _, item in _members(file) if isinstance(item, h5py.Dataset)]
        if not arrays:
            return _PROPERTIES in file.attrs and not len(file)
        scaled = [array for array in arrays if array.ndim]
        return _PROPERTIES in file.attrs or (
            bool(scaled) and all(array.is_scale or all(len(dim) for dim in array.dims) for array in scaled)
        )


def _read(path: Path, options: Options) -> Any:
    with path.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise unreadable(_NAME, path, "it does not begin as HDF5 files do")
    return open_hdf5(path, path, options)


def open_hdf5(
    source: Path | BinaryIO, path: Path, options: Options
) -> xr.DataArray | xr.Dataset | xr.DataTree | dict[str, xr.Dataset]:
    """Return an HDF5 file's arrays: a dataset when no groups are in it, else a tree of datasets.

    Groups whose coordinates contradict those of the group around them make no tree, but a dictionary by their paths.

    Args:
        source: The file, or a seekable one whose ranges are read; it stays open as long as the cells may be asked for.
        path: Its name in messages.
        options: `group`, to read it alone with what is below it; `variable`, the path of one array.

    Raises:
        InvalidInput: It is damaged, declares what nobody could hold, or has no such group or array.
    """
    with reading(_NAME, path):
        # h5py takes a file where the check's signature says path.
        check_hdf5(cast(Path, source), _NAME)
        found: dict[str, xr.Dataset] = {}
        with h5py.File(source, "r") as file:
            _Collection(source, path, found).add(_start(file, options["group"]), "/")
    if options["variable"] is not None:
        return _chosen(found, str(options["variable"]))
    tree = {name: item for name, item in found.items() if item.variables or item.attrs or name == "/"}
    if len(tree) == 1:
        return tree["/"]
    try:
        return xr.DataTree.from_dict(tree)
    except ValueError:
        return tree


def _chosen(found: dict[str, xr.Dataset], wanted: str) -> xr.DataArray:
    group, _, name = f"/{wanted.strip('/')}".rpartition("/")
    if name not in found.get(group or "/", {}):
        known = [f"{place.strip('/')}/{key}".strip("/") for place, item in found.items() for key in item.variables]
        hint = f"{did_you_mean(wanted, known)} Known: {', '.join(known[:20]) or 'none'}.".strip()
        raise unsuitable(_NAME, f"there is no array '{wanted}' in the file", hint)
    return found[group or "/"][name]


def _start(file: Any, group: str | None) -> Any:
    if group is None:
        return file
    found = file.get(group)
    if not isinstance(found, h5py.Group):
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Group) else None)
        hint = f"{did_you_mean(group, names)} Known: {', '.join(names[:20]) or 'none'}.".strip()
        raise unsuitable(_NAME, f"there is no group '{group}' in the file", hint)
    return found


def _members(group: Any) -> list[tuple[str, Any]]:
    """Return what lies in a group of this file; links to other files are not followed."""
    found = []
    for name in group:
        link = group.get(name, getlink=True)
        # A link to a group could lead around in a circle, and one to another file anywhere.
        known = isinstance(link, h5py.HardLink) or (
            isinstance(link, h5py.SoftLink) and group.get(name, getclass=True) is h5py.Dataset
        )
        if known:
            found.append((str(name), group[name]))
    return found


class _Collection:
    """Gathers groups as datasets; names of dimensions mean one length in the whole file."""

    def __init__(self, source: Path | BinaryIO, path: Path, found: dict[str, xr.Dataset]) -> None:
        self._source, self._path, self._found = source, path, found
        self._names = AxisNames()
        self._sizes: dict[Any, int] = {}

    def add(self, group: Any, name: str) -> None:
        """Take in a group, and those below it."""
        if len(self._found) > _MOST or name.count("/") > _DEEPEST:
            raise lying(_NAME, self._path, f"it has more than {_MOST} groups, or {_DEEPEST} in each other")
        members = _members(group)
        arrays = {key: item for key, item in members if isinstance(item, h5py.Dataset)}
        made = {key: _variable(item, self._names, self._source, self._path) for key, item in arrays.items()}
        variables = {key: self._consistent(item) for key, item in made.items() if item is not None}
        self._found[name] = xr.Dataset(variables, attrs=_attributes(group.attrs))
        for key, item in members:
            if isinstance(item, h5py.Group):
                self.add(item, f"{name.rstrip('/')}/{key}")

    def _consistent(self, variable: xr.Variable) -> xr.Variable:
        """Return a variable whose dimensions agree with others': one that has another length gets it into its name."""
        dims = [
            dim if self._sizes.setdefault(dim, size) == size else f"{dim}_{size}"
            for dim, size in variable.sizes.items()
        ]
        return xr.Variable(dims, variable._data, variable.attrs, variable.encoding)


def _variable(array: Any, names: AxisNames, source: Any, path: Path) -> xr.Variable | None:
    if array.shape is None:
        return None
    dims = names.of(array.shape, [_dim_name(array, axis) for axis in range(array.ndim)])
    attrs, place = _attributes(array.attrs), array.name
    text = h5py.check_string_dtype(array.dtype) is not None
    if array.dtype.hasobject and not text:
        return None  # references, and lists of different lengths
    dtype = np.dtype(object) if text else array.dtype.newbyteorder("=")

    def read(window: Window) -> np.ndarray[Any, Any]:
        with reading(_NAME, path), h5py.File(source, "r") as file:
            opened = file[place].asstr() if text else file[place]
            return np.asarray(opened[window])

    if not array.ndim:
        return xr.Variable((), read(()).astype(dtype), attrs)
    if array.is_scale and array.ndim == 1 and dims == (place.rpartition("/")[2],):
        if array.size * array.dtype.itemsize > CHUNK_LIMIT:
            raise lying(_NAME, path, f"'{place}' declares {array.size} labels")
        return xr.Variable(dims, read((slice(0, array.size),)), attrs)
    chunks = dict(zip(dims, array.chunks, strict=True)) if array.chunks else None
    return lazy_variable(dims, array.shape, dtype, read, attrs=attrs, chunks=chunks)


def _dim_name(array: Any, axis: int) -> str | None:
    dim = array.dims[axis]
    if array.is_scale and array.ndim == 1:
        return str(array.name).rpartition("/")[2]
    if len(dim):
        return str(dim[0].name or "").rpartition("/")[2] or None
    return str(dim.label) or None


def _attributes(attrs: Any) -> dict[str, Any]:
    found = {}
    for name in attrs:
        if name in _INNER:
            continue
        try:
            value = attrs[name]
        except (OSError, TypeError, KeyError, ValueError):
            continue  # of a type that numpy has no word for
        if isinstance(value, bytes):
            value = value.decode("utf-8", errors="replace")
        if isinstance(value, (str, int, float, np.ndarray, np.generic)) and not isinstance(value, np.void):
            found[str(name)] = value.item() if isinstance(value, np.generic) else value
    return found


HDF5 = Format(
    name=_NAME,
    title="Hierarchical Data Format 5",
    description=(
        "Arrays by name, groups as a tree, read only. Dimensions have the names of their scales or labels, else "
        "numbered ones by their length."
    ),
    media_type="application/x-hdf5",
    suffix=".h5",
    kinds=("raster", "other"),
    aliases=("hdf", "h5"),
    reader=_read,
    input_parameters={
        "group": {
            "type": ["string", "null"],
            "default": None,
            "description": "Group to read, with what is below it; default the whole file.",
        },
        "variable": {
            "type": ["string", "null"],
            "default": None,
            "description": 'Path of the one array to read as a cube, such as "run/hits"; default all.',
        },
    },
)
