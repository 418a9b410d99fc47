"""Seconds per bare synced insert: what one transaction per step costs on this disk, with nothing around it."""

from __future__ import annotations

import hashlib
import sqlite3
import sys
import time
from pathlib import Path


def main(folder: Path) -> None:
    """Answer each line on standard input, a number of inserts, with `seconds` per insert."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE results (key TEXT PRIMARY KEY, value BLOB)")
    for line in sys.stdin:
        steps = int(line)
        begun = time.perf_counter()
        for position in range(steps):
            key = hashlib.sha256(f"{begun}-{position}".encode()).hexdigest()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO results VALUES (?, ?)", (key, b"1"))
            connection.execute("COMMIT")
        print("seconds", (time.perf_counter() - begun) / steps, flush=True)
    connection.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
