"""Zarr version 3 by the Climate and Forecast conventions: one zipped store, written chunk by chunk."""

from __future__ import annotations

import math
import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
import zarr.codecs
import zarr.errors
import zarr.storage

from gemel.infra.lake._blocks import chunk_sizes, regions
from gemel.infra.lake._guard import check_chunk, check_sizes, lying
from gemel.infra.lake.formats._cf import Layout, layout, restored
from gemel.infra.lake.formats._format import Format, Options, unreadable, unsuitable
from gemel.infra.lake.formats._values import NUMERIC, kind_of
from gemel.infra.lake.lazy_zarr import zarr_variable

_NAME = "Zarr"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip: the same cube must give the same bytes


def _write(value: Any, path: Path, options: Options) -> list[Path]:
    kind = kind_of(value)
    if kind not in ("raster", "dataset"):
        raise unsuitable(_NAME, f"it holds raster cubes, and this is a {kind} value", "Try Parquet or JSON.")
    with tempfile.TemporaryDirectory(prefix="zarr-", dir=path.parent) as folder:
        store = Path(folder) / "store"
        write_store(value, store, options)
        _zip(store, path)
    return [path]


def write_store(value: Any, store: Path, options: Options) -> None:
    """Write a raster cube or dataset as a Zarr store in the folder `store`, which does not exist yet.

    Raises:
        InvalidInput: Zarr cannot hold it.
    """
    plan = layout(value, _NAME, bands_as_variables=options["bands_as_variables"])
    if not plan.numeric:
        _put(plan.dataset(), store)
        return
    _put(plan.coordinates.assign_attrs(plan.attributes), store)
    group = zarr.open_group(store, mode="r+", zarr_format=3)
    group.attrs.pop("coordinates", None)
    for name, cube in plan.variables.items():
        _write_array(group, name, cube, plan, options)


def _put(dataset: xr.Dataset, store: Path) -> None:
    with warnings.catch_warnings():
        # Texts have no settled specification in Zarr 3 yet; every reader knows the one in use.
        warnings.simplefilter("ignore", zarr.errors.UnstableSpecificationWarning)
        dataset.to_zarr(store, zarr_format=3, consolidated=False)


def _write_array(group: Any, name: str, cube: xr.DataArray, plan: Layout, options: Options) -> None:
    chunks = chunk_sizes(cube, options["chunks"])
    floating = cube.dtype.kind == "f"
    codecs = [] if options["compression"] == "none" else [zarr.codecs.ZstdCodec(level=options["level"])]
    marks: dict[str, Any] = {"_FillValue": _fill_text(cube.dtype)} if floating else {}
    attributes = {key: _plain(item) for key, item in plan.attributes_of(cube).items()}
    array = group.create_array(
        name,
        shape=cube.shape,
        dtype=cube.dtype.newbyteorder("="),
        chunks=tuple(chunks[str(dim)] for dim in cube.dims) or "auto",
        compressors=codecs,
        fill_value=np.nan if floating else 0,
        dimension_names=tuple(map(str, cube.dims)),
        attributes=attributes | marks,
    )
    # Zarr cannot write a part of a chunk without reading it: regions are whole chunks.
    for region in regions(cube, chunks) if cube.ndim else [{}]:
        array[tuple(region.values()) or ...] = cube.isel(region).values


def _fill_text(dtype: np.dtype[Any]) -> str:
    # What xarray writes: the bytes of the number in base 64 (float32 and float64), else the number's text.
    encoder = xr.backends.zarr.FillValueCoder
    return str(encoder.encode(dtype.type(np.nan), dtype))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _zip(folder: Path, path: Path) -> None:
    # Chunks are compressed already.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for item in sorted(item for item in folder.rglob("*") if item.is_file()):
            entry = zipfile.ZipInfo(item.relative_to(folder).as_posix(), _EPOCH)
            entry.file_size = item.stat().st_size
            with item.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)


def _read(path: Path, options: Options) -> xr.DataArray:
    return restored(open_zarr(path), _NAME, options["variables"])


def open_zarr(path: Path) -> xr.Dataset:
    """Return the dataset in a Zarr store (a folder, or a zipped one; version 2 or 3), read when asked for.

    Raises:
        InvalidInput: It is no Zarr store, or declares more than anyone could hold.
    """
    if path.is_file() and not zipfile.is_zipfile(path):
        raise unreadable(_NAME, path, "it is neither a folder nor a zip file")
    store = zarr.storage.ZipStore(path, mode="r") if path.is_file() else zarr.storage.LocalStore(path, read_only=True)
    return opened(store, path)


def opened(store: Any, path: Path) -> xr.Dataset:
    """Return the dataset in a store of the `zarr` package, checked before its coordinates are read.

    Args:
        store: The store.
        path: Its name in messages.

    Raises:
        InvalidInput: It declares more than anyone could hold.
    """
    group = zarr.open_group(store, mode="r")
    for name, array in group.arrays():
        check_sizes({f"{name}[{axis}]": size for axis, size in enumerate(array.shape)}, _NAME, path)
        check_chunk(name, array.chunks, array.dtype.itemsize, path, _NAME)
        if math.prod(array.shape) and not all(array.chunks):
            raise lying(_NAME, path, f"'{name}' declares chunks without cells")
    known = group.metadata.consolidated_metadata is not None
    raw = xr.open_zarr(store, chunks=None, consolidated=known, decode_cf=False)
    if isinstance(store, zarr.storage.LocalStore):
        raw = raw.assign({str(name): _quick(group, raw[name]) for name in raw.data_vars if _plain_cells(raw[name])})
    dataset = xr.decode_cf(raw, decode_coords="all", decode_timedelta=False)
    # A store lists its arrays in no order of its own.
    ordered: xr.Dataset = dataset[sorted(map(str, dataset.data_vars))]
    return ordered


def _plain_cells(cube: xr.DataArray) -> bool:
    return cube.ndim > 0 and cube.dtype.kind in NUMERIC


def _quick(group: Any, cube: xr.DataArray) -> xr.Variable:
    """Return a variable of a local store with its chunks decoded where they are wanted."""
    return zarr_variable(group[str(cube.name)], cube.dims, cube.attrs)


ZARR = Format(
    name=_NAME,
    title="Zarr 3 (zipped store, CF-1.11)",
    description=(
        "One zipped Zarr store (version 3) with grid mapping, units and coordinates by the CF "
        "conventions; each band is an array of its own unless told otherwise."
    ),
    media_type="application/vnd.zarr+zip",
    suffix=".zarr.zip",
    kinds=("raster",),
    aliases=("zarr3",),
    writer=_write,
    reader=_read,
    output_parameters={
        "compression": {
            "type": "string",
            "enum": ["zstd", "none"],
            "default": "zstd",
            "description": "How chunks are compressed, without loss.",
        },
        "level": {
            "type": "integer",
            "minimum": 1,
            "maximum": 19,
            "default": 3,
            "description": "How hard to compress, from 1 (fast) to 19 (small).",
        },
        "bands_as_variables": {
            "type": "boolean",
            "default": True,
            "description": "Whether each band becomes an array; else bands are a dimension.",
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
            "description": "Names of the arrays to read; default all, which then must share their dimensions.",
        }
    },
)
