"""A serving engine whose twins are Things, and the packages of the reference client."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import httpx2
import pytest

from gemel.base.config import load_settings
from gemel.core.engine import Service, open_engine
from gemel.faces.wot import face
from gemel.server._faces import installed_faces
from stage import Serving, serving, write_brook

FOLDER = Path(__file__).parent
FLOWS = [1.0, 60.0, None]
TANK = """\
[twin]
id = "tank"
version = "0.1.0"
title = "A synthetic tank"
licence = "Apache-2.0"
main = "note"

[physical]
title = "No real tank"
latitude = 54.3
longitude = 10.1
sync = "1 min"
fidelity = { level = "0.1 m" }

[sources.gauge]
kind = "webhook"

[[triggers]]
on = "gauge"
run = "update"

[[triggers]]
name = "noting"
run = "note"
call = true
"""
CODE = '''\
"""A synthetic tank."""

from __future__ import annotations

from typing import Any

from gemel import graph, process


@process
def taken(state: dict[str, Any] | None, observation: dict[str, Any]) -> dict[str, Any]:
    """Levels up to now."""
    before = state or {"count": 0}
    return {"count": before["count"] + 1, "level": observation["level"]}


@process
def doubt(state: dict[str, Any]) -> dict[str, Any]:
    """A made-up standard error."""
    return {"level": {"standard_error": 0.1, "unit": "m"}}


@process
def misfit_of(state: dict[str, Any]) -> dict[str, Any]:
    """How far the level is from 3 m."""
    return {"value": abs((state["level"] or 3.0) - 3.0), "unit": "m", "variable": "level"}


@process
def warned(state: dict[str, Any]) -> list[dict[str, Any]]:
    """High levels warn."""
    return [{"kind": "flood", "level": state["level"]}] if (state["level"] or 0.0) > 5.0 else []


@process
def noted(what: str) -> str:
    """The same."""
    return what


@graph
def update(observation: dict[str, Any], state: dict[str, Any] | None = None):
    """One more level."""
    now = taken(state, observation)
    return {"state": now, "uncertainty": doubt(now), "misfit": misfit_of(now), "alerts": warned(now)}


@graph
def note(what: str = "noted"):
    """Say it."""
    return {"line": noted(what)}
'''


def write_small_tank(parent: Path) -> Path:
    """Return the folder of a tank to which others send levels."""
    folder = parent / "tank"
    folder.mkdir(parents=True)
    (folder / "twin.toml").write_text(TANK)
    (folder / "twin.py").write_text(CODE)
    (folder / "README.md").write_text("# Tank\n\nPurpose: tests. Data: synthetic. Quality, limits, licence: none.\n")
    return folder


def send_level(served: Serving, number: int, level: float | None) -> None:
    """Send the level of minute `number` to the tank."""
    event = {"specversion": "1.0", "id": f"level-{number}", "type": "gemel.observation", "source": "/tests"}
    event |= {"time": f"2024-01-01T00:{number:02}:00Z", "data": {"level": level}}
    with served.client(**{"content-type": "application/cloudevents+json"}) as client:
        answer = client.post("/api/v1/twins/tank/sources/gauge/events", content=json.dumps(event))
    assert answer.status_code == 202, answer.text


def _faces():
    found = installed_faces()
    return found if any(item is face for item in found) else [*found, face]


@contextlib.contextmanager
def serving_things(home: Path) -> Iterator[Serving]:
    """Yield a serving engine: a brook that was followed to its end, a live tank, and a twin that cannot be read."""
    write_brook(home / "twins", FLOWS)
    write_small_tank(home / "twins")
    broken = home / "twins" / "broken"
    broken.mkdir()
    (broken / "twin.toml").write_text("[twin]\nid = 3\n")
    settings = load_settings(home=home, environ={}, folder=home)
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(open_engine(settings))
        engine.serve()
        engine.go_live(engine.twin("brook")).wait_finished()
        engine.go_live(engine.twin("tank"))
        stack.enter_context(mock.patch("gemel.server._app.installed_faces", _faces))
        yield stack.enter_context(serving(Service(engine)))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Yield one serving engine for the tests of a module."""
    with serving_things(tmp_path_factory.mktemp("wot") / "home") as found:
        yield found


@pytest.fixture
def things(served: Serving) -> Iterator[httpx2.Client]:
    """Yield a client with the engine's token."""
    with served.client() as client:
        yield client


@pytest.fixture(scope="session")
def node_wot() -> Path:
    """Return the folder with the packages that `package.json` names, installed by one process and kept."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed (Debian packages `nodejs npm`)")
    pins = FOLDER / "package.json"
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "gemel-tests" / f"node-wot-{hashlib.sha256(pins.read_bytes()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            shutil.copy(pins, folder / "package.json")
            command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"npm cannot install node-wot: {done.stderr[-500:]}")
            (folder / "ready").touch()
    return folder
