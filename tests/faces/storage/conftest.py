"""A serving storage element, with time limits that a test can wait for."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from storage_stage import Place, local_storage

from gemel.base.config import load_settings
from gemel.core.engine import Service, open_engine
from gemel.faces.storage import Limits, face
from stage import Serving, serving

# The servers of other people that the tests of storages use.
sys.path.insert(0, str(Path(__file__).parents[2] / "infra" / "lake" / "storages"))
from lake_servers import rclone, xrootd
from xrootd_servers import xrootd_pair

__all__ = ["rclone", "xrootd", "xrootd_pair"]
# Run by the system's Python; it imports what only that has.
collect_ignore = ["outside"]
_NUMBERS = itertools.count(1)
LIMITS = Limits(silence=3.0, marker=0.2, transfers=32)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Yield one serving engine for the tests of a module."""
    home = tmp_path_factory.mktemp("element") / "home"
    settings = load_settings(home=home, environ={}, folder=home)
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr(face, "limits", LIMITS)
        engine = stack.enter_context(open_engine(settings))
        yield stack.enter_context(serving(Service(engine)))


@pytest.fixture
def place(served: Serving, tmp_path: Path) -> Place:
    """Return the element with a fresh storage on it."""
    name = f"place{next(_NUMBERS)}"
    assert served.service is not None
    local_storage(served.service, name, tmp_path / "data")
    return Place(served, name, tmp_path / "data")


@pytest.fixture
def owner(place: Place) -> Iterator[httpx2.Client]:
    """Yield a client of the storage with the engine's token."""
    with place.client() as client:
        yield client


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Place]:
    """Yield a storage on an element of another engine, with a token and a key of its own."""
    home = tmp_path / "second"
    settings = load_settings(home=home, environ={}, folder=tmp_path)
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(open_engine(settings))
        other = stack.enter_context(serving(Service(engine)))
        yield Place(other, "home", home / "data")
