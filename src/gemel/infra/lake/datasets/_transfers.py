"""Replicas that arrive and that go: noted before the first byte, and again after the last; killed ones are found."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from gemel.base.errors import GemelError, NotFound, StoreUnavailable
from gemel.infra.lake.datasets._names import Name
from gemel.infra.lake.datasets._records import LEAVING, Record, Records, Replica
from gemel.infra.lake.storages import Readable, Standings, Storages
from gemel.infra.lake.transport import Arrived, Carrier, Hashed, Leg, Progress, Sightings, opened, read_whole

STALE_SECONDS = 3600.0  # a replica that nobody wrote to for so long was left by something killed
_TOUCH_SECONDS = 10.0


class Transfers:
    """What moves bytes for datasets.

    Args:
        records: Where replicas are noted.
        storages: Where they lie.
        carrier: Knows the ways between storages.
        standings: Knows how full they are.
    """

    def __init__(self, records: Records, storages: Storages, carrier: Carrier, standings: Standings) -> None:
        self._records, self._storages, self._carrier, self._standings = records, storages, carrier, standings

    @contextlib.contextmanager
    def arriving(self, name: Name, storage: str, size: int | None) -> Iterator[Replica]:
        """Yield a replica to be written; when the block fails, its file and its note are removed.

        Raises:
            StoreFull: The storage's quota leaves no room for so many bytes.
        """
        self._standings.require_room(storage, size)
        replica = self._records.arriving(name, storage)
        try:
            yield replica
        except BaseException:
            with contextlib.suppress(GemelError):
                self._records.mark([replica], LEAVING)
                self.drop(replica)
            raise

    def take_in(
        self,
        source: Readable,
        replica: Replica,
        expected: Mapping[str, str],
        size: int | None,
        progress: Progress | None,
    ) -> Arrived:
        """Return what a stream brought to a replica's place.

        Raises:
            ResultCorrupt: Something is not as expected; nothing is left.
        """
        target = self._storages.get(replica.storage)
        leg = Leg(f"'{replica.name}'", target, replica.path, target, replica.path, size, expected)
        return self._carrier.take_in(leg, source, self._touching(replica, progress))

    def copy(self, record: Record, source: Replica, target: Replica, progress: Progress | None = None) -> Arrived:
        """Return what was copied from one replica to another, proven to be there: told by its storage, or read back."""
        places = self._storages.get(source.storage), source.path, self._storages.get(target.storage), target.path
        leg = Leg(f"'{record.name}'", *places, record.size, _expected(record))
        return self._carrier.carry(leg, self._touching(target, progress))

    def read(self, record: Record, replica: Replica, progress: Progress | None = None) -> Arrived:
        """Return what a replica holds after it was read whole and agreed with the record.

        Raises:
            ResultCorrupt: It does not agree.
            NotFound: Its file is not there.
        """
        expected, storage = _expected(record), self._storages.get(replica.storage)
        seen = read_whole(storage, replica.path, expected, record.size, progress, where(replica))
        sightings = Sightings(where(replica), expected)
        sightings.add("stream", seen.digests)
        return Arrived(seen.size, sightings.fresh(), sightings.confirmed())

    @contextlib.contextmanager
    def hashed(self, record: Record, replica: Replica, progress: Progress | None = None) -> Iterator[Hashed]:
        """Yield a replica as a stream that ends in an error when it does not agree with the record."""
        with (
            opened(self._storages.get(replica.storage), replica.path) as source,
            Hashed(source, _expected(record), record.size, progress, where(replica)) as stream,
        ):
            yield stream

    def sweep(self, stale: float = STALE_SECONDS) -> None:
        """Remove what was to go, and what something killed left half-written; what cannot be reached stays noted."""
        for replica in self._records.leftovers(time.time() - stale):
            with contextlib.suppress(StoreUnavailable, PermissionError):
                self.drop(replica)

    def abandon(self, id: str) -> None:
        """Remove what was written of a replica that is still to arrive."""
        replica = self._records.awaited(id)
        if replica is not None:
            self._records.mark([replica], LEAVING)
            with contextlib.suppress(StoreUnavailable, PermissionError):
                self.drop(replica)

    def drop(self, replica: Replica) -> None:
        """Remove a replica's file, when it is gemel's own, and then its note."""
        # A file that was only registered is somebody else's, and stays where it is.
        if replica.own:
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


def arrived(stream: Hashed, record: Record) -> Arrived:
    """Return what a stream that was read to its end tells of a record."""
    seen, sightings = stream.seen(), Sightings(f"'{record.name}'", _expected(record))
    sightings.add("stream", seen.digests)
    return Arrived(seen.size, sightings.fresh(), sightings.confirmed())


def where(replica: Replica) -> str:
    """Return a replica in words."""
    return f"'{replica.name}' on storage '{replica.storage}'"


def _expected(record: Record) -> dict[str, Any]:
    return {name: item.value for name, item in record.digests.items()}
