"""Opening a replica: as its format reads it, by ranges where format and storage allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, cast

import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.base.plugins import require
from gemel.infra.lake._guard import check_hdf5, check_sizes
from gemel.infra.lake._rasters import open_raster, raster_cube
from gemel.infra.lake.datasets._records import Record, Replica
from gemel.infra.lake.formats import format_of_file
from gemel.infra.lake.formats._cf import restored
from gemel.infra.lake.formats._format import checked_options, reading
from gemel.infra.lake.formats._hdf5 import is_netcdf, open_hdf5
from gemel.infra.lake.formats._registry import format_named
from gemel.infra.lake.formats._root import open_root
from gemel.infra.lake.storages import LocalStorage, Storage

_HDF5 = b"\x89HDF\r\n\x1a\n"
_HOURS = 12  # that a signed address of a raster stays good: cubes are read when they are asked for
_VECTOR = "geometry_container"

Fetch = Callable[[Record, Replica], Path]


def open_replica(storage: Storage, record: Record, replica: Replica, options: Mapping[str, Any], fetch: Fetch) -> Any:
    """Return what a replica holds.

    Args:
        storage: Where it lies.
        record: Of the file.
        replica: Which one.
        options: Of reading, as the format takes them; `format` names one instead of the file's content.
        fetch: Returns a local copy of it, for formats that cannot be read by ranges.

    Raises:
        InvalidInput: Its format is not known, or it cannot be read.
    """
    named = options.get("format")
    options = {name: value for name, value in options.items() if name != "format"}
    if isinstance(storage, LocalStorage):
        path = storage.path(replica.path)
        storage.stat(replica.path)
        return _read_local(path, record, options, named)
    if named is None:
        with storage.open(replica.path, 0, 4096) as part:
            head = part.read()
        found = _by_ranges(storage, replica, options, head)
        if found is not None:
            return found
    return _read_local(fetch(record, replica), record, options, named)


def _by_ranges(storage: Storage, replica: Replica, options: Mapping[str, Any], head: bytes) -> Any:
    """Return what a file that begins with `head` holds, or None where it must be fetched whole."""
    if head.startswith(_HDF5):
        return _open_hdf5(storage, replica, options)
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") and not options:
        address = storage.signed(replica.path, _HOURS * 3600)
        if address is None:
            return None
        with open_raster(address, Path(replica.path), "GTiff") as source:
            return raster_cube(source, address)
    if head.startswith(b"root\0"):
        checked = checked_options("ROOT", format_named("ROOT").input_parameters, options)
        with storage.open(replica.path) as stream:
            return open_root(stream, Path(replica.path), checked)
    return _open_parquet(storage, replica, options) if head[:4] == b"PAR1" else None


def _read_local(path: Path, record: Record, options: Mapping[str, Any], named: Any) -> Any:
    format = format_of_file(path) if named is None else format_named(str(named))
    if format is None:
        suffix = PurePosixPath(record.name.name).suffix
        message = f"The format of '{record.name}' is not known (its name ends in '{suffix}')."
        raise InvalidInput(message, hint=f'Name it with the option "format", or: gemel data get {record.name} FILE')
    return format.read(path, options)


def _open_hdf5(storage: Storage, replica: Replica, options: Mapping[str, Any]) -> Any:
    file = storage.open(replica.path)
    with reading("HDF5", Path(replica.path)):
        netcdf = is_netcdf(file)
    file.seek(0)
    if netcdf:
        return _open_netcdf(storage, replica, options)
    checked = checked_options("HDF5", format_named("HDF5").input_parameters, options)
    return open_hdf5(file, Path(replica.path), checked)


def _open_netcdf(storage: Storage, replica: Replica, options: Mapping[str, Any]) -> Any:
    """Return the cube in a NetCDF-4 file, its cells read by ranges; None for one of vectors."""
    checked = checked_options("netCDF", format_named("netCDF").input_parameters, options)
    file = storage.open(replica.path)
    path = Path(replica.path)
    with reading("netCDF", path):
        # h5py takes a file where the check's signature says path; its name is all else that is looked at.
        check_hdf5(cast(Path, file), "netCDF")
        file.seek(0)
        dataset = xr.open_dataset(file, engine="h5netcdf", decode_coords="all", cache=False, decode_timedelta=False)
        check_sizes(dataset.sizes, "netCDF", path)
        return None if _VECTOR in dataset.variables else restored(dataset, "netCDF", checked["variables"])


def _open_parquet(storage: Storage, replica: Replica, options: Mapping[str, Any]) -> Any:
    """Return the table in a Parquet file; None for one that gemel or GeoParquet made of a cube."""
    if options:
        return None
    parquet = require("pyarrow.parquet", extra="data")
    with reading("Parquet", Path(replica.path)), storage.open(replica.path) as stream:
        file = parquet.ParquetFile(stream)
        if set(file.schema_arrow.metadata or {}) - {b"pandas", b"ARROW:schema"}:
            return None
        return file.read().to_pandas()
