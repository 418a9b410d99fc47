"""The agent's line to its engine: it alone calls, and everything is an answer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx2

from gemel.base.errors import Conflict, Denied, GemelError, NotFound, StoreUnavailable, Unauthenticated
from gemel.infra.lake.agents._site import Site
from gemel.infra.lake.agents._tasks import understood
from gemel.infra.lake.storages._http import trusted
from gemel.infra.lake.storages._storage import revealed

PREFIX = "/agent/v1"
_SECONDS = 60.0
_CONNECT = 10.0
_REASON_BYTES = 65_536


class Line:
    """Requests to the engine; safe for threads.

    Args:
        site: Whose engine.
        agent: Id of this agent.
    """

    def __init__(self, site: Site, agent: str) -> None:
        self._site, self._agent = site, agent
        verify: Any = trusted(site.ca) if site.ca else True
        self._http = httpx2.Client(
            base_url=f"{site.engine.rstrip('/')}{PREFIX}", timeout=httpx2.Timeout(_SECONDS, connect=_CONNECT),
            verify=verify, headers={"Accept-Encoding": "identity"},
        )  # fmt: skip

    def poll(self, most: int, wait: bool = True) -> dict[str, Any]:
        """Return `tasks`, none at once or after a while without any, and `beat`, how often to tell of them (seconds).

        Raises:
            StoreUnavailable: The engine cannot be reached.
            Unauthenticated, Denied: The token does not do.
            Conflict: Another agent serves the storage.
        """
        return self._asked("GET", f"/tasks?most={most}&wait={int(wait)}")

    def beat(self, done: Mapping[str, int]) -> list[str]:
        """Return the tasks to be given up, after telling how far all are."""
        return [str(id) for id in self._asked("POST", "/beat", {"done": dict(done)}).get("withdrawn", [])]

    def answer(self, id: str, document: Mapping[str, Any]) -> None:
        """Say how a task ended."""
        self._asked("POST", f"/tasks/{id}", document)

    def give_back(self, id: str) -> None:
        """Let another agent do a task."""
        self._asked("POST", f"/tasks/{id}/back", {})

    def leave(self) -> None:
        """Say good-bye."""
        self._asked("POST", "/leave", {})

    @contextlib.contextmanager
    def body(self, id: str) -> Iterator[Iterator[bytes]]:
        """Yield the bytes that the engine sends for a task, in frames (see `_frames`)."""
        with self._sent("GET", f"/tasks/{id}/body") as answer:
            yield answer.iter_raw()

    def send(self, id: str, pieces: Iterable[bytes], document: Mapping[str, Any] | None = None) -> None:
        """Send bytes for a task; with `document`, they are its whole answer."""
        headers = {"Gemel-Answer": json.dumps(document)} if document is not None else {}
        with self._sent("PUT", f"/tasks/{id}/body", content=iter(pieces), headers=headers):
            pass

    def _asked(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        body = {} if document is None else {"content": json.dumps(dict(document)).encode()}
        with self._sent(method, path, **body) as answer:
            content = answer.read()
        try:
            found = json.loads(content or b"{}")
        except ValueError as error:
            raise StoreUnavailable("The engine's answer is no JSON.", hint="Is the address an engine's?") from error
        return dict(found)

    @contextlib.contextmanager
    def _sent(self, method: str, path: str, **given: Any) -> Iterator[httpx2.Response]:
        token = revealed(self._site.storage, self._site.token)
        headers = {"Authorization": f"Bearer {token}", "Gemel-Agent": self._agent} | given.pop("headers", {})
        headers["Gemel-Storage"] = self._site.storage
        try:
            with self._http.stream(method, path, headers=headers, **given) as answer:
                if not answer.is_success:
                    raise _refused(answer)
                yield answer
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            with contextlib.suppress(AttributeError, RuntimeError):
                error.request.headers.pop("Authorization", None)  # type: ignore[union-attr]
            reason = str(error).rstrip(".") or type(error).__name__
            raise StoreUnavailable(f"The engine cannot be reached: {reason}.", hint=self._site.engine) from error

    def close(self) -> None:
        """Let connections go."""
        self._http.close()


def _refused(answer: httpx2.Response) -> GemelError:
    try:
        told = json.loads(answer.read()[:_REASON_BYTES])["error"]
        message, hint = str(told["message"])[:500], told.get("hint")
    except (ValueError, KeyError, TypeError, httpx2.HTTPError):
        told, message, hint = {}, f"The engine answers with status {answer.status_code}.", None
    kinds: dict[int, type[GemelError]] = {401: Unauthenticated, 403: Denied, 404: NotFound, 409: Conflict}
    if answer.status_code in kinds:
        return kinds[answer.status_code](message, hint=hint)
    return understood({**told, "message": message})
