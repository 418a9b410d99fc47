"""Outside STAC catalogues brought into this one: documents only, whose assets stay where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemel.base.clock import iso, utc_now
from gemel.base.errors import Conflict, InvalidInput, NotFound
from gemel.infra.lake.catalogue._catalogue import Catalogue
from gemel.infra.lake.collections import Area, Interval, Wanted
from gemel.infra.lake.web import Web, catalogue

#: Member of an imported Collection that says where it is from.
SOURCE = "gemel:source"
# Links that say where a document is in its own catalogue, which is not where it is in this one.
_STRUCTURE = {"self", "root", "parent", "collection", "item", "items", "child", "children", "next", "prev", "data"}

Document = dict[str, Any]


@dataclass(frozen=True)
class Imported:
    """What an import brought: the Collection's id, how many Items, and where they are from."""

    collection: str
    items: int
    source: str

    def document(self) -> Document:
        """Return it as JSON."""
        return {"collection": self.collection, "items": self.items, "source": self.source}


def import_catalogue(
    own: Catalogue,
    address: str,
    collection: str | None = None,
    *,
    area: Area | None = None,
    interval: Interval | None = None,
) -> Imported:
    """Return what was brought from an outside Collection, Item, item collection or static Catalog; doing it again renews.

    References are made absolute, and each document gets a link to where it is from.

    Args:
        own: This engine's catalogue.
        address: Of the outside document.
        collection: Id that the Collection gets here; default its own.
        area: Items outside of it are left out.
        interval: Items outside of it are left out.

    Raises:
        NotFound: There is nothing at the address.
        InvalidInput: It is no STAC document, has too many items (10,000), or no id for the Collection is known.
        StoreUnavailable: The host cannot be reached.
        Conflict: There is a Collection of that id that is from somewhere else.
    """
    with Web() as web:
        found = catalogue(web, address, Wanted(area, interval))
    id = collection or found.collection.get("id")
    if not isinstance(id, str):
        raise InvalidInput(f"There is no Collection at '{address}'.", hint="Say what it is to be called here.")
    _require_same(own, id, address)
    own.put_collection(_taken(found.collection or _bare(address), id, address))
    items = [_taken(item, str(item.get("id")), address) | {"collection": id} for item in found.items]
    return Imported(id, own.put_items(id, items), address)


def _require_same(own: Catalogue, id: str, address: str) -> None:
    try:
        known = own.collection(id).get(SOURCE)
    except NotFound:
        return
    if known != address:
        message = f"There is a collection '{id}' already that is not from '{address}'."
        raise Conflict(message, hint="Give it another id here.", collection=id)


def _taken(document: Mapping[str, Any], id: str, address: str) -> Document:
    links = [link for link in document.get("links") or () if isinstance(link, Mapping)]
    own = next((str(link["href"]) for link in links if link.get("rel") == "self" and link.get("href")), address)
    kept = [dict(link) for link in links if link.get("rel") not in _STRUCTURE]
    origin = {"rel": "via", "href": own if own.startswith(("http://", "https://")) else address}
    marked = {SOURCE: address} if document.get("type") == "Collection" else {}
    return {**document, "id": id, "links": [*kept, origin], **marked}


def _bare(address: str) -> Document:
    told = f"Items from {address}, taken in {iso(utc_now().replace(microsecond=0))}."
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    shown = {"type": "Collection", "stac_version": "1.1.0", "description": told, "license": "other"}
    return shown | {"extent": extent, "links": []}
