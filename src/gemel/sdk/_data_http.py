"""The lake of an engine behind an address: the same questions as in this process, the same answers and errors."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gemel.base.errors import Conflict, EngineStopped, NotFound, OutOfBounds, ResultCorrupt
from gemel.base.ids import digest_bytes
from gemel.infra.lake._file_cache import FileCache
from gemel.infra.lake.datasets import Name, Record, Replica
from gemel.infra.lake.datasets._opening import open_replica
from gemel.infra.lake.storages import PIECE, HttpStorage, LocalStorage
from gemel.infra.lake.transport import Digest, Hashed
from gemel.sdk._connection import Connection, Document, part, patient
from gemel.sdk._data_http_keeping import HttpKeeping, HttpMoving
from gemel.sdk._data_transport import Documents, Facts, Told

_PAGE = 1000
_ATTEMPTS = 3  # a replica that turns out to be damaged is noted by the engine, which sends another when asked again
_CACHE_BYTES = 10_000_000_000
_MOST_QUERY = 30_000  # bytes of metadata; servers take no longer addresses


class HttpData:
    """Datasets of an engine behind an address.

    Args:
        connection: The line to it.
        cache: Folder for what is read whole to be opened; default a temporary one.

    Attributes:
        moving: Transfers.
        keeping: Storages, token profiles, rules, watches.
    """

    def __init__(self, connection: Connection, cache: Path | None = None) -> None:
        self._connection, self._folder = connection, cache
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._storage: _EngineStorage | None = None
        self.moving, self.keeping = HttpMoving(connection), HttpKeeping(connection)

    def close(self) -> None:
        """Let go of what was opened for reading."""
        if self._storage is not None:
            self._storage.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def find(self, query: Iterable[str] = (), *, after: str | None = None, limit: int | None = None) -> Documents:
        """Return the datasets that all words of a query fit, page by page."""
        words = [*query]
        found: Documents = []
        while limit is None or len(found) < limit:
            most = _PAGE if limit is None else min(_PAGE, limit - len(found))
            page = self._connection.get("/data/datasets", q=words, after=after, limit=most)["datasets"]
            found += page
            if len(page) < most:
                break
            after = page[-1]["name"]
        return found

    def get(self, name: str) -> Document:
        """Return what is known of a dataset."""
        return self._connection.get(_place(name))

    def put(
        self, file: Path, name: str, about: Facts = None, *, storage: str = "home", told: Told | None = None
    ) -> Document:
        """Return a file of this machine after it was sent, hashed on both ends, and stored."""
        place = f"{_place(name)}/content"
        if not file.is_file():
            raise NotFound(f"There is no file '{file}'.", path=str(file))
        query, size = _query(about or {}, storage), file.stat().st_size
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        with file.open("rb") as source, Hashed(source, None, size, _bytes_of(told, size), f"'{file}'") as stream:
            answer = self._connection.send(
                "PUT", place, content=_pieces(stream), headers=headers, params=query, **patient()
            )
            sent = stream.seen().digests["sha256"]
        document = dict(answer.json())
        if document["digests"]["sha256"]["value"] != sent:
            self.remove(document["name"])
            raise ResultCorrupt(f"'{name}' arrived as something else; it was removed.", hint="Send it again.")
        return document

    def fetch(self, name: str, file: Path, *, replace: bool = False, told: Told | None = None) -> Document:
        """Return a file after a verified copy of it lies on this machine."""
        place = f"{_place(name)}/content"
        if file.is_dir() or (file.exists() and not replace):
            self.get(name)
            raise Conflict(f"There is '{file}' already.", hint="Add --replace, or name another file.")
        if not file.parent.is_dir():
            raise NotFound(f"There is no folder '{file.parent}'.")
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._take(place, name, file, told)
                break
            except EngineStopped:
                if attempt == _ATTEMPTS:
                    raise
        return self._one(name)

    def open(self, name: str, options: Mapping[str, Any] | None = None) -> Any:
        """Return what a file holds, read by ranges where its format allows; others are fetched whole, and kept a while."""
        document = self._one(name)
        record = _record(document)
        replica = Replica("engine", record.name, "engine", document["name"], "here")
        return open_replica(self._ranges(), record, replica, options or {}, self._kept)

    def describe(self, name: str, options: Mapping[str, Any] | None = None, rows: int = 0) -> Document:
        """Return what a file holds, in words and a few values."""
        query = {"rows": rows} | ({"options": json.dumps(dict(options))} if options else {})
        return dict(self._connection.send("GET", f"{_place(name)}/description", params=query, **patient()).json())

    def register(self, name: str, storage: str, path: str, about: Facts = None) -> Document:
        """Return a file that lies on a storage already, named now."""
        body = {"name": name, "storage": storage, "path": path, **_given(about)}
        return dict(self._connection.send("POST", "/data/datasets", json=body, **patient()).json())

    def register_folder(
        self, scope: str, storage: str, folder: str, about: Facts = None, *, told: Told | None = None
    ) -> list[str]:
        """Return the names of all files below a folder of a storage that were named just now."""
        body = {"scope": scope, "folder": folder, **_given(about)}
        found = self._connection.worked(f"/data/storages/{part(storage)}/registrations", body, told)
        return list(found["registered"])

    def group(self, name: str, members: Sequence[str], kind: str = "dataset", about: Facts = None) -> Document:
        """Return a dataset or container with these members."""
        facts = {key: value for key, value in _given(about).items() if key != "into"}
        return self._connection.post(f"{_place(name)}/members", {"members": list(members), "kind": kind, **facts})

    def remove(self, name: str) -> None:
        """Forget a name."""
        self._connection.send("DELETE", _place(name))

    def verify(self, names: Sequence[str] = (), *, repair: bool = True, told: Told | None = None) -> Document:
        """Return whether all replicas are right, and what reading each showed."""
        return self._connection.worked("/data/verify", {"names": list(names), "repair": repair}, told)

    def changes(
        self, after: int = 0, *, name: str | None = None, limit: int = 1000, wait: float = 0.0
    ) -> list[Document]:
        """Return what happened after a number; with `wait`, as soon as something has."""
        found = self._connection.get("/data/changes", after=after, name=name, limit=limit, wait=min(wait, 60.0))
        return list(found["changes"])

    def last_change(self) -> int:
        """Return the number of the latest change."""
        return int(self._connection.get("/data/changes", limit=1, after=0)["latest"])

    def export(self, collection: str, file: Path) -> int:
        """Return how many Items of a Collection were written to a stac-geoparquet file."""
        path = f"/data/collections/{part(collection)}/geoparquet"
        with self._connection.stream("GET", path, **patient()) as answer:
            place = LocalStorage("the target folder", {"folder": str(file.absolute().parent)})
            place.write(file.name, Arriving(answer.iter_bytes(PIECE)))
            return int(answer.headers["x-items"])

    def _take(self, place: str, name: str, file: Path, told: Told | None) -> None:
        with self._connection.stream("GET", place, headers={"Accept-Encoding": "identity"}, **patient()) as answer:
            size = int(answer.headers["content-length"])
            digest = self._one(name)["digests"].get("sha256")
            expected = {"sha256": digest["value"]} if digest else {}
            source = Arriving(answer.iter_bytes(PIECE))
            with Hashed(source, expected, size, _bytes_of(told, size), f"'{name}'") as stream:
                LocalStorage("the target folder", {"folder": str(file.absolute().parent)}).write(file.name, stream)

    def _one(self, name: str) -> Document:
        """Return the one file that a name stands for; the engine says so when there are several."""
        document = self.get(name)
        while document["kind"] != "file" and len(document["members"]) == 1:
            document = self.get(document["members"][0])
        if document["kind"] != "file":
            self._connection.send("GET", f"{_place(name)}/content")
        return document

    def _ranges(self) -> _EngineStorage:
        if self._storage is None:
            self._storage = _EngineStorage(self._connection)
        return self._storage

    def _kept(self, record: Record, replica: Replica) -> Path:
        if self._folder is None and self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="gemel-cache-")
        folder = self._folder or Path(self._temporary.name if self._temporary else "")
        known = record.digests.get("sha256")
        key = known.value if known else digest_bytes(f"{self._connection.url} {record}".encode())
        cache = FileCache(folder / "datasets", _CACHE_BYTES)
        return cache.kept(key, record.name.name, lambda path: self.fetch(str(record.name), path))


class Arriving:
    """Pieces that arrive, read like a file.

    >>> stream = Arriving(iter([b"rain", b"", b"fall"]))
    >>> stream.read(3), stream.read(), stream.read(1)
    (b'rai', b'nfall', b'')
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._held = pieces, b""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        if size < 0:
            piece, self._held = self._held + b"".join(self._pieces), b""
            return piece
        while not self._held:
            found = next(self._pieces, None)
            if found is None:
                return b""
            self._held = found
        piece, self._held = self._held[:size], self._held[size:]
        return piece


class _OneToken:
    """The engine's own token, for whatever is asked."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self, operation: str, path: str, seconds: float | None = None) -> str:
        return self._token

    def another(self, operation: str, path: str, refused: str, age: float = 0.0) -> str | None:
        return None


class _EngineStorage(HttpStorage):
    """Datasets of an engine, read by ranges; their paths are their names."""

    def __init__(self, connection: Connection) -> None:
        options = {"url": f"{connection.url}/api/v1/data/datasets", "profile": "engine"}
        super().__init__("engine", options, _OneToken(connection.token))

    def url(self, path: str) -> str:
        """Return the address of a dataset's content."""
        return f"{super().url(path)}/content"


def _place(name: str) -> str:
    # What is no name never leaves: the path of a request would become another one.
    return f"/data/datasets/{part(str(Name.parse(name)))}"


def _given(about: Facts) -> Document:
    return {key: value for key, value in (about or {}).items() if value not in (None, {}) and key != "digests"}


def _query(about: Mapping[str, Any], storage: str) -> Document:
    query = _given(about) | {"storage": storage}
    if "metadata" in query:
        query["metadata"] = json.dumps(dict(query["metadata"]))
        if len(query["metadata"]) > _MOST_QUERY:
            raise OutOfBounds(f"Metadata that are sent may have {_MOST_QUERY} characters as JSON.")
    digests = about.get("digests") or {}
    return query | {"digest": [f"{algorithm}:{value}" for algorithm, value in digests.items()]}


def _record(document: Document) -> Record:
    digests = {key: Digest(item["value"], item["origin"]) for key, item in document["digests"].items()}
    name = Name.parse(document["name"])
    return Record(name, "file", document["state"], document["size"], digests=digests)


def _pieces(stream: Hashed) -> Iterator[bytes]:
    while piece := stream.read(PIECE):
        yield piece


def _bytes_of(told: Told | None, size: int) -> Any:
    return None if told is None else lambda done: told({"bytes": done, "size": size})
