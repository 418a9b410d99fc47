"""Bringing a journal to this version's schema with Alembic, which is imported only when there is something to do."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine

from gemel.base.errors import StoreUnavailable

HEAD = "0008"
_SCRIPTS = Path(__file__).with_name("migrations")
_LOCK = 0x67656D656C  # any fixed number: engines that start together agree on it


def migrate(engine: Engine) -> None:
    """Bring the database behind `engine` to revision `HEAD`; do nothing when it is there already.

    Raises:
        StoreUnavailable: A newer gemel wrote this journal.
    """
    with engine.connect() as connection:
        if _revision(connection) == HEAD:
            return
    with engine.connect() as connection:
        sqlite = engine.dialect.name == "sqlite"
        connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else "BEGIN")
        try:
            if not sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            if _revision(connection) != HEAD:
                _upgrade(connection)
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")


def _revision(connection: Connection) -> str | None:
    if not sql.inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if revision is not None and revision > HEAD:
        message = f"This journal has schema {revision}; this gemel knows up to {HEAD}."
        raise StoreUnavailable(message, hint="Upgrade gemel: pip install -U gemel")
    return revision


def _upgrade(connection: Connection) -> None:
    command: Any = importlib.import_module("alembic.command")
    config: Any = importlib.import_module("alembic.config").Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
