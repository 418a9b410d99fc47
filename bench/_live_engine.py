"""An engine with a small twin on a disk of its own, for benchmarks of what runs by itself."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench._environment import BUILD
from gemel.base.config import load_settings
from gemel.core.engine import Engine, open_engine

TOML = """
[twin]
id = "meter"

[physical]
sync = "1 s"

[sources.level]
kind = "webhook"

[[triggers]]
on = "level"
run = "update"
"""
CODE = '''
"""A synthetic meter."""

from __future__ import annotations

from typing import Any

from gemel import graph, process


@process
def counted(state: dict[str, Any] | None, observation: dict[str, Any]) -> dict[str, Any]:
    """How many came."""
    return {"count": (state or {"count": 0})["count"] + 1, "level": observation["level"]}


@process
def noted(number: float) -> float:
    """The number."""
    return number


@process
def numbered(event: dict[str, Any]) -> float:
    """The number in an event."""
    return event["data"]["number"]


@graph
def update(observation: dict[str, Any], state: dict[str, Any] | None = None):
    """One more."""
    return {"state": counted(state, observation)}


@graph
def note(number: float):
    """Trivial."""
    return {"number": noted(number)}


@graph
def heed(event: dict[str, Any]):
    """Trivial, with an event."""
    return {"number": numbered(event)}
'''


@contextmanager
def meter() -> Iterator[Engine]:
    """Yield an engine whose twin `meter` can be loaded."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-live-", dir=BUILD) as folder:
        twin = Path(folder, "twins", "meter")
        twin.mkdir(parents=True)
        (twin / "twin.toml").write_text(TOML)
        (twin / "twin.py").write_text(CODE)
        with open_engine(load_settings(home=Path(folder), environ={}, folder=Path(folder))) as engine:
            yield engine
