"""Looking at watched folders: what arrived whole gets a name, once, whatever is killed in between."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote_plus

from gemel.base.errors import Conflict, GemelError, InvalidInput
from gemel.base.ids import digest_bytes
from gemel.infra.lake.datasets import Datasets, Facts, Record
from gemel.infra.lake.storages import Entry, S3Storage, Storage, Storages
from gemel.infra.lake.watching._watches import REFUSED, SEEN, TAKEN, Sighting, Watch, Watches

_QUIET_SECONDS = 5.0  # a file that did not change for so long is whole, where writing is not all or nothing
_VERSIONS = 1000  # of one name


class Watcher:
    """Registers what arrives in watched folders and buckets.

    Args:
        watches: What is followed.
        datasets: Where files are registered.
        storages: Where they arrive.
        quiet: Seconds for which a file must not have changed.
    """

    def __init__(self, watches: Watches, datasets: Datasets, storages: Storages, quiet: float = _QUIET_SECONDS) -> None:
        self.watches = watches
        self._datasets, self._storages, self._quiet = datasets, storages, quiet

    def scan(self) -> list[Record]:
        """Return the records of what arrived since the last look, over all watches; one out of reach says so."""
        found: list[Record] = []
        for watch in self.watches.list():
            try:
                found += self._scanned(watch)
                problem = None
            except GemelError as error:
                problem = error.message
            self.watches.scanned(watch, problem)
        return found

    def look(self) -> None:
        """Register what arrived since the last look."""
        self.scan()

    def notified(self, document: Mapping[str, Any]) -> list[Record]:
        """Return the records of what a notification in the form of S3's `Records` tells of, in watched buckets.

        Raises:
            InvalidInput: It has not that form.
        """
        found: list[Record] = []
        for bucket, key in _objects(document):
            for watch in self.watches.list():
                storage = self._storages.get(watch.storage)
                path = storage.path_of(bucket, key) if isinstance(storage, S3Storage) else None
                if path is None or not _counts(watch, path):
                    continue
                record = self._taken(watch, storage, storage.stat(path))
                found += [] if record is None else [record]
        return found

    def _scanned(self, watch: Watch) -> list[Record]:
        storage, seen = self._storages.get(watch.storage), self.watches.sightings(watch)
        found: list[Record] = []
        for entry in storage.list(watch.prefix):
            if not _counts(watch, entry.path):
                continue
            known = seen.get((entry.path, _version(entry)))
            if known is None and not self._whole(storage, entry):
                # Seen now, taken when it looks the same after a while.
                self.watches.note(watch, Sighting(entry.path, _version(entry), SEEN, time.time(), None))
            elif known is None or (known.state == SEEN and time.time() - known.seen >= self._quiet):
                record = self._taken(watch, storage, entry)
                found += [] if record is None else [record]
        return found

    def _whole(self, storage: Storage, entry: Entry) -> bool:
        """Return whether a file is whole for sure: objects appear at once, and others have not changed for long."""
        if isinstance(storage, S3Storage):
            return True
        return entry.modified is not None and time.time() - entry.modified > max(self._quiet, 1.0) * 12

    def _taken(self, watch: Watch, storage: Storage, entry: Entry) -> Record | None:
        seen = self.watches.sightings(watch).get((entry.path, _version(entry)))
        if seen is not None and seen.state in (TAKEN, REFUSED):
            return None
        sighting = Sighting(entry.path, _version(entry), TAKEN, time.time(), None)
        try:
            record = self._registered(watch, storage, entry)
        except InvalidInput as error:
            # A name that cannot be one will not become one by waiting.
            self.watches.note(watch, replace(sighting, state=REFUSED, name=error.message[:200]))
            return None
        self.watches.note(watch, replace(sighting, name=record.name.name))
        return record

    def _registered(self, watch: Watch, storage: Storage, entry: Entry) -> Record:
        """Return the record of a file, made now, or made before something was killed."""
        below = entry.path.removeprefix(f"{watch.prefix}/" if watch.prefix else "")
        facts = Facts({"watch": watch.id, "path": entry.path, "version": _version(entry)}, watch.licence)
        base = f"{watch.scope}:{below.replace('/', '.')}"
        for number in range(1, _VERSIONS):
            name = base if number == 1 else f"{base}@{number}"
            try:
                record = self._datasets.register(name, storage.name, entry.path, facts=facts)
                break
            except Conflict:
                record = self._datasets.get(name)
                if record.metadata.get("path") == entry.path and record.metadata.get("version") == _version(entry):
                    break
        else:
            raise InvalidInput(f"'{base}' has {_VERSIONS} versions already.", hint="Give the watch another scope.")
        if watch.into:
            self._datasets.group(watch.into, [str(record.name)])
        return record


def _counts(watch: Watch, path: str) -> bool:
    inside = not watch.prefix or path.startswith(f"{watch.prefix}/")
    hidden = any(part.startswith(".") for part in path.split("/"))
    return inside and not hidden and fnmatchcase(path.rpartition("/")[2], watch.pattern)


def _version(entry: Entry) -> str:
    # Some servers write an ETag with its quotes in one place and without them in another.
    told = (entry.version or "").strip('"') or f"{entry.size}-{entry.modified}"
    return told if len(told) <= 100 else digest_bytes(told.encode())


def _objects(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (bucket, key) of every object that a notification says was created."""
    try:
        records = document["Records"]
        told = [(str(item["eventName"]), item["s3"]["bucket"]["name"], item["s3"]["object"]["key"]) for item in records]
    except (KeyError, TypeError) as error:
        message = "This is no notification in the form of S3's Records."
        raise InvalidInput(message, hint='{"Records": [{"eventName", "s3": {"bucket", "object"}}]}') from error
    return [
        (str(bucket), unquote_plus(str(key)))
        for event, bucket, key in told
        if event.removeprefix("s3:").startswith("ObjectCreated")
    ]
