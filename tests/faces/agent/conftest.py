"""A serving engine and a site that it cannot call."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemel.base.config import load_settings
from gemel.core.engine import Service, open_engine
from stage import Serving, serving

sys.path.insert(0, str(Path(__file__).parent))
from agent_stage import LIMITS, Field, fielded

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Yield one serving engine for the tests of a module, its mover at work."""
    home = tmp_path_factory.mktemp("engine") / "home"
    settings = load_settings(home=home, environ={}, folder=home, assignments=["lake.retry=0.2 s", "lake.attempts=12"])
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(open_engine(settings))
        engine.lake.exchange.limits = LIMITS
        yield stack.enter_context(serving(Service(engine)))


@pytest.fixture
def site(served: Serving, tmp_path: Path) -> Iterator[Field]:
    """Yield a fresh storage at a site, without an agent yet."""
    with fielded(served, f"site{next(_NUMBERS)}", tmp_path) as found:
        yield found
