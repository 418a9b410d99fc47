"""The structures of a gravitational-wave frame file, read by the dictionary that the file itself carries.

LIGO-T970130-v1, section 4.2 (file header, common elements) and 4.3.2 (dictionary structures FrSH and FrSE): each class of
structure is described, element by element, before its first use.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gemel.infra.lake._guard import lying
from gemel.infra.lake.formats._format import unreadable

FORMAT = "GWF"
MAGIC = b"IGWD\0"
_HEADER = 40  # bytes of the file header
_COMMON = 14  # bytes of length, check type, class and instance
_SIZES = bytes((2, 4, 8, 4, 8))  # of the types that the header lists
_NUMBERS = {"CHAR": "b", "CHAR_U": "B", "INT_2S": "h", "INT_2U": "H", "INT_4S": "i", "INT_4U": "I", "INT_8S": "q",
            "INT_8U": "Q", "REAL_4": "f", "REAL_8": "d"}  # fmt: skip
_ELEMENT = re.compile(r"(PTR_STRUCT)\s*\(.*\)|([A-Z_0-9]+)\s*((?:\[\w+\])*)")
_MOST = 65_536  # numbers in an array that is no vector's data
_DICTIONARY = {1: "FrSH", 2: "FrSE"}
_BUILT_IN = {
    "FrSH": [("name", "STRING"), ("class", "INT_2U"), ("comment", "STRING")],
    "FrSE": [("name", "STRING"), ("class", "STRING"), ("comment", "STRING")],
}
_WANTED = ("FrSH", "FrSE", "FrameH", "FrAdcData", "FrProcData", "FrSimData", "FrVect", "FrEndOfFrame", "FrEndOfFile")


@dataclass(frozen=True)
class Structure:
    """One structure.

    Attributes:
        kind: Name of its class.
        key: Number of its class, and its own: what pointers name.
        values: By element; the data of a vector as the first and the last byte in the file.
    """

    kind: str
    key: tuple[int, int]
    values: dict[str, Any]


@dataclass
class Dictionary:
    """The classes that a file has described so far."""

    names: dict[int, str] = field(default_factory=lambda: dict(_DICTIONARY))
    elements: dict[str, list[tuple[str, str]]] = field(
        default_factory=lambda: {n: list(e) for n, e in _BUILT_IN.items()}
    )
    latest: str = ""

    def learn(self, found: Structure) -> None:
        """Take in a structure of the dictionary."""
        if found.kind == "FrSH":
            self.latest = found.values["name"]
            self.names[found.values["class"]] = self.latest
            self.elements[self.latest] = []
        elif self.latest:
            self.elements[self.latest].append((found.values["name"], found.values["class"]))


def structures(content: Any, path: Path) -> Iterator[Structure]:
    """Yield the structures of a file that series are made of, up to the end of the file, which must be there.

    Args:
        content: The file's bytes, such as a memory map.
        path: For messages.

    Raises:
        InvalidInput: It is no frame file of version 8, is cut off, or declares what cannot be.
    """
    order = _checked_header(content, path)
    known, position = Dictionary(), _HEADER
    while True:
        if position + _COMMON > len(content):
            raise unreadable(FORMAT, path, "it is cut off")
        length, _, number, instance = struct.unpack_from(f"{order}QBBI", content, position)
        if length < _COMMON or position + length > len(content):
            raise unreadable(FORMAT, path, f"it is cut off, or damaged, at byte {position}")
        kind = known.names.get(number, "")
        if kind in _WANTED:
            cursor = _Cursor(content, order, position + _COMMON, position + length, path)
            found = Structure(kind, (number, instance), cursor.elements(known.elements[kind]))
            if kind in _BUILT_IN:
                known.learn(found)
            yield found
        if kind == "FrEndOfFile":
            return
        position += length


def _checked_header(content: Any, path: Path) -> str:
    head = bytes(content[:_HEADER])
    if not head.startswith(MAGIC) or len(head) < _HEADER:
        raise unreadable(FORMAT, path, "it does not begin as frame files do")
    if head[5] != 8:
        raise unreadable(FORMAT, path, f"its version is {head[5]}, and 8 is known")
    order = {b"\x12\x34": ">", b"\x34\x12": "<"}.get(head[12:14])
    if order is None or head[7:12] != _SIZES or struct.unpack(f"{order}I", head[14:18]) != (0x12345678,):
        raise unreadable(FORMAT, path, "its order of bytes is not known")
    return order


class _Cursor:
    """Reads the elements of one structure, and never past its end."""

    def __init__(self, content: Any, order: str, position: int, end: int, path: Path) -> None:
        self._content, self._order, self._path = content, order, path
        self._position, self._end = position, end

    def elements(self, described: list[tuple[str, str]]) -> dict[str, Any]:
        """Return the values of elements by name; those after one of a type that is not known are left out."""
        found: dict[str, Any] = {}
        for name, kind in described:
            match = _ELEMENT.fullmatch(kind.strip())
            if match is None or name == "chkSum":
                break
            pointer, base, sizes = match.groups()
            if pointer:
                found[name] = self._numbers("HI", 1)
            elif name == "data" and base in ("CHAR", "CHAR_U"):
                found[name] = self._skipped(_count(sizes, found))
            elif sizes:
                found[name] = self._several(base, _count(sizes, found))
            else:
                found[name] = self._several(base, 1)[0]
        return found

    def _several(self, base: str, count: int) -> list[Any]:
        if count > _MOST:
            raise lying(FORMAT, self._path, f"a structure declares {count} elements")
        if base == "STRING":
            return [self._text() for _ in range(count)]
        if base not in _NUMBERS:
            raise unreadable(FORMAT, self._path, f"elements of type {base} are not known")
        return list(self._numbers(_NUMBERS[base], count))

    def _numbers(self, form: str, count: int) -> tuple[Any, ...]:
        found = struct.Struct(f"{self._order}{form * count}")
        begin, _ = self._skipped(found.size)
        return found.unpack_from(self._content, begin)

    def _text(self) -> str:
        (length,) = self._numbers("H", 1)
        begin, end = self._skipped(length)
        return bytes(self._content[begin:end]).rstrip(b"\0").decode("latin-1")

    def _skipped(self, size: int) -> tuple[int, int]:
        begin = self._position
        if begin + size > self._end:
            raise lying(FORMAT, self._path, f"a structure at byte {begin} is longer than it says")
        self._position += size
        return begin, begin + size


def _count(sizes: str, found: dict[str, Any]) -> int:
    count = 1
    for size in re.findall(r"\w+", sizes):
        count *= int(size) if size.isdigit() else int(found.get(size, 0))
    return count
