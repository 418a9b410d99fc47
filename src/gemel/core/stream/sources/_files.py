"""Files as observations: whatever appears in a folder or a bucket, once, when it is whole."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gemel.base.clock import iso, utc_now
from gemel.base.errors import InvalidInput, NotFound
from gemel.base.sizes import spoken_size
from gemel.core.stream.events import Event
from gemel.core.stream.sources._options import Options
from gemel.core.stream.sources._payload import MAPPING_OPTIONS, OBSERVATION, Payloads, fitting, parsed, within
from gemel.core.stream.sources._polling import BATCH, Polling, Seen
from gemel.core.stream.sources._source import SourceContext
from gemel.infra.lake.storages import Entry, LocalStorage, S3Storage, Storage

_COMMON = ("pattern", "content", "every", "settle", "largest")
_PIECE = 1 << 20
_KEPT = 10_000  # bytes of a file that go into its dead letter
_ROWS = {".csv": "csv", ".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson", ".geojsonl": "ndjson"}


class _Files(Polling):
    """Files below a storage, in the order in which they were last changed."""

    def __init__(self, context: SourceContext, options: Options, storage: Storage, prefix: str = "") -> None:
        super().__init__(context, options.seconds("every", "1 s", 0.01))
        self._storage, self._prefix = storage, prefix
        self._pattern = options.text("pattern", "*")
        self._as_rows = options.one_of("content", ("file", "rows")) == "rows"
        self._settle = options.seconds("settle", "2 s")
        self._largest = options.size("largest", "64 MB")
        self._payloads = Payloads(context, options)
        self._standing: dict[str, tuple[str, float]] = {}
        self._seen = Seen(context)

    def passed(self, after: datetime | None) -> Iterator[Event | Sequence[Event]]:
        """Yield what is in files that are new or changed, and do not change any more."""
        for entry in self._ready():
            if self._context.stop.is_set():
                return
            yield from self._told(entry)
            self._seen.add((self._version(entry), None))
            self._seen.save()

    def _ready(self) -> list[Entry]:
        self._require_there()
        new = {entry.path: entry for entry in self._storage.list(self._prefix) if self._is_wanted(entry)}
        now, before = time.monotonic(), self._standing
        self._standing = {}
        ready = []
        for path, entry in new.items():
            version = self._version(entry)
            known = before.get(path)
            since = known[1] if known and known[0] == version else now
            self._standing[path] = (version, since)
            # A file that was there before us, and has not changed for long, need not be waited for.
            age = time.time() - (entry.modified if entry.modified is not None else time.time())
            if now - since >= self._settle or age > self._settle + 1:
                ready.append(entry)
        return sorted(ready, key=lambda entry: (entry.modified or 0.0, entry.path))

    def _is_wanted(self, entry: Entry) -> bool:
        name = entry.path.rpartition("/")[2]
        fits = fnmatchcase(entry.path if "/" in self._pattern else name, self._pattern)
        return fits and not self._seen.has(self._version(entry))

    def _told(self, entry: Entry) -> Iterator[Event | Sequence[Event]]:
        try:
            if not self._as_rows:
                yield fitting(self._as_file(entry))
                return
            yield from self._rows(entry, self._content(entry))
        except InvalidInput as error:
            self._context.reject(f"{entry.path}: {error.message}", self._beginning(entry))
        except NotFound:
            return  # it went while it was looked at

    def _rows(self, entry: Entry, content: bytes) -> Iterator[Sequence[Event]]:
        kind = _ROWS.get(Path(entry.path).suffix.lower())
        if kind is None:
            raise InvalidInput("it is no CSV, JSON or NDJSON file, going by its name")
        arrived = utc_now() if entry.modified is None else datetime.fromtimestamp(entry.modified, UTC)
        found: list[Event] = []
        for number, (item, line) in enumerate(_items(kind, content)):
            event = self._row(item, line, arrived, f"{entry.path}:{number}")
            found += [event] if event else []
            if len(found) >= BATCH:
                yield found
                found = []
        if found:
            yield found

    def _row(self, item: Any, line: bytes, arrived: datetime, key: str) -> Event | None:
        if isinstance(item, InvalidInput):
            self._context.reject(f"{key}: {item.message}", line)
            return None
        return self._payloads.event(item, line, arrived, key, key.rpartition(":")[0])

    def _content(self, entry: Entry) -> bytes:
        if entry.size > self._largest:
            raise InvalidInput(f"it is larger than {spoken_size(self._largest)}")
        with self._storage.open(entry.path) as file:
            content = file.read(self._largest + 1)
        if len(content) > self._largest:
            raise InvalidInput(f"it is larger than {spoken_size(self._largest)}")
        return content

    def _beginning(self, entry: Entry) -> bytes:
        try:
            with self._storage.open(entry.path) as file:
                return file.read(_KEPT)
        except NotFound:
            return b""

    def _event(self, entry: Entry, version: str, data: dict[str, Any]) -> Event:
        moment = utc_now() if entry.modified is None else datetime.fromtimestamp(entry.modified, UTC)
        facts = {"name": entry.path, "size": entry.size, "modified": iso(moment)} | data
        id = within(f"{self._context.name}@{entry.path}#{version}")
        return Event(id, OBSERVATION, self._context.uri, moment, facts, entry.path[:300])

    def _version(self, entry: Entry) -> str:
        return f"{entry.path}\0{entry.size}\0{entry.version or entry.modified}"

    def _require_there(self) -> None:
        """Raise when the place cannot be looked at."""

    def _as_file(self, entry: Entry) -> Event:
        raise NotImplementedError


class Folder(_Files):
    """A watched folder: files that appear or change there, by comparing what is there with what was seen.

    Options:
        path: Of the folder.
        pattern: Of the files' names, or of their paths below the folder when it has a slash (default ``*``).
        content: ``file`` (default): one event per file with its name, size, SHA-256 digest and time of change;
            ``rows``: what is in CSV, JSON and NDJSON files, one event per row.
        settle: How long a file must stay as it is before it is taken (default 2 s): half-written ones are left alone.
        every: How often the folder is listed (default 1 s).
        largest: Of the files whose rows are read (default 64 MB).
        format, time, fields, id, subject: How rows are read; the file's path is the subject unless told.
    """

    def __init__(self, context: SourceContext) -> None:
        options = Options(context, "folder", ["path", *_COMMON, *MAPPING_OPTIONS], ("path",))
        self._folder = Path(options.text("path")).expanduser().absolute()
        super().__init__(context, options, LocalStorage(context.name, {"folder": str(self._folder)}))

    def _require_there(self) -> None:
        if not self._folder.is_dir():
            raise NotFound(f"There is no folder '{self._folder}'.", hint="It is looked for again.")

    def _as_file(self, entry: Entry) -> Event:
        digest = hashlib.sha256()
        with self._storage.open(entry.path) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        return self._event(entry, digest.hexdigest()[:32], {"digest": f"sha256:{digest.hexdigest()}"})


class Bucket(_Files):
    """A watched bucket of an S3-compatible object store, or the part of it below a prefix.

    Options:
        bucket: Its name.
        endpoint: Address of the store (default: Amazon's).
        region: Default us-east-1.
        prefix: Folder in the bucket.
        key, secret, session: References to the access key, its secret and a token: ``env:NAME`` or ``file:PATH``.
        pattern, content, every, largest: As in a folder; `every` is 10 s by default.
        settle: Default 0 s: objects appear whole.
        format, time, fields, id, subject: How rows are read.
    """

    def __init__(self, context: SourceContext) -> None:
        own = ("bucket", "endpoint", "region", "key", "secret", "session")
        options = Options(context, "bucket", [*own, "prefix", *_COMMON, *MAPPING_OPTIONS], ("bucket",))
        for name in ("key", "secret", "session"):
            options.reference(name)
        storage = S3Storage(context.name, {name: options.text(name) for name in own if name in options})
        self._bucket = options.text("bucket")
        super().__init__(context, options, storage, options.text("prefix").strip("/"))
        self._every = options.seconds("every", "10 s", 0.01)
        self._settle = options.seconds("settle", "0 s")

    def _as_file(self, entry: Entry) -> Event:
        version = (entry.version or f"{entry.size}-{entry.modified}").strip('"')
        about = {"bucket": self._bucket, "url": self._storage.url(entry.path), "etag": version}
        return self._event(entry, f"{self._bucket}/{version}", about)


def _items(kind: str, content: bytes) -> Iterator[tuple[Any, bytes]]:
    """Yield each row with its bytes; a row that cannot be read is an `InvalidInput`."""
    if kind == "ndjson":
        for line in content.splitlines():
            if line.strip():
                yield _tried(line), line
        return
    if kind == "json":
        found = parsed(content)
        for item in found if isinstance(found, list) else [found]:
            yield item, json.dumps(item).encode()
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"it is not UTF-8: byte {error.start} cannot be read") from error
    yield from _table(text)


def _table(text: str) -> Iterator[tuple[Any, bytes]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            line = json.dumps(row, default=str).encode()
            whole = None not in row and None not in row.values()
            cells = {name: _cell(value) for name, value in row.items() if isinstance(value, str)}
            yield (cells if whole else InvalidInput("the row has another number of cells than the header")), line
    except csv.Error as error:
        raise InvalidInput(f"it is no CSV from line {reader.line_num} on: {error}") from error


def _tried(line: bytes) -> Any:
    try:
        return parsed(line)
    except InvalidInput as error:
        return error


def _cell(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text or None
    if not math.isfinite(number):
        return None
    return int(text) if number.is_integer() and abs(number) < 2**53 and text.strip("+- ").isdecimal() else number
