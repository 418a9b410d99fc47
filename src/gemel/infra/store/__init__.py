"""The SQL store: one journal of runs, results, events and reports on SQLite or PostgreSQL, same code."""

from gemel.infra.store import schema
from gemel.infra.store._store import Prepared, Store, open_store

__all__ = ["Prepared", "Store", "open_store", "schema"]
