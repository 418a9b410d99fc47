"""Bytes from one place to another, hashed on their way; what breaks off leaves nothing behind."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from gemel.base.errors import GemelError, NotFound, ResultCorrupt, StoreUnavailable
from gemel.infra.lake.datasets._hashing import Hashed, Progress, Seen
from gemel.infra.lake.datasets._names import Name
from gemel.infra.lake.datasets._records import LEAVING, Digest, Record, Records, Replica
from gemel.infra.lake.storages import PIECE, Readable, Storage, Storages

STALE_SECONDS = 3600.0  # a replica that nobody wrote to for so long was left by something killed
_TOUCH_SECONDS = 10.0


class Transfers:
    """What moves bytes for datasets.

    Args:
        records: Where replicas are noted.
        storages: Where they lie.
    """

    def __init__(self, records: Records, storages: Storages) -> None:
        self._records, self._storages = records, storages

    @contextlib.contextmanager
    def arriving(self, name: Name, storage: str) -> Iterator[Replica]:
        """Yield a replica to be written; when the block fails, its file and its note are removed."""
        replica = self._records.arriving(name, storage)
        try:
            yield replica
        except BaseException:
            with contextlib.suppress(GemelError):
                self._records.mark([replica], LEAVING)
                self._drop(replica)
            raise

    def write(
        self,
        source: Readable,
        replica: Replica,
        expected: Mapping[str, str],
        size: int | None,
        progress: Progress | None = None,
    ) -> Seen:
        """Return what was written to a replica's place, after the storage agreed on its size and, if it can, digest.

        Raises:
            ResultCorrupt: Something is not as expected; nothing is left.
        """
        target = self._storages.get(replica.storage)
        watched = self._touching(replica, progress)
        with Hashed(source, expected, size, watched, f"'{replica.name}'") as stream:
            target.write(replica.path, stream, size)
            seen = stream.seen()
        if target.size(replica.path) != seen.size:
            raise ResultCorrupt(f"Storage '{replica.storage}' kept '{replica.name}' with another size.")
        self.compare(target, replica, seen)
        return seen

    def compare(self, storage: Storage, replica: Replica, seen: Seen) -> bool:
        """Return whether the storage tells a digest of a replica by itself, which then is the one seen.

        Raises:
            ResultCorrupt: It is another.
        """
        told = {name: storage.digest(replica.path, name) for name in seen.digests}
        for name, value in told.items():
            if value is not None and value != seen.digests[name]:
                message = f"Storage '{storage.name}' tells another {name} digest of '{replica.name}' than was sent."
                raise ResultCorrupt(message, hint="Try again.", expected=seen.digests[name], found=value)
        return any(told.values())

    def read(self, record: Record, replica: Replica, progress: Progress | None = None) -> Seen:
        """Return what a replica holds after it was read whole and agreed with the record.

        Raises:
            ResultCorrupt: It does not agree.
            NotFound: Its file is not there.
        """
        with self.hashed(record, replica, progress) as stream:
            while stream.read(PIECE):
                pass
            return stream.seen()

    @contextlib.contextmanager
    def hashed(self, record: Record, replica: Replica, progress: Progress | None = None) -> Iterator[Hashed]:
        """Yield a replica as a stream that ends in an error when it does not agree with the record."""
        expected = {name: item.value for name, item in record.digests.items()}
        with (
            opened(self._storages.get(replica.storage), replica.path) as source,
            Hashed(source, expected, record.size, progress, where(replica)) as stream,
        ):
            yield stream

    def copy(self, record: Record, source: Replica, target: Replica, progress: Progress | None = None) -> Seen:
        """Return what was copied from one replica to another, proven to be there: told by its storage, or read back."""
        expected = {name: item.value for name, item in record.digests.items()}
        with opened(self._storages.get(source.storage), source.path) as stream:
            seen = self.write(stream, target, expected, record.size, progress)
        if not self.compare(self._storages.get(target.storage), target, seen):
            told = {name: Digest(value, "stream") for name, value in seen.digests.items()}
            self.read(replace(record, size=seen.size, digests=told), target, self._touching(target, None))
        return seen

    def sweep(self, stale: float = STALE_SECONDS) -> None:
        """Remove what was to go, and what something killed left half-written; what cannot be reached stays noted."""
        for replica in self._records.leftovers(time.time() - stale):
            with contextlib.suppress(StoreUnavailable, PermissionError):
                self._drop(replica)

    def _drop(self, replica: Replica) -> None:
        # A file that was only registered is somebody else's, and stays where it is.
        if replica.path == replica.name.path(replica.id.rpartition("-")[2]):
            with contextlib.suppress(NotFound):
                self._storages.get(replica.storage).delete(replica.path)
        self._records.forget(replica)

    def _touching(self, replica: Replica, progress: Progress | None) -> Progress:
        last = [time.monotonic()]

        def note(done: int) -> None:
            if time.monotonic() - last[0] > _TOUCH_SECONDS:
                last[0] = time.monotonic()
                self._records.touch(replica)
            if progress is not None:
                progress(done)

        return note


def where(replica: Replica) -> str:
    """Return a replica in words."""
    return f"'{replica.name}' on storage '{replica.storage}'"


@contextlib.contextmanager
def opened(storage: Storage, path: str) -> Iterator[Readable]:
    """Yield a file of a storage for reading; what the system says of it is put in gemel's words."""
    with storage.open(path) as file, system_errors(storage.name):
        yield file


@contextlib.contextmanager
def system_errors(name: str) -> Iterator[None]:
    """Turn an error of the system while `name` is read into one of gemel."""
    try:
        yield
    except GemelError:
        raise
    except OSError as error:
        raise StoreUnavailable(f"'{name}' cannot be read: {error.strerror or error}.") from error
