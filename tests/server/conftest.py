"""A serving engine with the synthetic brook, followed to its end before anything is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gemel.base.config import load_settings
from gemel.cli._pages import engine_pages
from gemel.core.engine import Service, open_engine
from stage import Serving, serving, write_brook


@pytest.fixture(scope="module")
def brook_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Yield one server for the tests of a module; the twin lies in the engine's own folder of twins."""
    home = tmp_path_factory.mktemp("server") / "home"
    write_brook(home / "twins", [1.0, 60.0, 3.0])
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(open_engine(load_settings(home=home, environ={}, folder=home)))
        engine.go_live(engine.twin("brook")).wait_finished()
        yield stack.enter_context(serving(Service(engine), engine_pages()))


@pytest.fixture
def owner(brook_server: Serving) -> Iterator[httpx2.Client]:
    with brook_server.client() as client:
        yield client


@pytest.fixture
def stranger(brook_server: Serving) -> Iterator[httpx2.Client]:
    with brook_server.client(signed_in=False) as client:
        yield client


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Return a file that a run of the brook's `held` graph can wait for; it is not there yet."""
    return tmp_path / "gate"
