"""The catalogue: STAC Collections and Items in SQL, those that the lake keeps as files among them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from gemel.base.errors import Conflict, NotFound, did_you_mean
from gemel.base.ids import digest_bytes
from gemel.infra.lake.catalogue._documents import Document, collection_id, item_row, written
from gemel.infra.lake.catalogue._pages import Finder
from gemel.infra.lake.catalogue._search import Page, Search
from gemel.infra.lake.catalogue._tables import COLLECTIONS, ITEMS, Database, index_boxes
from gemel.infra.lake.collections import Collections

_CHUNK = 500
_ITEM_VALUES = ("begin", "ending", "west", "south", "east", "north", "document", "updated")


def digest(document: Document) -> str:
    """Return what tells one state of a catalogued document from another: the SHA-256 digest of its text."""
    return digest_bytes(written(document).encode())


class Catalogue:
    """STAC Collections and Items of one store; safe for threads, and for several engines on one store.

    Args:
        store: Where they are kept.
        kept: Collections that the lake keeps as files; they are seen here too, and changed there alone.
    """

    def __init__(self, store: Database, kept: Collections | None = None) -> None:
        self._store = store
        self._kept = kept
        self._finder = Finder(store.dialect)
        self._lock = threading.Lock()
        self._seen: int | None = None
        self._indexed = False
        self._followed: list[Callable[[], None]] = []

    def follow(self, look: Callable[[], None]) -> None:
        """Have `look` called before the catalogue is read, so that it can put here what has come since.

        `look` must put something only where something has come, and never wait for the catalogue.
        """
        self._followed.append(look)

    # Collections

    def collections(self) -> list[dict[str, Any]]:
        """Return every STAC Collection, by id."""
        self._follow()
        with self._store.read() as connection:
            texts = connection.execute(sql.select(COLLECTIONS.c.document).order_by(COLLECTIONS.c.id)).scalars().all()
        return [json.loads(text) for text in texts]

    def collection(self, id: str) -> dict[str, Any]:
        """Return the STAC Collection called `id`.

        Raises:
            NotFound: There is none.
        """
        self._follow()
        with self._store.read() as connection:
            return self._collection(connection, id)[0]

    def put_collection(self, document: Document, *, new: bool | None = None, expected: str | None = None) -> None:
        """Put a STAC Collection here, or in the place of the one with its id.

        Args:
            document: The Collection, kept as it is.
            new: Whether there must be none of this id (or, if false, one).
            expected: Digest of the one that is replaced.

        Raises:
            InvalidInput: It is no Collection.
            Conflict: There is one already, it is another one than expected, or the lake keeps it as a file.
            NotFound: There is none.
        """
        id = collection_id(document)
        values = {"origin": "", "document": written(document), "updated": time.time()}
        self._follow()
        with self._store.write() as connection:
            found = self._row(connection, sql.select(COLLECTIONS).where(COLLECTIONS.c.id == id))
            self._allow(connection, id, found, new, expected)
            put = self._store.insert(COLLECTIONS).values(id=id, **values)
            connection.execute(put.on_conflict_do_update(index_elements=["id"], set_=values))

    def delete_collection(self, id: str, *, expected: str | None = None) -> None:
        """Delete a STAC Collection with its Items.

        Raises:
            NotFound: There is none.
            Conflict: It is another one than expected, or the lake keeps it as a file.
        """
        self._follow()
        with self._store.write() as connection:
            document = self._changeable(connection, id)
            _expect(document, expected)
            self._forget(connection, id)

    # Items

    def item(self, collection: str, id: str) -> dict[str, Any]:
        """Return the STAC Item called `id` of a collection.

        Raises:
            NotFound: There is no such collection or item.
        """
        self._follow()
        with self._store.read() as connection:
            found = self._row(connection, _one_item(collection, id))
            if found is None:
                self._collection(connection, collection)
                raise NotFound(f"There is no item '{id}' in the collection '{collection}'.", kind="item", name=id)
        return dict(json.loads(found["document"]))

    def put_item(
        self, collection: str, document: Document, *, new: bool | None = None, expected: str | None = None
    ) -> None:
        """Put a STAC Item into a collection, or in the place of the one with its id (see `put_collection`)."""
        row = item_row(document, collection) | {"updated": time.time()}
        self._ready()
        with self._store.write() as connection:
            self._changeable(connection, collection)
            found = self._row(connection, _one_item(collection, row["id"]))
            _demand("item", row["id"], found, new)
            if found is not None:
                _expect(json.loads(found["document"]), expected)
            self._put(connection, [row])

    def put_items(self, collection: str, documents: Iterable[Document], *, new: bool = False) -> int:
        """Return how many STAC Items were put into a collection: all of them or, after an error, none.

        Raises:
            InvalidInput: One is no Item.
            NotFound: There is no such collection.
            Conflict: The lake keeps the collection as files or, if they must be `new`, one is there already.
        """
        count = 0
        self._ready()
        with self._store.write() as connection:
            self._changeable(connection, collection)
            for rows in self._chunks(collection, documents):
                if new:
                    self._all_new(connection, collection, rows)
                self._put(connection, rows)
                count += len(rows)
        return count

    def delete_item(self, collection: str, id: str, *, expected: str | None = None) -> None:
        """Delete a STAC Item.

        Raises:
            NotFound: There is no such collection or item.
            Conflict: It is another one than expected, or the lake keeps it as a file.
        """
        self._ready()
        with self._store.write() as connection:
            self._changeable(connection, collection)
            found = self._row(connection, _one_item(collection, id))
            _demand("item", id, found, False)
            if found is not None:
                _expect(json.loads(found["document"]), expected)
            connection.execute(sql.delete(ITEMS).where(ITEMS.c.collection == collection, ITEMS.c.id == id))

    def search(self, search: Search) -> Page:
        """Return a page of the Items that a search finds.

        Boxes are compared with the boxes of items; geometries with their geometries, exactly.

        Raises:
            InvalidInput: A part of the search is malformed.
        """
        self._follow()
        with self._store.read() as connection:
            return self._finder.page(connection, search)

    # Inside

    def _ready(self) -> None:
        if not self._indexed:
            index_boxes(self._store)
            self._indexed = True

    def _follow(self) -> None:
        """Take in what came to the lake's own collections, and drop what left, since the last look."""
        self._ready()
        for look in self._followed:
            look()
        if self._kept is None or not self._kept.folder.is_dir():
            return
        # Collections are put there and taken away whole, by a rename that changes the folder's time.
        stamp = self._kept.folder.stat().st_mtime_ns
        if stamp == self._seen:
            return
        with self._lock:
            self._take_in(self._kept)
            self._seen = stamp

    def _take_in(self, kept: Collections) -> None:
        documents = {str(document["id"]): document for document in kept.list()}
        stamps = {id: _stamp(kept, id, document) for id, document in documents.items()}
        with self._store.read() as connection:
            known = {
                row.id: row.origin for row in connection.execute(sql.select(COLLECTIONS.c.id, COLLECTIONS.c.origin))
            }
        for id in known:
            if known[id] and id not in documents:
                with self._store.write() as connection:
                    self._forget(connection, id)
        for id, document in documents.items():
            if known.get(id) not in ("", stamps[id]):
                self._take_one(kept, id, document, stamps[id])

    def _take_one(self, kept: Collections, id: str, document: Document, stamp: str) -> None:
        values = {"id": id, "origin": stamp, "document": written(document), "updated": time.time()}
        with self._store.write() as connection:
            self._forget(connection, id)
            connection.execute(self._store.insert(COLLECTIONS).values(**values).on_conflict_do_nothing())
            for rows in self._chunks(id, kept.items(id)):
                self._put(connection, rows)

    def _chunks(self, collection: str, documents: Iterable[Document]) -> Iterator[list[dict[str, Any]]]:
        rest, now = iter(documents), time.time()
        while rows := [item_row(document, collection) | {"updated": now} for document in islice(rest, _CHUNK)]:
            yield rows

    def _put(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        put = self._store.insert(ITEMS)
        changed = {name: put.excluded[name] for name in _ITEM_VALUES}
        # The columns are named so that one statement serves all rows, and the row's number is left to the database.
        named = put.values({name: sql.bindparam(name) for name in ("collection", "id", *_ITEM_VALUES)})
        connection.execute(
            named.on_conflict_do_update(index_elements=["collection", "id"], set_=changed), [dict(row) for row in rows]
        )

    def _all_new(self, connection: Connection, collection: str, rows: Sequence[Mapping[str, Any]]) -> None:
        ids = [row["id"] for row in rows]
        asked = sql.select(ITEMS.c.id).where(ITEMS.c.collection == collection, ITEMS.c.id.in_(ids)).limit(1)
        there = connection.execute(asked).scalar()
        twice = there or next((id for position, id in enumerate(ids) if id in ids[:position]), None)
        if twice is not None:
            raise Conflict(f"There is an item '{twice}' already.", kind="item", name=twice)

    def _forget(self, connection: Connection, id: str) -> None:
        connection.execute(sql.delete(ITEMS).where(ITEMS.c.collection == id))
        connection.execute(sql.delete(COLLECTIONS).where(COLLECTIONS.c.id == id))

    def _collection(self, connection: Connection, id: str) -> tuple[dict[str, Any], str]:
        found = self._row(connection, sql.select(COLLECTIONS).where(COLLECTIONS.c.id == id))
        if found is None:
            known = connection.execute(sql.select(COLLECTIONS.c.id)).scalars().all()
            hint = did_you_mean(id, known) or None
            raise NotFound(f"There is no collection '{id}'.", hint=hint, kind="collection", name=id)
        return dict(json.loads(found["document"])), str(found["origin"])

    def _changeable(self, connection: Connection, id: str) -> dict[str, Any]:
        # Whoever writes into a collection waits here for who does so already; SQLite has one writer anyway.
        connection.execute(sql.select(COLLECTIONS.c.id).where(COLLECTIONS.c.id == id).with_for_update())
        document, origin = self._collection(connection, id)
        if origin:
            raise Conflict(
                f"The collection '{id}' is kept by the lake as files and changed there alone.", reason="kept"
            )
        return document

    def _allow(
        self, connection: Connection, id: str, found: Mapping[str, Any] | None, new: bool | None, expected: str | None
    ) -> None:
        _demand("collection", id, found, new)
        if found is not None:
            _expect(self._changeable(connection, id), expected)

    @staticmethod
    def _row(connection: Connection, statement: Any) -> Mapping[str, Any] | None:
        row = connection.execute(statement).mappings().first()
        return None if row is None else dict(row)


def _stamp(kept: Collections, id: str, document: Document) -> str:
    # A collection that was taken away and put back has another place on the disk, whatever its documents say.
    status = Path(kept.locate(id, ".", item=False).address).stat()
    return f"{digest(document)}-{status.st_ino}-{status.st_mtime_ns}"


def _one_item(collection: str, id: str) -> Any:
    return sql.select(ITEMS.c.document).where(ITEMS.c.collection == collection, ITEMS.c.id == id)


def _demand(kind: str, id: str, found: object, new: bool | None) -> None:
    if new is True and found is not None:
        raise Conflict(f"There is {'an' if kind == 'item' else 'a'} {kind} '{id}' already.", kind=kind, name=id)
    if new is False and found is None:
        raise NotFound(f"There is no {kind} '{id}'.", kind=kind, name=id)


def _expect(document: Document, expected: str | None) -> None:
    if expected is not None and digest(document) != expected:
        raise Conflict(f"'{document.get('id')}' was changed by someone else meanwhile.", reason="changed")
