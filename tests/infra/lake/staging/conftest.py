"""A node that shares the engine's folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from staging_stage import Node


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "home", tmp_path / "work").install()
