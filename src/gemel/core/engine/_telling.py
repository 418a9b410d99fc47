"""What is told about a twin: events in its own stream, and the problems that stand at present."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gemel.base.errors import GemelError
from gemel.base.ids import new_id
from gemel.core.stream import Event, EventLog

_log = logging.getLogger(__name__)


def stream_of(twin: str, part: str | None = None) -> str:
    """Return the name of the stream that tells about a twin, or of one of its sources, windows and buffers.

    >>> stream_of("brook"), stream_of("brook", "gauge")
    ('twins/brook', 'twins/brook/gauge')
    """
    return f"twins/{twin}" if part is None else f"twins/{twin}/{part}"


class Teller:
    """Tells events about one twin, and remembers what is wrong where until it works again."""

    def __init__(self, log: EventLog, twin: str) -> None:
        self._log, self.twin = log, twin
        self._problems: dict[str, Mapping[str, Any]] = {}
        self._lock = threading.Lock()

    def tell(self, kind: str, data: Mapping[str, Any], *, identity: str | None = None) -> None:
        """Append an event of a kind like ``gemel.twin.updated``; one with an `identity` is told once."""
        event = Event(identity or new_id("event"), kind, f"/{stream_of(self.twin)}", datetime.now(UTC), data, self.twin)
        self._log.append(stream_of(self.twin), event)

    def stumble(self, where: str, cause: Exception | Mapping[str, Any]) -> None:
        """Say what is wrong at a place; said again and again, it is told once."""
        document = _document(where, cause)
        with self._lock:
            known = self._problems.get(where)
            self._problems[where] = document
        if known == document:
            return
        _log.warning("%s of twin %s: %s", where, self.twin, document["message"])
        with contextlib.suppress(GemelError):
            self.tell("gemel.twin.problem", {"where": where, **document})

    def works(self, where: str) -> None:
        """Say that a place works (again)."""
        with self._lock:
            self._problems.pop(where, None)

    @property
    def problems(self) -> dict[str, Mapping[str, Any]]:
        """Return what is wrong at present, by place."""
        with self._lock:
            return dict(self._problems)


def _document(where: str, cause: Exception | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(cause, Mapping):
        return dict(cause)
    error = cause if isinstance(cause, GemelError) else GemelError(f"{where}: {type(cause).__name__}: {cause}")
    return error.document()
