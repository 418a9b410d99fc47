"""What happens in the lake, told in the event log: each thing once, in its order, whatever is killed in between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from gemel.base.errors import StoreUnavailable
from gemel.core.stream import Event, EventLog
from gemel.infra.lake.datasets import Changes, Happened

#: Name of the stream.
STREAM = "lake"
_LOOK_SECONDS = 0.5


class LakeEvents:
    """Hands what happens to datasets on to the event log.

    Args:
        changes: What happened.
        log: Where it is told.
    """

    def __init__(self, changes: Changes, log: EventLog) -> None:
        self._changes, self._log = changes, log
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def hand_on(self, stopped: Callable[[], bool] = lambda: False) -> int:
        """Return how many events were told that nobody had told before."""
        last = self._log.last(STREAM)
        number, told = int(last[0].data["number"]) if last else 0, 0
        while (batch := self._changes.after(number)) and not stopped():
            for happened in batch:
                told += self._log.append(STREAM, _event(happened)) is not None
                number = happened.number
        return told

    def start(self) -> None:
        """Begin to tell what happens as it happens."""
        self._thread = threading.Thread(target=self._follow, name="gemel-lake-events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop telling; the next engine goes on where this one ended."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def _follow(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                self.hand_on(self._stop.is_set)
            except StoreUnavailable:
                continue  # a database that is away for a moment ends nothing


def _event(happened: Happened) -> Event:
    data = happened.document() | {"number": happened.number} | happened.records()
    when = datetime.fromtimestamp(happened.time, UTC)
    return Event(happened.id, f"gemel.dataset.{happened.type}", "/lake", when, data, subject=str(happened.name))
