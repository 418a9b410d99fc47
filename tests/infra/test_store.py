"""The SQL store: its schema on both databases, its transactions, and its errors in words."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sql
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from gemel.base.errors import ConfigInvalid, StoreUnavailable
from gemel.infra.store import open_store, schema
from gemel.infra.store._migrate import HEAD


@pytest.fixture
def store(store_url: str):
    """Yield an open store, once on SQLite and once on PostgreSQL."""
    opened = open_store(store_url)
    yield opened
    opened.close()


def test_a_migrated_database_is_what_the_metadata_says(store):
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        found = sql.inspect(connection)
        for table in schema.metadata.sorted_tables:
            columns = {column["name"]: column for column in found.get_columns(table.name)}
            assert list(columns) == [column.name for column in table.columns], table.name
            for column in table.columns:
                assert columns[column.name]["nullable"] == column.nullable or column.primary_key
            wanted = [column.name for column in table.primary_key]
            assert found.get_pk_constraint(table.name)["constrained_columns"] == wanted
            uniques = {tuple(item["column_names"]) for item in found.get_unique_constraints(table.name)}
            assert uniques == {
                tuple(column.name for column in item.columns)
                for item in table.constraints
                if isinstance(item, sql.UniqueConstraint)
            }


def test_the_last_revision_is_the_one_the_code_asks_for():
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent.with_name("migrations")))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_migrations_can_be_undone(sqlite_url):
    from alembic import command
    from alembic.config import Config

    store = open_store(sqlite_url)
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent.with_name("migrations")))
    with store.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert sql.inspect(connection).get_table_names() == ["alembic_version"]
    store.close()


def test_opening_again_changes_nothing(store, store_url):
    with store.write() as connection:
        connection.execute(sql.insert(schema.engines), _engine("e1"))
    again = open_store(store_url)
    with again.read() as connection:
        assert connection.execute(sql.select(schema.engines.c.id)).scalars().all() == ["e1"]
    again.close()


def test_a_journal_of_a_newer_gemel_is_refused(store, store_url):
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreUnavailable, match="9999") as caught:
        open_store(store_url)
    assert "Upgrade" in caught.value.hint


def test_a_transaction_is_written_whole_or_not_at_all(store):
    with pytest.raises(ZeroDivisionError), store.write() as connection:
        connection.execute(sql.insert(schema.engines), _engine("e1"))
        raise ZeroDivisionError
    with store.write() as connection:
        connection.execute(sql.insert(schema.engines), _engine("e2"))
    with store.read() as connection:
        assert connection.execute(sql.select(schema.engines.c.id)).scalars().all() == ["e2"]


def test_writers_wait_for_each_other(store):
    def work(number: int) -> None:
        for part in range(20):
            with store.write() as connection:
                connection.execute(sql.insert(schema.engines), _engine(f"e{number}-{part}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as connection:
        assert connection.execute(sql.select(sql.func.count()).select_from(schema.engines)).scalar() == 160


def test_what_is_prepared_does_what_the_statement_says(store):
    insert = store.prepare(store.insert(schema.engines).on_conflict_do_nothing())
    with store.write() as connection:
        for _ in range(2):
            insert(connection, _engine("e1"))
    with store.read() as connection:
        assert connection.execute(sql.select(schema.engines)).mappings().one() == _engine("e1")


def test_sqlite_syncs_every_commit(sqlite_url):
    store = open_store(sqlite_url)
    with store.read() as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    store.close()
    assert pragmas == ["wal", 2]


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, " * 100)
    with pytest.raises(StoreUnavailable, match="not a gemel store"):
        open_store(f"sqlite:///{path}")
    assert path.read_text().startswith("Dear reader")


def test_a_truncated_database_is_told(tmp_path):
    path = tmp_path / "gemel.db"
    open_store(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StoreUnavailable):
        open_store(f"sqlite:///{path}")


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://", "no url at all", "sqlite:///"])
def test_an_unusable_address_is_told(url):
    with pytest.raises(ConfigInvalid):
        open_store(url)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="folder"):
        open_store(f"sqlite:///{tmp_path / 'file' / 'gemel.db'}")


def test_a_postgresql_that_is_not_there_is_told_without_its_password():
    with pytest.raises(StoreUnavailable) as caught:
        open_store("postgresql://gemel:sesame@127.0.0.1:1/gemel")
    assert "sesame" not in caught.value.message


def test_a_wrong_password_is_told(postgres_server):
    with pytest.raises(StoreUnavailable):
        open_store(f"postgresql://gemel:wrong@127.0.0.1:{postgres_server.port}/postgres")


def _engine(name: str) -> dict:
    return {"id": name, "host": "h", "pid": 1, "started": 1.5, "lease_until": 2.5}
