"""Replicas of a file made, chosen and dropped: one whole, verified copy is there at every moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gemel.base.errors import Conflict, GemelError, NotFound, ResultCorrupt
from gemel.infra.lake.datasets._records import HERE, Record, Records, Replica
from gemel.infra.lake.datasets._transfers import Transfers
from gemel.infra.lake.storages import Storages
from gemel.infra.lake.transport import Arrived, Progress

_T = TypeVar("_T")


@dataclass(frozen=True)
class Replicated:
    """A file that has a verified replica on a storage.

    Attributes:
        record: Of the file, as it is now.
        replica: The one on the storage.
        source: The storage it was copied from; None when it was there already.
        way: How it came; `there` when it was there already.
        reason: Why that way.
    """

    record: Record
    replica: Replica
    source: str | None
    way: str
    reason: str


class Replicating:
    """Makes replicas.

    Args:
        records: Where they are noted.
        transfers: What moves bytes.
        storages: Where they lie.
    """

    def __init__(self, records: Records, transfers: Transfers, storages: Storages) -> None:
        self._records, self._transfers, self._storages = records, transfers, storages

    def to(
        self,
        record: Record,
        storage: str,
        progress: Progress | None = None,
        noted: Callable[[Replica], None] | None = None,
    ) -> Replicated:
        """Return a file after it has a verified replica on a storage.

        Args:
            record: Of the file.
            storage: Where to.
            progress: Told how many bytes are done.
            noted: Told of the replica before its first byte is written.

        Raises:
            NotFound: It has no replica to copy from.
            ResultCorrupt: No replica is right.
        """
        present = next((item for item in record.replicas if item.storage == storage and item.state == HERE), None)
        if present is not None:
            try:
                self._records.settle(record.name, self._transfers.read(record, present, progress))
                return Replicated(self._records.get(record.name), present, None, "there", "it was there already")
            except (ResultCorrupt, NotFound) as error:
                self._records.found_bad(present, error.message, lost=True)
                record = self._records.get(record.name)

        wrong = [item for item in record.replicas if item.storage == storage]

        def take(source: Replica) -> tuple[Replica, Replica, Arrived]:
            with self._transfers.arriving(record.name, storage, record.size) as fresh:
                if noted is not None:
                    noted(fresh)
                seen = self._transfers.copy(record, source, fresh, progress)
                self._records.settle(record.name, seen, [fresh], wrong)
            return source, fresh, seen

        try:
            source, fresh, seen = self.from_any(record, take)
        except Conflict as conflict:
            return self._overtaken(record, storage, conflict)
        if wrong:
            self._transfers.sweep()
        return Replicated(self._records.get(record.name), fresh, source.storage, seen.way, seen.reason)

    def _overtaken(self, record: Record, storage: str, conflict: Conflict) -> Replicated:
        record = self._records.get(record.name)
        present = next((item for item in record.replicas if item.storage == storage and item.state == HERE), None)
        if present is None:
            raise conflict
        return Replicated(record, present, None, "there", "somebody else brought it")

    def only(self, done: Replicated) -> Record:
        """Return the record of a file after all its replicas but one were dropped."""
        others = [item for item in done.record.replicas if item.id != done.replica.id]
        self._records.drop(done.record.name, others)
        self._transfers.sweep()
        return self._records.get(done.record.name)

    def from_any(self, record: Record, take: Callable[[Replica], _T]) -> _T:
        """Return what `take` makes of the first replica that it can use, those on this machine first."""
        order = self._order(record)
        if not order:
            raise NotFound(f"'{record.name}' has no replica.", name=str(record.name))
        for number, replica in enumerate(order, 1):
            try:
                return take(replica)
            except (ResultCorrupt, NotFound):
                if number == len(order):
                    raise
            except GemelError as error:
                # Only what another replica can make good is worth another attempt.
                if number == len(order) or not isinstance(error, OSError):
                    raise
        raise AssertionError("unreachable")

    def _order(self, record: Record) -> Sequence[Replica]:
        near = {item.name for item in self._storages.list() if item.kind == "local"}
        return sorted(record.replicas, key=lambda item: (item.state != HERE, item.storage not in near, item.storage))
