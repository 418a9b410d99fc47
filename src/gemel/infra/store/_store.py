"""Opening the journal, its transactions, and the translation of database errors into gemel's own."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine, make_url

from gemel.base.errors import ConfigInvalid, StoreFull, StoreUnavailable
from gemel.base.plugins import require
from gemel.infra.store._migrate import migrate

_BUSY_MILLISECONDS = 30_000
_CHECKPOINT_PAGES = 4000  # 16 MiB of log before it is folded into the database: fewer syncs per step
# SQLSTATE classes in which PostgreSQL says that it cannot serve, and why: connection, password, database, resources, shutdown.
_UNREACHABLE = ("08", "28", "3D", "53", "57P")


@dataclass(frozen=True)
class Prepared:
    """A statement compiled once: executing it skips SQLAlchemy's per-call work, which would double a step's cost."""

    text: str
    names: tuple[str, ...]

    def __call__(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Return the driver's own cursor after executing with `values` by column name."""
        cursor = connection.connection.cursor()
        cursor.execute(self.text, tuple(values[name] for name in self.names))
        return cursor


class Store:
    """One journal: read connections, write transactions, upserts; safe for threads and for several processes."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.dialect = engine.dialect.name

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection for reading; each statement sees the latest committed data."""
        with _translated(self.engine), self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection inside one transaction, committed and synced to disk at the end of the block.

        Raises:
            StoreFull: The disk is full; nothing of the block was written.
            StoreUnavailable: The database cannot be reached, or is locked for too long.
        """
        with _translated(self.engine), self.engine.connect() as connection, self.transaction(connection):
            yield connection

    @contextlib.contextmanager
    def transaction(self, connection: Connection) -> Iterator[None]:
        """Make the block one transaction on a `connection` that the caller keeps (see `write`)."""
        with _translated(self.engine):
            cursor = connection.connection.cursor()
            # Taking SQLite's write lock at once avoids the upgrade dead-lock between two processes.
            cursor.execute("BEGIN IMMEDIATE" if self.dialect == "sqlite" else "BEGIN")
            try:
                yield
                cursor.execute("COMMIT")
            except BaseException:
                # A full disk has often rolled back already, which must not hide that it is full.
                with contextlib.suppress(self.engine.dialect.loaded_dbapi.Error, ConnectionError):
                    cursor.execute("ROLLBACK")
                raise

    def insert(self, table: sql.Table) -> Any:
        """Return an INSERT that the caller may extend with `on_conflict_do_nothing` or `on_conflict_do_update`."""
        return sqlite.insert(table) if self.dialect == "sqlite" else postgresql.insert(table)

    def prepare(self, statement: Any) -> Prepared:
        """Return `statement` compiled for this database's driver."""
        compiled = statement.compile(dialect=self.engine.dialect)
        return Prepared(str(compiled), tuple(compiled.positiontup or ()))

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def open_store(url: str) -> Store:
    """Return the journal at a SQLAlchemy `url`, created or migrated to this version's schema when necessary.

    Raises:
        ConfigInvalid: The URL cannot be read or names an unsupported database.
        StoreUnavailable: The database cannot be opened.
    """
    engine = _postgresql(url) if url.startswith("postgresql") else _sqlite(url)
    try:
        with _translated(engine):
            migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine)


def _sqlite(url: str) -> Engine:
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise ConfigInvalid(f"'{url}' is not a supported store.", hint="Use sqlite:///file.db or postgresql://…")
    try:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"The folder of the store {parsed.database} cannot be made: {error.strerror}."
        ) from error
    # Autocommit hands transactions to us alone; the driver would otherwise begin them on its own terms.
    engine = sql.create_engine(
        parsed, isolation_level="AUTOCOMMIT", pool_size=16, max_overflow=32, connect_args={"check_same_thread": False}
    )
    sql.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # Waiting comes first: engines that open a new file together would otherwise collide in switching it to WAL.
    # FULL syncs the write-ahead log at each commit: an acknowledged step survives a power cut.
    waiting, checkpoint = f"busy_timeout={_BUSY_MILLISECONDS}", f"wal_autocheckpoint={_CHECKPOINT_PAGES}"
    for pragma in (waiting, "journal_mode=WAL", "synchronous=FULL", checkpoint, "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _postgresql(url: str) -> Engine:
    require("pg8000", extra="postgres")
    parsed = _parsed(url).set(drivername="postgresql+pg8000")
    return sql.create_engine(parsed, isolation_level="AUTOCOMMIT", pool_size=16, max_overflow=32, pool_pre_ping=True)


def _parsed(url: str) -> sql.URL:
    try:
        return make_url(url)
    except sql.exc.ArgumentError as error:
        raise ConfigInvalid(f"'{url}' is not the address of a store.", hint="gemel config show") from error


@contextlib.contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (sql.exc.DBAPIError, engine.dialect.loaded_dbapi.Error, ConnectionError) as error:
        cause = getattr(error, "orig", error)
        code, text = _told(cause)
        where = engine.url.render_as_string(hide_password=True)
        if "disk is full" in text or "No space left" in text:
            hint = "Free some space or move GEMEL_HOME, then run again: finished steps are kept."
            raise StoreFull(f"The disk that holds {where} is full.", hint=hint) from error
        if "not a database" in text:
            raise StoreUnavailable(
                f"{where} is not a gemel store.", hint="Move the file away and try again."
            ) from error
        if "malformed" in text:
            raise StoreUnavailable(
                f"{where} is damaged: {text}.", hint="Restore it from a copy, or move it away."
            ) from error
        # pg8000 lets some broken connections through as the socket told them.
        broken = isinstance(cause, ConnectionError) or type(cause).__name__ in ("OperationalError", "InterfaceError")
        if broken or code.startswith(_UNREACHABLE):
            raise StoreUnavailable(f"The store {where} cannot be used: {text}.", hint="gemel doctor") from error
        raise


def _told(cause: BaseException) -> tuple[str, str]:
    """Return PostgreSQL's SQLSTATE, empty for SQLite, and the message in words."""
    told = cause.args[0] if cause.args and isinstance(cause.args[0], dict) else {}
    return str(told.get("C", "")), str(told.get("M", cause))
