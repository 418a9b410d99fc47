"""What a file format is to gemel, and the checks that all formats share."""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gemel.base.errors import GemelError, InvalidInput, StoreFull, did_you_mean

Options = Mapping[str, Any]
Writer = Callable[[Any, Path, Options], Sequence[Path]]
Reader = Callable[[Path, Options], Any]

_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
    "null": (type(None),),
}


@dataclass(frozen=True)
class Format:
    """One file format: its names, its parameters, and the functions that write and read it.

    Attributes:
        name: As openEO clients write it; matched without regard to case.
        title: One line for people.
        description: What is written, and how a cube of many dimensions is laid out.
        media_type: Of one file (RFC 6838).
        suffix: Of a file's name, with the dot.
        kinds: What it holds: `raster`, `vector`, `table`, `other`.
        aliases: Further names.
        writer: Writes a value to a path, or to several beside it, and returns them; None for a format that is only read.
        reader: Returns the value in a file; None for a format that is only written.
        output_parameters: JSON schema of each option of writing, by name, with `default`.
        input_parameters: JSON schema of each option of reading, by name, with `default`.
        value: Whether what it holds is a value of graphs, so that faces list it; raw bytes, say, are none.
    """

    name: str
    title: str
    description: str
    media_type: str
    suffix: str
    kinds: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    writer: Writer | None = None
    reader: Reader | None = None
    output_parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    input_parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    value: bool = True

    def write(self, value: Any, path: Path, options: Options | None = None) -> list[Path]:
        """Return the files after `value` is written whole; when that fails, nothing is left.

        Args:
            value: A cube (`xarray.DataArray`, read block by block), a dataset, a table, or plain JSON values.
            path: Name of the file; a format that needs several files adds to its stem.
            options: Of `output_parameters`.

        Raises:
            InvalidInput: The format cannot hold the value (`context["exception"]` is `FormatUnsuitable` or
                `DataCubeEmpty`), or an option is wrong.
            StoreFull: No space is left.
        """
        if self.writer is None:
            raise unsuitable(self.name, "it can only be read")
        checked = checked_options(self.name, self.output_parameters, options or {})
        with _space(), _workplace(path.parent) as place:
            written = self.writer(value, place / path.name, checked)
            for item in written:
                item.replace(path.parent / item.name)
        return [path.parent / item.name for item in written]

    def read(self, path: Path, options: Options | None = None) -> Any:
        """Return what a file holds: rasters as lazily read cubes, features as a vector cube, rows as a table.

        Raises:
            InvalidInput: The file is not of this format (`context["exception"]` is `FormatUnsuitable`), is cut off or
                declares more than it holds, or an option is wrong.
        """
        if self.reader is None:
            raise unsuitable(self.name, "it can only be written")
        checked = checked_options(self.name, self.input_parameters, options or {})
        with reading(self.name, path):
            return self.reader(path, checked)


def unsuitable(format: str, reason: str, hint: str | None = None) -> InvalidInput:
    """Return the error that says why a format does not suit the data."""
    return InvalidInput(f"{format} does not suit this: {reason}.", hint=hint, exception="FormatUnsuitable")


def cube_empty(format: str, sizes: Mapping[Any, int]) -> InvalidInput:
    """Return the error for a cube without cells."""
    shown = ", ".join(f"{dim}: {size}" for dim, size in sizes.items())
    message = f"The data cube is empty ({shown}), and {format} holds no empty cubes."
    return InvalidInput(message, hint="Widen the extents that were loaded.", exception="DataCubeEmpty")


def unreadable(format: str, path: Path, reason: str) -> InvalidInput:
    """Return the error for a file that is broken or not of the format."""
    message = f"'{path.name}' cannot be read as {format}: {reason}."
    return InvalidInput(message, hint="Is the file complete, and of that format?", exception="FormatUnsuitable")


@contextlib.contextmanager
def reading(format: str, path: Path) -> Iterator[None]:
    """Turn whatever a library says of a broken file into one error that names file, format and cause."""
    try:
        yield
    except GemelError:
        raise
    except FileNotFoundError as error:
        raise unreadable(format, path, "there is no such file") from error
    except (MemoryError, RecursionError) as error:
        raise unreadable(format, path, "it declares more than fits into memory") from error
    except Exception as error:
        # Decoders of broken files raise anything: KeyError, struct.error, RuntimeError, OSError, ...
        first = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise unreadable(format, path, first[:300]) from error


def checked_options(format: str, parameters: Mapping[str, Mapping[str, Any]], options: Options) -> dict[str, Any]:
    """Return the options, by the parameters' own spelling, with defaults filled in.

    Raises:
        InvalidInput: An option is unknown, or its value does not fit.
    """
    names = {name.lower(): name for name in parameters}
    found = {name: schema.get("default") for name, schema in parameters.items()}
    for name, value in options.items():
        if str(name).lower() not in names:
            known = f"Known: {', '.join(parameters) or 'none'}."
            hint = f"{did_you_mean(str(name), parameters)} {known}".strip()
            raise InvalidInput(f"{format} has no option '{name}'.", hint=hint, option=name)
        own = names[str(name).lower()]
        complaint = _complaint(value, parameters[own])
        if complaint:
            raise InvalidInput(f"Option '{own}' of {format}: {value!r} {complaint}.", option=own)
        found[own] = value
    return found


def _complaint(value: Any, schema: Mapping[str, Any]) -> str | None:
    wanted = schema.get("type", [])
    kinds = [wanted] if isinstance(wanted, str) else list(wanted)
    types = tuple(item for kind in kinds for item in _TYPES[kind])
    if types and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
        return f"is not of the type {' or '.join(kinds)}"
    if value is None:
        return None
    if "enum" in schema and value not in schema["enum"]:
        return f"is not one of {', '.join(map(str, schema['enum']))}"
    if "minimum" in schema and value < schema["minimum"]:
        return f"is less than {schema['minimum']}"
    if "maximum" in schema and value > schema["maximum"]:
        return f"is more than {schema['maximum']}"
    return None


@contextlib.contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="writing-", dir=folder))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def _space() -> Iterator[None]:
    try:
        yield
    except GemelError:
        raise
    except (OSError, RuntimeError) as error:
        # HDF5 and GDAL keep the system's words and lose its number.
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        if not full:
            raise
        raise StoreFull("No space is left for the file.", hint="Free some space, then run again.") from error
