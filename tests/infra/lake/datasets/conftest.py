"""A lake with two local storages, on a real journal."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemel.infra.lake.datasets import Datasets
from gemel.infra.lake.storages import Storages
from gemel.infra.store import open_store, schema

# The servers stand beside the tests of storages.
sys.path.insert(0, str(Path(__file__).parents[1] / "storages"))
from lake_servers import dav, rclone, s3, xrootd

__all__ = ["dav", "rclone", "s3", "xrootd"]


class Lake:
    def __init__(self, url: str, home: Path) -> None:
        self.home = home
        self.store = open_store(url)
        self.storages = Storages(self.store, schema.metadata.tables, home)
        self.datasets = Datasets(self.store, schema.metadata.tables, self.storages, home)

    def add_folder(self, name: str, folder: Path) -> Path:
        self.storages.add(name, "local", {"folder": str(folder)})
        return folder

    def path(self, name: str, storage: str) -> Path:
        """Return where the replica of a file lies on a local storage."""
        replica = next(item for item in self.datasets.get(name).replicas if item.storage == storage)
        return self.storages.get(storage).path(replica.path)  # type: ignore[attr-defined]

    def on_disk(self) -> list[Path]:
        """Return every file on every local storage."""
        folders = [Path(item.options["folder"]) for item in self.storages.list() if item.kind == "local"]
        return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]

    def close(self) -> None:
        self.storages.close()
        self.store.close()


@pytest.fixture
def lake(sqlite_url: str, home: Path, tmp_path: Path) -> Iterator[Lake]:
    made = Lake(sqlite_url, home)
    made.add_folder("archive", tmp_path / "archive")
    yield made
    made.close()


@pytest.fixture
def any_lake(store_url: str, home: Path, tmp_path: Path) -> Iterator[Lake]:
    """Yield a lake once on SQLite and once on PostgreSQL."""
    made = Lake(store_url, home)
    made.add_folder("archive", tmp_path / "archive")
    yield made
    made.close()


@pytest.fixture
def rain(tmp_path: Path) -> Path:
    """Return a file of 3 MB (noise)."""
    path = tmp_path / "rain.bin"
    path.write_bytes(random.Random(1).randbytes(3_000_000))
    return path
