"""Fields of ECMWF's FDB: GRIB messages archived and found by the keys of the MARS language."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from gemel.base.errors import ConfigInvalid, Denied, InvalidInput, MissingExtra, StoreUnavailable
from gemel.infra.lake._fdb_process import FdbProcess, Field
from gemel.infra.lake.storages._ranged import ranged
from gemel.infra.lake.storages._storage import Entry, Readable, Statted, checked_options, checked_path, cut_off, missing

_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")
_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,127}")
_FIELD_BYTES = 1 << 30  # of one message: it is archived from memory
_PROCESS = FdbProcess()

Keys = dict[str, str]


class FdbStorage(Statted):
    """An FDB; a field's path is its keys.

    A path is `key=value` in commas, in one folder for each level of the FDB's schema, keys in the order of the alphabet:
    `class=od,date=20200101,expver=0001,stream=oper,time=0000/levtype=sfc,type=fc/param=167,step=0`. Where a path is
    taken, keys may stand in any order and in any number of folders; all of the field's must be there.

    An FDB keeps what it was given: a field archived again hides the older one, and single fields are not deleted. It
    is told the keys by the path, and does not compare them with those inside of the message.

    Args:
        name: As declared.
        options: `config`, a file of the FDB's configuration; or `root`, a folder, and `schema`, a file, of a local one.
    """

    kind = "fdb"
    writable = True

    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        checked_options(self.kind, options, {"config": False, "root": False, "schema": False}, ())
        self.name = name
        self._config = _configuration(name, options)
        if find_spec("pyfdb") is None:
            raise MissingExtra("An FDB needs the package 'pyfdb'.", hint="pip install 'gemel[fdb]'")

    def stat(self, path: str) -> Entry:
        """Return what is known of a field."""
        return _entry(path, self._field(path))

    def open(self, path: str, offset: int = 0, length: int | None = None) -> BinaryIO:
        """Return a part of a field: by ranges where the FDB's files are on this machine, else it is fetched whole."""
        found = self._field(path)
        size, begin, place = found.size, found.offset, Path(found.place)
        if not place.is_file():
            content = self._whole(path, found)
            return ranged(path, len(content), offset, length, lambda start, stop: content[start:stop])

        def fetch(start: int, stop: int) -> bytes:
            with place.open("rb") as file:
                part = os.pread(file.fileno(), stop - start, begin + start)
            if len(part) != stop - start:
                raise cut_off(self.name, path, stop - start, len(part))
            return part

        return ranged(path, size, offset, length, fetch)

    def write(self, path: str, stream: Readable, size: int | None = None) -> int:
        """Return how many bytes were archived under the keys of the path.

        Raises:
            InvalidInput: It is no GRIB message, or the FDB's schema has no place for the keys.
            StoreUnavailable: The FDB cannot be written.
        """
        keys, content = _keys(path), _message(path, stream)
        try:
            _PROCESS.archive(self._config, keys, content)
        except RuntimeError as error:
            raise self._refused(path, error) from error
        return len(content)

    def delete(self, path: str) -> None:
        """Refuse: an FDB does not delete single fields.

        Raises:
            Denied: Always.
        """
        checked_path(path)
        raise Denied(f"An FDB deletes no single fields ('{self.name}').", hint="fdb-wipe removes all of a day.")

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield all fields below a folder: those whose first keys are the folder's."""
        below = prefix.rstrip("/") + "/" if prefix else ""
        try:
            wanted = _keys(prefix.rstrip("/")) if prefix else {}
        except InvalidInput:
            return
        found = [_entry(_path(item), item) for item in self._listed(wanted)]
        yield from (entry for entry in found if entry.path.startswith(below))

    def digest(self, path: str, algorithm: str) -> str | None:
        """Return None: an FDB keeps no digests."""
        self.stat(path)
        return None

    def url(self, path: str) -> str:
        """Return the field's address, which gemel alone understands."""
        return f"fdb://{self.name}/{quote(checked_path(path), safe='/=,')}"

    def signed(self, path: str, seconds: int) -> str | None:
        """Return None: there is no http address."""
        checked_path(path)
        return None

    def close(self) -> None:
        """Do nothing: an FDB is opened anew each time."""

    def _listed(self, keys: Keys) -> Sequence[Field]:
        try:
            return _PROCESS.listed(self._config, keys)
        except RuntimeError as error:
            raise self._refused(_joined(keys), error) from error

    def _field(self, path: str) -> Field:
        try:
            keys = _keys(path)
        except InvalidInput:
            checked_path(path)
            raise missing(self.name, path) from None
        for item in self._listed(keys):
            if item.keys == keys:
                return item
        raise missing(self.name, path)

    def _whole(self, path: str, found: Field) -> bytes:
        try:
            return _PROCESS.whole(self._config, found.keys)
        except RuntimeError as error:
            raise self._refused(path, error) from error

    def _refused(self, path: str, error: RuntimeError) -> InvalidInput | StoreUnavailable:
        reason = str(error).splitlines()[0].removeprefix("Serious bug: ").rstrip(".")[:300]
        if "Keywords not used" in reason or "find a rule" in reason:
            hint = "Name each key of the FDB's schema, and no others."
            return InvalidInput(f"Storage '{self.name}' has no place for '{path}': {reason}.", hint=hint)
        return StoreUnavailable(f"Storage '{self.name}' fails at '{path}': {reason}.", storage=self.name)


def _configuration(name: str, options: Mapping[str, str]) -> Any:
    if "config" in options:
        place = Path(options["config"]).expanduser()
        if not place.is_file() or {"root", "schema"} & options.keys():
            raise ConfigInvalid(f"Storage '{name}' needs a file as config, or root and schema instead of it.")
        return place
    if not {"root", "schema"} <= options.keys():
        raise ConfigInvalid(f"Storage '{name}' needs config, or root and schema.", hint="root=FOLDER schema=FILE")
    root, schema = (Path(options[key]).expanduser().absolute() for key in ("root", "schema"))
    if not schema.is_file():
        raise ConfigInvalid(f"There is no schema '{schema}' for storage '{name}'.")
    root.mkdir(parents=True, exist_ok=True)
    spaces = [{"handler": "Default", "roots": [{"path": str(root)}]}]
    return {"type": "local", "engine": "toc", "schema": str(schema), "spaces": spaces}


def _keys(path: str) -> Keys:
    """Return the keys that a path spells.

    >>> _keys("class=od,date=20200101/step=0")
    {'class': 'od', 'date': '20200101', 'step': '0'}
    """
    found: Keys = {}
    for part in (item for folder in checked_path(path).split("/") for item in folder.split(",")):
        key, _, value = part.partition("=")
        if not _KEY.fullmatch(key) or not _VALUE.fullmatch(value) or key in found:
            hint = "Write keys like class=od,date=20200101/step=0,param=167."
            raise InvalidInput(f"{part[:80]!r} in a path is no key of a field with its value.", hint=hint)
        found[key] = value
    return found


def _joined(keys: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(keys.items()) if value)


def _path(field: Field) -> str:
    return "/".join(joined for level in field.levels if (joined := _joined(level)))


def _entry(path: str, field: Field) -> Entry:
    return Entry(path, field.size, None, f"{field.place}:{field.offset}")


def _message(path: str, stream: Readable) -> bytes:
    parts, size = [], 0
    while part := stream.read(1 << 20):
        parts.append(part)
        size += len(part)
        if size > _FIELD_BYTES:
            raise InvalidInput(f"'{path}' is larger than one field can be ({_FIELD_BYTES} bytes).")
    content = b"".join(parts)
    # Octets 5 to 7 of GRIB 1, and 9 to 16 of GRIB 2, are the message's length (WMO Manual on Codes, FM 92, section 0).
    edition = content[7:8]
    told = int.from_bytes(content[8:16] if edition == b"\x02" else content[4:7], "big")
    if content[:4] != b"GRIB" or edition not in (b"\x01", b"\x02") or told != size or content[-4:] != b"7777":
        raise InvalidInput(f"What is to be archived as '{path}' is no GRIB message, or not a single whole one.")
    return content
