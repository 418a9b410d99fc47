"""Files that STAC documents speak of: assets of an Item, an ItemCollection, a static catalogue or an API's collection."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import _GeneratorContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, BinaryIO, ClassVar
from urllib.parse import quote, urljoin, urlsplit

import httpx2

from gemel.base.errors import Denied, GemelError, InvalidInput, NotFound, ResultCorrupt, StoreUnavailable
from gemel.infra.lake._places import Place
from gemel.infra.lake.collections._open import Wanted
from gemel.infra.lake.storages._http import HttpStorage, instant
from gemel.infra.lake.storages._ranged import ranged
from gemel.infra.lake.storages._storage import Entry, checked_path, missing
from gemel.infra.lake.web import Catalogue, Web, catalogue

_FRESH = 60.0  # seconds that what a catalogue said is taken for granted
_KEPT = 256  # items of an API that are remembered
_HEX = re.compile(r"[0-9a-f]+")
# Codes of multihash (multiformats.io/multihash, table of codecs) with the length in front of the digest.
_MULTIHASH = {"sha256": ("1220", 64), "md5": ("d50110", 32)}
_EVERYTHING = Wanted()


@dataclass(frozen=True)
class _Asset:
    """One asset: its address with all that belongs to it, and what the catalogue says of the file."""

    address: str
    size: int | None
    checksum: str
    modified: float | None


@dataclass(frozen=True)
class _Index:
    """Assets by path, and those paths that are listed."""

    assets: Mapping[str, _Asset | GemelError]
    listed: tuple[str, ...]
    read: float

    @property
    def fresh(self) -> bool:
        return time.monotonic() - self.read < _FRESH


class StacStorage(HttpStorage):
    """The assets of a STAC resource, only read; paths are `item-id/asset-key`, or `item-id/` and the file's own name.

    Where the resource is one Item, the key (or the file's own name) alone will do. Sizes and digests are those that the
    catalogue tells (`file:size` and `file:checksum` of the file extension), else the host's.

    Args:
        name: As declared.
        options: `url` of an Item, an ItemCollection, a Collection, a static Catalog, or a collection of a STAC API;
            `token`, a reference to a bearer token, sent to assets of the same host and port alone.
    """

    kind = "stac"
    takes_tokens = False
    known: ClassVar[dict[str, bool]] = {"url": True, "token": False}
    secrets: ClassVar[tuple[str, ...]] = ("token",)

    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        super().__init__(name, options)
        self._url = options["url"]
        # Assets lie where a stranger says: each request is looked at, those after a redirect too.
        self._guard = Web()
        self._http.close()
        self._http = httpx2.Client(
            timeout=httpx2.Timeout(60.0, connect=10.0), follow_redirects=True, max_redirects=5,
            headers={"Accept-Encoding": "identity"},
            event_hooks={"request": [lambda request: self._guard.check(str(request.url))]},
        )  # fmt: skip
        self._whole: _Index | None = None
        self._single: dict[str, _Index] = {}
        self._root: tuple[float, dict[str, Any]] | None = None
        self._lock = threading.RLock()

    def stat(self, path: str) -> Entry:
        """Return what is known of an asset: by the catalogue, or by its host where that says nothing of its size."""
        found = self._asset(path)
        if found.size is not None:
            return Entry(path, found.size, found.modified, found.checksum or None)
        return self._probed(path)

    def open(self, path: str, offset: int = 0, length: int | None = None) -> BinaryIO:
        """Return a part of an asset that reads ranges.

        Raises:
            ResultCorrupt: The host's file is not of the size that the catalogue tells.
        """
        found, entry = self._asset(path), self._probed(path)
        if found.size is not None and found.size != entry.size:
            message = f"'{path}' on storage '{self.name}' has {entry.size} bytes, and its catalogue says {found.size}."
            raise ResultCorrupt(message, hint="The catalogue is out of date, or the file damaged.", path=path)
        whole: list[BinaryIO] = []
        return ranged(path, entry.size, offset, length, lambda start, stop: self._fetch(entry, start, stop, whole))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield all assets below the folder `prefix`; at most those of 10,000 items.

        An asset whose reference is not followed (`s3://`, say), or that its host does not have, is left out.
        """
        below = prefix.rstrip("/") + "/" if prefix else ""
        for path in self._everything().listed:
            if path.startswith(below):
                try:
                    yield self.stat(path)
                except NotFound:
                    continue

    def digest(self, path: str, algorithm: str) -> str | None:
        """Return the digest that the catalogue tells (`file:checksum`), else the host's, or None."""
        found = self._asset(path).checksum
        code, length = _MULTIHASH.get(algorithm, ("-", 0))
        if found.startswith(code) and len(found) == len(code) + length:
            return found[len(code) :]
        return super().digest(path, algorithm)

    def url(self, path: str) -> str:
        """Return the asset's address, without what is asked for in it (signatures stand there).

        Raises:
            NotFound: There is no such asset.
        """
        return self._asset(path).address.partition("?")[0]

    def signed(self, path: str, seconds: int) -> str | None:
        """Return the asset's address when it needs no token."""
        return None if "token" in self._options else self._asset(path).address

    def close(self) -> None:
        """Let connections go."""
        super().close()
        self._guard.__exit__()

    def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, content: Any = None, url: str = ""
    ) -> _GeneratorContextManager[httpx2.Response]:
        """Yield a successful answer before its body is read."""
        address = url or self._asset(path).address
        return super().ask(method, path, headers=headers, content=content, url=address)

    def _authorisation(self, operation: str, address: str) -> dict[str, str]:
        own, asked = urlsplit(self._url), urlsplit(address)
        alike = (own.scheme, own.netloc) == (asked.scheme, asked.netloc)
        return super()._authorisation(operation, address) if alike else {}

    def _probed(self, path: str) -> Entry:
        try:
            return super().stat(path)
        except NotFound:
            raise
        except (Denied, StoreUnavailable):
            # An address that is signed for GET allows nothing else.
            with self.ask("GET", path, headers={"Range": "bytes=0-0"}) as answer:
                size = answer.headers.get("content-range", "").rpartition("/")[2]
            if answer.status_code != 206 or not size.isdigit():
                raise
            modified = instant(answer.headers.get("last-modified"))
            return Entry(path, int(size), modified, answer.headers.get("etag"))

    def _asset(self, path: str) -> _Asset:
        checked_path(path)
        with self._lock:
            found = self._found(path)
        if found is None:
            raise missing(self.name, path)
        if isinstance(found, GemelError):
            raise found
        return found

    def _found(self, path: str) -> _Asset | GemelError | None:
        if self._whole is not None and self._whole.fresh and path in self._whole.assets:
            return self._whole.assets[path]
        items = self._items_address()
        if items is not None:
            return self._item(items, path.partition("/")[0]).assets.get(path)
        if self._whole is None or not self._whole.fresh or self._document().get("type") == "Feature":
            self._whole = None
        return self._everything().assets.get(path)

    def _items_address(self) -> str | None:
        """Return the address below which an API has the items of the collection, or None."""
        document = self._document()
        links = [item for item in document.get("links") or () if isinstance(item, dict) and item.get("rel") == "items"]
        if document.get("type") != "Collection" or not links:
            return None
        return urljoin(self._url, str(links[0].get("href") or "")).partition("?")[0].rstrip("/")

    def _item(self, items: str, id: str) -> _Index:
        known = self._single.get(id)
        if known is None or not known.fresh:
            try:
                with Web() as web:
                    known = _indexed(catalogue(web, f"{items}/{quote(id, safe='')}", _EVERYTHING))
            except NotFound:
                known = _Index({}, (), time.monotonic())
            self._single = dict(list(self._single.items())[-_KEPT:]) | {id: known}
        return known

    def _everything(self) -> _Index:
        with self._lock:
            if self._whole is None or not self._whole.fresh:
                with Web() as web:
                    self._whole = _indexed(catalogue(web, self._url, _EVERYTHING))
            return self._whole

    def _document(self) -> dict[str, Any]:
        if self._root is None or time.monotonic() - self._root[0] > _FRESH:
            with Web() as web:
                found = web.document(self._url)
            if not isinstance(found, dict):
                raise InvalidInput(f"There is no STAC document at '{self._url}'.", hint="Is the address right?")
            self._root = time.monotonic(), found
        return self._root[1]


def _indexed(found: Catalogue) -> _Index:
    """Return the assets of a catalogue by their paths; a path that means two things means neither."""
    assets: dict[str, _Asset | GemelError] = {}
    others: dict[str, list[_Asset | GemelError]] = {}
    listed: list[str] = []
    for item in found.items or ([found.collection] if found.collection else []):
        id = str(item.get("id"))
        for key, document in (item.get("assets") or {}).items():
            made = _made(found.places.get(str(document.get("href"))), document)
            path = f"{id}/{key}"
            if path in assets:
                message = f"'{path}' is in several Items of that name."
                made = InvalidInput(message, hint="Name one collection in the storage's url.")
                listed = [item for item in listed if item != path]
            assets[path] = made
            name = PurePosixPath(made.address.partition("?")[0]).name if isinstance(made, _Asset) else str(key)
            shorter = [f"{id}/{name}", *([str(key), name] if len(found.items) == 1 else [])]
            for other in dict.fromkeys(shorter):
                others.setdefault(other, []).append(made)
            if isinstance(made, _Asset) and _is_path(path):
                listed.append(path)
    single = {path: made[0] for path, made in others.items() if len(made) == 1}
    return _Index(single | assets, tuple(listed), time.monotonic())


def _made(place: Place | GemelError | None, document: Mapping[str, Any]) -> _Asset | GemelError:
    if not isinstance(place, Place) or not place.remote:
        return place if isinstance(place, GemelError) else InvalidInput("The reference of an asset is not followed.")
    size, checksum = document.get("file:size"), str(document.get("file:checksum") or "").lower()
    whole = isinstance(size, int) and not isinstance(size, bool) and size >= 0
    known = size if whole else None
    return _Asset(place.address, known, checksum if _HEX.fullmatch(checksum) else "", _moment(document.get("updated")))


def _moment(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp() if text else None
    except ValueError:
        return None


def _is_path(path: str) -> bool:
    try:
        checked_path(path)
    except InvalidInput:
        return False
    return True
