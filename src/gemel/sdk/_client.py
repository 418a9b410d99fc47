"""Connecting to an engine: `connect()` opens one in this process, `connect(url)` talks to one that serves."""

from __future__ import annotations

import atexit
import contextlib
from pathlib import Path
from typing import Any

from gemel.base.config import load_settings
from gemel.core.engine import Service, open_engine
from gemel.infra.access import read_token
from gemel.sdk._data import DataView
from gemel.sdk._handles import RunHandle, TwinsView
from gemel.sdk._transport import Document, HttpTransport, Transport


class Client:
    """An engine, here or elsewhere; a context manager that closes it.

    Attributes:
        twins: The twins by id.
        data: The data lake.
        streams: The event log, and the states of twins.
        triggers: What makes graphs run.
        functions: Processes that are deployed to be called.
        alerts: What was warned of, and where warnings go.
        models: What was learned, and what is learning.
    """

    def __init__(self, transport: Transport, closing: contextlib.ExitStack) -> None:
        self.transport = transport
        self.twins = TwinsView(transport)
        self.data = DataView(transport.data)
        self.streams = transport.streams
        self.triggers, self.functions = transport.triggers, transport.functions
        self.alerts, self.models = transport.alerts, transport.models
        self._closing = closing

    def runs(self, twin: str | None = None, state: str | None = None, limit: int = 50) -> list[RunHandle]:
        """Return the newest runs first."""
        return [RunHandle(self.transport, run) for run in self.transport.runs(twin, state, limit)]

    def run(self, id: str) -> RunHandle:
        """Return one run by id.

        Raises:
            NotFound: There is none.
        """
        return RunHandle(self.transport, self.transport.run(id))

    def run_graph(self, document: Document, **parameters: Any) -> RunHandle:
        """Return a run, begun now, of an openEO process graph that belongs to no twin."""
        return RunHandle(self.transport, self.transport.run_graph(document, parameters))

    def estimate_graph(self, document: Document, **parameters: Any) -> Document:
        """Return what running an openEO process graph will need: shapes, tiles, bytes of memory and to read."""
        return self.transport.estimate_graph(document, parameters)

    def compare(self, first: str, second: str) -> Document:
        """Return which input, code, model or site differs between two runs."""
        return self.transport.compare(first, second)

    def pull(self, twin: str, version: str | None = None) -> Document:
        """Return what was pulled: a published twin, now among the engine's own."""
        return self.transport.pull(twin, version)

    def close(self) -> None:
        """Close the engine or the connection."""
        self._closing.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(url: str | None = None, *, token: str | None = None, home: Path | str | None = None) -> Client:
    """Return a client of the engine at `url`, or of one opened in this process when there is no `url`.

    Args:
        url: Address of a serving engine, like ``http://127.0.0.1:8400``.
        token: Its token; default the one of the engine at `home`, which is right for an engine of your own.
        home: Folder of the engine's data; default as configured.

    Raises:
        EngineStopped: Nothing answers at `url`.
        StoreUnavailable: The engine's folder cannot be used.
    """
    settings = load_settings(home=Path(home) if home is not None else None)
    closing = contextlib.ExitStack()
    if url is None:
        engine = closing.enter_context(open_engine(settings))
        client = Client(Service(engine), closing)
    else:
        transport = HttpTransport(url, token or read_token(settings.home), settings.home / "cache")
        closing.callback(transport.close)
        client = Client(transport, closing)
    # A notebook is rarely tidy: what was opened is closed at the latest when Python ends.
    atexit.register(closing.close)
    return client
