"""What WebDAV sees of a storage: files and folders. Folders of this machine are real; those of others are implied."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from gemel.base.errors import Denied, NotFound
from gemel.faces.storage._errors import Refusal
from gemel.infra.lake.storages import Entry, LocalStorage, Readable, Storage, in_writing, translated

_STALE_SECONDS = 86_400.0  # a file that nobody has added to for a day is not being written any more


@dataclass(frozen=True)
class Node:
    """A file or a folder.

    Attributes:
        path: On its storage; empty for the top.
        folder: Whether it is one.
        size: Of a file, in bytes.
        modified: Seconds since 1970-01-01 UTC, where that is known.
        version: What changes when a file's content does, where that is known.
    """

    path: str
    folder: bool
    size: int = 0
    modified: float | None = None
    version: str | None = None

    @property
    def tag(self) -> str | None:
        """The entity tag (RFC 9110, section 8.8.3), quotes included."""
        if self.version is None:
            return None
        return self.version if self.version.startswith(('"', 'W/"')) else f'"{self.version}"'


class Tree(Protocol):
    """A storage as WebDAV sees it; all of it blocks."""

    @property
    def storage(self) -> Storage:
        """The storage."""

    def look(self, path: str) -> Node | None:
        """Return what is at a path, or None."""

    def children(self, path: str) -> Iterator[Node]:
        """Yield what is directly below a folder."""

    def open(self, path: str) -> tuple[Node, BinaryIO]:
        """Return a file with what is known of just this version of it."""

    def write(self, path: str, stream: Readable, size: int | None) -> None:
        """Replace a file with what a stream holds, whole or not at all; folders above it are made."""

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all in it."""

    def make_folder(self, path: str) -> None:
        """Make a folder inside one that is there."""

    def move(self, path: str, target: str) -> None:
        """Give a file or folder another path, in place of a file that is there."""

    def free(self) -> int | None:
        """Return how many bytes fit in, where that is known."""


def tree_of(storage: Storage) -> Tree:
    """Return a storage as WebDAV sees it."""
    return LocalTree(storage) if isinstance(storage, LocalStorage) else OutsideTree(storage)


class LocalTree:
    """A folder of this machine.

    Args:
        storage: Its paths are checked there, links out of it included.
    """

    def __init__(self, storage: LocalStorage) -> None:
        self.storage: LocalStorage = storage

    def look(self, path: str) -> Node | None:
        """Return what is at a path, or None."""
        if not path:
            return Node("", True)
        with contextlib.suppress(NotFound), translated(self.storage.name, path):
            place = self._place(path)
            if place.is_dir():
                return Node(path, True, modified=place.stat().st_mtime)
            return _node(self.storage.stat(path))
        return None

    def children(self, path: str) -> Iterator[Node]:
        """Yield what is directly below a folder; what somebody stopped writing a day ago is swept away on the way."""
        with contextlib.ExitStack() as stack:
            try:
                with translated(self.storage.name, path):
                    found = stack.enter_context(os.scandir(self._place(path)))
            except NotFound:
                return
            for item in found:
                with contextlib.suppress(FileNotFoundError):
                    node = self._child(path, item)
                    if node is not None:
                        yield node

    def _child(self, path: str, item: os.DirEntry[str]) -> Node | None:
        status = item.stat(follow_symlinks=False)
        if in_writing(item.name):
            if time.time() - status.st_mtime > _STALE_SECONDS:
                Path(item.path).unlink()
            return None
        inner = f"{path}/{item.name}" if path else item.name
        if item.is_dir(follow_symlinks=False):
            return Node(inner, True, modified=status.st_mtime)
        if not item.is_file(follow_symlinks=False) or not _utf8(item.name):
            return None
        return Node(inner, False, status.st_size, status.st_mtime, _version(status))

    def open(self, path: str) -> tuple[Node, BinaryIO]:
        """Return a file with what is known of it: told by the open file, so that a writer cannot come between."""
        file = self.storage.open(path)
        status = os.fstat(file.fileno())
        return Node(path, False, status.st_size, status.st_mtime, _version(status)), file

    def write(self, path: str, stream: Readable, size: int | None) -> None:
        """Replace a file with what a stream holds, whole or not at all; folders above it are made."""
        self._no_link(path)
        try:
            self.storage.write(path, stream, size)
        except NotFound as error:
            raise Refusal(409, "The folder was removed while the file was written; send it again.") from error

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all in it; the folder around it stays, even if it is empty then."""
        place = self._no_link(path)
        with translated(self.storage.name, path):
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink()

    def make_folder(self, path: str) -> None:
        """Make a folder inside one that is there."""
        with translated(self.storage.name, path):
            self.storage.folder.mkdir(parents=True, exist_ok=True)
            self._no_link(path).mkdir()

    def move(self, path: str, target: str) -> None:
        """Give a file or folder another path, in place of a file that is there."""
        source, place = self._no_link(path), self._no_link(target)
        with translated(self.storage.name, path):
            place.parent.mkdir(parents=True, exist_ok=True)
            source.replace(place)

    def free(self) -> int | None:
        """Return how many bytes fit in."""
        folder = next((place for place in (self.storage.folder, *self.storage.folder.parents) if place.exists()), None)
        return None if folder is None else shutil.disk_usage(folder).free

    def _place(self, path: str) -> Path:
        return self.storage.path(path) if path else self.storage.folder

    def _no_link(self, path: str) -> Path:
        place = self._place(path)
        if (self.storage.folder / path).is_symlink():
            raise Denied(f"'{path}' is a link, which somebody set on purpose.", hint="Change it on the machine.")
        return place


class OutsideTree:
    """A storage somewhere else, only read here: its folders are those that its files imply.

    Args:
        storage: Reads ranges.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def look(self, path: str) -> Node | None:
        """Return what is at a path, or None."""
        if not path:
            return Node("", True)
        try:
            return _node(self.storage.stat(path))
        except NotFound:
            below = self.storage.list(path) if self.storage.kind != "http" else iter(())
            return Node(path, True) if next(iter(below), None) is not None else None

    def children(self, path: str) -> Iterator[Node]:
        """Yield what is directly below a folder, found by listing all below it."""
        start = f"{path}/" if path else ""
        seen: set[str] = set()
        for entry in self.storage.list(path):
            name, inner, _ = entry.path.removeprefix(start).partition("/")
            if not inner:
                yield _node(entry)
            elif name not in seen:
                seen.add(name)
                yield Node(start + name, True)

    def open(self, path: str) -> tuple[Node, BinaryIO]:
        """Return a file, read by ranges, with what is known of it."""
        return _node(self.storage.stat(path)), self.storage.open(path)

    def write(self, path: str, stream: Readable, size: int | None) -> None:
        """Refuse."""
        raise self._only_read()

    def remove(self, path: str) -> None:
        """Refuse."""
        raise self._only_read()

    def make_folder(self, path: str) -> None:
        """Refuse."""
        raise self._only_read()

    def move(self, path: str, target: str) -> None:
        """Refuse."""
        raise self._only_read()

    def free(self) -> int | None:
        """Return None: nobody told."""
        return None

    def _only_read(self) -> Denied:
        hint = "Write to it directly, or with: gemel data move"
        return Denied(f"Storage '{self.storage.name}' is only read through this element.", hint=hint)


def _node(entry: Entry) -> Node:
    return Node(entry.path, False, entry.size, entry.modified, entry.version)


def _version(status: os.stat_result) -> str:
    # As `LocalStorage.stat` says it.
    return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"


def _utf8(name: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in name)
