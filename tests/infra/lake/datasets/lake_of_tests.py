"""A lake for tests: storages, datasets and a mover on a real journal."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gemel.infra.lake.datasets import Datasets
from gemel.infra.lake.keeping import Keeper, Pace
from gemel.infra.lake.mover import Mover, Patience, Queue
from gemel.infra.lake.storages import Storages
from gemel.infra.lake.tokens import Broker
from gemel.infra.store import open_store, schema


class Lake:
    def __init__(self, url: str, home: Path) -> None:
        self.home = home
        self.store = open_store(url)
        self.tokens = Broker(self.store, schema.metadata.tables, home)
        self.storages = Storages(self.store, schema.metadata.tables, home, self.tokens)
        self.datasets = Datasets(self.store, schema.metadata.tables, self.storages, home)
        self.queue = Queue(self.store, schema.metadata.tables)
        self.mover = Mover(self.datasets, self.storages, self.queue, Patience(first=0.05, lease=2.0))
        parts = self.datasets, self.storages, self.mover, Pace(round=0.1)
        self.keeper = Keeper(self.store, schema.metadata.tables, *parts)

    def add_folder(self, name: str, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        self.storages.add(name, "local", {"folder": str(folder)})
        return folder

    def path(self, name: str, storage: str) -> Path:
        """Return where the replica of a file lies on a local storage."""
        replica = next(item for item in self.datasets.get(name).replicas if item.storage == storage)
        return self.storages.get(storage).path(replica.path)  # type: ignore[attr-defined]

    def settle(self) -> None:
        """Carry what is queued, in this thread."""
        while self.mover.take():
            pass

    def on_disk(self) -> list[Path]:
        """Return every file on every local storage."""
        folders = [Path(item.options["folder"]) for item in self.storages.list() if item.kind == "local"]
        return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]

    def close(self) -> None:
        self.storages.close()
        self.tokens.close()
        self.store.close()


@pytest.fixture
def rain(tmp_path: Path) -> Path:
    """Return a file of 3 MB (noise)."""
    path = tmp_path / "rain.bin"
    path.write_bytes(random.Random(1).randbytes(3_000_000))
    return path
