"""Engines on given stores, and the synthetic brook in the current folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gemel.base.config import load_settings
from gemel.core.engine import Engine, open_engine

NewEngine = Callable[..., Engine]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, in which twins are looked for first."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def new_engine(home: Path) -> Iterator[NewEngine]:
    """Return a maker of engines on a store; what is still open at the end is closed."""
    with contextlib.ExitStack() as stack:

        def make(url: str) -> Engine:
            engine: Engine = stack.enter_context(
                open_engine(load_settings(home=home, assignments=[f"store.url={url}"]))
            )
            return engine

        yield make


@pytest.fixture
def engine(store_url: str, new_engine: NewEngine) -> Engine:
    return new_engine(store_url)


@pytest.fixture
def sqlite_engine(sqlite_url: str, new_engine: NewEngine) -> Engine:
    return new_engine(sqlite_url)
