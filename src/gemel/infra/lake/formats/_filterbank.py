"""SIGPROC filterbank: power over time and frequency, as telescopes of radio astronomy record it.

Layout and names of the header follow the SIGPROC manual (D. R. Lorimer, "SIGPROC (Pulsar) Signal Processing Programs",
version 3.7, appendix A: header parameters; section 4: data formats).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.infra.lake._blocks import rows
from gemel.infra.lake._guard import AXIS_LIMIT, CHUNK_LIMIT, lying
from gemel.infra.lake._lazy import Window, lazy_cube, lazy_variable
from gemel.infra.lake.formats._format import Format, Options, reading, unreadable, unsuitable
from gemel.infra.lake.formats._values import raster

_NAME = "Filterbank"
MAGIC = b"\x0c\0\0\0HEADER_START"
MAGIC_SWAPPED = b"\0\0\0\x0cHEADER_START"
_WORD = 80  # bytes of a name or text of the header, as the C programs' own buffers have it
_KEYS = 100
_INTEGERS = (
    "machine_id", "telescope_id", "data_type", "barycentric", "pulsarcentric", "nbits", "nsamples", "nchans", "nifs",
    "nbeams", "ibeam", "npuls", "nbins",
)  # fmt: skip
_FLOATS = ("az_start", "za_start", "src_raj", "src_dej", "tstart", "tsamp", "fch1", "foff", "refdm", "period")
_TEXTS = ("rawdatafile", "source_name")
_SIGNED = "signed"  # one byte: whether samples of 8 bits have a sign
_NBITS = (1, 2, 4, 8, 16, 32)
_STRUCTURE = ("nbits", "nsamples", "nchans", "nifs", "tstart", "tsamp", "fch1", "foff", _SIGNED)
_MJD = np.datetime64("1858-11-17", "ns")  # day 0 of the Modified Julian Date
_DAY = 86_400_000_000_000  # nanoseconds
_AXES = ("time", "feed", "frequency")


@dataclass(frozen=True)
class Header:
    """The header of a filterbank file.

    Attributes:
        values: Its parameters by name, in its order.
        size: Its bytes.
    """

    values: Mapping[str, Any]
    size: int

    @property
    def row(self) -> int:
        """Return the number of values of one instant."""
        return int(self.values["nchans"]) * int(self.values["nifs"])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of the values once they are unpacked."""
        signed = bool(self.values.get(_SIGNED))
        return np.dtype({16: "<u2", 32: "<f4"}.get(self.values["nbits"], "i1" if signed else "u1"))


def _read(path: Path, options: Options) -> xr.DataArray:
    with path.open("rb") as stream:
        header = read_header(stream, path)
    held = (path.stat().st_size - header.size) * 8 // (header.row * header.values["nbits"])
    declared = header.values.get("nsamples") or held
    if declared > held:
        raise lying(_NAME, path, f"it declares {declared} instants, and holds {held}")
    first = options["start"]
    count = max(0, declared - first) if options["samples"] is None else options["samples"]
    if not 0 < count <= declared - first:
        raise InvalidInput(f"'{path.name}' has {declared} instants, and {count} from number {first} on are wanted.")
    if count > AXIS_LIMIT:
        hint = f'At most {AXIS_LIMIT} at a time: options "start" and "samples".'
        raise unsuitable(_NAME, f"'{path.name}' has {count} instants, more than labels fit into memory for", hint)
    return _cube(path, header, first, count)


def _cube(path: Path, header: Header, first: int, count: int) -> xr.DataArray:
    shape = (count, header.values["nifs"], header.values["nchans"])

    def read(window: Window) -> np.ndarray[Any, Any]:
        block = _rows(path, header, first + window[0].start, first + window[0].stop)
        return block[(slice(None), *window[1:])]

    bits = header.row * header.values["nbits"]
    chunks = {"time": max(1, min(count, 8 * (8 << 20) // bits)), "feed": shape[1], "frequency": shape[2]}
    attrs = {name: value for name, value in header.values.items() if name not in _STRUCTURE}
    variable = lazy_variable(_AXES, shape, header.dtype, read, attrs=attrs, chunks=chunks)
    cube = lazy_cube(variable, _coordinates(header, first, count), header.values.get("source_name") or None)
    return cube if shape[1] > 1 else cube.isel(feed=0, drop=True)


def _coordinates(header: Header, first: int, count: int) -> dict[str, Any]:
    known = header.values
    steps = np.arange(first, first + count)
    if known.get("tstart"):
        start = _MJD + np.timedelta64(round(known["tstart"] * _DAY), "ns")
        time: Any = ("time", start + np.rint(steps * (known["tsamp"] * 1e9)).astype("m8[ns]"))
    else:
        time = ("time", steps * known["tsamp"], {"units": "s"})
    frequency = known["fch1"] + known["foff"] * np.arange(known["nchans"])
    return {
        "time": time,
        "frequency": ("frequency", frequency, {"units": "MHz", "standard_name": "radiation_frequency"}),
    }


def _rows(path: Path, header: Header, start: int, stop: int) -> np.ndarray[Any, Any]:
    """Return the values of instants, of shape (instant, feed, channel)."""
    nbits, shape = header.values["nbits"], (stop - start, header.values["nifs"], header.values["nchans"])
    begin, end = start * header.row * nbits, stop * header.row * nbits
    with reading(_NAME, path), path.open("rb") as stream:
        stream.seek(header.size + begin // 8)
        packed = np.fromfile(stream, np.uint8, -(-end // 8) - begin // 8)
        if len(packed) != -(-end // 8) - begin // 8:
            raise lying(_NAME, path, "it ends early")
        if nbits >= 8:
            return packed.view(header.dtype).reshape(shape)
        values = unpacked(packed, nbits)[begin % 8 // nbits :]
        return values[: math.prod(shape)].reshape(shape)


def unpacked(packed: np.ndarray[Any, Any], nbits: int) -> np.ndarray[Any, Any]:
    """Return values of 1, 2 or 4 bits, of which bytes hold several, the first one in the lowest bits.

    >>> unpacked(np.array([0b11_10_01_00], np.uint8), 2)
    array([0, 1, 2, 3], dtype=uint8)
    """
    shifts = np.arange(0, 8, nbits, dtype=np.uint8)
    found: np.ndarray[Any, Any] = ((packed[:, None] >> shifts) & np.uint8((1 << nbits) - 1)).ravel()
    return found


def packed(values: np.ndarray[Any, Any], nbits: int) -> np.ndarray[Any, Any]:
    """Return the bytes that hold values of 1, 2 or 4 bits; a last byte is filled up with zeros.

    >>> packed(np.array([0, 1, 2, 3], np.uint8), 2)
    array([228], dtype=uint8)
    """
    each = 8 // nbits
    whole = np.zeros(-(-len(values) // each) * each, np.uint8)
    whole[: len(values)] = values
    shifts = np.arange(0, 8, nbits, dtype=np.uint8)
    found: np.ndarray[Any, Any] = np.bitwise_or.reduce(whole.reshape(-1, each) << shifts, axis=1)
    return found


def read_header(stream: BinaryIO, path: Path) -> Header:
    """Return the header that a stream begins with.

    Raises:
        InvalidInput: It is none, has a parameter that nobody knows, or cannot be true.
    """
    if (head := stream.read(len(MAGIC))) != MAGIC:
        reason = "its numbers are big-endian" if head == MAGIC_SWAPPED else "it does not begin as filterbank files do"
        raise unreadable(_NAME, path, reason)
    found: dict[str, Any] = {}
    while (key := _word(stream, path)) != "HEADER_END":
        if len(found) >= _KEYS:
            raise lying(_NAME, path, f"its header has more than {_KEYS} parameters")
        found[key] = _parameter(stream, path, key)
    return Header(_checked(found, path), stream.tell())


def _parameter(stream: BinaryIO, path: Path, key: str) -> Any:
    if key in _TEXTS:
        return _word(stream, path)
    form = "<i" if key in _INTEGERS else "<d" if key in _FLOATS else "b" if key == _SIGNED else None
    if form is None:
        raise unreadable(_NAME, path, f"its header has a parameter '{key[:40]}' of a type that is not known")
    return struct.unpack(form, _exactly(stream, struct.calcsize(form), path))[0]


def _word(stream: BinaryIO, path: Path) -> str:
    (length,) = struct.unpack("<i", _exactly(stream, 4, path))
    if not 0 <= length <= _WORD:
        raise lying(_NAME, path, f"its header has a word of {length} bytes")
    return _exactly(stream, length, path).decode("latin-1").rstrip("\0")


def _exactly(stream: BinaryIO, size: int, path: Path) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise unreadable(_NAME, path, "its header is cut off")
    return content


def _checked(values: dict[str, Any], path: Path) -> dict[str, Any]:
    values = {"nifs": 1} | values
    lacking = [name for name in ("nchans", "nbits", "tsamp", "fch1", "foff") if name not in values]
    if lacking:
        raise unreadable(_NAME, path, f"its header lacks {', '.join(lacking)}")
    if values["nbits"] not in _NBITS:
        raise unreadable(_NAME, path, f"values of {values['nbits']} bits are not known")
    row = values["nchans"] * values["nifs"]
    if values["nchans"] < 1 or values["nifs"] < 1 or row * 4 > CHUNK_LIMIT or values["nchans"] > AXIS_LIMIT:
        raise lying(_NAME, path, f"it declares {values['nchans']} channels of {values['nifs']} feeds")
    if not all(math.isfinite(values.get(name, 0.0)) for name in _FLOATS) or values["tsamp"] <= 0:
        raise lying(_NAME, path, "a time or frequency in its header is no number")
    if abs(values.get("tstart", 0.0)) > 1e5 or values.get("nsamples", 0) < 0:
        raise lying(_NAME, path, f"it begins on day {values.get('tstart', 0.0):g}")
    return values


def _write(value: Any, path: Path, options: Options) -> list[Path]:
    cube = _as_recorded(raster(value, _NAME))
    nbits = options["nbits"] or {1: 8, 2: 16}.get(cube.dtype.itemsize, 32)
    header = _header_of(cube, nbits, options)
    with path.open("wb") as stream:
        stream.write(b"".join(_parts(header)))
        rest = np.empty(0, np.uint8)
        for region in rows(cube):
            values = _fitting(np.asarray(cube.isel(region).values).ravel(), nbits, bool(header.get(_SIGNED)))
            if nbits < 8:
                values = np.concatenate([rest, values])
                whole = len(values) - len(values) % (8 // nbits)
                values, rest = packed(values[:whole], nbits), values[whole:]
            stream.write(values.tobytes())
        if len(rest):
            stream.write(packed(rest, nbits).tobytes())
    return [path]


def _as_recorded(cube: xr.DataArray) -> xr.DataArray:
    if not {"time", "frequency"} <= set(cube.dims) <= set(_AXES):
        shown = ", ".join(map(str, cube.dims))
        raise unsuitable(_NAME, f"its dimensions are time, frequency and feed, and the cube's are {shown}")
    if "time" not in cube.coords or "frequency" not in cube.coords:
        raise unsuitable(_NAME, "time and frequency need their labels")
    units = cube["frequency"].attrs.get("units", "MHz")
    if units != "MHz":
        raise unsuitable(_NAME, f"its frequencies are in MHz, and the cube's are in {units}")
    whole = cube if "feed" in cube.dims else cube.expand_dims("feed", axis=1)
    return whole.transpose(*_AXES)


def _header_of(cube: xr.DataArray, nbits: int, options: Options) -> dict[str, Any]:
    labels = cube["time"].values
    instants = labels.dtype.kind == "M"
    days = (labels[0] - _MJD).astype("m8[ns]").astype(np.int64) / _DAY if instants else 0.0
    seconds = (labels - labels[0]).astype("m8[ns]").astype(np.int64) * 1e-9 if instants else labels - labels[0]
    frequencies = cube["frequency"].values.astype(np.float64)
    own = {str(name): value for name, value in cube.attrs.items() if name in (*_INTEGERS, *_FLOATS, *_TEXTS)}
    own = {name: value for name, value in own.items() if name not in _STRUCTURE}
    header: dict[str, Any] = {"source_name": str(cube.name or "unknown"), "data_type": 1} | own
    header |= {"nchans": cube.sizes["frequency"], "nifs": cube.sizes["feed"], "nbits": nbits}
    header |= {"tstart": float(days), "tsamp": _step(seconds.astype(np.float64), "time", options["tsamp"])}
    header |= {"fch1": float(frequencies[0]), "foff": _step(frequencies, "frequency", options["foff"])}
    if cube.size * nbits % 8:
        header["nsamples"] = cube.sizes["time"]  # what fills the last byte up could be taken for instants
    return header | ({_SIGNED: 1} if nbits == 8 and cube.dtype.kind == "i" else {})


def _step(labels: np.ndarray[Any, Any], name: str, given: float | None) -> float:
    if len(labels) == 1:
        if given is None:
            option = "tsamp" if name == "time" else "foff"
            raise unsuitable(_NAME, f"with one label along {name} its step is not known", f"Give the option {option}.")
        return float(given)
    step = float((labels[-1] - labels[0]) / (len(labels) - 1))
    # Instants are kept to the nanosecond: labels differ from even ones by rounding alone.
    slack = max(abs(step) * 1e-6, 2e-9 if name == "time" else 0.0)
    even = labels[0] + step * np.arange(len(labels))
    if not step or not np.allclose(labels, even, rtol=0, atol=slack) or (name == "time" and step < 0):
        raise unsuitable(_NAME, f"its labels along {name} are not evenly spaced", "Resample it first.")
    return step


def _fitting(values: np.ndarray[Any, Any], nbits: int, signed: bool) -> np.ndarray[Any, Any]:
    if nbits == 32:
        return values.astype("<f4")
    low, high = (-128, 127) if signed else (0, (1 << nbits) - 1)
    if not np.all((values >= low) & (values <= high)) or not np.array_equal(values, np.rint(values)):
        hint = "Choose more bits with the option nbits; 32 holds any number."
        raise unsuitable(_NAME, f"{nbits} bits hold whole numbers from {low} to {high}", hint)
    return values.astype("<u2" if nbits == 16 else "i1" if signed else "u1")


def _parts(header: Mapping[str, Any]) -> Iterator[bytes]:
    yield _spelled("HEADER_START")
    for key, value in header.items():
        yield _spelled(key)
        if key in _TEXTS:
            yield _spelled(str(value))
        else:
            yield struct.pack("<i" if key in _INTEGERS else "<d" if key in _FLOATS else "b", value)
    yield _spelled("HEADER_END")


def _spelled(word: str) -> bytes:
    content = word.encode("ascii", errors="replace")[: _WORD - 1]
    return struct.pack("<i", len(content)) + content


FILTERBANK = Format(
    name=_NAME,
    title="SIGPROC filterbank",
    description=(
        "Power over time and frequency (MHz), and feeds where there are several; values of 1, 2, 4, 8, 16 (whole "
        "numbers) or 32 bits (floats). Times are those of the header's Modified Julian Date."
    ),
    media_type="application/x-sigproc-filterbank",
    suffix=".fil",
    kinds=("raster",),
    aliases=("sigproc", "fil"),
    writer=_write,
    reader=_read,
    output_parameters={
        "nbits": {
            "type": ["integer", "null"],
            "enum": [*_NBITS, None],
            "default": None,
            "description": "Bits of a value; default 8, 16 or 32 by the type of the cells.",
        },
        "tsamp": {
            "type": ["number", "null"],
            "default": None,
            "description": "Seconds between two instants, needed where there is only one.",
        },
        "foff": {
            "type": ["number", "null"],
            "default": None,
            "description": "MHz between two channels, needed where there is only one.",
        },
    },
    input_parameters={
        "start": {"type": "integer", "minimum": 0, "default": 0, "description": "Number of the first instant."},
        "samples": {
            "type": ["integer", "null"],
            "minimum": 1,
            "default": None,
            "description": "How many instants; default all to the end.",
        },
    },
)
