"""A serving engine that speaks aviso, and the environment of ECMWF's own client."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import httpx2
import pytest

from gemel.base.config import load_settings
from gemel.core.engine import Service, open_engine
from gemel.core.stream import Event
from gemel.faces.aviso import face
from gemel.server._faces import installed_faces
from own_environment import own_environment
from stage import PATIENCE, Serving, serving, write_brook

FOLDER = Path(__file__).parent


def _faces():
    found = installed_faces()
    return found if any(item is face for item in found) else [*found, face]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Yield one serving engine for the tests of a module; it has the synthetic brook."""
    home = tmp_path_factory.mktemp("aviso") / "home"
    write_brook(home / "twins", [1.0])
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(open_engine(load_settings(home=home, environ={}, folder=home)))
        stack.enter_context(mock.patch("gemel.server._app.installed_faces", _faces))
        yield stack.enter_context(serving(Service(engine)))


@pytest.fixture(scope="session")
def pyaviso() -> Path:
    """Return the Python of an environment with pyaviso, made on first use and kept."""
    return own_environment("aviso", FOLDER / "pins.txt")


def tell(served: Serving, stream: str, id: str, kind: str, **data: Any) -> int:
    """Return the position of an event told by the engine."""
    event = Event(id, kind, f"/{stream}", datetime.now(UTC), data, stream.rpartition("/")[2])
    position = served.service.engine.log.append(stream, event)
    assert position
    return position


def notify(
    served: Serving, type: str, identifier: dict[str, Any] | None = None, payload: Any = None
) -> httpx2.Response:
    body = {"event_type": type, "identifier": identifier or {}, "payload": payload}
    with served.client() as client:
        return client.post("/aviso/api/v1/notification", json=body)


class Listener:
    """Reads a watch or replay in a thread: (event, data) of each message."""

    def __init__(self, served: Serving, way: str, **body: Any) -> None:
        self._client = served.client()
        self._queue: queue.Queue[tuple[str, dict[str, Any]] | None] = queue.Queue()
        self._answer = self._client.stream("POST", f"/aviso/api/v1/{way}", json=body)
        self.answer = self._answer.__enter__()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> tuple[str, dict[str, Any]] | None:
        return self._queue.get(timeout=PATIENCE)

    def rest(self) -> list[tuple[str, dict[str, Any]]]:
        return list(iter(self.next, None))

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.answer.close()
        self._client.close()

    def _read(self) -> None:
        name = ""
        with contextlib.suppress(Exception):
            for line in self.answer.iter_lines():
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    self._queue.put((name, json.loads(line[6:])))
        self._queue.put(None)


@contextlib.contextmanager
def listening(served: Serving, way: str, **body: Any) -> Iterator[Listener]:
    listener = Listener(served, way, **body)
    try:
        yield listener
    finally:
        listener.close()
