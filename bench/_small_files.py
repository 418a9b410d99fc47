"""What ten thousand small files cost the lake: seconds to list and register them, beside the least that this can take."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import time
from pathlib import Path

from bench._report import progress, report
from gemel.infra.lake.datasets import Datasets
from gemel.infra.lake.storages import Storages
from gemel.infra.store import open_store, schema

ROUNDS = 3
FILES = 10_000


def small_files() -> None:
    """Register a folder of files of one byte, and find them again; the peer lists it and writes bare rows."""
    ours: list[float] = []
    peer: list[float] = []
    with tempfile.TemporaryDirectory(prefix="gemel-bench-") as name:
        folder = Path(name) / "files"
        for number in range(FILES):
            place = folder / f"{number % 100:02d}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}.txt").write_bytes(b"x")
        for number in range(ROUNDS):
            progress(f"small-files: round {number + 1} of {ROUNDS}")
            ours.append(_registered(Path(name) / f"home-{number}", folder))
            peer.append(_bare(Path(name) / f"bare-{number}.db", folder))
    told = "os.walk, stat, and one row each in a bare SQLite table"
    report("small-files", ours, peer, "s", told, rounds=ROUNDS, files=FILES)


def _registered(home: Path, folder: Path) -> float:
    store = open_store(f"sqlite:///{home / 'gemel.db'}")
    storages = Storages(store, schema.metadata.tables, home)
    storages.add("old", "local", {"folder": str(folder)})
    datasets = Datasets(store, schema.metadata.tables, storages, home)
    begun = time.perf_counter()
    names = datasets.register_all("bench", "old", "")
    found = datasets.find(["bench:*"])
    seconds = time.perf_counter() - begun
    if len(names) != FILES or len(found) != FILES:
        raise RuntimeError(f"{len(names)} files were registered, {len(found)} found.")
    store.close()
    return seconds


def _bare(database: Path, folder: Path) -> float:
    begun = time.perf_counter()
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER)")
        rows = [
            (path, Path(path).stat().st_size)
            for place, _, names in os.walk(folder)
            for path in (f"{place}/{name}" for name in names)
        ]
        connection.executemany("INSERT INTO files VALUES (?, ?)", rows)
        connection.commit()
        connection.execute("SELECT * FROM files").fetchall()
    return time.perf_counter() - begun
