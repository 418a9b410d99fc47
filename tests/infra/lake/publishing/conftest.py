"""A lake with a catalogue, on a real journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lake_of_tests import Lake, rain
from lake_servers import dav, rclone, s3, xrootd

__all__ = ["dav", "rain", "rclone", "s3", "xrootd"]


@pytest.fixture
def any_lake(store_url: str, home: Path, tmp_path: Path) -> Iterator[Lake]:
    """Yield a lake once on SQLite and once on PostgreSQL."""
    made = Lake(store_url, home)
    made.add_folder("archive", tmp_path / "archive")
    yield made
    made.close()


@pytest.fixture
def lake(sqlite_url: str, home: Path, tmp_path: Path) -> Iterator[Lake]:
    made = Lake(sqlite_url, home)
    made.add_folder("archive", tmp_path / "archive")
    yield made
    made.close()
