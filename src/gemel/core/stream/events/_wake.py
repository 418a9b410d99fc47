"""Waking readers in other processes: a named pipe for each that waits, in a folder that all of them know."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
import secrets
import select
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from gemel.infra.store import Store

_IDLE_EARS = 8
# A folder's time of change is as coarse as the kernel's tick: until then a listing may be older than it looks.
_TICK_NANOSECONDS = 50_000_000


class Bell:
    """Rings for those who wait for a stream, in this process and in others on this machine that share the folder."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._known: dict[str, tuple[int, dict[str, int]]] = {}  # stream -> time of change, pipes
        self._idle: dict[str, deque[Ear]] = {}
        self._places: dict[str, Path] = {}

    def ring(self, stream: str) -> None:
        """Wake everyone who waits for a stream; those who died are forgotten."""
        if self._folder is None:
            return
        with self._guard:
            for name, pipe in list(self._pipes(stream).items()):
                try:
                    os.write(pipe, b"!")
                except BlockingIOError:
                    pass  # full: it has been told often enough
                except OSError:
                    os.close(self._known[stream][1].pop(name))
                    (self._place(stream) / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def listening(self, stream: str) -> Iterator[Ear]:
        """Yield what hears the bell of a stream from now on."""
        with self._guard:
            idle = self._idle.get(stream)
            ear = idle.pop() if idle else None
        ear = ear or self._new_ear(stream)
        try:
            yield ear
        finally:
            self._put_away(stream, ear)

    def close(self) -> None:
        """Close every pipe."""
        with self._guard:
            for ear in itertools.chain.from_iterable(self._idle.values()):
                ear.close()
            for _, pipes in self._known.values():
                for pipe in pipes.values():
                    os.close(pipe)
            self._idle.clear()
            self._known.clear()

    def _put_away(self, stream: str, ear: Ear) -> None:
        with self._guard:
            if sum(map(len, self._idle.values())) < _IDLE_EARS:
                self._idle.setdefault(stream, deque()).append(ear)
                return
            oldest = next((name for name, ears in self._idle.items() if ears and name != stream), None)
            if oldest is not None:
                self._idle.setdefault(stream, deque()).append(ear)
                ear = self._idle[oldest].popleft()
        ear.close()

    def _new_ear(self, stream: str) -> Ear:
        if self._folder is None:
            return Ear(None)
        place = self._place(stream)
        name = f"{os.getpid()}-{secrets.token_hex(6)}"
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Opened before it is seen: a pipe without a reader is taken for one of the dead.
            os.mkfifo(self._folder / name, 0o600)
            ear = Ear(self._folder / name)
            ear.move(place / name)
            return ear
        except OSError:  # no pipes on this file system: looking again has to do
            return Ear(None)

    def _place(self, stream: str) -> Path:
        place = self._places.get(stream)
        if place is None:
            assert self._folder is not None
            place = self._places[stream] = self._folder / hashlib.sha256(stream.encode()).hexdigest()[:20]
        return place

    def _pipes(self, stream: str) -> dict[str, int]:
        known = self._known.get(stream)
        place = self._place(stream)
        try:
            changed = os.stat(place).st_mtime_ns  # noqa: PTH116 (at each append: a third of the time)
        except OSError:
            return {}
        if known is not None and known[0] == changed:
            return known[1]
        pipes = known[1] if known else {}
        names = {entry.name for entry in os.scandir(place)}
        for name in pipes.keys() - names:
            os.close(pipes.pop(name))
        for name in names - pipes.keys():
            pipe = _opened(place / name)
            if pipe is not None:
                pipes[name] = pipe
        settled = time.time_ns() - changed > _TICK_NANOSECONDS
        self._known[stream] = (changed if settled else -1, pipes)
        return pipes


class Ear:
    """One who waits: a pipe that others write to, or nothing but patience."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        # Open for writing too: else the pipe would look ended whenever no one else has it open.
        self._pipe = None if path is None else os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    @property
    def hears(self) -> bool:
        """Return whether others can wake it."""
        return self._pipe is not None

    def move(self, path: Path) -> None:
        """Let others see it."""
        assert self._path is not None
        self._path = self._path.rename(path)

    def clear(self) -> None:
        """Forget what rang until now; look for events after this, then wait."""
        if self._pipe is not None:
            with contextlib.suppress(BlockingIOError):
                os.read(self._pipe, 65536)

    def wait(self, seconds: float) -> None:
        """Return when the bell rang since `clear`, or when the time is up."""
        if self._pipe is None:
            threading.Event().wait(seconds)
            return
        select.select([self._pipe], [], [], seconds)

    def close(self) -> None:
        """Stop listening."""
        if self._pipe is not None and self._path is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._pipe)
            self._pipe = None


class Turn:
    """A lock that processes wait for in the kernel: SQLite's own is asked again and again, with sleeps between."""

    def __init__(self, folder: Path | None) -> None:
        self._file: int | None = None
        if folder is not None:
            with contextlib.suppress(OSError):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> None:
        """Wait for the turn."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        """Give it away."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def folder_of(store: Store) -> Path | None:
    """Return where waiting readers of a store leave their pipes.

    Beside a SQLite file, whoever uses it; for PostgreSQL, a folder of this user on this machine: engines elsewhere
    look again from time to time.
    """
    if store.dialect == "sqlite":
        return Path(f"{store.engine.url.database}-wake").absolute()
    name = hashlib.sha256(store.engine.url.render_as_string(hide_password=True).encode()).hexdigest()[:20]
    folder = Path(tempfile.gettempdir(), f"gemel-wake-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        ours = folder.lstat().st_uid == os.getuid() and folder.is_dir()
    except OSError:
        return None
    return folder / name if ours else None


def _opened(path: Path) -> int | None:
    """Return a pipe to write to; one that nobody reads is removed."""
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            path.unlink(missing_ok=True)
        return None
