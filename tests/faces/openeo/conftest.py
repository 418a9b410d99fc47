"""A serving engine with a small synthetic collection, and the environment of the official suite and client."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from openeo_stage import PROVIDER, ROOT, furnish, speaking

from gemel.base.config import load_settings
from gemel.core.engine import Service, open_engine
from own_environment import own_environment
from stage import Serving, serving

# Scripts for the suite's environment; they import what only that has.
collect_ignore = ["outside"]
PINS = ROOT / "requirements" / "openeo-suite.txt"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Yield one serving engine with the collection for the tests of a module."""
    home = tmp_path_factory.mktemp("openeo") / "home"
    furnish(home)
    settings = load_settings(home=home, environ={}, folder=home, assignments=["server.upload=1 MB", PROVIDER])
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(open_engine(settings))
        yield stack.enter_context(serving(Service(engine)))


@pytest.fixture
def api(served: Serving) -> Iterator[httpx2.Client]:
    """Yield a client of the API that shows the token as openEO clients do."""
    with speaking(served) as client:
        yield client


@pytest.fixture
def stranger(served: Serving) -> Iterator[httpx2.Client]:
    """Yield a client of the API without a token."""
    with speaking(served, signed_in=False) as client:
        yield client


@pytest.fixture(scope="session")
def conformance() -> Path:
    """Return the folder of published specifications."""
    folder = Path(os.environ.get("GEMEL_CONFORMANCE") or ROOT.parent / "shared" / "conformance")
    if not (folder / "openeo-api" / "openapi.yaml").is_file():
        pytest.skip(f"the openEO API document is not in {folder} (GEMEL_CONFORMANCE)")
    return folder


@pytest.fixture(scope="session")
def suite_python() -> Path:
    """Return the Python of an environment with the official suite and client, made on first use and kept."""
    return own_environment("openeo-suite", PINS)
