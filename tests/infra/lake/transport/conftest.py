"""A lake over two sites."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from grid_of_tests import grid
from lake_of_tests import Lake, rain
from lake_servers import dav, rclone, s3, xrootd
from xrootd_servers import xrootd_pair

__all__ = ["dav", "grid", "rain", "rclone", "s3", "xrootd", "xrootd_pair"]


@pytest.fixture
def lake(sqlite_url: str, home: Path, tmp_path: Path) -> Iterator[Lake]:
    made = Lake(sqlite_url, home)
    made.add_folder("archive", tmp_path / "archive")
    yield made
    made.close()
