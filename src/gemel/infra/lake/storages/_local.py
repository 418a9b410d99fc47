"""A folder of this machine (POSIX); nothing outside of it can be reached."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from gemel.base.errors import Denied, GemelError, StoreFull, StoreUnavailable
from gemel.infra.lake._places import confined
from gemel.infra.lake.storages._ranged import ranged
from gemel.infra.lake.storages._storage import (
    PIECE,
    Entry,
    Readable,
    Statted,
    checked_options,
    checked_path,
    cut_off,
    missing,
    staging_name,
)

_STAGING = ".writing-"
_FLUSH = 16 << 20  # bytes after which they are sent to the disk in the background
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)


class LocalStorage(Statted):
    """A folder.

    Args:
        name: As declared.
        options: `folder`, its absolute path.

    >>> import io
    >>> place = LocalStorage("here", {"folder": tempfile.mkdtemp()})
    >>> place.write("a/b.txt", io.BytesIO(b"rain")), place.open("a/b.txt", 1, 2).read()
    (4, b'ai')
    """

    kind = "local"
    writable = True

    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        checked_options(self.kind, options, {"folder": True}, ())
        self.name = name
        self.folder = Path(options["folder"]).expanduser().absolute()

    def path(self, path: str) -> Path:
        """Return where a file lies, whether or not it is there.

        Raises:
            InvalidInput: `path` cannot be one.
            Denied: A link on the way leads out of the folder.
        """
        found = confined(checked_path(path), self.folder)
        if found is None:
            raise Denied(f"'{path}' leads out of storage '{self.name}'.", storage=self.name, path=path)
        return found

    def stat(self, path: str) -> Entry:
        """Return what is known of a file."""
        place = self.path(path)
        with translated(self.name, path):
            status = place.stat()
        if not place.is_file():
            raise missing(self.name, path)
        version = f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"
        return Entry(path, status.st_size, status.st_mtime, version)

    def open(self, path: str, offset: int = 0, length: int | None = None) -> BinaryIO:
        """Return a part of a file as a seekable file."""
        size = self.stat(path).size
        with translated(self.name, path):
            file = self.path(path).open("rb")
        if offset == 0 and length is None:
            return file
        with file:
            kept = os.dup(file.fileno())
        return _closing(
            ranged(path, size, offset, length, lambda start, stop: self._fetch(kept, path, start, stop)), kept
        )

    def _fetch(self, handle: int, path: str, start: int, stop: int) -> bytes:
        with translated(self.name, path):
            found = os.pread(handle, stop - start, start)
        if len(found) != stop - start:
            raise cut_off(self.name, path, stop - start, len(found))
        return found

    def write(self, path: str, stream: Readable, size: int | None = None) -> int:
        """Return how many bytes were written, under a temporary name first; they are on the disk by then."""
        target = self.path(path)
        with translated(self.name, path):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, staging = tempfile.mkstemp(prefix=staging_name(_STAGING, path), dir=target.parent)
        written = 0
        try:
            with os.fdopen(handle, "wb", buffering=0), _Flusher(handle) as flusher:
                while piece := stream.read(PIECE):
                    with translated(self.name, path):
                        written += _put(handle, piece)
                        flusher.note(written)
                with translated(self.name, path):
                    flusher.finish()
                    os.fsync(handle)
            with translated(self.name, path):
                Path(staging).chmod(0o644)
                Path(staging).replace(target)
                _sync(target.parent)
        finally:
            Path(staging).unlink(missing_ok=True)
        return written

    def delete(self, path: str) -> None:
        """Remove a file, what a killed process was writing under its name, and folders that are empty then."""
        place = self.path(path)
        with translated(self.name, path):
            for stale in place.parent.glob(f"{staging_name(_STAGING, path)}*"):
                stale.unlink(missing_ok=True)
            try:
                self.stat(path)
                place.unlink()
            finally:
                self._remove_empty(place)

    def _remove_empty(self, place: Path) -> None:
        with contextlib.suppress(OSError):
            for parent in place.parents:
                if parent == self.folder.resolve():
                    break
                parent.rmdir()

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield all files below a folder, in the order of their paths; links are not followed."""
        top = self.path(prefix.rstrip("/")) if prefix else self.folder
        for folder, folders, files in os.walk(top):
            folders.sort()
            for name in sorted(files):
                place = Path(folder) / name
                if not name.startswith(_STAGING) and not place.is_symlink():
                    with contextlib.suppress(FileNotFoundError):
                        status = place.stat()
                        inner = place.relative_to(self.folder.resolve() if prefix else self.folder).as_posix()
                        yield Entry(inner, status.st_size, status.st_mtime)

    def digest(self, path: str, algorithm: str) -> str | None:
        """Return None: a folder keeps no digests."""
        return None

    def url(self, path: str) -> str:
        """Return the file's address."""
        return self.path(path).as_uri()

    def signed(self, path: str, seconds: int) -> str | None:
        """Return None: a folder has no address on the web."""
        return None

    def close(self) -> None:
        """Do nothing."""


def in_writing(name: str) -> bool:
    """Return whether a file of this name is one that somebody is writing, and that no list shows.

    >>> in_writing(".writing-0123456789ab-xyz"), in_writing("rain.nc")
    (True, False)
    """
    return name.startswith(_STAGING)


@contextlib.contextmanager
def translated(storage: str, path: str) -> Iterator[None]:
    """Turn what the system says of a file into gemel's own errors."""
    try:
        yield
    except GemelError:
        raise
    except OSError as error:
        if error.errno in _ABSENT:
            raise missing(storage, path) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            hint = "Free some space, or name another storage; nothing was half-written."
            raise StoreFull(f"No space is left on storage '{storage}'.", hint=hint, storage=storage) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise Denied(
                f"Storage '{storage}' denies access to '{path}': {error.strerror}.", storage=storage
            ) from error
        raise StoreUnavailable(f"Storage '{storage}' fails at '{path}': {error.strerror}.", storage=storage) from error


class _Flusher:
    """Brings a large file to the disk while it is still being written, so that the last sync has little left to do."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._threads: ThreadPoolExecutor | None = None
        self._running: Future[None] | None = None
        self._flushed = 0

    def __enter__(self) -> _Flusher:
        return self

    def __exit__(self, *_: object) -> None:
        if self._threads is not None:
            self._threads.shutdown()

    def note(self, written: int) -> None:
        """Begin to flush when enough has come since the last time; raise what the flush before raised."""
        if written - self._flushed < _FLUSH or (self._running is not None and not self._running.done()):
            return
        self.finish()
        self._threads = self._threads or ThreadPoolExecutor(1, thread_name_prefix="gemel-flush")
        self._running, self._flushed = self._threads.submit(os.fdatasync, self._handle), written

    def finish(self) -> None:
        """Wait for the flush that is going on."""
        if self._running is not None:
            self._running.result()


def _put(handle: int, piece: bytes) -> int:
    view = memoryview(piece)
    while view:
        view = view[os.write(handle, view) :]
    return len(piece)


def _closing(file: BinaryIO, handle: int) -> BinaryIO:
    # The descriptor goes with the file that reads from it.
    weakref.finalize(file, os.close, handle)
    return file


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
