"""Files that people upload: below one folder, and no path or link leads out of it.

Each part of a path is opened relative to the folder before it and never through a symbolic link (openat(2),
O_NOFOLLOW), so nothing that changes meanwhile can redirect a request.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gemel.base.errors import InvalidInput, NotFound, OutOfBounds, StoreFull
from gemel.base.ids import new_id

# Pattern of a file's path in the openEO API 1.2.0.
_PATH = re.compile(r"[^/\r\n\\:'\"\0][^\r\n\\:'\"\0]*")
_LONGEST_PART = 200
_INCOMING = ".incoming-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class StoredFile:
    """One uploaded file; `modified` is seconds since 1970-01-01 UTC."""

    path: str
    size: int
    modified: float


class Incoming:
    """A file that is being written; it appears under its path when it is whole."""

    def __init__(self, stream: BinaryIO, limit: int | None) -> None:
        self._stream = stream
        self._limit = limit
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            OutOfBounds: The file becomes larger than is allowed.
        """
        self._size += len(data)
        if self._limit is not None and self._size > self._limit:
            raise OutOfBounds(f"A file may have {self._limit} bytes.", kind="file", limit=self._limit)
        self._stream.write(data)


class Files:
    """The files below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list(self) -> Iterator[StoredFile]:
        """Yield every file in alphabetical order; links and whatever else is no plain file are left out."""
        for place, folders, names in os.walk(self.folder, followlinks=False):
            folders.sort()
            for name in sorted(names):
                path = Path(place) / name
                with contextlib.suppress(FileNotFoundError):
                    status = path.lstat()
                    if stat.S_ISREG(status.st_mode) and not name.startswith(_INCOMING):
                        relative = path.relative_to(self.folder).as_posix()
                        yield StoredFile(relative, status.st_size, status.st_mtime)

    def open(self, path: str) -> tuple[BinaryIO, StoredFile]:
        """Return (open file, its description).

        Raises:
            NotFound: There is no such file.
            InvalidInput: The path is none, or names a folder.
        """
        *folders, name = _parts(path)
        with self._folder(folders, path) as folder, _told(path):
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(handle)
            raise InvalidInput(f"'{path}' is not a file.", kind="file", reason="folder")
        return os.fdopen(handle, "rb"), StoredFile(path, status.st_size, status.st_mtime)

    @contextlib.contextmanager
    def receiving(self, path: str, limit: int | None = None) -> Iterator[Incoming]:
        """Yield where the bytes of a new or replaced file go; it is there whole after the block, or not at all.

        Raises:
            InvalidInput: The path is none, or a folder is called so.
            OutOfBounds: It has more than `limit` bytes.
            StoreFull: The disk is full.
        """
        *folders, name = _parts(path)
        with self._folder(folders, path, make=True) as folder, _told(path):
            _refuse_folder(name, folder, path)
            staging = f"{_INCOMING}{new_id('file')}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(staging, flags, 0o600, dir_fd=folder)
            try:
                with os.fdopen(handle, "wb") as stream:
                    yield Incoming(stream, limit)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.rename(staging, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                os.unlink(staging, dir_fd=folder)
                raise

    def describe(self, path: str) -> StoredFile:
        """Return the description of a file.

        Raises:
            NotFound: There is no such file.
        """
        stream, found = self.open(path)
        stream.close()
        return found

    def delete(self, path: str) -> None:
        """Remove a file, and the folders that are empty without it.

        Raises:
            NotFound: There is no such file.
            InvalidInput: The path is none, or names a folder.
        """
        self.describe(path)
        *folders, name = _parts(path)
        with self._folder(folders, path) as folder, _told(path):
            os.unlink(name, dir_fd=folder)
        while folders:
            *above, last = folders
            with contextlib.suppress(OSError), self._folder(above, path) as folder:
                os.rmdir(last, dir_fd=folder)
            folders = above

    def room(self) -> tuple[int, int]:
        """Return (bytes that are free, bytes that people may fill altogether)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        usage = shutil.disk_usage(self.folder)
        return usage.free, usage.free + sum(found.size for found in self.list())

    @contextlib.contextmanager
    def _folder(self, parts: Sequence[str], path: str, *, make: bool = False) -> Iterator[int]:
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder, _FOLDER & ~os.O_NOFOLLOW)
        try:
            for part in parts:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o700, dir_fd=handle)
                with _told(path):
                    inner = os.open(part, _FOLDER, dir_fd=handle)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)


def _parts(path: str) -> list[str]:
    parts = path.split("/")
    if not _PATH.fullmatch(path):
        raise _invalid(path, "it is empty, absolute, or holds a backslash, colon, quote or line break")
    if any(part in ("", ".", "..") for part in parts):
        raise _invalid(path, "it holds an empty part, '.' or '..'")
    if any(len(part.encode()) > _LONGEST_PART or part.startswith(_INCOMING) for part in parts):
        raise _invalid(path, "a part of it is too long or reserved")
    return parts


def _refuse_folder(name: str, folder: int, path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidInput(f"'{path}' is not a file.", kind="file", reason="folder")


def _invalid(path: str, reason: str) -> InvalidInput:
    return InvalidInput(f"'{path[:100]}' is not a path: {reason}.", kind="file", reason=reason)


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, (InvalidInput, OutOfBounds, StoreFull)):
            raise
        if error.errno == errno.ENOENT:
            raise NotFound(f"There is no file '{path}'.", kind="file", name=path) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull("No space is left for uploaded files.", hint="Delete some first.") from error
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _invalid(path, "a part of it is a link or a file") from error
        if error.errno == errno.EISDIR:
            raise InvalidInput(f"'{path}' is a folder.", kind="file", reason="folder") from error
        raise
