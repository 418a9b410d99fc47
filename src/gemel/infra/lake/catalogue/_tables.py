"""The catalogue's tables as statements see them, what it asks of a store, and an index of boxes on either database."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

import sqlalchemy as sql
from sqlalchemy.engine import Connection

# Parts of the infrastructure do not know each other, so the store's schema is named here and not imported.
COLLECTIONS = sql.table(
    "stac_collections",
    sql.column("id", sql.String()),
    sql.column("origin", sql.String()),
    sql.column("document", sql.Text()),
    sql.column("updated", sql.Double()),
)
ITEMS = sql.table(
    "stac_items",
    sql.column("number", sql.BigInteger()),
    sql.column("collection", sql.String()),
    sql.column("id", sql.String()),
    *(sql.column(name, sql.Double()) for name in ("begin", "ending", "west", "south", "east", "north")),
    sql.column("document", sql.Text()),
    sql.column("updated", sql.Double()),
)
BOXES = sql.table(
    "stac_boxes",
    *(sql.column(name) for name in ("number", "west", "east", "south", "north", "begin", "ending")),
)

_NEW = "new.number, new.west, new.east, new.south, new.north, new.begin, new.ending"
# R*Tree over place and time together (sqlite.org/rtree.html): it rounds outward, to 32 bits, so hits are looked at again.
_SQLITE = (
    "CREATE VIRTUAL TABLE stac_boxes USING rtree(number, west, east, south, north, begin, ending)",
    "INSERT INTO stac_boxes SELECT number, west, east, south, north, begin, ending FROM stac_items"
    " WHERE west IS NOT NULL",
    "CREATE TRIGGER stac_boxes_added AFTER INSERT ON stac_items WHEN new.west IS NOT NULL"
    f" BEGIN INSERT INTO stac_boxes VALUES ({_NEW}); END",
    "CREATE TRIGGER stac_boxes_changed AFTER UPDATE ON stac_items BEGIN"
    " DELETE FROM stac_boxes WHERE number = old.number;"
    f" INSERT INTO stac_boxes SELECT {_NEW} WHERE new.west IS NOT NULL; END",
    "CREATE TRIGGER stac_boxes_removed AFTER DELETE ON stac_items BEGIN"
    " DELETE FROM stac_boxes WHERE number = old.number; END",
)
_POSTGRESQL = (
    "CREATE INDEX IF NOT EXISTS stac_items_boxes ON stac_items"
    " USING gist (box(point(east, north), point(west, south)))",
)


class Database(Protocol):
    """What the catalogue asks of a store (`gemel.infra.store.Store` is one)."""

    dialect: str

    def read(self) -> AbstractContextManager[Connection]:
        """Return a connection for reading."""

    def write(self) -> AbstractContextManager[Connection]:
        """Return a connection inside one transaction."""

    def insert(self, table: Any) -> Any:
        """Return an INSERT that can be extended with `on_conflict_do_update`."""


def index_boxes(store: Database) -> None:
    """Make the index of boxes where it is missing."""
    if store.dialect == "sqlite":
        if _indexed(store):
            return
        with store.write() as connection:
            # Another engine may have made it while this one waited for the lock.
            for statement in () if _has_boxes(connection) else _SQLITE:
                connection.exec_driver_sql(statement)
    else:
        with store.write() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('stac_items_boxes'))")
            for statement in _POSTGRESQL:
                connection.exec_driver_sql(statement)


def _indexed(store: Database) -> bool:
    with store.read() as connection:
        return _has_boxes(connection)


def _has_boxes(connection: Connection) -> bool:
    found = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'stac_boxes'").first()
    return found is not None
