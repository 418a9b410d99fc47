"""What it costs to put a file into the lake: bytes per second, beside what one core can hash."""

from __future__ import annotations

import hashlib
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

from bench._report import progress, report
from gemel.infra.lake.datasets import Datasets
from gemel.infra.lake.storages import PIECE, Storages
from gemel.infra.store import open_store, schema

ROUNDS = 5
SIZE = 512 << 20  # bytes


def ingest() -> None:
    """Put a file of noise (synthetic) with adler32 and sha256, synced to the disk, in rounds that alternate with hashing."""
    ours: list[float] = []
    limit: list[float] = []
    with tempfile.TemporaryDirectory(prefix="gemel-bench-") as name:
        home = Path(name)
        file = home / "noise.bin"
        file.write_bytes(np.random.default_rng(1).bytes(SIZE))
        store = open_store(f"sqlite:///{home / 'gemel.db'}")
        storages = Storages(store, schema.metadata.tables, home)
        datasets = Datasets(store, schema.metadata.tables, storages, home)
        for number in range(ROUNDS):
            progress(f"ingest: round {number + 1} of {ROUNDS}")
            limit.append(_hashing(file))
            begun = time.perf_counter()
            datasets.put(file, "bench:noise.bin")
            ours.append(SIZE / 1e6 / (time.perf_counter() - begun))
            datasets.remove("bench:noise.bin")
        store.close()
    report("ingest", ours, limit, "MB/s", "adler32 + sha256 of the same bytes in memory, one core", rounds=ROUNDS)


def _hashing(file: Path) -> float:
    pieces = _pieces(file)
    begun = time.perf_counter()
    adler, sha = 1, hashlib.sha256()
    for piece in pieces:
        adler = zlib.adler32(piece, adler)
        sha.update(piece)
    return SIZE / 1e6 / (time.perf_counter() - begun)


def _pieces(file: Path) -> list[bytes]:
    with file.open("rb") as stream:
        return list(iter(lambda: stream.read(PIECE), b""))
