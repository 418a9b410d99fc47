"""Alerts over HTTP, answering as `gemel.core.engine.AlertService` does here."""

from __future__ import annotations

from typing import Protocol

from gemel.sdk._connection import Connection, Document, part


class AlertTransport(Protocol):
    """What the client asks of alerts."""

    def alerts(self, twin: str | None = None, count: int = 50) -> list[Document]:
        """Return the newest alerts."""

    def cap(self, twin: str, position: int) -> str:
        """Return an alert as a CAP 1.2 message."""

    def outlets(self) -> list[Document]:
        """Return where alerts go."""


class HttpAlerts:
    """Alerts of an engine behind an address."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def alerts(self, twin: str | None = None, count: int = 50) -> list[Document]:
        """Return the newest alerts as CloudEvents with their `position`, newest first."""
        return list(self._connection.get("/alerts", twin=twin, count=count)["alerts"])

    def cap(self, twin: str, position: int) -> str:
        """Return an alert as a CAP 1.2 message."""
        return self._connection.send("GET", f"/twins/{part(twin)}/alerts/{position}/cap").text

    def outlets(self) -> list[Document]:
        """Return where alerts go: state, sent, pending, problem."""
        return list(self._connection.get("/outlets")["outlets"])
