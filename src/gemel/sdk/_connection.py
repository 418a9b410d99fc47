"""The line to an engine behind an address: requests, streams, and errors made again from what it says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx2

from gemel.base.errors import EngineStopped, GemelError, InvalidInput

Document = dict[str, Any]
_ANSWER_SECONDS = 330.0
_CONNECT_SECONDS = 10.0


class Connection:
    """An engine behind an address.

    Args:
        url: Its address.
        token: Its token.

    Attributes:
        url: Its address, without a slash at the end.
        token: Its token.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url.rstrip("/"), token
        headers = {"Authorization": f"Bearer {token}"}
        try:
            self._http = httpx2.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=_ANSWER_SECONDS)
        except httpx2.InvalidURL as error:
            raise InvalidInput(f"'{url}' is not an address: {error}.", hint="http://127.0.0.1:8400") from error

    def close(self) -> None:
        """Close it."""
        self._http.close()

    def get(self, path: str, **query: Any) -> Document:
        """Return the document at a path; what is None is left out of the query."""
        params = {name: value for name, value in query.items() if value is not None}
        return dict(self.send("GET", path, params=params).json())

    def post(self, path: str, body: Any = None, **query: Any) -> Document:
        """Return what posting a document answers."""
        return dict(self.send("POST", path, json=body, params=query).json())

    def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Return a successful answer.

        Raises:
            GemelError: Of the class that the engine raised.
            EngineStopped: It does not answer.
        """
        try:
            answer = self._http.request(method, path, **options)
        except httpx2.HTTPError as error:
            raise self._silent(error) from error
        if answer.is_error:
            raise _error_of(answer)
        return answer

    @contextlib.contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[httpx2.Response]:
        """Yield a successful answer before its body is read.

        Raises:
            GemelError: As `send`; also when the body breaks off.
        """
        try:
            with self._http.stream(method, path, **options) as answer:
                if answer.is_error:
                    answer.read()
                    raise _error_of(answer)
                yield answer
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise self._silent(error) from error

    def events(self, method: str, path: str, **options: Any) -> Iterator[Document]:
        """Yield the documents of an event stream."""
        headers = {"Accept": "text/event-stream"}
        with self.stream(method, path, headers=headers, **{**patient(), **options}) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def worked(self, path: str, body: Any, told: Callable[[Mapping[str, Any]], None] | None) -> Document:
        """Return what work that takes long ends with; `told` how far it is meanwhile.

        Raises:
            GemelError: It failed, or the engine stopped in the middle.
        """
        for event in self.events("POST", path, json=body):
            if "error" in event:
                raise rebuilt(event["error"])
            if "result" in event:
                return dict(event["result"])
            if told is not None:
                told(event["progress"])
        raise EngineStopped(f"The engine at {self.url} stopped in the middle.", hint="Ask again when it is up.")

    def _silent(self, error: Exception) -> EngineStopped:
        return EngineStopped(f"The engine at {self.url} does not answer: {error}.", hint="gemel up")


def patient() -> dict[str, Any]:
    """Return the option of a request whose answer may take as long as it takes."""
    return {"timeout": httpx2.Timeout(None, connect=_CONNECT_SECONDS)}


def part(text: str) -> str:
    """Return a text as one part of a path, whatever it holds."""
    return quote(text, safe="")


def rebuilt(document: Mapping[str, Any]) -> GemelError:
    """Return the error that a document tells of: a problem of the API, or an error as `--json` shows it.

    >>> error = rebuilt({"code": "not-found", "message": "There is no dataset 'a:b'.", "hint": None, "context": {}})
    >>> type(error).__name__, str(error)
    ('NotFound', "There is no dataset 'a:b'.")
    """
    found = _by_code(GemelError).get(document.get("code", ""), GemelError)
    message = document.get("message") or document.get("detail") or "The engine refused."
    error = found(message, hint=document.get("hint"))
    error.context = dict(document.get("context") or {})
    return error


def _error_of(answer: httpx2.Response) -> GemelError:
    try:
        return rebuilt(answer.json())
    except (ValueError, AttributeError):
        return EngineStopped(f"The engine answered {answer.status_code} without a reason.")


def _by_code(root: type[GemelError]) -> dict[str, type[GemelError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        # The class that a code was made for, and none that only inherits it.
        found |= {code: kind for code, kind in _by_code(child).items() if "code" in vars(kind)}
    return found
