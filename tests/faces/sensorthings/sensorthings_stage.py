"""A serving engine with a pond that is observed, and a heap of readings of every kind."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import httpx2
import pytest

from gemel.base.clock import iso
from gemel.base.config import load_settings
from gemel.core.engine import Engine, Service, open_engine
from gemel.core.stream import Event
from gemel.faces.sensorthings import face
from gemel.server._faces import installed_faces
from own_environment import own_environment
from stage import Serving, serving

FOLDER = Path(__file__).parent
ROOT = "/sensorthings/v1.1"
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
LEVELS = [1.0, 2.5, None, 4.0, 3.5]
HEAP_TOML = """\
[twin]
id = "heap"
title = "A heap of readings"
main = "note"

[sources.meter]
kind = "webhook"
"""
POND_TOML = """\
[twin]
id = "pond"
version = "0.2.0"
title = "A synthetic pond"
summary = "Levels and inflows."
licence = "Apache-2.0"
main = "note"

[physical]
title = "No real pond"
latitude = 54.3
longitude = 10.1
sync = "1 min"
fidelity = { level = "0.1 m", inflow = "20 %" }

[sources.gauge]
kind = "webhook"

[[triggers]]
on = "gauge"
run = "update"
"""
CODE = '''\
"""Synthetic."""

from __future__ import annotations

from typing import Any

from gemel import graph, process


@process
def taken(state: dict[str, Any] | None, observation: dict[str, Any]) -> dict[str, Any]:
    """Levels up to now."""
    return {"count": (state or {"count": 0})["count"] + 1, "level": observation["level"]}


@process
def doubt(state: dict[str, Any]) -> dict[str, Any]:
    """A made-up standard error."""
    return {"level": {"standard_error": 0.1, "unit": "m"}}


@process
def misfit_of(state: dict[str, Any]) -> dict[str, Any]:
    """How far the level is from 3 m."""
    level = state["level"]
    return {"value": None if level is None else abs(level - 3.0), "unit": "m", "variable": "level"}


@process
def noted(what: str) -> str:
    """The same."""
    return what


@graph
def update(observation: dict[str, Any], state: dict[str, Any] | None = None):
    """One more level."""
    now = taken(state, observation)
    return {"state": now, "uncertainty": doubt(now), "misfit": misfit_of(now)}


@graph
def note(what: str = "noted"):
    """Say it."""
    return {"line": noted(what)}
'''


def write_twin(parent: Path, toml: str, name: str) -> None:
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / "twin.toml").write_text(toml)
    (folder / "twin.py").write_text(CODE)
    (folder / "README.md").write_text("# Pond\n\nPurpose: tests. Data: synthetic. Quality, limits, licence: none.\n")


def observation(number: int, data: dict[str, Any], minutes: int | None = None) -> Event:
    """Return an observation of a minute."""
    moment = BEGIN + timedelta(minutes=number if minutes is None else minutes)
    return Event(f"o-{number}", "gemel.observation", "/tests", moment, data)


def send(engine: Engine, levels: Iterable[float | None], first: int = 0) -> None:
    """Send levels, with inflows of ten times as much, to the pond."""
    found = [
        observation(number, {"level": level, "inflow": None if level is None else 10 * level, "flag": "ok"})
        for number, level in enumerate(levels, first)
    ]
    body = json.dumps([event.document() for event in found]).encode()
    engine.live("pond").receive("gauge", {"content-type": "application/cloudevents-batch+json"}, body)


def fill(engine: Engine, values: Iterable[tuple[int, Any]]) -> None:
    """Append (minute, value) to the log of the heap."""
    events = [observation(number, {"value": value}, minute) for number, (minute, value) in enumerate(values)]
    engine.log.append_many("twins/heap/meter", events)


def _faces():
    found = installed_faces()
    return found if any(item is face for item in found) else [*found, face]


@contextlib.contextmanager
def serving_pond(home: Path) -> Iterator[Serving]:
    """Yield a serving engine whose pond has taken in five levels."""
    write_twin(home / "twins", POND_TOML, "pond")
    write_twin(home / "twins", HEAP_TOML, "heap")
    settings = load_settings(home=home, environ={}, folder=home)
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(open_engine(settings))
        live = engine.go_live(engine.twin("pond"))
        send(engine, LEVELS)
        _until_taken(engine, live)
        stack.enter_context(mock.patch("gemel.server._app.installed_faces", _faces))
        yield stack.enter_context(serving(Service(engine)))


def _until_taken(engine: Engine, live: Any) -> None:
    position = 0
    while engine.states.latest("pond") is None or engine.states.latest("pond").sequence < len(LEVELS):
        found = engine.log.wait("twins/pond", position, 20.0)
        assert found, live.status()
        position = found[-1].position


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Yield one serving engine for the tests of a module."""
    with serving_pond(tmp_path_factory.mktemp("pond") / "home") as found:
        yield found


@pytest.fixture(scope="module")
def api(served: Serving) -> Iterator[httpx2.Client]:
    """Yield a client with the engine's token."""
    with served.client() as client:
        yield client


def asked(api: httpx2.Client, path: str, **options: Any) -> dict[str, Any]:
    """Return the document at a path; options without their dollar."""
    answer = api.get(f"{ROOT}/{path}", params={f"${name}": value for name, value in options.items()})
    assert answer.status_code == 200, answer.text
    return answer.json()


def followed(api: httpx2.Client, path: str, **options: Any) -> list[dict[str, Any]]:
    """Return the entities of all pages."""
    page = asked(api, path, **options)
    found = list(page["value"])
    while "@iot.nextLink" in page:
        answer = api.get(page["@iot.nextLink"])
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page["value"]
        found += page["value"]
    return found


def stamp(minutes: int) -> str:
    return str(iso(BEGIN + timedelta(minutes=minutes)))


@pytest.fixture(scope="session")
def frost() -> Path:
    """Return the Python of an environment with frost-sta-client, made on first use and kept."""
    return own_environment("frost", FOLDER / "pins.txt")
