"""What sources wrote down for themselves, in the journal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sql

from gemel.base.errors import InvalidInput
from gemel.infra.store import Store, schema

_MEMORIES = schema.source_memories
_MOST_BYTES = 4_000_000


class SourceMemory:
    """The memory of one source of one twin (see `gemel.core.stream.sources.Memory`)."""

    def __init__(self, store: Store, twin: str, source: str) -> None:
        self._store, self._mine = store, {"twin": twin, "source": source}

    def load(self) -> dict[str, Any]:
        """Return what was saved last, empty at first."""
        query = sql.select(_MEMORIES.c.document)
        query = query.where(*(_MEMORIES.c[name] == value for name, value in self._mine.items()))
        with self._store.read() as connection:
            found = connection.execute(query).scalar()
        return {} if found is None else dict(json.loads(found))

    def save(self, document: Mapping[str, Any]) -> None:
        """Keep a JSON document.

        Raises:
            InvalidInput: It is larger than four megabytes.
        """
        text = json.dumps(dict(document))
        if len(text) > _MOST_BYTES:
            message = (
                f"Source '{self._mine['source']}' wants to remember {len(text):,} bytes; {_MOST_BYTES:,} are kept."
            )
            raise InvalidInput(message, hint="Watch fewer files, or move away those that are done.")
        insert = self._store.insert(_MEMORIES)
        changed = insert.on_conflict_do_update(index_elements=list(self._mine), set_={"document": text})
        with self._store.write() as connection:
            connection.execute(changed, self._mine | {"document": text})

    def forget(self) -> None:
        """Remove it."""
        mine = (_MEMORIES.c[name] == value for name, value in self._mine.items())
        with self._store.write() as connection:
            connection.execute(sql.delete(_MEMORIES).where(*mine))
