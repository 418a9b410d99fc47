"""STAC documents at an address or in a file: Items, Collections, static catalogues, and collections of a STAC API."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gemel.base.errors import GemelError, InvalidInput, NotFound
from gemel.base.ids import digest_json
from gemel.infra.lake._places import Place, resolved
from gemel.infra.lake.collections._assets import data_assets
from gemel.infra.lake.collections._open import Wanted
from gemel.infra.lake.web._client import Web

_MOST_ITEMS = 10_000
_MOST_DOCUMENTS = 20_000
_PAGE = 250
_FEW = 32  # files whose version is asked of the host when their documents do not tell it

Document = dict[str, Any]
Base = str | Path


@dataclass
class Catalogue:
    """What is asked for in a STAC resource.

    Attributes:
        collection: The Collection, or an empty document where there is none.
        items: Its Items that may hold what is wanted.
        places: Where each asset's reference leads, or why it is not followed.
    """

    collection: Document = field(default_factory=dict)
    items: list[Document] = field(default_factory=list)
    places: dict[str, Place | GemelError] = field(default_factory=dict)

    def locate(self, href: str, holder: Mapping[str, Any]) -> Place:
        """Return where a reference in one of the documents leads.

        Raises:
            InvalidInput: It is of a kind that is not followed.
            Denied: It leads to a local file that it must not lead to.
        """
        found = self.places[href]
        if isinstance(found, GemelError):
            raise found
        return found

    def state(self, web: Web) -> str:
        """Return a digest that changes with the documents, and with the files as far as documents or hosts tell."""
        parts: list[Any] = [_lasting(self.collection), [_lasting(item) for item in self.items]]
        asked = 0
        for document in (self.collection, *self.items):
            stamped = bool((document.get("properties") or {}).get("updated"))
            for asset in data_assets(document, None if document is self.collection else self.collection):
                place = self.places[asset.href]
                if not isinstance(place, Place):
                    continue
                if not place.remote:
                    parts.append(_local_state(Path(place.address)))
                elif not stamped and "file:checksum" not in asset.document and asked < _FEW:
                    asked += 1
                    parts.append(web.state(place.address))
        return digest_json(parts)


def catalogue(
    web: Web,
    where: str | Path,
    wanted: Wanted,
    *,
    roots: Sequence[Path] = (),
    keep: Callable[[Mapping[str, Any]], bool] | None = None,
) -> Catalogue:
    """Return the documents of a STAC resource that may hold what is wanted, references made absolute.

    Args:
        web: The client.
        where: Address of a Collection, Item, item collection or static Catalog, or of a STAC API's collection; or a file.
        wanted: Extents; items outside of them are left out.
        roots: Folders below which a local document's files may lie.
        keep: Whether an item is kept, by its document.

    Raises:
        InvalidInput: It is no STAC document, or has too many items.
        NotFound: There is nothing at the address.
        StoreUnavailable: The host cannot be reached.
    """
    try:
        return _catalogue(_Reader(web, roots), where, wanted, keep)
    except GemelError:
        raise
    except (AttributeError, TypeError, KeyError, ValueError, IndexError) as error:
        raise InvalidInput(f"The STAC documents at '{where}' are malformed: {error}.") from error


def _catalogue(
    reader: _Reader, where: Base, wanted: Wanted, keep: Callable[[Mapping[str, Any]], bool] | None
) -> Catalogue:
    document = reader.read(where)
    found = Catalogue()
    items: Iterator[tuple[Document, Base]] = iter(())
    kind = document.get("type")
    if kind == "Feature":
        items = iter([(document, where)])
    elif kind == "FeatureCollection":
        items = ((item, where) for item in document.get("features") or ())
    elif kind in ("Collection", "Catalog"):
        found.collection = document if kind == "Collection" else {}
        items = _items(reader, document, where, wanted)
    else:
        message = f"There is no STAC document at '{where}': its type is {kind!r}."
        raise InvalidInput(message, hint="Give the address of a Collection or an Item.")
    reader.settle(found.collection, where, found.places)
    for item, base in items:
        if not wanted.meets(item) or (keep is not None and not keep(item)):
            continue
        if len(found.items) >= _MOST_ITEMS:
            raise InvalidInput(f"More than {_MOST_ITEMS} items meet the extents.", hint="Ask for a smaller extent.")
        own = dict(item)
        reader.settle(own, base, found.places)
        found.items.append(own)
    return found


class _Reader:
    """Reads documents and follows their references."""

    def __init__(self, web: Web, roots: Sequence[Path]) -> None:
        self.web = web
        self.roots = roots
        self._count = 0
        self._entered: set[str] = set()

    def read(self, where: Base) -> Document:
        self._count += 1
        if self._count > _MOST_DOCUMENTS:
            raise InvalidInput(f"The catalogue has more than {_MOST_DOCUMENTS} documents.", hint="Name a part of it.")
        document = self.web.document(where) if isinstance(where, str) else _local(where)
        if not isinstance(document, dict):
            raise InvalidInput(f"There is no STAC document at '{where}'.")
        return document

    def enter(self, where: Base) -> bool:
        """Return whether a part of a catalogue is met for the first time."""
        fresh = str(where) not in self._entered
        self._entered.add(str(where))
        return fresh

    def follow(self, link: Mapping[str, Any], base: Base) -> Base:
        place = resolved(str(link.get("href") or ""), base, self.roots)
        return place.address if place.remote else Path(place.address)

    def settle(self, document: Document, base: Base, places: dict[str, Place | GemelError]) -> None:
        """Make the references of a document's assets absolute, noting where they lead."""
        if not isinstance(document.get("properties") or {}, dict):
            raise InvalidInput(f"The STAC document '{document.get('id')}' at '{base}' has malformed properties.")
        assets = {}
        for key, asset in (document.get("assets") or {}).items():
            href = str(asset.get("href") or "")
            try:
                place: Place | GemelError = resolved(href, base, self.roots)
                href = place.address if isinstance(place, Place) else href
            except GemelError as error:
                place = error
            places[href] = place
            assets[key] = asset | {"href": href}
        if assets:
            document["assets"] = assets


def _items(reader: _Reader, document: Document, where: Base, wanted: Wanted) -> Iterator[tuple[Document, Base]]:
    if data_assets(document):
        return iter(())
    page = next(iter(_links(document, "items")), None)
    if page is not None and isinstance(where, str):
        return _searched(reader, document, where, page, wanted)
    return _walked(reader, document, where, wanted)


def _walked(reader: _Reader, document: Document, where: Base, wanted: Wanted) -> Iterator[tuple[Document, Base]]:
    """Yield the items of a static catalogue, without entering collections that lie elsewhere, or any part twice."""
    if not reader.enter(where):
        return
    for link in _links(document, "item"):
        place = reader.follow(link, where)
        yield reader.read(place), place
    for link in _links(document, "child"):
        place = reader.follow(link, where)
        child = reader.read(place)
        if _may_hold(child, wanted):
            yield from _walked(reader, child, place, wanted)


def _may_hold(document: Document, wanted: Wanted) -> bool:
    boxes = ((document.get("extent") or {}).get("spatial") or {}).get("bbox") or []
    untimed = Wanted(area=wanted.area)
    return not boxes or any(untimed.meets({"bbox": box}) for box in boxes)


def _searched(
    reader: _Reader, document: Document, where: str, page: Mapping[str, Any], wanted: Wanted
) -> Iterator[tuple[Document, Base]]:
    """Yield the items that a STAC API finds: by item search (POST, else GET), else page by page of the collection."""
    query: dict[str, Any] = {"limit": _PAGE}
    if wanted.area is not None:
        query["bbox"] = [round(item, 9) for item in wanted.area.lonlat()]
    if wanted.interval is not None:
        query["datetime"] = wanted.interval.text()
    search = _search_link(reader, document, where)
    if search is None:
        address = str(reader.follow(page, where))
        return _pages(reader, address, _flat(query), None)
    address = str(reader.follow(search, where))
    query |= {"collections": [document.get("id")]}
    if str(search.get("method", "GET")).upper() == "POST":
        return _pages(reader, address, None, query)
    return _pages(reader, address, _flat(query), None)


def _search_link(reader: _Reader, document: Document, where: str) -> Mapping[str, Any] | None:
    for relation in ("root", "parent"):
        for link in _links(document, relation):
            try:
                root = reader.read(reader.follow(link, where))
            except (NotFound, InvalidInput):
                continue
            found = list(_links(root, "search"))
            found.sort(key=lambda item: str(item.get("method", "GET")).upper() != "POST")
            if found:
                base = reader.follow(link, where)
                return found[0] | {"href": str(reader.follow(found[0], base))}
    return None


def _pages(
    reader: _Reader, address: str, params: Mapping[str, Any] | None, body: Document | None
) -> Iterator[tuple[Document, Base]]:
    seen: set[str] = set()
    while True:
        key = digest_json([address, params, body])
        if key in seen:
            raise InvalidInput(f"The pages of '{address}' go round in circles.")
        seen.add(key)
        page = reader.web.document(address, params=params, body=body)
        features = page.get("features") if isinstance(page, dict) else None
        if not isinstance(features, list):
            raise InvalidInput(f"'{address}' answers a search with something that has no features.")
        yield from zip(features, itertools.repeat(address))
        link = next(iter(_links(page, "next")), None)
        if link is None or not features:
            return
        address, params, body = _next(reader, link, address, body)


def _next(
    reader: _Reader, link: Mapping[str, Any], address: str, body: Document | None
) -> tuple[str, None, Document | None]:
    following = str(reader.follow(link, address))
    if str(link.get("method", "GET")).upper() != "POST":
        return following, None, None
    given = dict(link.get("body") or {})
    return following, None, {**(body or {}), **given} if link.get("merge") else given or body


def _links(document: Mapping[str, Any], relation: str) -> Iterator[dict[str, Any]]:
    for link in document.get("links") or ():
        if isinstance(link, dict) and link.get("rel") == relation and link.get("href"):
            yield link


def _flat(query: Mapping[str, Any]) -> dict[str, str]:
    return {name: ",".join(map(str, item)) if isinstance(item, list) else str(item) for name, item in query.items()}


def _local(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotFound(f"There is no file '{path.name}'.", hint=error.strerror) from error
    except ValueError as error:
        raise InvalidInput(f"'{path.name}' is no JSON document.") from error


def _local_state(path: Path) -> list[Any]:
    if not path.exists():
        return [path.name, None]
    status = path.stat()
    return [path.name, status.st_size, status.st_mtime_ns]


def _lasting(document: Mapping[str, Any]) -> Any:
    """Return a document without what changes from one answer to the next: links, and signatures in addresses."""
    kept = {name: item for name, item in document.items() if name not in ("links", "assets")}
    assets = document.get("assets") or {}
    return [kept, {key: {**asset, "href": str(asset.get("href", "")).split("?")[0]} for key, asset in assets.items()}]
