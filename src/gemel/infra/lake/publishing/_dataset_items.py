"""Files of the lake as STAC Items of the collection `datasets`, kept in step with what happens to them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from gemel.base.clock import iso
from gemel.base.errors import Conflict, InvalidInput, NotFound
from gemel.infra.lake.catalogue import Catalogue
from gemel.infra.lake.datasets import Datasets, Name, Record
from gemel.infra.lake.transport import multihash

COLLECTION = "datasets"
_EXTENSIONS = ["https://stac-extensions.github.io/file/v2.1.0/schema.json"]
_TIMES = ("datetime", "start_datetime", "end_datetime")
_BATCH = 1000

Document = dict[str, Any]


class DatasetItems:
    """Puts files of the lake into the catalogue, before somebody looks there.

    Members of the metadata that STAC knows are used as such: `title`, `description`, `datetime`, `start_datetime`,
    `end_datetime`, `bbox` (a list of 4 or 6 numbers) and `geometry`; all others appear below `gemel:metadata`.

    Args:
        datasets: The files.
        catalogue: Where Items go.
    """

    def __init__(self, datasets: Datasets, catalogue: Catalogue) -> None:
        self._datasets, self._catalogue = datasets, catalogue
        self._lock = threading.Lock()
        self._number: int | None = None

    def follow(self) -> None:
        """Put what changed since the last look into the catalogue."""
        # Whoever holds the lock is at it; putting something here leads back to this very place.
        if not self._lock.acquire(blocking=False):
            return
        try:
            while self._take_in():
                pass
        finally:
            self._lock.release()

    def _take_in(self) -> bool:
        """Return whether there may be more."""
        since = self._since()
        news = self._datasets.changes.after(since, _BATCH)
        if not news:
            return False
        if since == 0:
            with contextlib.suppress(Conflict):
                self._catalogue.put_collection(_collection(0), new=True)
        self._refresh({happened.name for happened in news})
        self._number = news[-1].number
        self._catalogue.put_collection(_collection(self._number))
        return len(news) == _BATCH

    def _since(self) -> int:
        if self._number is None:
            try:
                self._number = int(self._catalogue.collection(COLLECTION).get("gemel:followed", 0))
            except NotFound:
                self._number = 0
        return self._number

    def _refresh(self, names: Iterable[Name]) -> None:
        found = {record.name: record for record in self._datasets.several(names)}
        files = [record for record in found.values() if record.kind == "file"]
        try:
            self._catalogue.put_items(COLLECTION, [_item(record, dict(record.metadata)) for record in files])
        except InvalidInput:
            for record in files:
                self._put(record)
        for name in set(names) - found.keys():
            with contextlib.suppress(NotFound):
                self._catalogue.delete_item(COLLECTION, str(name))

    def _put(self, record: Record) -> None:
        try:
            self._catalogue.put_item(COLLECTION, _item(record, dict(record.metadata)))
        except InvalidInput:
            # What people told of place or time makes no Item; the file is listed without it.
            told = {key: value for key, value in record.metadata.items() if key not in (*_TIMES, "bbox", "geometry")}
            self._catalogue.put_item(COLLECTION, _item(record, told))


def _item(record: Record, metadata: Mapping[str, Any]) -> Document:
    known = ("title", "description", *_TIMES)
    properties: Document = {key: metadata[key] for key in known if key in metadata}
    created = iso(datetime.fromtimestamp(record.created, UTC))
    if "datetime" not in properties:
        properties["datetime"] = None if {"start_datetime", "end_datetime"} <= properties.keys() else created
    properties |= {"created": created, "license": record.licence or "other", "gemel:state": record.state}
    rest = {key: value for key, value in metadata.items() if key not in (*known, "bbox", "geometry")}
    properties |= {"gemel:metadata": rest} if rest else {}
    box = metadata.get("bbox")
    shape = metadata.get("geometry") or (_around(box) if isinstance(box, list) else None)
    item: Document = {"type": "Feature", "stac_version": "1.1.0", "stac_extensions": _EXTENSIONS}
    item |= {"id": str(record.name), "collection": COLLECTION, "geometry": shape, "properties": properties}
    item |= {"bbox": box} if shape is not None and isinstance(box, list) else {}
    return item | {"links": [], "assets": {"data": _asset(record)}}


def _asset(record: Record) -> Document:
    asset: Document = {"href": f"/api/v1/data/datasets/{quote(str(record.name), safe='')}/content"}
    asset |= {"title": record.name.name, "roles": ["data"]}
    asset |= {"file:size": record.size} if record.size is not None else {}
    checksum = multihash(record.digests)
    asset |= {"file:checksum": checksum} if checksum else {}
    # Adler-32, which grid storages tell, has no multihash.
    others = {name: item.value for name, item in record.digests.items()}
    asset |= {"gemel:digests": others} if others else {}
    return asset | {"gemel:storages": sorted({replica.storage for replica in record.replicas})}


def _around(box: list[Any]) -> Document | None:
    if len(box) not in (4, 6) or not all(isinstance(item, (int, float)) for item in box):
        return None
    half = len(box) // 2
    west, south, east, north = box[0], box[1], box[half], box[half + 1]
    if west > east:  # across the antimeridian (RFC 7946, section 3.1.9)
        return {
            "type": "MultiPolygon",
            "coordinates": [[_ring(west, south, 180, north)], [_ring(-180, south, east, north)]],
        }
    return {"type": "Polygon", "coordinates": [_ring(west, south, east, north)]}


def _ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def _collection(followed: int) -> Document:
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": COLLECTION,
        "title": "Files of the lake",
        "description": "Every file that has a name in the data lake, with its digest and the storages that hold it.",
        "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
        "gemel:followed": followed,
    }
