"""Results of steps under their keys: small ones in the journal, large ones as files named by their digest."""

from __future__ import annotations

import collections
import copy
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from gemel.base.errors import NotFound, ResultCorrupt
from gemel.base.ids import digest_bytes
from gemel.core.graph._values import Encoded, decode
from gemel.infra.lake import ContentStore
from gemel.infra.store import Store, schema

_FIELDS = schema.results.c
# Small results that many runs share (a record, a model) are decoded once and copied from then on.
_REMEMBERED_BYTES = 4 << 20
_REMEMBERED_COUNT = 64


@dataclass(frozen=True)
class StoredResult:
    """Where the result of one step lies.

    Attributes:
        key: Digest of what the step is made of.
        digest: Digest of the stored bytes.
        inline: The bytes when they lie in the journal, else None.
    """

    key: str
    digest: str
    format: str
    unit: str | None
    size: int
    inline: bytes | None


class ResultStore:
    """Lookup, storing and verified loading of results."""

    def __init__(self, store: Store, files: ContentStore, inline_limit: int) -> None:
        self._store = store
        self._files = files
        self._inline_limit = inline_limit
        self._remembered: collections.OrderedDict[tuple[str, str], Any] = collections.OrderedDict()
        self._lock = threading.Lock()
        self._select = store.prepare(
            sql.select(_FIELDS.key, _FIELDS.digest, _FIELDS.format, _FIELDS.unit, _FIELDS.size, _FIELDS.inline).where(
                _FIELDS.key == sql.bindparam("key")
            )
        )
        # Two engines may finish the same step; the first result stored is the one everybody uses.
        self._insert = store.prepare(store.insert(schema.results).on_conflict_do_nothing())

    def find(self, key: str, connection: Connection) -> StoredResult | None:
        """Return the result stored under `key`, or None."""
        row = self._select(connection, {"key": key}).fetchone()
        if row is None:
            return None
        inline = None if row[5] is None else bytes(row[5])
        return StoredResult(row[0], row[1], row[2], row[3], row[4], inline)

    def get(self, key: str) -> StoredResult:
        """Return the result stored under `key`.

        Raises:
            NotFound: It was never stored, or has been removed.
        """
        with self._store.read() as connection:
            found = self.find(key, connection)
        if found is None:
            raise NotFound("The result is no longer kept.", hint="Run again: gemel run TWIN", key=key)
        return found

    def keep(self, key: str, encoded: Encoded) -> StoredResult:
        """Return where `encoded` lies after large bytes are on disk; `record` then makes it known.

        Raises:
            StoreFull: No space is left.
        """
        size = len(encoded.data)
        if size <= self._inline_limit:
            digest, inline = digest_bytes(encoded.data), encoded.data
        else:
            digest, inline = self._files.put(encoded.data), None
        return StoredResult(key, digest, encoded.format, encoded.unit, size, inline)

    def record(self, result: StoredResult, created: float, connection: Connection) -> None:
        """Insert the result's row as part of the caller's transaction."""
        self._insert(connection, vars(result) | {"created": created})

    def intact(self, result: StoredResult) -> bool:
        """Return whether the stored bytes still match their digest; large files are read whole for it."""
        try:
            self.read(result)
        except ResultCorrupt:
            return False
        return True

    def read(self, result: StoredResult) -> Any:
        """Return the stored bytes, or the path of the file that holds them, after comparing the digest.

        Raises:
            ResultCorrupt: The bytes changed or are gone.
        """
        if result.inline is None:
            return self._files.verify(result.digest)
        if digest_bytes(result.inline) != result.digest:
            raise ResultCorrupt(f"The stored result {result.key[:12]}… does not match its digest.", key=result.key)
        return result.inline

    def load(self, result: StoredResult) -> Any:
        """Return the value of a stored result.

        Raises:
            ResultCorrupt: The bytes changed or are gone.
        """
        if result.size > _REMEMBERED_BYTES:
            return decode(result.format, self.read(result))
        identity = (result.format, result.digest)
        with self._lock:
            value = self._remembered.get(identity)
        if value is None:
            value = decode(result.format, self.read(result))
            self._remember(identity, value)
        # Steps get a copy: whatever one does to its input must not reach another.
        return copy.deepcopy(value)

    def _remember(self, identity: tuple[str, str], value: Any) -> None:
        with self._lock:
            self._remembered[identity] = value
            self._remembered.move_to_end(identity)
            while len(self._remembered) > _REMEMBERED_COUNT:
                self._remembered.popitem(last=False)

    def drop_own(self, run_id: str, keep: Collection[str]) -> int:
        """Return how many results were removed that only this run made and used, except those in `keep`."""
        steps, others = schema.steps, schema.steps.alias()
        shared = sql.exists().where(others.c.key == steps.c.key, others.c.run != run_id)
        own = sql.select(steps.c.key).where(steps.c.run == run_id, steps.c.key.is_not(None), ~shared)
        with self._store.write() as connection:
            keys = [key for key in connection.execute(own).scalars() if key not in keep]
            external = sql.select(_FIELDS.digest).where(_FIELDS.key.in_(keys), _FIELDS.inline.is_(None))
            digests = list(connection.execute(external).scalars())
            removed = connection.execute(sql.delete(schema.results).where(_FIELDS.key.in_(keys))).rowcount
            left = sql.select(_FIELDS.digest).where(_FIELDS.digest.in_(digests))
            used = set(connection.execute(left).scalars())
        for digest in set(digests) - used:
            self._files.path(digest).unlink(missing_ok=True)
        return int(removed)

    def forget(self, key: str) -> None:
        """Remove the row of a damaged result, so that the step is computed anew."""
        with self._store.write() as connection:
            connection.execute(sql.delete(schema.results).where(_FIELDS.key == key))
