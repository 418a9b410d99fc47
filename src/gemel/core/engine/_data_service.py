"""All that may be asked of the lake from outside, answered in JSON documents.

The command line, the SDK, the native API and whatever comes later ask here and nowhere else, so that what somebody may
do with data is one day asked here, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemel.base.ids import digest_bytes
from gemel.base.sizes import parse_size
from gemel.core.engine._data_describing import described, let_go
from gemel.core.engine._data_keeping import KeepingService, checked_facts, scope_of
from gemel.core.engine._data_moving import Document, MovingService, Told
from gemel.core.engine._engine import Engine
from gemel.infra.lake.catalogue import LARGEST_LIMIT, Search, write_geoparquet
from gemel.infra.lake.datasets import Content, Happened, Name
from gemel.infra.lake.storages import HOME, PIECE, Readable, checked_path

_LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class StoredFile:
    """A file as it is now.

    Attributes:
        document: What is known of it.
        tag: Changes when the content does: the SHA-256 digest where it is known.
    """

    document: Document
    tag: str
    _open: Callable[[tuple[int, int] | None], Content]

    def open(self, span: tuple[int, int] | None = None) -> Content:
        """Return the bytes, open for reading: the whole, compared with its digests, or from one byte to before another.

        Raises:
            ResultCorrupt: All replicas are damaged.
            NotFound, StoreUnavailable: None is there, or can be reached.
        """
        return self._open(span)


class DataService:
    """The lake of an engine, seen through documents.

    Facts of a dataset are given as a mapping `about`: `metadata` (JSON members), `licence` (as SPDX names it), `lifetime`
    (such as '30 d'); for what is put also `digests` (by algorithm) that it must have, and `into`, a dataset to add it to.

    Attributes:
        moving: Transfers.
        keeping: Storages, token profiles, rules, watches.
        largest: Bytes that one file may have which is sent to the engine.
    """

    def __init__(self, engine: Engine) -> None:
        lake = engine.lake
        self._datasets, self._catalogue = lake.datasets, lake.catalogue
        self.moving, self.keeping = MovingService(lake), KeepingService(lake)
        self.largest = parse_size(engine.settings.server.upload)

    # Finding

    def find(self, query: Iterable[str] = (), *, after: str | None = None, limit: int | None = None) -> list[Document]:
        """Return the datasets that all words of a query fit, in the order of names.

        Args:
            query: Parts of names, patterns, or `key=value` (metadata, `kind`, `state`, `licence`, `storage`).
            after: Only those whose names come after it.
            limit: Most of them; default all.
        """
        found = self._datasets.find(query)
        if after is not None:
            last = Name.parse(after)
            found = [item for item in found if item.name > last]
        return [item.document() for item in found[:limit]]

    def get(self, name: str) -> Document:
        """Return what is known of a file, dataset or container.

        Raises:
            NotFound: There is none.
            InvalidInput: The name cannot be one.
        """
        return self._datasets.get(name).document()

    # Bytes

    def put(
        self,
        file: Path,
        name: str,
        about: Mapping[str, Any] | None = None,
        *,
        storage: str = HOME,
        told: Told | None = None,
    ) -> Document:
        """Return a file of this machine after it was stored, hashed as it was read.

        Raises:
            InvalidInput: Something given cannot be used.
            Conflict: The name is in use.
            NotFound: There is no such file or storage.
            ResultCorrupt: It does not have the digests given; nothing is kept.
            StoreFull, StoreUnavailable: The storage is full, or away; nothing is kept.
        """
        facts, into = checked_facts(about or {}), self._group_of(about)
        size = file.stat().st_size if file.is_file() else None
        digests = (about or {}).get("digests")
        progress = _bytes_of(told, size)
        self._datasets.put(file, name, storage=storage, facts=facts, digests=digests, progress=progress)
        return self._put_into(name, into)

    def receive(
        self,
        stream: Readable,
        name: str,
        about: Mapping[str, Any] | None = None,
        *,
        storage: str = HOME,
        size: int | None = None,
    ) -> Document:
        """Return what a stream brought after it was stored; whatever it raises ends it, and nothing is kept.

        Raises:
            GemelError: As `put`.
        """
        facts, into = checked_facts(about or {}), self._group_of(about)
        digests = (about or {}).get("digests")
        self._datasets.receive(stream, name, facts=facts, storage=storage, digests=digests, size=size)
        return self._put_into(name, into)

    def fetch(self, name: str, file: Path, *, replace: bool = False, told: Told | None = None) -> Document:
        """Return a file after a verified copy of it lies on this machine.

        Raises:
            NotFound: There is no such file.
            Conflict: There is something already, and `replace` is not set.
            ResultCorrupt: No replica is right.
        """
        size = self.get(name)["size"]
        return self._datasets.fetch(name, file, replace=replace, progress=_bytes_of(told, size)).document()

    def file(self, name: str) -> StoredFile:
        """Return the one file that a name stands for, ready to be read out.

        Raises:
            NotFound: There is none.
            InvalidInput: It stands for several files, or none.
        """
        record = self._datasets.file(name)
        known = {key: item.value for key, item in record.digests.items()}
        tag = known.get("sha256") or digest_bytes(f"{record.name} {record.created} {record.size} {known}".encode())
        return StoredFile(record.document(), tag, lambda span: self._datasets.contents.open(record, span))

    def open(self, name: str, options: Mapping[str, Any] | None = None) -> Any:
        """Return what a file holds, as its format reads it.

        Raises:
            NotFound: There is no such file.
            InvalidInput: Its format is not known, or it cannot be read.
        """
        return self._datasets.open(name, options)

    def describe(self, name: str, options: Mapping[str, Any] | None = None, rows: int = 0) -> Document:
        """Return what a file holds: dimensions, variables, columns, and a preview of so many rows or cells.

        Raises:
            NotFound: There is no such file.
            InvalidInput: Its format is not known, or it cannot be read.
        """
        with let_go(self._datasets.open(name, options)) as value:
            return {"name": self.get(name)["name"], **described(value, rows)}

    # Names

    def register(self, name: str, storage: str, path: str, about: Mapping[str, Any] | None = None) -> Document:
        """Return a file that lies on a storage already, named now; it is `unverified` until it is read.

        Raises:
            NotFound: There is no such file or storage.
            Conflict: The name is in use.
            InvalidInput: The name or the path cannot be one.
        """
        into = self._group_of(about)
        self._datasets.register(name, storage, checked_path(path), facts=checked_facts(about or {}))
        return self._put_into(name, into)

    def register_folder(
        self,
        scope: str,
        storage: str,
        folder: str,
        about: Mapping[str, Any] | None = None,
        *,
        told: Told | None = None,
    ) -> list[str]:
        """Return the names of all files below a folder of a storage that were named just now: like their paths.

        Args:
            scope: Of the names.
            storage: Where they lie.
            folder: There; empty for all.
            about: Facts of each.
            told: Told how many files are done.

        Raises:
            NotFound: There is no such storage.
            InvalidInput: The scope, the folder or a file's path makes no name.
        """
        below, into = folder.strip("/"), self._group_of(about)
        place = checked_path(below) if below else ""

        def progress(files: int) -> None:
            if told is not None:
                told({"files": files})

        facts = checked_facts(about or {})
        found = self._datasets.register_all(scope_of(scope), storage, place, facts=facts, progress=progress)
        names = [str(name) for name in found]
        if into is not None and names:
            self._datasets.group(into, names)
        return names

    def group(
        self, name: str, members: Sequence[str], kind: str = "dataset", about: Mapping[str, Any] | None = None
    ) -> Document:
        """Return a dataset (of files) or a container (of datasets and containers) with these members, made when new.

        Raises:
            NotFound: There is no such member.
            InvalidInput: A member does not belong into such a group, or the group into itself.
        """
        return self._datasets.group(name, members, kind=kind, facts=checked_facts(about or {})).document()

    def remove(self, name: str) -> None:
        """Forget a name; replicas of a file are deleted but for registered ones, members of a group stay.

        Raises:
            NotFound: There is none.
        """
        self._datasets.remove(name)

    # Truth

    def verify(self, names: Sequence[str] = (), *, repair: bool = True, told: Told | None = None) -> Document:
        """Return whether all replicas (of the files named, default all) are right, and what reading each showed.

        Raises:
            NotFound: There is no such dataset.
        """
        chosen = [item for name in names for item in self._datasets.files(name)]
        chosen = chosen if names else self._datasets.find(["kind=file"])
        files = list(dict.fromkeys(str(item.name) for item in chosen))
        found, read = [], 0
        for number, name in enumerate(files):
            seen = _Sum(told, {"files": number, "of": len(files)}, read)
            found += self._datasets.verify([name], repair=repair, progress=seen)
            read = seen.total
        passed = all(finding.passed for finding in found)
        return {"passed": passed, "replicas": [finding.document() for finding in found]}

    def changes(
        self, after: int = 0, *, name: str | None = None, limit: int = 1000, wait: float = 0.0
    ) -> list[Document]:
        """Return what happened after a number, oldest first; each also in the form of S3's `Records`.

        Args:
            after: The number of the last change that is known.
            name: Only to this dataset.
            limit: Most of them.
            wait: Seconds to wait for the first.

        Raises:
            InvalidInput: The name cannot be one.
        """
        until = time.monotonic() + wait
        while True:
            found = self._datasets.changes.after(after, limit, name)
            left = until - time.monotonic()
            if found or left <= 0:
                return [_told_of(item) for item in found]
            threading.Event().wait(min(_LOOK_SECONDS, left))

    def last_change(self) -> int:
        """Return the number of the latest change, 0 when nothing has happened yet."""
        return self._datasets.changes.last()

    def export(self, collection: str, file: Path) -> int:
        """Return how many Items of a Collection were written to a stac-geoparquet file.

        Raises:
            NotFound: There is no such Collection.
            InvalidInput: It has no Items.
            PluginBroken: The extra `data` is not installed.
        """
        head = self._catalogue.collection(collection)
        return write_geoparquet(self._items(collection), file, [head])

    def _items(self, collection: str) -> Iterable[Document]:
        token: str | None = None
        while True:
            page = self._catalogue.search(Search(collections=(collection,), limit=LARGEST_LIMIT, token=token))
            yield from page.items
            token = page.next
            if token is None:
                return

    @staticmethod
    def _group_of(about: Mapping[str, Any] | None) -> str | None:
        into = (about or {}).get("into")
        return None if not into else str(Name.parse(into))

    def _put_into(self, name: str, group: str | None) -> Document:
        if group is not None:
            self._datasets.group(group, [name])
        return self.get(name)


class _Sum:
    """Adds up the bytes of several readings, each of which begins at nothing."""

    def __init__(self, told: Told | None, beside: Mapping[str, Any], before: int) -> None:
        self._told, self._beside, self._before, self._last = told, beside, before, 0

    @property
    def total(self) -> int:
        return self._before + self._last

    def __call__(self, done: int) -> None:
        # What fits into one piece is told once a reading.
        if done < self._last or done == self._last <= PIECE:
            self._before += self._last
        self._last = done
        if self._told is not None:
            self._told({"bytes": self.total, **self._beside})


def _bytes_of(told: Told | None, size: int | None) -> Callable[[int], None] | None:
    return None if told is None else lambda done: told({"bytes": done, "size": size})


def _told_of(item: Happened) -> Document:
    return item.document() | {"number": item.number} | item.records()
