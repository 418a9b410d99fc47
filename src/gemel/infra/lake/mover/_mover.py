"""Workers on the queue: each takes a transfer, carries it, and tries again later what may still become right."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gemel.base.errors import Denied, GemelError, StoreUnavailable, Unauthenticated
from gemel.base.ids import new_id
from gemel.infra.lake.datasets import Datasets, Record, Replica
from gemel.infra.lake.mover._queue import CANCELLED, DONE, FAILED, OPEN, QUEUED, Queue, Transfer
from gemel.infra.lake.storages import Storages

_BEAT_SECONDS = 2.0
_STOP_SECONDS = 5.0  # a server that is asked and says nothing does not hold up the end; its lease runs out
_AWAY_SECONDS = 3.0  # before a look at whether a source that cannot be reached from here can be
_LOOK_SECONDS = 1.0  # between looks at a queue on which others may put something
_JITTER = random.Random()  # spreads attempts of many workers; nothing depends on its numbers


@dataclass(frozen=True)
class Patience:
    """How often and how soon a transfer is tried again.

    Attributes:
        attempts: At most so many.
        first: Seconds before the second one; doubled each time.
        most: Seconds between two at most.
        lease: Seconds after which a silent worker is taken for dead.
        together: Transfers into one storage at a time.
    """

    attempts: int = 8
    first: float = 2.0
    most: float = 300.0
    lease: float = 60.0
    together: int = 4

    def pause(self, attempt: int) -> float:
        """Return the seconds before the next attempt, a fifth more or less so that many do not come together.

        >>> 3.2 <= Patience().pause(2) <= 4.8
        True
        """
        return min(self.first * 2.0 ** (attempt - 1), self.most) * _JITTER.uniform(0.8, 1.2)


class _Stopped(Exception):
    """The transfer is to stop: somebody cancelled it, or another worker has it."""


class Mover:
    """Moves files between storages in the background, or while somebody waits; safe for threads and processes.

    Args:
        datasets: What is moved.
        storages: Where to.
        queue: What is to be done.
        patience: With failures.
    """

    def __init__(self, datasets: Datasets, storages: Storages, queue: Queue, patience: Patience | None = None) -> None:
        self.queue = queue
        self._datasets, self._storages = datasets, storages
        self._patience = patience or Patience()
        self._process = f"{socket.gethostname()[:20]}/{os.getpid()}/{new_id('mover')[-6:]}"
        self._busy: dict[str, int] = {}
        self._away: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def request(
        self, names: Iterable[str], storage: str, *, only: bool = False, priority: int = 0, cause: str = "person"
    ) -> list[Transfer]:
        """Return the transfers, queued, that bring files (all, of groups) to a storage.

        Args:
            names: Of files or groups.
            storage: Where to.
            only: Whether other replicas go once the new one is there.
            priority: Higher ones first.
            cause: Who asks.

        Raises:
            NotFound: There is no such dataset or storage.
            Denied: Nothing can be written there.
        """
        if not self._storages.get(storage).writable:
            raise Denied(f"Storage '{storage}' is only read.", hint="gemel data storages", storage=storage)
        files: dict[str, Record] = {str(item.name): item for name in names for item in self._datasets.files(name)}
        wanted = [(item.name, item.size) for item in files.values()]
        return self.queue.add(wanted, storage, only=only, priority=priority, cause=cause)

    def work(
        self, ids: Sequence[str], *, progress: Callable[[Sequence[Transfer]], None] | None = None, workers: int = 2
    ) -> list[Transfer]:
        """Return transfers after each has ended; whatever other workers do not take is done here.

        Args:
            ids: Of the transfers.
            progress: Told of all of them, about once a second.
            workers: Threads.
        """
        done = threading.Event()
        threads = [threading.Thread(target=self._until, args=(done, ids), daemon=True) for _ in range(workers)]
        for thread in threads:
            thread.start()
        try:
            while True:
                found = [self.queue.get(id) for id in ids]
                if progress is not None:
                    progress(found)
                if all(item.state not in OPEN for item in found):
                    return found
                self._rest(ids, _BEAT_SECONDS / 4)
        finally:
            done.set()
            for thread in threads:
                thread.join()

    def start(self, workers: int = 2) -> None:
        """Begin to work in the background."""
        self._stop.clear()
        for number in range(workers):
            thread = threading.Thread(
                target=self._until, args=(self._stop, None), name=f"gemel-mover-{number}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop working: what is under way goes back to the queue at once."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_STOP_SECONDS)
        self._threads.clear()

    def _until(self, stop: threading.Event, ids: Sequence[str] | None) -> None:
        while not stop.is_set():
            try:
                taken = self.take(stop, ids)
            except StoreUnavailable:
                taken = False  # the journal is away for a moment
            if not taken:
                self._rest(ids, _LOOK_SECONDS, stop)

    def _rest(self, ids: Sequence[str] | None, most: float, stop: threading.Event | None = None) -> None:
        due = self.queue.next_due(ids)
        least = 0.5 if self._away else 0.05  # what cannot be reached stays due
        seconds = most if due is None else min(max(due - time.time(), least), most)
        (stop or threading.Event()).wait(seconds)

    def take(self, stop: threading.Event | None = None, ids: Sequence[str] | None = None) -> bool:
        """Return whether there was a transfer to be done, and it was taken up."""
        away = self._away = self._storages.unreachable()
        with self._lock:
            full = {name for name, count in self._busy.items() if count >= self._patience.together} | away
            worker = f"{self._process}/{threading.get_native_id()}"
            transfer = self.queue.claim(worker, self._patience.lease, avoid=full, ids=ids)
            if transfer is None:
                return False
            self._busy[transfer.storage] = self._busy.get(transfer.storage, 0) + 1
        try:
            if away and self._only_on(transfer, away):
                # Another process may reach it, or this one later: that is no attempt that failed.
                facts = {"state": QUEUED, "due": time.time() + _AWAY_SECONDS, "lease_until": None}
                self.queue.note(transfer, **facts, attempts=transfer.attempts - 1)
            else:
                self._carry(transfer, stop or threading.Event())
        finally:
            with self._lock:
                self._busy[transfer.storage] -= 1
        return True

    def _only_on(self, transfer: Transfer, away: set[str]) -> bool:
        try:
            replicas = self._datasets.get(str(transfer.name)).replicas
        except GemelError:
            return False
        return bool(replicas) and all(item.storage in away for item in replicas)

    def _carry(self, transfer: Transfer, stop: threading.Event) -> None:
        if transfer.cancel:
            self.queue.end(transfer, CANCELLED)
            return
        if transfer.replica is not None:
            self._datasets.abandon(transfer.replica)
        watch = _Watch(self.queue, transfer, self._patience.lease, stop)
        try:
            with watch:
                done = self._datasets.replicate(
                    str(transfer.name), transfer.storage, watch.progress, only=transfer.only, noted=watch.noted
                )
        except _Stopped:
            if stop.is_set():
                self.queue.again(transfer, 0.0, "")
            else:
                self.queue.end(transfer, CANCELLED)
        except GemelError as error:
            self._failed(transfer, error)
        else:
            facts = {"source": done.source, "way": done.way, "reason": done.reason, "error": None}
            self.queue.end(transfer, DONE, size=done.record.size, moved=done.record.size or 0, **facts)

    def _failed(self, transfer: Transfer, error: GemelError) -> None:
        told = json.dumps(error.document(), default=str)
        # A token may be renewed in the meantime, a full storage be emptied; a wrong name stays wrong.
        if isinstance(error, (StoreUnavailable, Unauthenticated)) and transfer.attempts < self._patience.attempts:
            self.queue.again(transfer, self._patience.pause(transfer.attempts), told)
        else:
            self.queue.end(transfer, FAILED, error=told)


class _Watch:
    """Tells the queue that a transfer is alive and how far it is, and stops it when it is to stop."""

    def __init__(self, queue: Queue, transfer: Transfer, lease: float, stop: threading.Event) -> None:
        self._queue, self._transfer, self._lease, self._stop = queue, transfer, lease, stop
        self._moved, self._held, self._over = 0, True, threading.Event()
        self._heart = threading.Thread(target=self._beat, name="gemel-mover-heart", daemon=True)

    def __enter__(self) -> None:
        self._heart.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._heart.join()

    def noted(self, replica: Replica) -> None:
        if not self._queue.note(self._transfer, replica=replica.id):
            raise _Stopped

    def progress(self, moved: int) -> None:
        self._moved = moved
        if self._stop.is_set() or not self._held:
            raise _Stopped

    def _beat(self) -> None:
        # In a thread of its own: a server that is silent for long does not make the worker look dead.
        while not self._over.wait(min(_BEAT_SECONDS, self._lease / 3)):
            with contextlib.suppress(StoreUnavailable):
                self._held = self._held and self._queue.beat(self._transfer, self._lease, self._moved)
