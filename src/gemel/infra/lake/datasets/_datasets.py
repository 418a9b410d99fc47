"""Datasets of one lake: put, got, found, opened, moved and verified by name, wherever they lie."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from gemel.base.errors import Conflict, GemelError, InvalidInput, NotFound, ResultCorrupt
from gemel.infra.lake.datasets._hashing import LENGTHS, Progress, checked_digests
from gemel.infra.lake.datasets._names import Name
from gemel.infra.lake.datasets._opening import open_replica
from gemel.infra.lake.datasets._records import HERE, RANKS, Digest, Record, Records, Replica, taken
from gemel.infra.lake.datasets._transfers import STALE_SECONDS, Transfers, system_errors
from gemel.infra.lake.datasets._verifying import Finding, verified
from gemel.infra.lake.storages import HOME, Journal, LocalStorage, Storages


@dataclass(frozen=True)
class Facts:
    """What people say of a dataset.

    Attributes:
        metadata: JSON members.
        licence: As SPDX names it.
        lifetime: After it the dataset may go; None for ever.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    licence: str | None = None
    lifetime: timedelta | None = None

    def kept(self) -> dict[str, Any]:
        """Return them as members of a `Record`."""
        expires = None if self.lifetime is None else time.time() + self.lifetime.total_seconds()
        return {"metadata": self.metadata, "licence": self.licence, "expires": expires}


class Datasets:
    """The datasets of one engine.

    Args:
        journal: The SQL store.
        tables: Its tables, by name.
        storages: Where replicas lie.
        home: The engine's folder; a cache of what is opened lies there.
    """

    def __init__(self, journal: Journal, tables: Mapping[str, sql.Table], storages: Storages, home: Path) -> None:
        self._records = Records(journal, tables)
        self._storages = storages
        self._transfers = Transfers(self._records, storages)
        self._cache = home / "cache" / "datasets"

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
        called, given = Name.parse(name), checked_digests(digests or {})
        self._storages.get(storage)
        if self._records.exists(called):
            raise taken(called)
        if not file.is_file():
            raise NotFound(f"There is no file '{file}'.", path=str(file))
        with self._transfers.arriving(called, storage) as replica, system_errors(str(file)), file.open("rb") as source:
            seen = self._transfers.write(source, replica, given, file.stat().st_size, progress)
            found = {key: Digest(value, "given" if key in given else "stream") for key, value in seen.digests.items()}
            kept = (facts or Facts()).kept()
            record = Record(called, "file", "verified", seen.size, digests=found, **kept)
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
        digests = {item: Digest(value, "storage") for item, value in told.items() if value is not None}
        replica = self._records.arriving(called, storage, path)
        try:
            kept = (facts or Facts()).kept()
            self._records.create(Record(called, "file", "unverified", size, digests=digests, **kept), replica)
        except BaseException:
            self._records.forget(replica)
            raise
        return self._records.get(called)

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

    def files(self, name: str) -> list[Record]:
        """Return the files of a name: itself, or all below it, each once.

        Raises:
            NotFound: There is nothing of that name.
        """
        record = self.get(name)
        found = [record, *(self._records.get(item) for item in self._below(record))]
        return [item for item in found if item.kind == "file"]

    def find(self, query: Iterable[str] = ()) -> list[Record]:
        """Return the records that all words of a query fit, in the order of names.

        A word is a part of a name, a pattern of one (`fulda:*.nc`), or `key=value`: of the metadata, or one of
        `kind`, `state`, `licence`, `storage`.
        """
        words = [word for text in query for word in text.split()]
        return [record for record in self._records.all() if all(_fits(record, word) for word in words)]

    def fetch(self, name: str, target: Path, *, replace: bool = False, progress: Progress | None = None) -> Record:
        """Return the record of a file after a verified copy of it lies at `target`.

        The bytes are compared while they stream; from a wrong replica nothing is left, and the next one is tried.

        Raises:
            NotFound: There is no such file.
            Conflict: There is something at `target`, and `replace` is not set.
            ResultCorrupt: No replica is right.
        """
        record = self._file(name)
        if target.is_dir() or (target.exists() and not replace):
            raise Conflict(f"There is '{target}' already.", hint="Add --replace, or name another file.")
        if not target.parent.is_dir():
            raise NotFound(f"There is no folder '{target.parent}'.")
        place = LocalStorage("the target folder", {"folder": str(target.parent)})

        def take(replica: Replica) -> Record:
            with self._transfers.hashed(record, replica, progress) as stream:
                place.write(target.name, stream)
                self._records.settle(record.name, stream.seen())
            return self._records.get(record.name)

        done: Record = self._from_any(record, take)
        return done

    def open(self, name: str, options: Mapping[str, Any] | None = None) -> Any:
        """Return what a file holds, as its format reads it: a cube read when asked for, a table, plain JSON.

        Only ranges are read where format and storage allow (NetCDF-4 anywhere, GeoTIFF where no token is needed,
        Parquet by columns); other files are fetched whole, verified, and kept in a cache.

        Raises:
            NotFound: There is no such file.
            InvalidInput: Its format is not known, or it cannot be read.
        """
        record = self._file(name)
        return self._from_any(
            record, lambda replica: open_replica(self._storages.get(replica.storage), record, replica, options or {}, self._kept)
        )  # fmt: skip

    def copy(self, name: str, storage: str, progress: Progress | None = None) -> list[Record]:
        """Return the records of files (all, of a group) once each has a verified replica on a storage."""
        self._storages.get(storage)
        return [self._copied(record, storage, progress)[0] for record in self.files(name)]

    def move(self, name: str, storage: str, progress: Progress | None = None) -> list[Record]:
        """Return the records of files (all, of a group) once each lies, verified, on that storage and nowhere else.

        An old replica is dropped only after the new one was compared; whatever is killed in between, a whole one is
        there, and doing it again ends the same.
        """
        self._storages.get(storage)
        moved = []
        for record in self.files(name):
            record, kept = self._copied(record, storage, progress)
            others = [item for item in record.replicas if item.id != kept.id]
            self._records.mark(others, "leaving")
            self._transfers.sweep()
            moved.append(self._records.get(record.name))
        return moved

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

    def _copied(self, record: Record, storage: str, progress: Progress | None) -> tuple[Record, Replica]:
        present = next((item for item in record.replicas if item.storage == storage and item.state == HERE), None)
        if present is not None:
            self._records.settle(record.name, self._transfers.read(record, present, progress))
            return self._records.get(record.name), present

        def take(source: Replica) -> Replica:
            with self._transfers.arriving(record.name, storage) as fresh:
                seen = self._transfers.copy(record, source, fresh, progress)
                self._records.settle(record.name, seen, [fresh])
            return fresh

        fresh = self._from_any(record, take)
        return self._records.get(record.name), fresh

    def _from_any(self, record: Record, take: Any) -> Any:
        """Return what `take` makes of the first replica that it can use, those on this machine first."""
        near = {item.name for item in self._storages.list() if item.kind == "local"}
        order = sorted(record.replicas, key=lambda item: (item.state != HERE, item.storage not in near, item.storage))
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

    def _kept(self, record: Record, replica: Replica) -> Path:
        """Return the verified local copy of a file in the cache."""
        key = record.digests["sha256"].value if "sha256" in record.digests else replica.id
        path = self._cache / key[:2] / key / replica.path.rpartition("/")[2]
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            place = LocalStorage("the cache", {"folder": str(path.parent)})
            with self._transfers.hashed(record, replica) as stream:
                place.write(path.name, stream)
        return path

    def _file(self, name: str) -> Record:
        files = self.files(name)
        if len(files) != 1:
            hint = f"Name one of them: {', '.join(str(item.name) for item in files[:5])}" if files else None
            raise InvalidInput(f"'{name}' holds {len(files)} files, and one is needed.", hint=hint)
        return files[0]

    def _below(self, record: Record) -> list[Name]:
        found: dict[Name, None] = {}
        waiting = list(record.members)
        while waiting:
            name = waiting.pop(0)
            if name not in found:
                found[name] = None
                waiting.extend(self._records.get(name).members)
        return list(found)


def _fits(record: Record, word: str) -> bool:
    name = str(record.name)
    key, equals, value = word.partition("=")
    if not equals:
        return fnmatchcase(name, word) if any(sign in word for sign in "*?[") else word in name
    if key == "storage":
        return any(fnmatchcase(item.storage, value) for item in record.replicas)
    known = {"kind": record.kind, "state": record.state, "licence": record.licence}
    found = known.get(key, record.metadata.get(key))
    return found is not None and fnmatchcase(str(found), value)
