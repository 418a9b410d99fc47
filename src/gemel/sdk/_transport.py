"""Two ways to an engine that answer alike: in this process, or over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import quote

import httpx2

from gemel.base import errors
from gemel.base.errors import EngineStopped, GemelError, InvalidInput

Document = dict[str, Any]
_ANSWER_SECONDS = 330.0


class Transport(Protocol):
    """What the client asks of an engine; `gemel.core.engine.Service` answers in this process."""

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
    """An engine behind an address."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"}
        try:
            self._http = httpx2.Client(base_url=f"{self._url}/api/v1", headers=headers, timeout=_ANSWER_SECONDS)
        except httpx2.InvalidURL as error:
            raise InvalidInput(f"'{url}' is not an address: {error}.", hint="http://127.0.0.1:8400") from error

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def twins(self) -> list[Document]:
        """Return a short document of each twin."""
        return list(self._get("/twins")["twins"])

    def twin(self, id: str) -> Document:
        """Return everything needed to use a twin."""
        return self._get(f"/twins/{_part(id)}")

    def card(self, id: str) -> str:
        """Return a twin's card."""
        return self._send("GET", f"/twins/{_part(id)}/card").text

    def live(self, id: str) -> Document:
        """Return how far a twin is from its physical twin."""
        return self._get(f"/twins/{_part(id)}/live")

    def views(self, id: str, run: str | None = None) -> list[Document]:
        """Return the documents of a twin's views."""
        return list(self._get(f"/twins/{_part(id)}/views", run=run)["views"])

    def report(self, id: str) -> Document | None:
        """Return the newest report on a twin, or None."""
        self.twin(id)
        try:
            return self._get(f"/twins/{_part(id)}/report")
        except errors.NotFound:
            return None

    def start(self, id: str, graph: str | None, parameters: Mapping[str, Any], wait: float = 0.0) -> Document:
        """Return a run that has begun (and, after `wait` seconds, may have ended)."""
        body = {"graph": graph, "parameters": dict(parameters)}
        return self._post(f"/twins/{_part(id)}/runs", body, wait=wait)

    def run_graph(self, document: Mapping[str, Any], parameters: Mapping[str, Any], wait: float = 0.0) -> Document:
        """Return a run of a graph that belongs to no twin (and, after `wait` seconds, may have ended)."""
        return self._post("/runs", {"process": dict(document), "parameters": dict(parameters)}, wait=wait)

    def estimate_graph(self, document: Mapping[str, Any], parameters: Mapping[str, Any]) -> Document:
        """Return what running a graph will need; nothing is run."""
        return self._post("/estimates", {"process": dict(document), "parameters": dict(parameters)})

    def whatif(self, id: str, parameters: Mapping[str, Any], wait: float = 10.0) -> Document:
        """Return a what-if run, with views when finished."""
        return self._post(f"/twins/{_part(id)}/whatif", {"parameters": dict(parameters)}, wait=wait)

    def run(self, id: str) -> Document:
        """Return one run."""
        return self._get(f"/runs/{_part(id)}")

    def runs(self, twin: str | None = None, state: str | None = None, limit: int = 50) -> list[Document]:
        """Return the newest runs."""
        return list(self._get("/runs", twin=twin, state=state, limit=limit)["runs"])

    def wait(self, id: str, timeout: float | None = None) -> Document:
        """Return the run when it has ended, or as it stands when the time is up."""
        if timeout is not None:
            return self._get(f"/runs/{_part(id)}", wait=timeout)
        while True:
            found = self._get(f"/runs/{_part(id)}", wait=60)
            if found["state"] not in ("queued", "running"):
                return found

    def changes(self, id: str, timeout: float | None = None) -> Iterator[Document]:
        """Yield what happens to a run's steps, as it happens, until the run has ended."""
        self.run(id)
        try:
            with self._http.stream("GET", f"/runs/{_part(id)}/events", timeout=timeout) as answer:
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        change = json.loads(line.removeprefix("data: "))
                        if "run" not in change:
                            yield change
        except httpx2.HTTPError as error:
            raise self._silent(error) from error

    def cancel(self, id: str) -> Document:
        """Return the run after asking for its end."""
        return self._post(f"/runs/{_part(id)}/cancel")

    def logs(self, id: str) -> list[Document]:
        """Return a run's log lines."""
        return list(self._get(f"/runs/{_part(id)}/logs")["logs"])

    def output_bytes(self, id: str, name: str, format: str | None = None) -> tuple[bytes, str]:
        """Return (bytes, media type) of an output."""
        path = f"/runs/{_part(id)}/outputs/{_part(name)}"
        answer = self._send("GET", path, params={"format": format} if format else None)
        return answer.content, answer.headers["content-type"].split(";")[0]

    def explain(self, id: str) -> Document:
        """Return why a run's numbers are what they are."""
        return self._get(f"/runs/{_part(id)}/explain")

    def compare(self, first: str, second: str) -> Document:
        """Return what differs between two runs."""
        return self._get("/compare", a=first, b=second)

    def check(self, id: str) -> Document:
        """Return the report of a twin's checks, made now."""
        return self._post(f"/twins/{_part(id)}/check")

    def publish(self, id: str) -> Document:
        """Return what was published."""
        return self._post(f"/twins/{_part(id)}/publish")

    def pull(self, id: str, version: str | None = None) -> Document:
        """Return what was pulled."""
        return self._post(f"/twins/{_part(id)}/pull", {"version": version})

    def plugins(self) -> list[Document]:
        """Return every plugin and whether it is healthy."""
        return list(self._get("/plugins")["plugins"])

    def processes(self) -> list[Document]:
        """Return every process."""
        return list(self._get("/processes")["processes"])

    def _get(self, path: str, **query: Any) -> Document:
        params = {name: value for name, value in query.items() if value is not None}
        return dict(self._send("GET", path, params=params).json())

    def _post(self, path: str, body: Any = None, **query: Any) -> Document:
        return dict(self._send("POST", path, json=body, params=query).json())

    def _send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx2.HTTPError as error:
            raise self._silent(error) from error
        if answer.is_error:
            raise _error_of(answer)
        return answer

    def _silent(self, error: Exception) -> EngineStopped:
        return EngineStopped(f"The engine at {self._url} does not answer: {error}.", hint="gemel up")


def _part(id: str) -> str:
    return quote(id, safe="")


def _error_of(answer: httpx2.Response) -> GemelError:
    try:
        document = answer.json()
    except ValueError:
        return EngineStopped(f"The engine answered {answer.status_code} without a reason.")
    found = _by_code(GemelError).get(document.get("code", ""), GemelError)
    error = found(document.get("detail", "The engine refused."), hint=document.get("hint"))
    error.context = document.get("context") or {}
    return error


def _by_code(root: type[GemelError]) -> dict[str, type[GemelError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _by_code(child)
    return found
