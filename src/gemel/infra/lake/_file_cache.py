"""Files kept within a number of bytes: what was not used for the longest time goes first, and nothing that is in use."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

from gemel.base.errors import InvalidInput

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}")
_FILLING, _LOCK, _EVICTING = ".filling", ".lock", "evicting.lock"
_MOST_LEASES = 128  # files that one process holds: each takes a descriptor


class FileCache:
    """A folder of files under keys, shared by any number of threads and processes of one machine.

    A path that was handed out stays valid until its process ends, or was handed paths of more than half the limit
    (or 128) since: it is held by a lock on the file, which the system takes back from a process that is killed. Files
    appear whole: they are written beside their place and moved there; what a killed process left half-written is removed
    by the next one. One file more than the limit may lie there while it arrives.

    Args:
        folder: Where files are kept; made when it is needed.
        limit_bytes: What they may take together.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes

    def kept(self, key: str, name: str, fill: Callable[[Path], object], *, renew: bool = False) -> Path:
        """Return the path of a file, filled first when it is not there; others who want it wait meanwhile.

        Args:
            key: Letters, digits, `-` and `_`: a digest of what the file is.
            name: Of the file, which some readers look at.
            fill: Writes the file at the path it is given; when it raises, nothing is kept.
            renew: Fill it anew, even if it is there.

        Raises:
            InvalidInput: The key or the name cannot be one.
        """
        place = self._place(key, name)
        if not renew and self._leased(place):
            return place
        place.parent.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self._lock_of(place.parent)):
            if renew or not self._leased(place):
                self._fill(place, fill)
                self._leased(place)
        self._evict()
        return place

    def size(self) -> int:
        """Return the bytes that all files take together."""
        return sum(size for _, size, _ in self._files())

    def _place(self, key: str, name: str) -> Path:
        plain = name not in ("", ".", "..") and "/" not in name and "\0" not in name and len(name.encode()) <= 255
        if not _KEY.fullmatch(key) or not plain:
            raise InvalidInput(f"Nothing can be kept under {key[:80]!r} as {name[:80]!r}.")
        return self.folder / key[:2] / key / name

    @staticmethod
    def _lock_of(entry: Path) -> Path:
        return entry.with_name(entry.name + _LOCK)

    def _fill(self, place: Path, fill: Callable[[Path], object]) -> None:
        staging = place.parent.with_name(place.parent.name + _FILLING)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            fill(staging / place.name)
            with (staging / place.name).open("rb") as file:
                os.fsync(file.fileno())
            place.parent.mkdir(exist_ok=True)
            (staging / place.name).replace(place)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _leased(self, place: Path) -> bool:
        """Return whether the file is there; then it is held, and counts as just used."""
        try:
            handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return False
        with _unsupported():
            fcntl.flock(handle, fcntl.LOCK_SH)
        # Between opening and locking it may have been evicted, or replaced by a newer one.
        if not _same(handle, place):
            os.close(handle)
            return False
        os.utime(handle)
        _leases.hold(self.folder, place, handle, self.limit_bytes // 2)
        return True

    def _evict(self) -> None:
        with _attempted(self.folder / _EVICTING) as mine:
            if not mine:
                return  # somebody else is at it
            self._sweep()
            found = sorted(self._files())
            excess = sum(size for _, size, _ in found) - self.limit_bytes
            for _, size, place in found:
                if excess <= 0:
                    return
                if self._dropped(place):
                    excess -= size

    def _dropped(self, place: Path) -> bool:
        with _attempted(self._lock_of(place.parent)) as mine:
            if not mine:
                return False
            try:
                handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return True
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                place.unlink(missing_ok=True)
            except OSError:
                return False  # held by a reader
            finally:
                os.close(handle)
            with contextlib.suppress(OSError):
                place.parent.rmdir()
        return True

    def _sweep(self) -> None:
        """Remove what killed processes left half-written: nobody holds the lock of its key."""
        for staging in self.folder.glob(f"*/*{_FILLING}"):
            with _attempted(staging.with_name(staging.name.removesuffix(_FILLING) + _LOCK)) as mine:
                if mine:
                    shutil.rmtree(staging, ignore_errors=True)

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for place in self.folder.glob("*/*"):
            if place.name.endswith(_FILLING):
                continue  # somebody fills it, and may take it away while we look
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                for found in list(place.iterdir()):
                    known = found.stat()
                    yield known.st_mtime, known.st_size, found


class _Leases:
    """The files that this process holds, the latest last."""

    def __init__(self) -> None:
        self._held: dict[Path, OrderedDict[Path, tuple[int, int]]] = {}
        self._lock = threading.Lock()

    def hold(self, folder: Path, place: Path, handle: int, limit: int) -> None:
        """Keep a file's handle with its lock, and let the oldest go where they are too many or too large."""
        with self._lock:
            held = self._held.setdefault(folder, OrderedDict())
            former = held.pop(place, None)
            held[place] = handle, os.fstat(handle).st_size
            gone = [] if former is None else [former]
            while len(held) > 1 and (len(held) > _MOST_LEASES or sum(size for _, size in held.values()) > limit):
                gone.append(held.popitem(last=False)[1])
        for old, _ in gone:
            os.close(old)


_leases = _Leases()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file for as long as it takes; it is removed afterwards."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with _unsupported():
            fcntl.flock(handle, fcntl.LOCK_EX)
        if _same(handle, path):
            break
        os.close(handle)  # whoever had it removed it; the next one has a file of its own
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


@contextlib.contextmanager
def _attempted(path: Path) -> Iterator[bool]:
    """Yield whether a lock file could be had at once; if so, it is held."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = _same(handle, path)
        except OSError:
            mine = False
        try:
            yield mine
        finally:
            if mine:
                path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _unsupported() -> Iterator[None]:
    """Do without locks where the file system has none."""
    try:
        yield
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
