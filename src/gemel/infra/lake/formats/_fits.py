"""FITS: images read window by window with their world coordinates, tables by columns; images are written too.

Keywords follow the FITS Standard 4.0 (Pence et al. 2010, A&A 524, A42; IAU FITS Working Group 2018); linear world
coordinates its section 8.2 (Greisen & Calabretta 2002, A&A 395, 1061, equation 1).
"""

from __future__ import annotations

import contextlib
import json
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gemel.base.errors import did_you_mean
from gemel.base.plugins import require
from gemel.infra.lake._blocks import regions
from gemel.infra.lake._guard import CHUNK_LIMIT, check_sizes, lying
from gemel.infra.lake._lazy import Window, lazy_cube, lazy_variable
from gemel.infra.lake.formats._format import Format, Options, reading, unreadable, unsuitable
from gemel.infra.lake.formats._values import raster

_NAME = "FITS"
MAGIC = b"SIMPLE  ="
_BLOCK = 2880  # bytes; headers and data are filled up to a multiple (FITS 4.0, section 3.1)
_STRUCTURE = {"SIMPLE", "XTENSION", "BITPIX", "NAXIS", "EXTEND", "PCOUNT", "GCOUNT", "BSCALE", "BZERO", "BLANK", "END",
              "COMMENT", "HISTORY", "", "CHECKSUM", "DATASUM", "BUNIT"}  # fmt: skip
_INSTANTS = ("TIME", "UTC", "TAI", "TT")
_AXES = ("x", "y", "z", "w")


def _read(path: Path, options: Options) -> Any:
    with _opened(path) as units:
        number = _chosen(units, options["hdu"], path)
        unit = units[number]
        if unit.is_image:
            return _image(path, number, unit)
        return _table(unit, path)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with path.open("rb") as stream:
        # Astropy would unpack a zipped file whole, however large it gets.
        if stream.read(len(MAGIC)) != MAGIC:
            raise unreadable(_NAME, path, "it does not begin as FITS files do")
    fits, exceptions = _library()
    with reading(_NAME, path), warnings.catch_warnings():
        # Whether the file is whole is looked at here; small sins against the standard are common.
        warnings.simplefilter("ignore", exceptions.AstropyUserWarning)
        with fits.open(path, memmap=False, lazy_load_hdus=False) as units:
            size = path.stat().st_size
            for number, unit in enumerate(units):
                _check_unit(number, unit, size, path)
            yield units


def _library() -> tuple[Any, Any]:
    with warnings.catch_warnings():
        # When it is loaded, astropy has something to say of folders for settings, of which it needs none here.
        warnings.simplefilter("ignore")
        return require("astropy.io.fits", extra="data"), require("astropy.utils.exceptions", extra="data")


def _check_unit(number: int, unit: Any, size: int, path: Path) -> None:
    place, header = unit.fileinfo(), unit.header
    shape = [int(header.get(f"NAXIS{axis}", 0)) for axis in range(1, int(header.get("NAXIS", 0)) + 1)]
    check_sizes({f"unit {number}[{axis}]": item for axis, item in enumerate(shape)}, _NAME, path)
    raw = getattr(unit, "_bintable", None)
    stored = unit if raw is None else raw
    info = stored.fileinfo() or place
    begin, length = int(info["datLoc"]), int(stored.size)
    if length and begin + length > size:
        raise lying(_NAME, path, f"unit {number} declares {length} bytes, and {max(0, size - begin)} are there")
    tile = (
        math.prod(int(header.get(f"ZTILE{axis}", 1)) for axis in range(1, 10)) * abs(int(header.get("BITPIX", 8))) // 8
    )
    if tile > CHUNK_LIMIT:
        raise lying(_NAME, path, f"unit {number} declares tiles of {tile} bytes")


def _chosen(units: Any, wanted: Any, path: Path) -> int:
    if wanted is None:
        filled = [number for number, unit in enumerate(units) if unit.header.get("NAXIS")]
        if not filled:
            raise unreadable(_NAME, path, "it has headers, and no data")
        return filled[0]
    names = [unit.name for unit in units]
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        return wanted
    if str(wanted).upper() in names:
        return names.index(str(wanted).upper())
    shown = ", ".join(f"{number} {name}".strip() for number, name in enumerate(names))
    raise unsuitable(
        _NAME, f"there is no unit {wanted!r} in the file", f"{did_you_mean(str(wanted), names)} Known: {shown}.".strip()
    )


def _image(path: Path, number: int, unit: Any) -> xr.DataArray:
    if not unit.shape:
        raise unreadable(_NAME, path, f"unit {number} has no cells")
    header = unit.header
    dims = _dims(header, len(unit.shape))
    dtype = _dtype(unit)

    def read(window: Window) -> np.ndarray[Any, Any]:
        with _opened(path) as units:
            found: np.ndarray[Any, Any] = np.asarray(units[number].section[window])
        return found.astype(dtype)

    attrs = _facts(header)
    variable = lazy_variable(dims, unit.shape, dtype, read, attrs=attrs)
    coords: dict[str, Any] = {}
    for axis, dim in enumerate(reversed(dims), 1):
        labels = _labels(header, axis, unit.shape[-axis])
        if labels is not None:
            coords[dim] = (dim, *labels)
    return lazy_cube(variable, coords, unit.name if unit.name not in ("", "PRIMARY") else header.get("OBJECT"))


def _dtype(unit: Any) -> np.dtype[Any]:
    """Return the type of an image's cells once scaled (FITS 4.0, section 4.4.2.5), known from one cell."""
    one = np.asarray(unit.section[tuple(slice(0, 1) for _ in unit.shape)])
    return one.dtype.newbyteorder("=")


def _dims(header: Any, count: int) -> list[str]:
    own = str(header.get("GEMELDIM", "")).split()
    if len(own) == count:
        return own
    names: list[str] = []
    for axis in range(1, count + 1):
        kind = str(header.get(f"CTYPE{axis}", "")).partition("-")[0].strip().lower()
        spatial = axis <= 2 or not kind.isalpha() or kind in names
        names.append((_AXES[axis - 1] if axis <= len(_AXES) else f"axis{axis}") if spatial else kind)
    return names[::-1]


def _facts(header: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in header.items():
        plain = name.rstrip("0123456789")
        if plain not in _STRUCTURE and not plain.startswith("GEMEL") and name not in found:
            found[name] = value
    unit = str(header.get("BUNIT", "")).strip()
    return ({"units": unit} if unit else {}) | {n: v for n, v in found.items() if isinstance(v, (str, int, float))}


def _labels(header: Any, axis: int, size: int) -> tuple[Any, dict[str, Any]] | None:
    """Return the labels of a linear axis that stands alone, with their unit; None for others."""
    listed = header.get(f"GEMELL{axis}")
    if listed is not None:
        return np.array(json.loads(listed)), {}
    kind, step = str(header.get(f"CTYPE{axis}", "")), header.get(f"CDELT{axis}", header.get(f"CD{axis}_{axis}"))
    turned = any(
        float(header.get(f"{name}{one}_{other}", 0.0)) != 0.0
        for name in ("PC", "CD") for one, other in [(axis, n) for n in range(1, 10)] + [(n, axis) for n in range(1, 10)]
        if one != other
    )  # fmt: skip
    if step is None or turned or "-" in kind or f"CRVAL{axis}" not in header:
        return None
    reference = float(header.get(f"CRPIX{axis}", 0.0))
    labels = float(header[f"CRVAL{axis}"]) + (np.arange(1, size + 1) - reference) * float(step)
    unit = str(header.get(f"CUNIT{axis}", "")).strip()
    if kind.strip() in _INSTANTS and unit == "s" and "DATEREF" in header:
        start = np.datetime64(str(header["DATEREF"]).rstrip("Z"), "ns")
        return start + np.rint(labels * 1e9).astype("m8[ns]"), {}
    return labels, ({"units": unit} if unit else {})


def _table(unit: Any, path: Path) -> pd.DataFrame:
    rows, width = int(unit.header["NAXIS2"]), int(unit.header["NAXIS1"])
    if rows * max(1, width) > CHUNK_LIMIT:
        raise unsuitable(_NAME, f"a table of {rows} rows of {width} bytes does not fit into memory")
    columns: dict[str, Any] = {}
    for column in unit.columns:
        values = unit.data[column.name]
        columns[column.name] = _column(values)
    table = pd.DataFrame(columns)
    table.attrs["units"] = {column.name: column.unit for column in unit.columns if column.unit}
    return table


def _column(values: Any) -> Any:
    array = np.asarray(values)
    if array.ndim > 1 or array.dtype == object:
        return [np.array(item) for item in values]
    if array.dtype.kind in "SU":
        return [str(item) for item in values]
    return array.astype(array.dtype.newbyteorder("="))


def _write(value: Any, path: Path, options: Options) -> list[Path]:
    cube = raster(value, _NAME)
    dtype = _storable(cube.dtype)
    fits, _ = _library()
    header = fits.Header(
        [("SIMPLE", True), ("BITPIX", -8 * dtype.itemsize if dtype.kind == "f" else 8 * dtype.itemsize)]
    )
    header["NAXIS"] = cube.ndim
    for axis, size in enumerate(reversed(cube.shape), 1):
        header[f"NAXIS{axis}"] = size
    _describe(header, cube)
    head = header.tostring().encode("ascii")
    with path.open("wb") as stream:
        stream.write(head)
        stream.truncate(len(head) + math.ceil(cube.size * dtype.itemsize / _BLOCK) * _BLOCK)
    target = np.memmap(path, dtype, "r+", len(head), cube.shape or (1,))
    for region in regions(cube) if cube.ndim else [{}]:
        target[tuple(region.values()) or ...] = cube.isel(region).values.astype(dtype)
    target.flush()
    return [path]


def _storable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    known = {"b1": ">u1", "u1": ">u1", "i1": ">i2", "i2": ">i2", "u2": ">i4", "i4": ">i4", "u4": ">i8", "i8": ">i8",
             "f2": ">f4", "f4": ">f4", "f8": ">f8"}  # fmt: skip
    found = known.get(f"{dtype.kind}{dtype.itemsize}")
    if found is None:
        raise unsuitable(_NAME, f"it has no cells of type {dtype}", "Bring them to a type of 8 bytes or fewer.")
    return np.dtype(found)


def _describe(header: Any, cube: xr.DataArray) -> None:
    for name, item in cube.attrs.items():
        if _keyword(str(name)) and isinstance(item, (str, int, float)):
            with contextlib.suppress(ValueError):  # a text that no card can hold stays out
                header[str(name)] = item
    if cube.attrs.get("units"):
        header["BUNIT"] = str(cube.attrs["units"])
    if cube.name is not None:
        header["OBJECT"] = str(cube.name).encode("ascii", "replace").decode()
    header["GEMELDIM"] = " ".join(map(str, cube.dims)).encode("ascii", "replace").decode()
    for axis, dim in enumerate(reversed(cube.dims), 1):
        if dim in cube.coords:
            _describe_axis(header, axis, cube[dim])


def _keyword(name: str) -> bool:
    plain = name.rstrip("0123456789_")
    return (
        name.isupper()
        and len(name) <= 8
        and name.isascii()
        and plain not in _STRUCTURE
        and not plain.startswith("NAXIS")
    )


def _describe_axis(header: Any, axis: int, labels: xr.DataArray) -> None:
    values, unit = labels.values, str(labels.attrs.get("units", ""))
    if values.dtype.kind == "M":
        header["DATEREF"] = str(values[0].astype("M8[ns]"))
        values, unit = (values - values[0]).astype("m8[ns]").astype(np.int64) * 1e-9, "s"
        header[f"CTYPE{axis}"] = "UTC"
    if values.dtype.kind not in "iuf":
        header[f"GEMELL{axis}"] = json.dumps([str(item) for item in values])
        return
    step = float(values[-1] - values[0]) / (len(values) - 1) if len(values) > 1 else 1.0
    if not np.allclose(values, values[0] + step * np.arange(len(values)), rtol=0, atol=abs(step) * 1e-9 + 1e-15):
        header[f"GEMELL{axis}"] = json.dumps(values.tolist())
        return
    header[f"CRPIX{axis}"], header[f"CRVAL{axis}"], header[f"CDELT{axis}"] = 1.0, float(values[0]), step
    if unit:
        header[f"CUNIT{axis}"] = unit


FITS = Format(
    name=_NAME,
    title="Flexible Image Transport System (FITS 4.0)",
    description=(
        "One image of any number of dimensions, with unit, evenly spaced coordinates and the header's keywords; tables "
        "are read too. Labels that are not evenly spaced are kept in keywords of their own."
    ),
    media_type="application/fits",
    suffix=".fits",
    kinds=("raster", "table"),
    writer=_write,
    reader=_read,
    input_parameters={
        "hdu": {
            "type": ["integer", "string", "null"],
            "default": None,
            "description": "Number or name of the header and data unit; default the first one with data.",
        }
    },
)
