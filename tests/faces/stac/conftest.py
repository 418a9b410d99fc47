"""A serving engine with synthetic items, and the environment of the official validator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from stac_stage import ROOT, furnish, speaking

from gemel.base.config import load_settings
from gemel.core.engine import Service, open_engine
from own_environment import own_environment
from stage import Serving, serving

# A script for the validator's environment; it imports what only that has.
collect_ignore = ["outside"]
PINS = ROOT / "requirements" / "stac-validator.txt"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Yield one serving engine with the synthetic items for the tests of a module."""
    home = tmp_path_factory.mktemp("stac") / "home"
    settings = load_settings(home=home, environ={}, folder=home)
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(open_engine(settings))
        furnish(engine.catalogue, engine.collections)
        yield stack.enter_context(serving(Service(engine)))


@pytest.fixture
def api(served: Serving) -> Iterator[httpx2.Client]:
    """Yield a client of the API with the engine's token."""
    with speaking(served) as client:
        yield client


@pytest.fixture
def stranger(served: Serving) -> Iterator[httpx2.Client]:
    """Yield a client of the API without a token."""
    with speaking(served, signed_in=False) as client:
        yield client


@pytest.fixture(scope="session")
def validator() -> Path:
    """Return the Python of an environment with the official validator, made on first use and kept."""
    return own_environment("stac-validator", PINS)
