"""NumPy's own files: one array (.npy) read by ranges, or several in a zip file (.npz); never with objects in them."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import xarray as xr

from gemel.base.errors import did_you_mean
from gemel.infra.lake._blocks import regions
from gemel.infra.lake._guard import CHUNK_LIMIT, check_sizes, lying
from gemel.infra.lake._lazy import Window, lazy_variable
from gemel.infra.lake.formats._format import Format, Options, reading, unreadable, unsuitable
from gemel.infra.lake.formats._unnamed import AxisNames
from gemel.infra.lake.formats._values import kind_of, raster

_NPY, _NPZ = "NPY", "NPZ"
_MAGIC = b"\x93NUMPY"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip: the same values must give the same bytes
_MEMBERS = 100_000
_Header = tuple[tuple[int, ...], bool, np.dtype[Any]]


def _write_npy(value: Any, path: Path, options: Options) -> list[Path]:
    cube = _numbers(value, _NPY)
    target = np.lib.format.open_memmap(path, "w+", cube.dtype, cube.shape)
    for region in regions(cube) if cube.ndim else [{}]:
        target[tuple(region.values()) or ...] = cube.isel(region).values
    target.flush()
    return [path]


def _numbers(value: Any, format: str) -> xr.DataArray:
    if isinstance(value, (np.ndarray, np.generic)):
        value = xr.DataArray(np.asarray(value))
    if kind_of(value) == "dataset" and format == _NPY:
        raise unsuitable(format, "it holds one array, and this is a dataset", "Use NPZ.")
    cube = raster(value, format, numeric=False)
    if cube.dtype.hasobject or cube.dtype.kind not in "biufcmMU":
        raise unsuitable(format, f"it holds numbers, instants and texts, and the cells are of type {cube.dtype}")
    return cube


def _read_npy(path: Path, options: Options) -> Any:
    with path.open("rb") as stream:
        shape, fortran, dtype = _header(stream, path, _NPY)
        offset = stream.tell()
    wanted, size = math.prod(shape) * dtype.itemsize, path.stat().st_size - offset
    if size < wanted:
        raise lying(_NPY, path, f"it declares {math.prod(shape)} cells of {dtype}, and holds {size} bytes of them")
    if not wanted:
        return _as_value(np.empty(shape, dtype))
    return _as_value(np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C"))


def _as_value(array: np.ndarray[Any, Any]) -> Any:
    """Return a cube with unnamed dimensions; a table for rows of fields."""
    if array.dtype.names and array.ndim == 1:
        columns = {name: array[name] for name in array.dtype.names}
        return pd.DataFrame({name: item if item.ndim == 1 else list(item) for name, item in columns.items()})
    return xr.DataArray(array, dims=AxisNames().of(array.shape))


def _header(stream: BinaryIO, path: Path, format: str) -> _Header:
    """Return shape, order and type of the array that follows; the stream stands at its first byte then."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise unreadable(format, path, "it does not begin as arrays of NumPy do")
    version = tuple(stream.read(2))
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise unreadable(format, path, f"its version {'.'.join(map(str, version))} is not known")
    # Version 3 differs from 2 only in the names of fields (UTF-8); the reader of 2 takes ASCII names of both.
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        hint = "Save numbers, or open it where you trust it."
        raise unsuitable(format, f"'{path.name}' holds pickled objects, which can run programs", hint)
    if any(size < 0 for size in shape):
        raise lying(format, path, "it declares a negative size")
    return shape, fortran, dtype


def _write_npz(value: Any, path: Path, options: Options) -> list[Path]:
    arrays = _named(value)
    method = zipfile.ZIP_DEFLATED if options["compression"] else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method, allowZip64=True) as archive:
        for name, item in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            entry.compress_type = method
            with archive.open(entry, "w", force_zip64=True) as target:
                np.lib.format.write_array(target, np.asarray(item.values), allow_pickle=False)
    return [path]


def _named(value: Any) -> dict[str, xr.DataArray]:
    """Return the arrays of a value with the coordinates that they have, each once."""
    if isinstance(value, dict) and value and all(isinstance(item, np.ndarray) for item in value.values()):
        return {str(name): _numbers(item, _NPZ) for name, item in value.items()}
    if kind_of(value) == "dataset":
        found = {str(name): _numbers(item, _NPZ) for name, item in value.data_vars.items()}
    else:
        cube = _numbers(value, _NPZ)
        found = {"value" if cube.name is None else str(cube.name): cube}
    for name, item in value.coords.items():
        if item.ndim and not item.dtype.hasobject:
            found.setdefault(str(name), item)
    if any(name in ("", ".", "..") or "/" in name or "\0" in name for name in found):
        raise unsuitable(_NPZ, "a name in it cannot be one of a file")
    return found


def _read_npz(path: Path, options: Options) -> xr.Dataset | xr.DataArray:
    names, found = AxisNames(), {}
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > _MEMBERS:
            raise lying(_NPZ, path, f"it has {len(members)} members, and {_MEMBERS} is the limit")
        for member in members:
            if not member.filename.endswith(".npy"):
                raise unreadable(_NPZ, path, f"'{member.filename[:80]}' in it is no array")
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as stream:
                header = _header(stream, path, _NPZ)  # type: ignore[arg-type]
            found[name] = _member(path, member, header, names)
    wanted = options["variable"]
    if wanted is None:
        return xr.Dataset(found)
    if wanted not in found:
        hint = f"{did_you_mean(wanted, found)} Known: {', '.join([*found][:20]) or 'none'}.".strip()
        raise unsuitable(_NPZ, f"there is no array '{wanted}' in the file", hint)
    return xr.DataArray(found[wanted], name=wanted)


def _member(path: Path, member: zipfile.ZipInfo, header: _Header, names: AxisNames) -> xr.Variable:
    """Return an array of a zip file, unpacked as a whole whenever a part of it is wanted."""
    shape, _, dtype = header
    size = math.prod(shape) * dtype.itemsize
    if size > CHUNK_LIMIT:
        raise lying(_NPZ, path, f"'{member.filename}' declares {size} bytes, and {CHUNK_LIMIT} is the limit")
    if size > member.file_size:
        raise lying(_NPZ, path, f"'{member.filename}' declares more cells than it holds")
    check_sizes({f"{member.filename}[{axis}]": item for axis, item in enumerate(shape)}, _NPZ, path)

    def read(window: Window) -> np.ndarray[Any, Any]:
        return _unpacked(path, member.filename)[window]

    if dtype.names or not shape:
        return xr.Variable(names.of(shape), _unpacked(path, member.filename))
    return lazy_variable(names.of(shape), shape, dtype, read)


def _unpacked(path: Path, member: str) -> np.ndarray[Any, Any]:
    with reading(_NPZ, path), zipfile.ZipFile(path) as archive, archive.open(member) as stream:
        shape, fortran, dtype = _header(stream, path, _NPZ)  # type: ignore[arg-type]
        wanted = math.prod(shape) * dtype.itemsize
        content = stream.read(wanted)
        if len(content) != wanted or len(content) > CHUNK_LIMIT:
            raise lying(_NPZ, path, f"'{member}' ends early")
        # The checksum of a member is compared once its end is reached.
        stream.read(1)
    flat = np.frombuffer(content, dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


NPY = Format(
    name=_NPY,
    title="NumPy array",
    description=(
        "One array without labels or units; dimensions get numbered names when it is read, and rows of fields become "
        "a table. Arrays of Python objects are refused."
    ),
    media_type="application/x-npy",
    suffix=".npy",
    kinds=("raster", "other"),
    aliases=("numpy",),
    writer=_write_npy,
    reader=_read_npy,
)
NPZ = Format(
    name=_NPZ,
    title="NumPy arrays in a zip file",
    description=(
        "Several arrays by name: the cells of a cube or of a dataset's variables, and their labels. Units and names of "
        "dimensions are not kept; equal lengths share a numbered name when it is read."
    ),
    media_type="application/x-npz",
    suffix=".npz",
    kinds=("raster", "other"),
    writer=_write_npz,
    reader=_read_npz,
    input_parameters={
        "variable": {
            "type": ["string", "null"],
            "default": None,
            "description": "Name of the one array to read as a cube; default all.",
        }
    },
    output_parameters={
        "compression": {"type": "boolean", "default": True, "description": "Whether arrays are deflated, without loss."}
    },
)
