"""Field configurations in files: HDF5, text and raw binary, each read back bit by bit; foreign pickles read only."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import GemelError, InvalidInput, StoreFull
from gemel.infra.lake.formats import format_named
from gemel.thematic.lattice._hmc import ChainState

Array = NDArray[Any]
_FORMAT = "gemel-lattice"
_VERSION = 1
_TYPES = ("float64", "complex128")
_DAMAGED = (OSError, ValueError, KeyError, TypeError, UnicodeDecodeError, MemoryError, OverflowError)


@dataclass(frozen=True)
class Ensemble:
    """Configurations with what belongs to each and to all of them.

    Attributes:
        field: float64 or complex128 (configuration, ...).
        columns: One float64 number per configuration by name: action, log_q, accepted, chain.
        attributes: JSON values of the whole: theory, couplings, seed.
    """

    field: Array
    columns: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what a file could not hold exactly."""
        if self.field.dtype.name not in _TYPES or self.field.ndim < 2:
            raise InvalidInput(
                f"Configurations are float64 or complex128 with two axes or more, not {self.field.dtype}."
            )
        for name, column in self.columns.items():
            if column.dtype != np.float64 or column.shape != self.field.shape[:1]:
                message = (
                    f"Column '{name}' {column.dtype} {column.shape} has to be float64, one number a configuration."
                )
                raise InvalidInput(message)


def write_configurations(path: Path, ensemble: Ensemble) -> Path:
    """Return the path after an ensemble is written whole; the suffix says how: `.h5`, `.txt` or `.bin`.

    `.txt` has a JSON header after `# ` and one line per configuration (columns, then the field, last axis fastest);
    `.bin` a line of JSON and then little-endian numbers in the same order, with a checksum in the header.

    Raises:
        InvalidInput: Another suffix.
        StoreFull: No space is left; an older file of that name is still there.
    """
    writer = _of_suffix(path)[0]
    with _replacing(path) as draft:
        writer(draft, ensemble)
    return path


def read_configurations(path: Path) -> Ensemble:
    """Return the ensemble in a file written by `write_configurations`, or the array in a foreign `.pkl`/`.pickle`.

    Nothing that a pickle names is called: it is read by gemel's reader of arrays and plain values.

    Raises:
        InvalidInput: No such file, another suffix, or content that is damaged or not of the format.
    """
    reader = _of_suffix(path)[1]
    try:
        return reader(path)
    except GemelError:
        raise
    except _DAMAGED as error:
        raise _unreadable(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error


def _unreadable(path: Path, reason: str) -> InvalidInput:
    message = f"'{path.name}' holds no configurations that can be read: {reason.rstrip('.')}."
    return InvalidInput(message, hint="Is the file complete, and of the format that its suffix tells?")


def _of_suffix(path: Path) -> tuple[Callable[[Path, Ensemble], None], Callable[[Path], Ensemble]]:
    known = {".h5": (_write_hdf5, _read_hdf5), ".txt": (_write_text, _read_text), ".bin": (_write_raw, _read_raw)}
    known |= dict.fromkeys((".pkl", ".pickle"), (_refuse_pickle, _read_pickle))
    if path.suffix not in known:
        hint = f"Name it with one of {', '.join(known)}."
        raise InvalidInput(f"'{path.name}' does not tell the format of configurations.", hint=hint)
    return known[path.suffix]


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    draft = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
            raise StoreFull(f"No space is left for '{path.name}'.", hint="Free some space and write again.") from error
        raise
    finally:
        draft.unlink(missing_ok=True)


def _write_hdf5(path: Path, ensemble: Ensemble) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["format"] = _FORMAT
        file.attrs["version"] = _VERSION
        file.attrs["attributes"] = json.dumps(dict(ensemble.attributes))
        file.create_dataset("configurations", data=ensemble.field)
        for name, column in ensemble.columns.items():
            file.create_dataset(f"columns/{name}", data=column)


def _read_hdf5(path: Path) -> Ensemble:
    with h5py.File(path, "r") as file:
        _require_format(path, {name: file.attrs.get(name) for name in ("format", "version")})
        columns = {name: np.asarray(item) for name, item in file["columns"].items()} if "columns" in file else {}
        return Ensemble(np.asarray(file["configurations"]), columns, json.loads(file.attrs["attributes"]))


def _require_format(path: Path, header: Mapping[str, Any]) -> None:
    if header.get("format") != _FORMAT or header.get("version") != _VERSION:
        raise _unreadable(path, f"its header is not {_FORMAT} version {_VERSION}")


def _header(ensemble: Ensemble, checksum: int | None = None) -> str:
    header: dict[str, Any] = {"format": _FORMAT, "version": _VERSION, "dtype": ensemble.field.dtype.name}
    header |= {"shape": list(ensemble.field.shape), "columns": list(ensemble.columns)}
    header |= {} if checksum is None else {"crc32": checksum}
    return json.dumps(header | {"attributes": dict(ensemble.attributes)})


def _rows(ensemble: Ensemble) -> NDArray[np.float64]:
    """Return all numbers as little-endian float64 (configuration, columns + field); a complex number is two."""
    flat = np.ascontiguousarray(ensemble.field).reshape(len(ensemble.field), -1).view(np.float64)
    front = [np.asarray(column)[:, None] for column in ensemble.columns.values()]
    return np.concatenate([*front, flat], axis=1).astype("<f8")


def _ensemble(path: Path, header: Mapping[str, Any], numbers: NDArray[np.float64]) -> Ensemble:
    names, shape = list(header["columns"]), tuple(int(size) for size in header["shape"])
    if header["dtype"] not in _TYPES or len(shape) < 2 or min(shape) < 1:
        raise _unreadable(path, f"its header tells the type {header['dtype']!r} and the shape {shape}")
    parts = 2 if header["dtype"] == "complex128" else 1
    wide = len(names) + parts * int(np.prod(shape[1:], dtype=object))
    if numbers.size != shape[0] * wide:
        raise _unreadable(path, f"it holds {numbers.size} numbers where its header tells {shape[0] * wide}")
    rows = np.ascontiguousarray(numbers.reshape(shape[0], wide), dtype=np.float64)
    values = np.ascontiguousarray(rows[:, len(names) :]).view(header["dtype"]).reshape(shape)
    return Ensemble(values, {name: rows[:, k].copy() for k, name in enumerate(names)}, dict(header["attributes"]))


def _write_text(path: Path, ensemble: Ensemble) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(f"# {_header(ensemble)}\n")
        for row in _rows(ensemble).tolist():
            # repr of a float is the shortest text that reads back as the same number.
            file.write(" ".join(map(repr, row)) + "\n")


def _read_text(path: Path) -> Ensemble:
    with path.open(encoding="utf-8") as file:
        header = _parsed(path, file.readline().removeprefix("# "))
        numbers = [float(word) for line in file for word in line.split()]
    return _ensemble(path, header, np.array(numbers))


def _write_raw(path: Path, ensemble: Ensemble) -> None:
    content = _rows(ensemble).tobytes()
    with path.open("wb") as file:
        file.write(_header(ensemble, zlib.crc32(content)).encode() + b"\n")
        file.write(content)


def _read_raw(path: Path) -> Ensemble:
    with path.open("rb") as file:
        header = _parsed(path, _first_line(file))
        content = file.read()
    if len(content) % 8 or zlib.crc32(content) != header.get("crc32"):
        raise _unreadable(path, "its numbers are damaged or cut off (checksum)")
    return _ensemble(path, header, np.frombuffer(content, dtype="<f8"))


def _first_line(file: BinaryIO) -> str:
    return file.readline(1 << 20).decode()


def _parsed(path: Path, line: str) -> dict[str, Any]:
    header = json.loads(line)
    if not isinstance(header, dict):
        raise _unreadable(path, "it has no header")
    _require_format(path, header)
    return header


def _refuse_pickle(path: Path, ensemble: Ensemble) -> None:
    raise InvalidInput(f"'{path.suffix}' is only read.", hint="Write .h5, .txt or .bin: those hold data alone.")


def _read_pickle(path: Path) -> Ensemble:
    found = format_named("Pickle").read(path)
    if isinstance(found, Mapping):
        arrays = {name: np.asarray(item) for name, item in found.items() if isinstance(item, np.ndarray)}
        if not arrays:
            raise _unreadable(path, "it has no array")
        # Beside the configurations stand smaller arrays, such as one action each.
        found = max(arrays.values(), key=lambda item: item.size)
    array = np.asarray(found)
    if array.dtype.kind not in "fc":
        raise _unreadable(path, f"it holds {array.dtype}, and fields are real or complex numbers")
    return Ensemble(array.astype(np.complex128 if array.dtype.kind == "c" else np.float64))


def save_state(path: Path, state: ChainState) -> Path:
    """Return the path (`.h5`) after the state of chains is written whole, to go on from after a kill."""
    with _replacing(path) as draft, h5py.File(draft, "w") as file:
        file.attrs["format"] = f"{_FORMAT}-state"
        file.attrs["step"] = state.step
        file.attrs["trajectories"] = state.trajectories
        file.attrs["rng"] = json.dumps(state.rng)
        file.create_dataset("field", data=state.field, fletcher32=True)
    return path


def load_state(path: Path) -> ChainState:
    """Return the state in a file of `save_state`.

    Raises:
        InvalidInput: No such file, or it is damaged or another kind of file.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != f"{_FORMAT}-state":
                raise _unreadable(path, "it is no state of chains")
            rng = json.loads(file.attrs["rng"])
            step, made = float(file.attrs["step"]), int(file.attrs["trajectories"])
            state = ChainState(np.asarray(file["field"], dtype=np.float64), step, made, rng)
    except GemelError:
        raise
    except _DAMAGED as error:
        raise _unreadable(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    state.generator()
    return state
