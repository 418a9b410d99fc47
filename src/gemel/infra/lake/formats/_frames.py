"""Gravitational-wave frames (GWF, version 8): time series of channels, unpacked when they are asked for.

Elements follow LIGO-T970130-v1, section 4.3.2. GPS time is told as UTC by the leap seconds of IERS Bulletin C.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import did_you_mean
from gemel.infra.lake._guard import AXIS_LIMIT, CHUNK_LIMIT, lying
from gemel.infra.lake._lazy import Window, lazy_cube, lazy_variable
from gemel.infra.lake.formats._format import Format, Options, reading, unreadable, unsuitable
from gemel.infra.lake.formats._frame_structures import FORMAT, Structure, structures
from gemel.infra.lake.formats._frame_vectors import TYPES, samples

_EPOCH = np.datetime64("1980-01-06", "ns")  # of GPS time
# Days since which UTC is one more second behind GPS time (IERS Bulletin C 1 to 54).
_LEAPS = np.array(
    [
        "1981-07-01", "1982-07-01", "1983-07-01", "1985-07-01", "1988-01-01", "1990-01-01", "1991-01-01", "1992-07-01",
        "1993-07-01", "1994-07-01", "1996-01-01", "1997-07-01", "1999-01-01", "2006-01-01", "2009-01-01", "2012-07-01",
        "2015-07-01", "2017-01-01",
    ],
    "M8[ns]",
)  # fmt: skip
_SECOND = np.timedelta64(1, "s")
_LEAP_STARTS = _LEAPS - _EPOCH + np.arange(1, len(_LEAPS) + 1) * _SECOND
_CHANNELS = ("FrAdcData", "FrProcData", "FrSimData")
_SPECTRUM = 2  # FrProcData.type of a frequency series


@dataclass(frozen=True)
class Piece:
    """The part of a channel that one frame holds.

    Attributes:
        start: Nanoseconds of GPS time of its first sample.
        step: Seconds between samples.
        count: Of samples.
        place: First and last byte in the file.
        compress: Code of the compression.
        type: Code of the type.
    """

    start: int
    step: float
    count: int
    place: tuple[int, int]
    compress: int
    type: int


@dataclass(frozen=True)
class Channel:
    """A channel: its pieces in the order of the file, how counts become values, and what else is told of it."""

    pieces: tuple[Piece, ...]
    slope: float
    bias: float
    attrs: Mapping[str, Any]


def _read(path: Path, options: Options) -> xr.DataArray | xr.Dataset:
    channels = channels_of(path)
    wanted = options["channels"]
    names = list(channels) if wanted is None else list(wanted)
    for name in names:
        if name not in channels:
            hint = f"{did_you_mean(str(name), channels)} Known: {', '.join([*channels][:20])}.".strip()
            raise unsuitable(FORMAT, f"there is no series '{name}' in the file", hint)
    if not names:
        raise unreadable(FORMAT, path, "it has no series in it")
    axes = {name: _axis(channels[name]) for name in names}
    dims = _dims(axes)
    cubes = {name: _cube(path, name, channels[name], dims[name], options["scaled"]) for name in names}
    return next(iter(cubes.values())) if len(cubes) == 1 else xr.Dataset(cubes)


def _axis(channel: Channel) -> tuple[Any, ...]:
    return tuple((piece.start, piece.step, piece.count) for piece in channel.pieces)


def _dims(axes: Mapping[str, tuple[Any, ...]]) -> dict[str, str]:
    """Return the name of each channel's dimension: one for all where they share it, else by their rate."""
    distinct = list(dict.fromkeys(axes.values()))
    if len(distinct) == 1:
        return dict.fromkeys(axes, "time")
    labels = [f"time_{1 / axis[0][1]:g}Hz" for axis in distinct]
    unique = [label if labels.count(label) == 1 else f"{label}_{number}" for number, label in enumerate(labels)]
    return {name: unique[distinct.index(axis)] for name, axis in axes.items()}


def _cube(path: Path, name: str, channel: Channel, dim: str, scaled: bool) -> xr.DataArray:
    first = channel.pieces[0]
    counts = [piece.count for piece in channel.pieces]
    stored = np.dtype(TYPES.get(first.type, "f8"))
    calibrated = scaled and (channel.slope, channel.bias) != (1.0, 0.0) and channel.slope != 0.0
    dtype = np.dtype("f8") if calibrated and stored.kind != "c" else stored
    ends = np.cumsum(counts)

    def read(window: Window) -> np.ndarray[Any, Any]:
        wanted, parts = window[0], []
        for piece, end in zip(channel.pieces, ends, strict=True):
            begin = end - piece.count
            if max(wanted.start, begin) < min(wanted.stop, end):
                values = _unpacked(path, piece)[max(wanted.start - begin, 0) : wanted.stop - begin]
                parts.append(values * channel.slope + channel.bias if calibrated else values)
        return np.concatenate(parts)

    variable = lazy_variable((dim,), (int(ends[-1]),), dtype, read, attrs=channel.attrs, chunks={dim: max(counts)})
    if sum(counts) > AXIS_LIMIT:
        return lazy_cube(variable, {}, name)  # start and rate are among its attributes
    times = np.concatenate([_instants(piece) for piece in channel.pieces])
    return lazy_cube(variable, {dim: (dim, times)}, name)


def _instants(piece: Piece) -> np.ndarray[Any, Any]:
    steps = np.rint(np.arange(piece.count) * (piece.step * 1e9)).astype(np.int64)
    return utc(piece.start + steps)


def utc(gps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return instants of UTC for nanoseconds of GPS time.

    >>> utc(np.array([1_126_259_462_391_000_000]))
    array(['2015-09-14T09:50:45.391000000'], dtype='datetime64[ns]')
    """
    passed = np.asarray(gps, np.int64).astype("m8[ns]")
    found: np.ndarray[Any, Any] = _EPOCH + passed - np.searchsorted(_LEAP_STARTS, passed, side="right") * _SECOND
    return found


def _unpacked(path: Path, piece: Piece) -> np.ndarray[Any, Any]:
    with reading(FORMAT, path), path.open("rb") as stream:
        stream.seek(piece.place[0])
        return samples(stream.read(piece.place[1] - piece.place[0]), piece.compress, piece.type, piece.count)


def channels_of(path: Path) -> dict[str, Channel]:
    """Return the time series of a file by the names of their channels, in the file's order.

    Raises:
        InvalidInput: It is no frame file of version 8, is cut off, or declares more than it can hold.
    """
    with (
        reading(FORMAT, path),
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        pieces: dict[str, list[Piece]] = {}
        facts: dict[str, Structure] = {}
        units: dict[str, str] = {}
        for frame in _frames(structures(content, path)):
            for channel, vector in _series(frame):
                name = channel.values["name"]
                pieces.setdefault(name, []).append(_piece(frame[0], channel, vector, path))
                facts.setdefault(name, channel)
                units.setdefault(name, vector["unitY"])
    return {name: _channel(facts[name], pieces[name], units[name], path) for name in pieces}


def _frames(found: Iterator[Structure]) -> Iterator[list[Structure]]:
    """Yield the structures of each frame, its header first."""
    frame: list[Structure] = []
    for item in found:
        if item.kind == "FrameH":
            frame = [item]
        elif item.kind == "FrEndOfFrame":
            yield frame
            frame = []
        elif frame:
            frame.append(item)


def _series(frame: Sequence[Structure]) -> Iterator[tuple[Structure, dict[str, Any]]]:
    vectors = {item.key: item.values for item in frame if item.kind == "FrVect"}
    for item in frame:
        if item.kind in _CHANNELS and item.values.get("type") != _SPECTRUM:
            vector = vectors.get(item.values.get("data", (0, 0)))
            if vector is not None and vector["nDim"] == 1 and "hz" not in vector["unitX"][0].lower():
                yield item, vector


def _piece(header: Structure, channel: Structure, vector: Mapping[str, Any], path: Path) -> Piece:
    step, count = vector["dx"][0], vector["nData"]
    size = count * np.dtype(TYPES.get(vector["type"], "f8")).itemsize
    if size > CHUNK_LIMIT or count != vector["nx"][0]:
        raise lying(FORMAT, path, f"'{channel.values['name']}' declares {count} samples in one frame")
    offset = channel.values.get("timeOffset", 0.0) + vector["startX"][0]
    if not (0 < step < 1e9 and abs(offset) < 1e9):
        raise lying(FORMAT, path, f"'{channel.values['name']}' has steps of {step:g} s that begin {offset:g} s late")
    start = header.values["GTimeS"] * 1_000_000_000 + header.values["GTimeN"] + round(offset * 1e9)
    return Piece(start, step, count, vector["data"], vector["compress"], vector["type"])


def _channel(facts: Structure, pieces: Sequence[Piece], unit: str, path: Path) -> Channel:
    if len({(piece.type, piece.step) for piece in pieces}) > 1:
        raise unreadable(FORMAT, path, f"'{facts.values['name']}' changes its type or its rate between frames")
    unit = facts.values.get("units") or unit
    attrs: dict[str, Any] = {"units": unit} if unit and unit != "NONE" else {}
    attrs |= {"long_name": facts.values["comment"]} if facts.values.get("comment") else {}
    attrs |= {"gps_start_ns": pieces[0].start, "sample_rate": 1.0 / pieces[0].step, "frame_structure": facts.kind}
    attrs |= {"data_valid": facts.values["dataValid"]} if "dataValid" in facts.values else {}
    slope, bias = float(facts.values.get("slope", 1.0)), float(facts.values.get("bias", 0.0))
    return Channel(tuple(pieces), slope, bias, attrs)


GWF = Format(
    name=FORMAT,
    title="Gravitational-wave frames (IGWD, version 8)",
    description=(
        "Time series by channel, read only: uncompressed, deflated, deflated differences, or zero-suppressed; frames "
        "of one file follow each other. Times are UTC (series of more than ten million samples have start and rate as "
        "attributes alone); counts of converters become values by slope and bias."
    ),
    media_type="application/x-igwd-frame",
    suffix=".gwf",
    kinds=("raster",),
    aliases=("igwd", "frame"),
    reader=_read,
    input_parameters={
        "channels": {
            "type": ["array", "null"],
            "items": {"type": "string"},
            "default": None,
            "description": "Names of the channels to read; default all.",
        },
        "scaled": {
            "type": "boolean",
            "default": True,
            "description": "Whether counts of analogue-to-digital converters become values by slope and bias.",
        },
    },
)
