"""Functions over HTTP, answering as `gemel.core.engine.FunctionService` does here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gemel.sdk._connection import Connection, Document, part


class FunctionTransport(Protocol):
    """What the client asks of an engine's functions."""

    def list(self) -> Sequence[Document]:
        """Return every function."""

    def get(self, name: str) -> Document:
        """Return a function with its token."""

    def deploy(self, document: Mapping[str, Any], *, replace: bool = False) -> Document:
        """Return a function after it was deployed."""

    def remove(self, name: str) -> None:
        """Forget a function."""

    def invoke(self, name: str, input: Any = None, *, cause: str | None = None, wait: float | None = 0.0) -> Document:
        """Return a call."""

    def call(self, id: str, wait: float | None = 0.0) -> Document:
        """Return a call with its output."""

    def calls(self, name: str, state: str | None = None, limit: int = 50) -> Sequence[Document]:
        """Return calls, newest first."""

    def replay(self, name: str, call: str | None = None) -> Sequence[str]:
        """Return the dead letters that wait again."""

    def logs(self, call: str) -> str:
        """Return the end of what a call printed."""


class HttpFunctions:
    """Functions of an engine behind an address."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> Sequence[Document]:
        """Return every function with its calls by state; tokens are left out."""
        found: Sequence[Document] = self._connection.get("/functions")["functions"]
        return found

    def get(self, name: str) -> Document:
        """Return a function with its token."""
        return self._connection.get(f"/functions/{part(name)}")

    def deploy(self, document: Mapping[str, Any], *, replace: bool = False) -> Document:
        """Return a function after it was deployed; one of the same name is changed where `replace` is set."""
        return self._connection.post("/functions", dict(document), replace=replace)

    def remove(self, name: str) -> None:
        """Forget a function and its calls."""
        self._connection.send("DELETE", f"/functions/{part(name)}")

    def invoke(self, name: str, input: Any = None, *, cause: str | None = None, wait: float | None = 0.0) -> Document:
        """Return a call that waits to be run, or as it is after `wait` seconds; None waits for its end."""
        data = b"" if input is None else input if isinstance(input, bytes) else json.dumps(input).encode()
        params: Document = {"wait": 0.0 if wait is None else wait} | ({} if cause is None else {"cause": cause})
        sent = self._connection.send("POST", f"/functions/{part(name)}/calls", params=params, content=data)
        found = dict(sent.json())
        return self.call(found["id"], None) if wait is None else found

    def call(self, id: str, wait: float | None = 0.0) -> Document:
        """Return a call with its output, at once or after it ended (or the time is up)."""
        while True:
            found = self._connection.get(f"/calls/{part(id)}", wait=60.0 if wait is None else wait)
            if wait is not None or found["state"] not in ("queued", "running"):
                return found

    def calls(self, name: str, state: str | None = None, limit: int = 50) -> Sequence[Document]:
        """Return calls of a function, newest first, without their outputs."""
        path = f"/functions/{part(name)}/calls"
        found: Sequence[Document] = self._connection.get(path, state=state, limit=limit)["calls"]
        return found

    def replay(self, name: str, call: str | None = None) -> Sequence[str]:
        """Return the ids of the dead letters of a function (all, or one) that wait again."""
        params = {} if call is None else {"call": call}
        found: Sequence[str] = self._connection.post(f"/functions/{part(name)}/replay", None, **params)["calls"]
        return found

    def logs(self, call: str) -> str:
        """Return the end of what a call's last attempt printed."""
        return self._connection.send("GET", f"/calls/{part(call)}/log").text
