"""Streams and triggers over HTTP, answering as `gemel.core.engine.StreamService` and `TriggerService` do here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from gemel.core.engine import tailed
from gemel.sdk._connection import Connection, Document, part

Documents = list[Document]


class StreamTransport(Protocol):
    """What the client asks of an engine's event log."""

    def streams(self) -> Documents:
        """Return every stream."""

    def stream(self, name: str) -> Document:
        """Return one stream with its bounds and groups."""

    def events(
        self, stream: str, after: int = 0, limit: int = 100, since: str | None = None, wait: float = 0.0
    ) -> Documents:
        """Return events after a position."""

    def send(self, stream: str, events: Iterable[Mapping[str, Any]]) -> Document:
        """Return how many events were new."""

    def receive(self, twin: str, source: str, headers: Mapping[str, str], body: bytes) -> Document:
        """Return how many observations were new."""

    def dead(self, stream: str, after: int = 0, limit: int = 100) -> Documents:
        """Return dead letters."""

    def replay(self, stream: str, positions: Iterable[int] | None = None) -> Document:
        """Return how many dead letters went back."""

    def buffers(self, twin: str) -> Documents:
        """Return the training buffers of a live twin."""

    def fire_buffer(self, twin: str, buffer: str) -> Document:
        """Return a batch of all that waits, opened now."""

    def retry_buffer(self, twin: str, buffer: str) -> Document:
        """Return the batch that had failed, to be trained with once more."""

    def states(
        self, twin: str, count: int = 20, begin: str | None = None, end: str | None = None, known: str | None = None
    ) -> Documents:
        """Return versions of a twin's state."""

    def state(self, twin: str, valid: str | None = None, known: str | None = None) -> Document:
        """Return a twin's state at an instant, as known at another."""

    def tail(self, stream: str, after: int | None = None, timeout: float | None = None) -> Iterator[Document]:
        """Yield events as they come (see `gemel.core.engine.tailed`)."""


class TriggerTransport(Protocol):
    """What the client asks of an engine's triggers."""

    def list(self, twin: str | None = None) -> Documents:
        """Return triggers."""

    def get(self, twin: str, name: str) -> Document:
        """Return one trigger."""

    def add(self, twin: str, document: Mapping[str, Any]) -> Document:
        """Return a new trigger."""

    def remove(self, twin: str, name: str) -> None:
        """Remove a trigger."""

    def call(
        self, twin: str, name: str, parameters: Mapping[str, Any] | None = None, key: str | None = None
    ) -> Document:
        """Return the cause that a call gave."""

    def causes(self, twin: str | None = None, count: int = 50) -> Documents:
        """Return the newest causes with their runs."""


class HttpStreams:
    """Streams of an engine behind an address."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def streams(self) -> Documents:
        """Return every stream that has events."""
        return list(self._connection.get("/streams")["streams"])

    def stream(self, name: str) -> Document:
        """Return one stream with its bounds and groups."""
        return self._connection.get("/stream", stream=name)

    def events(
        self, stream: str, after: int = 0, limit: int = 100, since: str | None = None, wait: float = 0.0
    ) -> Documents:
        """Return events after a position, oldest first."""
        asked = {"stream": stream, "after": after, "limit": limit, "since": since, "wait": wait}
        return list(self._connection.get("/events", **asked)["events"])

    def send(self, stream: str, events: Iterable[Mapping[str, Any]]) -> Document:
        """Return how many events were new and how many known, once they are durable."""
        return self._connection.post("/events", [dict(event) for event in events], stream=stream)

    def receive(self, twin: str, source: str, headers: Mapping[str, str], body: bytes) -> Document:
        """Return how many observations were new and how many known, once they are durable."""
        path = f"/twins/{part(twin)}/sources/{part(source)}/events"
        answer = self._connection.send("POST", path, content=body, headers=dict(headers))
        return dict(answer.json())

    def dead(self, stream: str, after: int = 0, limit: int = 100) -> Documents:
        """Return the dead letters of a stream."""
        return list(self._connection.get("/dead-letters", stream=stream, after=after, limit=limit)["letters"])

    def replay(self, stream: str, positions: Iterable[int] | None = None) -> Document:
        """Return how many dead letters went back into their stream."""
        wanted = None if positions is None else list(positions)
        return self._connection.post("/dead-letters", {"positions": wanted}, stream=stream)

    def buffers(self, twin: str) -> Documents:
        """Return the training buffers of a live twin: what waits, and the newest batches."""
        return list(self._connection.get(f"/twins/{part(twin)}/buffers")["buffers"])

    def fire_buffer(self, twin: str, buffer: str) -> Document:
        """Return a batch of all that waits in a buffer, opened now."""
        return self._connection.post(f"/twins/{part(twin)}/buffers/{part(buffer)}/fire")

    def retry_buffer(self, twin: str, buffer: str) -> Document:
        """Return the batch whose training had failed, to be trained with once more."""
        return self._connection.post(f"/twins/{part(twin)}/buffers/{part(buffer)}/retry")

    def states(
        self, twin: str, count: int = 20, begin: str | None = None, end: str | None = None, known: str | None = None
    ) -> Documents:
        """Return versions of a twin's state, oldest first."""
        bounds = {"count": count, "begin": begin, "end": end, "known": known}
        return list(self._connection.get(f"/twins/{part(twin)}/states", **bounds)["states"])

    def state(self, twin: str, valid: str | None = None, known: str | None = None) -> Document:
        """Return a twin's state at an instant, as known at another; the latest by default."""
        return self._connection.get(f"/twins/{part(twin)}/state", valid=valid, known=known)

    def tail(self, stream: str, after: int | None = None, timeout: float | None = None) -> Iterator[Document]:
        """Yield events as they come (see `gemel.core.engine.tailed`)."""
        return tailed(self.events, stream, after, timeout)


class HttpTriggers:
    """Triggers of an engine behind an address."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, twin: str | None = None) -> Documents:
        """Return the triggers of a twin, or those of live twins and all that were added."""
        path = "/triggers" if twin is None else f"/twins/{part(twin)}/triggers"
        return list(self._connection.get(path)["triggers"])

    def get(self, twin: str, name: str) -> Document:
        """Return one trigger."""
        return self._connection.get(f"/twins/{part(twin)}/triggers/{part(name)}")

    def add(self, twin: str, document: Mapping[str, Any]) -> Document:
        """Return a new trigger."""
        return self._connection.post(f"/twins/{part(twin)}/triggers", dict(document))

    def remove(self, twin: str, name: str) -> None:
        """Remove a trigger."""
        self._connection.send("DELETE", f"/twins/{part(twin)}/triggers/{part(name)}")

    def call(
        self, twin: str, name: str, parameters: Mapping[str, Any] | None = None, key: str | None = None
    ) -> Document:
        """Return the cause that a call gave."""
        body = {"parameters": dict(parameters or {}), "key": key}
        return self._connection.post(f"/twins/{part(twin)}/triggers/{part(name)}/call", body)

    def causes(self, twin: str | None = None, count: int = 50) -> Documents:
        """Return the newest causes with their runs."""
        return list(self._connection.get("/causes", twin=twin, count=count)["causes"])
