"""The bytes of a file, read out: the whole compared with its digests before its end is handed on, or a part of it."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from gemel.base.errors import NotFound, ResultCorrupt
from gemel.infra.lake._file_cache import FileCache
from gemel.infra.lake.datasets._record import BAD, Record, Replica
from gemel.infra.lake.datasets._records import Records
from gemel.infra.lake.datasets._replicating import Replicating
from gemel.infra.lake.datasets._transfers import Transfers, arrived
from gemel.infra.lake.storages import PIECE, LocalStorage, Readable, Storages
from gemel.infra.lake.transport import Hashed, system_errors

_USED_SECONDS = 3600.0  # uses of a replica within so long of each other are noted once


class Content:
    """A file, or a part of it, open for reading.

    Args:
        stream: The bytes.
        where: Name of the storage that they come from.
        closing: What ends with it.
    """

    def __init__(self, stream: Readable, where: str, closing: contextlib.ExitStack) -> None:
        self._stream, self._where, self._closing = stream, where, closing

    def read(self, size: int = PIECE, /) -> bytes:
        """Return the next bytes; none at the end.

        Raises:
            ResultCorrupt: Before the end of a whole file: it is not what its digests say, or has another size.
            StoreUnavailable: It cannot be read any more.
        """
        with system_errors(self._where):
            return self._stream.read(size)

    def close(self) -> None:
        """Let it go."""
        self._closing.close()


class Contents:
    """Reads files out.

    Args:
        records: Where replicas are noted.
        transfers: What compares bytes.
        replicating: Knows which replica to take.
        storages: Where they lie.
        cache: For what is kept on this machine.
    """

    def __init__(
        self, records: Records, transfers: Transfers, replicating: Replicating, storages: Storages, cache: FileCache
    ) -> None:
        self._records, self._transfers = records, transfers
        self._replicating, self._storages, self._cache = replicating, storages, cache

    def open(self, record: Record, span: tuple[int, int] | None = None) -> Content:
        """Return a file for reading, from the first replica that can be opened.

        A replica that is known to be damaged is read whole first. One that turns out to be damaged is noted as such, so
        that whoever asks again is given another.

        Args:
            record: Of the file.
            span: First byte, and the one after the last; default the whole, which is compared with the file's digests.

        Raises:
            NotFound: There is no replica.
            ResultCorrupt: All replicas are damaged.
            StoreUnavailable: None can be reached.
        """

        def take(replica: Replica) -> Content:
            if replica.state == BAD:
                self._transfers.read(record, replica)
            return self._whole(record, replica) if span is None else self._part(replica, span)

        return self._replicating.from_any(record, take)

    def kept(self, record: Record, replica: Replica) -> Path:
        """Return the verified copy of a file on this machine, made when it is not there."""
        key = record.digests["sha256"].value if "sha256" in record.digests else replica.id

        def fill(path: Path) -> None:
            place = LocalStorage("the cache", {"folder": str(path.parent)})
            with self._transfers.hashed(record, replica) as stream:
                place.write(path.name, stream)

        return self._cache.kept(key, replica.path.rpartition("/")[2], fill)

    def _part(self, replica: Replica, span: tuple[int, int]) -> Content:
        with contextlib.ExitStack() as stack:
            file = self._storages.get(replica.storage).open(replica.path, span[0], span[1] - span[0])
            stack.callback(file.close)
            self._records.found_used(replica, time.time() - _USED_SECONDS)
            return Content(file, replica.storage, stack.pop_all())

    def _whole(self, record: Record, replica: Replica) -> Content:
        with contextlib.ExitStack() as stack:
            hashed = stack.enter_context(self._transfers.hashed(record, replica))
            self._records.found_used(replica, time.time() - _USED_SECONDS)
            return Content(_Compared(self._records, record, replica, hashed), replica.storage, stack.pop_all())


class _Compared:
    """Hands a piece on once the next one was read: the last one leaves only after all of them were compared."""

    def __init__(self, records: Records, record: Record, replica: Replica, stream: Hashed) -> None:
        self._records, self._record, self._replica, self._stream = records, record, replica, stream
        self._ended = False
        self._ahead = self._next()

    def read(self, size: int = -1, /) -> bytes:
        piece, self._ahead = self._ahead, b"" if self._ended else self._next()
        return piece

    def _next(self) -> bytes:
        try:
            piece = self._stream.read(PIECE)
        except ResultCorrupt as error:
            self._records.found_bad(self._replica, error.message, lost=self._replica.state != BAD)
            raise
        if not piece:
            self._ended = True
            # A file that was removed while it was read was right all the same.
            with contextlib.suppress(NotFound):
                self._records.settle(self._record.name, arrived(self._stream, self._record))
        return piece
