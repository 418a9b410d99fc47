"""Two ways to an engine that answer alike: in this process, or over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from gemel.base import errors
from gemel.sdk._alerts import AlertTransport, HttpAlerts
from gemel.sdk._connection import Connection, Document, part
from gemel.sdk._data_http import HttpData
from gemel.sdk._data_transport import DataTransport
from gemel.sdk._functions import FunctionTransport, HttpFunctions
from gemel.sdk._models import HttpModels, ModelTransport
from gemel.sdk._streams import HttpStreams, HttpTriggers, StreamTransport, TriggerTransport


class Transport(Protocol):
    """What the client asks of an engine; `gemel.core.engine.Service` answers in this process."""

    @property
    def data(self) -> DataTransport:
        """Return the way to its lake."""

    @property
    def streams(self) -> StreamTransport:
        """Return the way to its event log."""

    @property
    def triggers(self) -> TriggerTransport:
        """Return the way to its triggers."""

    @property
    def functions(self) -> FunctionTransport:
        """Return the way to its functions."""

    @property
    def alerts(self) -> AlertTransport:
        """Return the way to its alerts."""

    @property
    def models(self) -> ModelTransport:
        """Return the way to its models."""

    def twins(self) -> list[Document]:
        """Return a short document of each twin."""

    def twin(self, id: str) -> Document:
        """Return everything needed to use a twin."""

    def card(self, id: str) -> str:
        """Return a twin's card."""

    def live(self, id: str) -> Document:
        """Return how far a twin is from its physical twin."""

    def views(self, id: str, run: str | None = None) -> list[Document]:
        """Return the documents of a twin's views."""

    def report(self, id: str) -> Document | None:
        """Return the newest report on a twin."""

    def start(self, id: str, graph: str | None, parameters: Mapping[str, Any], wait: float = 0.0) -> Document:
        """Return a run that has begun."""

    def run_graph(self, document: Mapping[str, Any], parameters: Mapping[str, Any], wait: float = 0.0) -> Document:
        """Return a run of a graph that belongs to no twin."""

    def estimate_graph(self, document: Mapping[str, Any], parameters: Mapping[str, Any]) -> Document:
        """Return what running a graph will need."""

    def whatif(self, id: str, parameters: Mapping[str, Any], wait: float = 10.0) -> Document:
        """Return a what-if run, with views when finished."""

    def run(self, id: str) -> Document:
        """Return one run."""

    def runs(self, twin: str | None = None, state: str | None = None, limit: int = 50) -> list[Document]:
        """Return the newest runs."""

    def wait(self, id: str, timeout: float | None = None) -> Document:
        """Return the run when it has ended."""

    def changes(self, id: str, timeout: float | None = None) -> Iterator[Document]:
        """Yield what happens to a run's steps."""

    def cancel(self, id: str) -> Document:
        """Return the run after asking for its end."""

    def logs(self, id: str) -> list[Document]:
        """Return a run's log lines."""

    def output_bytes(self, id: str, name: str, format: str | None = None) -> tuple[bytes, str]:
        """Return an output in a format."""

    def explain(self, id: str) -> Document:
        """Return why a run's numbers are what they are."""

    def compare(self, first: str, second: str) -> Document:
        """Return what differs between two runs."""

    def check(self, id: str) -> Document:
        """Return the report of a twin's checks."""

    def publish(self, id: str) -> Document:
        """Return what was published."""

    def pull(self, id: str, version: str | None = None) -> Document:
        """Return what was pulled."""

    def plugins(self) -> list[Document]:
        """Return every plugin."""

    def processes(self) -> list[Document]:
        """Return every process."""


class HttpTransport:
    """An engine behind an address.

    Args:
        url: Its address.
        token: Its token.
        cache: Folder for what is read whole to be opened; default a temporary one.
    """

    def __init__(self, url: str, token: str, cache: Path | None = None) -> None:
        self._connection = Connection(url, token)
        self._get, self._post, self._send = self._connection.get, self._connection.post, self._connection.send
        self.data = HttpData(self._connection, cache)
        self.streams, self.triggers = HttpStreams(self._connection), HttpTriggers(self._connection)
        self.functions, self.alerts = HttpFunctions(self._connection), HttpAlerts(self._connection)
        self.models = HttpModels(self._connection)

    def close(self) -> None:
        """Close the connection."""
        self.data.close()
        self._connection.close()

    def twins(self) -> list[Document]:
        """Return a short document of each twin."""
        return list(self._get("/twins")["twins"])

    def twin(self, id: str) -> Document:
        """Return everything needed to use a twin."""
        return self._get(f"/twins/{part(id)}")

    def card(self, id: str) -> str:
        """Return a twin's card."""
        return self._send("GET", f"/twins/{part(id)}/card").text

    def live(self, id: str) -> Document:
        """Return how far a twin is from its physical twin."""
        return self._get(f"/twins/{part(id)}/live")

    def views(self, id: str, run: str | None = None) -> list[Document]:
        """Return the documents of a twin's views."""
        return list(self._get(f"/twins/{part(id)}/views", run=run)["views"])

    def report(self, id: str) -> Document | None:
        """Return the newest report on a twin, or None."""
        self.twin(id)
        try:
            return self._get(f"/twins/{part(id)}/report")
        except errors.NotFound:
            return None

    def start(self, id: str, graph: str | None, parameters: Mapping[str, Any], wait: float = 0.0) -> Document:
        """Return a run that has begun (and, after `wait` seconds, may have ended)."""
        body = {"graph": graph, "parameters": dict(parameters)}
        return self._post(f"/twins/{part(id)}/runs", body, wait=wait)

    def run_graph(self, document: Mapping[str, Any], parameters: Mapping[str, Any], wait: float = 0.0) -> Document:
        """Return a run of a graph that belongs to no twin (and, after `wait` seconds, may have ended)."""
        return self._post("/runs", {"process": dict(document), "parameters": dict(parameters)}, wait=wait)

    def estimate_graph(self, document: Mapping[str, Any], parameters: Mapping[str, Any]) -> Document:
        """Return what running a graph will need; nothing is run."""
        return self._post("/estimates", {"process": dict(document), "parameters": dict(parameters)})

    def whatif(self, id: str, parameters: Mapping[str, Any], wait: float = 10.0) -> Document:
        """Return a what-if run, with views when finished."""
        return self._post(f"/twins/{part(id)}/whatif", {"parameters": dict(parameters)}, wait=wait)

    def run(self, id: str) -> Document:
        """Return one run."""
        return self._get(f"/runs/{part(id)}")

    def runs(self, twin: str | None = None, state: str | None = None, limit: int = 50) -> list[Document]:
        """Return the newest runs."""
        return list(self._get("/runs", twin=twin, state=state, limit=limit)["runs"])

    def wait(self, id: str, timeout: float | None = None) -> Document:
        """Return the run when it has ended, or as it stands when the time is up."""
        if timeout is not None:
            return self._get(f"/runs/{part(id)}", wait=timeout)
        while True:
            found = self._get(f"/runs/{part(id)}", wait=60)
            if found["state"] not in ("queued", "running"):
                return found

    def changes(self, id: str, timeout: float | None = None) -> Iterator[Document]:
        """Yield what happens to a run's steps, as it happens, until the run has ended."""
        self.run(id)
        for change in self._connection.events("GET", f"/runs/{part(id)}/events", timeout=timeout):
            if "run" not in change:
                yield change

    def cancel(self, id: str) -> Document:
        """Return the run after asking for its end."""
        return self._post(f"/runs/{part(id)}/cancel")

    def logs(self, id: str) -> list[Document]:
        """Return a run's log lines."""
        return list(self._get(f"/runs/{part(id)}/logs")["logs"])

    def output_bytes(self, id: str, name: str, format: str | None = None) -> tuple[bytes, str]:
        """Return (bytes, media type) of an output."""
        path = f"/runs/{part(id)}/outputs/{part(name)}"
        answer = self._send("GET", path, params={"format": format} if format else None)
        return answer.content, answer.headers["content-type"].split(";")[0]

    def explain(self, id: str) -> Document:
        """Return why a run's numbers are what they are."""
        return self._get(f"/runs/{part(id)}/explain")

    def compare(self, first: str, second: str) -> Document:
        """Return what differs between two runs."""
        return self._get("/compare", a=first, b=second)

    def check(self, id: str) -> Document:
        """Return the report of a twin's checks, made now."""
        return self._post(f"/twins/{part(id)}/check")

    def publish(self, id: str) -> Document:
        """Return what was published."""
        return self._post(f"/twins/{part(id)}/publish")

    def pull(self, id: str, version: str | None = None) -> Document:
        """Return what was pulled."""
        return self._post(f"/twins/{part(id)}/pull", {"version": version})

    def plugins(self) -> list[Document]:
        """Return every plugin and whether it is healthy."""
        return list(self._get("/plugins")["plugins"])

    def processes(self) -> list[Document]:
        """Return every process."""
        return list(self._get("/processes")["processes"])
