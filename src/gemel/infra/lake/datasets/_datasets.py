"""Datasets of one lake: put, got, found, opened, moved and verified by name, wherever they lie."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Unpack

import sqlalchemy as sql

from gemel.base.errors import Conflict, InvalidInput, NotFound
from gemel.infra.lake._file_cache import FileCache
from gemel.infra.lake.datasets._contents import Contents
from gemel.infra.lake.datasets._events import Changes
from gemel.infra.lake.datasets._facts import Facts, Sure
from gemel.infra.lake.datasets._names import Name
from gemel.infra.lake.datasets._opening import open_replica
from gemel.infra.lake.datasets._query import fits
from gemel.infra.lake.datasets._record import RANKS, Record, Replica
from gemel.infra.lake.datasets._records import Records, taken
from gemel.infra.lake.datasets._replicating import Replicated, Replicating
from gemel.infra.lake.datasets._transfers import STALE_SECONDS, Transfers, arrived
from gemel.infra.lake.datasets._verifying import Finding, verified
from gemel.infra.lake.storages import HOME, Entry, Journal, LocalStorage, Readable, Standings, Storages
from gemel.infra.lake.transport import LENGTHS, Carrier, Digest, Progress, checked_digests, system_errors

_CACHE_BYTES = 10_000_000_000
_BATCH = 1000  # files that are registered in one transaction
_MANY = 30  # names from which on all records are read at once, and not one by one
_USED_SECONDS = 3600.0  # uses of a replica within so long of each other are noted once


class Datasets:
    """The datasets of one engine.

    Args:
        journal: The SQL store.
        tables: Its tables, by name.
        storages: Where replicas lie.
        home: The engine's folder; a cache of what is opened lies there.
        cache_bytes: What the files of the cache may take together.

    Attributes:
        changes: What happened to them, in order.
        contents: Their bytes.
    """

    def __init__(
        self,
        journal: Journal,
        tables: Mapping[str, sql.Table],
        storages: Storages,
        home: Path,
        cache_bytes: int = _CACHE_BYTES,
    ) -> None:
        self._records = Records(journal, tables)
        self._storages = storages
        self._transfers = Transfers(self._records, storages, Carrier(), Standings(journal, tables, storages.list))
        self._replicating = Replicating(self._records, self._transfers, storages)
        self.changes = Changes(journal, tables)
        cache = FileCache(home / "cache" / "datasets", cache_bytes)
        self.contents = Contents(self._records, self._transfers, self._replicating, storages, cache)

    def put(
        self,
        file: Path,
        name: str,
        *,
        storage: str = HOME,
        facts: Facts | None = None,
        digests: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Record:
        """Return the record of a local file after it was stored, its digests computed on the way.

        Args:
            file: Read once.
            name: `scope:name`, not in use.
            storage: Where to.
            facts: Metadata, licence, lifetime.
            digests: Those it must have, by algorithm (`sha256`, `adler32`, `md5`).
            progress: Told how many bytes are done.

        Raises:
            InvalidInput: The name or a digest cannot be one.
            Conflict: The name is in use.
            NotFound: There is no such file or storage.
            ResultCorrupt: The file does not have the digests; nothing is kept.
            StoreFull: There is no space left; nothing is kept.
            StoreUnavailable: The storage cannot be reached; nothing is kept.
        """
        if not file.is_file():
            raise NotFound(f"There is no file '{file}'.", path=str(file))
        with system_errors(str(file)), file.open("rb") as source:
            size = file.stat().st_size
            sure: Sure = {"storage": storage, "digests": digests, "size": size, "progress": progress}
            return self.receive(source, name, facts=facts, **sure)

    def receive(self, source: Readable, name: str, *, facts: Facts | None = None, **sure: Unpack[Sure]) -> Record:
        """Return the record of a file after a stream was stored, as `put` does with one that lies on this machine.

        Args:
            source: Read to its end.
            name: `scope:name`, not in use.
            facts: Metadata, licence, lifetime.
            **sure: `storage`, where to; `digests` that it must have; `size` in bytes, where it is known; `progress`.

        Raises:
            GemelError: As `put`; whatever `source` raises ends it, and nothing is kept.
        """
        storage, size, progress = sure.get("storage") or HOME, sure.get("size"), sure.get("progress")
        called, given = Name.parse(name), checked_digests(sure.get("digests") or {})
        self._storages.get(storage)
        if self._records.exists(called):
            raise taken(called)
        with self._transfers.arriving(called, storage, size) as replica:
            seen = self._transfers.take_in(source, replica, given, size, progress)
            told = {key: Digest(value, "given", time.time()) for key, value in given.items()}
            kept = (facts or Facts()).kept()
            record = Record(called, "file", "verified", seen.size, digests=told | dict(seen.digests), **kept)
            self._records.create(record, replica)
        return self._records.get(called)

    def register(self, name: str, storage: str, path: str, *, facts: Facts | None = None) -> Record:
        """Return the record of a file that lies on a storage already: `unverified` until its bytes were read.

        Digests are those that the storage tells by itself, if it does.

        Raises:
            NotFound: There is no such file or storage.
            Conflict: The name is in use.
        """
        called, place = Name.parse(name), self._storages.get(storage)
        if self._records.exists(called):
            raise taken(called)
        size = place.size(path)
        told = {item: place.digest(path, item) for item in LENGTHS}
        digests = {item: Digest(value, "source") for item, value in told.items() if value is not None}
        kept = (facts or Facts()).kept()
        self._records.enter([(Record(called, "file", "unverified", size, digests=digests, **kept), storage, path)])
        return self._records.get(called)

    def register_all(
        self, scope: str, storage: str, folder: str, *, facts: Facts | None = None, progress: Progress | None = None
    ) -> list[Name]:
        """Return the names of all files below a folder of a storage that were registered just now.

        A file is called like its path below the folder, with dots for slashes; names in use are left as they are.

        Args:
            scope: Of the names.
            storage: Where the files lie.
            folder: On the storage; empty for all.
            facts: Of each.
            progress: Told how many files are done.

        Raises:
            InvalidInput: A path makes no name.
        """
        known = self._records.names(Name.parse(f"{scope}:x").scope)
        kept, done = (facts or Facts()).kept(), []
        for batch in _batches(self._storages.get(storage).list(folder)):
            fresh = []
            for entry in batch:
                below = entry.path.removeprefix(f"{folder.rstrip('/')}/" if folder else "")
                called = Name.parse(f"{scope}:{below.replace('/', '.')}")
                if called not in known:
                    known.add(called)
                    fresh.append((Record(called, "file", "unverified", entry.size, **kept), storage, entry.path))
            self._records.enter(fresh)
            done += [record.name for record, _, _ in fresh]
            if progress is not None:
                progress(len(done))
        return done

    def group(self, name: str, members: Sequence[str], *, kind: str = "dataset", facts: Facts | None = None) -> Record:
        """Return the record of a dataset (of files) or a container (of datasets and containers), made when it is new.

        Raises:
            InvalidInput: A member does not belong into such a group, or the group into itself.
            NotFound: There is no such member.
        """
        called, inner = Name.parse(name), [self._records.get(Name.parse(member)) for member in members]
        if kind not in ("dataset", "container"):
            raise InvalidInput(f"A group is a dataset or a container, not a '{kind}'.")
        if self._records.exists(called):
            kind = self._records.get(called).kind
        for member in inner:
            fits = RANKS[member.kind] in ((0,) if kind == "dataset" else (1, 2)) and kind != "file"
            if not fits or called in {member.name, *self._below(member)}:
                raise InvalidInput(f"'{member.name}' ({member.kind}) cannot be in '{called}' ({kind}).")
        if not self._records.exists(called):
            self._records.create(Record(called, kind, "unverified", **(facts or Facts()).kept()))
        self._records.attach(called, [member.name for member in inner])
        return self._records.get(called)

    def get(self, name: str) -> Record:
        """Return the record called `name`.

        Raises:
            NotFound: There is none.
        """
        return self._records.get(Name.parse(name))

    def several(self, names: Iterable[Name]) -> list[Record]:
        """Return the records of those names that there are."""
        wanted = set(names)
        if len(wanted) > _MANY:
            return [record for record in self._records.all() if record.name in wanted]
        return [record for name in sorted(wanted) for record in self._records.all(name)]

    def files(self, name: str) -> list[Record]:
        """Return the files of a name: itself, or all below it, each once.

        Raises:
            NotFound: There is nothing of that name.
        """
        record = self.get(name)
        below = self._below(record)
        if len(below) > _MANY:
            known = {item.name: item for item in self._records.all()}
            found = [record, *(known[item] for item in below if item in known)]
        else:
            found = [record, *(self._records.get(item) for item in below)]
        return [item for item in found if item.kind == "file"]

    def file(self, name: str) -> Record:
        """Return the one file that a name stands for.

        Raises:
            NotFound: There is nothing of that name.
            InvalidInput: It stands for several files, or for none.
        """
        files = self.files(name)
        if len(files) != 1:
            hint = f"Name one of them: {', '.join(str(item.name) for item in files[:5])}" if files else None
            raise InvalidInput(f"'{name}' holds {len(files)} files, and one is needed.", hint=hint)
        return files[0]

    def find(self, query: Iterable[str] = ()) -> list[Record]:
        """Return the records that all words of a query fit, in the order of names.

        A word is a part of a name, a pattern of one (`fulda:*.nc`), or `key=value`: of the metadata, or one of
        `kind`, `state`, `licence`, `storage`.
        """
        words = [word for text in query for word in text.split()]
        return [record for record in self._records.all() if all(fits(record, word) for word in words)]

    def fetch(self, name: str, target: Path, *, replace: bool = False, progress: Progress | None = None) -> Record:
        """Return the record of a file after a verified copy of it lies at `target`.

        The bytes are compared while they stream; from a wrong replica nothing is left, and the next one is tried.

        Raises:
            NotFound: There is no such file.
            Conflict: There is something at `target`, and `replace` is not set.
            ResultCorrupt: No replica is right.
        """
        record = self.file(name)
        if target.is_dir() or (target.exists() and not replace):
            raise Conflict(f"There is '{target}' already.", hint="Add --replace, or name another file.")
        if not target.parent.is_dir():
            raise NotFound(f"There is no folder '{target.parent}'.")
        place = LocalStorage("the target folder", {"folder": str(target.parent)})

        def take(replica: Replica) -> Record:
            with self._transfers.hashed(record, replica, progress) as stream:
                place.write(target.name, stream)
                self._records.settle(record.name, arrived(stream, record))
            self._records.found_used(replica, time.time() - _USED_SECONDS)
            return self._records.get(record.name)

        return self._replicating.from_any(record, take)

    def open(self, name: str, options: Mapping[str, Any] | None = None) -> Any:
        """Return what a file holds, as its format reads it: a cube read when asked for, a table, plain JSON.

        Only ranges are read where format and storage allow (NetCDF-4 anywhere, GeoTIFF where no token is needed,
        Parquet by columns); other files are fetched whole, verified, and kept in a cache.

        Raises:
            NotFound: There is no such file.
            InvalidInput: Its format is not known, or it cannot be read.
        """
        record = self.file(name)

        def take(replica: Replica) -> Any:
            found = open_replica(
                self._storages.get(replica.storage), record, replica, options or {}, self.contents.kept
            )
            self._records.found_used(replica, time.time() - _USED_SECONDS)
            return found

        return self._replicating.from_any(record, take)

    def copy(self, name: str, storage: str, progress: Progress | None = None) -> list[Record]:
        """Return the records of files (all, of a group) once each has a verified replica on a storage."""
        self._storages.get(storage)
        return [self.replicate(str(record.name), storage, progress).record for record in self.files(name)]

    def move(self, name: str, storage: str, progress: Progress | None = None) -> list[Record]:
        """Return the records of files (all, of a group) once each lies, verified, on that storage and nowhere else.

        An old replica is dropped only after the new one was compared; whatever is killed in between, a whole one is
        there, and doing it again ends the same.
        """
        self._storages.get(storage)
        return [self.replicate(str(record.name), storage, progress, only=True).record for record in self.files(name)]

    def replicate(
        self,
        name: str,
        storage: str,
        progress: Progress | None = None,
        *,
        only: bool = False,
        noted: Callable[[Replica], None] | None = None,
    ) -> Replicated:
        """Return one file after it has a verified replica on a storage, with the way it came.

        Args:
            name: Of the file.
            storage: Where to.
            progress: Told how many bytes are done.
            only: Whether its other replicas go.
            noted: Told of the replica before its first byte is written.

        Raises:
            NotFound: There is no such file or storage.
            ResultCorrupt: No replica is right.
        """
        self._storages.get(storage)
        done = self._replicating.to(self.file(name), storage, progress, noted)
        return replace(done, record=self._replicating.only(done)) if only else done

    def expired(self, now: float) -> list[str]:
        """Return the names of what was wanted only until before an instant (seconds since 1970-01-01 UTC)."""
        return [str(name) for name in self._records.expired(now)]

    def drop(self, name: Name, replica: Replica) -> bool:
        """Return whether a replica of a file was dropped; the last whole one stays, whoever else drops others now."""
        spared = self._records.spare(name, replica)
        self._transfers.sweep()
        return spared

    def abandon(self, replica: str) -> None:
        """Remove what was written of a replica that never arrived; nothing happens to one that did."""
        self._transfers.abandon(replica)

    def verify(
        self, names: Iterable[str] = (), *, repair: bool = True, progress: Progress | None = None
    ) -> list[Finding]:
        """Return one finding per replica of the files named (default: all) after each was read whole."""
        self.sweep()
        chosen = list(names)
        records = {item.name: item for name in chosen for item in self.files(name)}
        if not chosen:
            records = {item.name: item for item in self._records.all() if item.kind == "file"}
        found = [verified(self._records, self._transfers, item, repair, progress) for item in records.values()]
        return [finding for findings in found for finding in findings]

    def remove(self, name: str) -> None:
        """Forget a name; the replicas of a file are deleted, the members of a group stay.

        Raises:
            NotFound: There is nothing of that name.
        """
        record = self.get(name)
        self._records.remove(record.name)
        self._transfers.sweep()

    def sweep(self, stale: float = STALE_SECONDS) -> None:
        """Remove what killed processes left half-written and what could not be deleted before; others' work stays.

        Args:
            stale: Seconds after which a replica that nobody writes to counts as left behind.
        """
        self._transfers.sweep(stale)

    def _below(self, record: Record) -> list[Name]:
        found: dict[Name, None] = {}
        waiting = list(record.members)
        members = self._records.members() if len(waiting) > _MANY else None
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = None
                waiting.extend(self._records.get(name).members if members is None else members.get(name, ()))
        return sorted(found)


def _batches(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    while batch := list(islice(entries, _BATCH)):
        yield batch
