"""Which alerts an alert takes the place of: those of the run before it about the same event and place."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import timedelta

from gemel.core.stream.alerts._outlet import OVER, is_alert
from gemel.core.stream.events import Event, EventLog

_BACK = timedelta(days=30)  # how long ago, at most, something was told that can still be taken the place of
_PAGE, _KEPT = 1000, 5000


class Chain:
    """The alerts of one stream, read as far as they were asked for; the answers depend on the log alone.

    Args:
        log: Where they stand.
        stream: Of a twin.
        wanted: Tells which of them count.
    """

    def __init__(self, log: EventLog, stream: str, wanted: Callable[[Event], bool] = is_alert) -> None:
        self._log, self._stream, self._wanted = log, stream, wanted
        self._begin, self._read = -1, -1
        self._alerts: deque[Event] = deque(maxlen=_KEPT)

    def before(self, event: Event) -> tuple[Event, ...]:
        """Return the alerts of the newest earlier run with the event and place of this one, oldest first.

        There are none when the danger was over in between, or was told of more than 30 days ago.
        """
        if self._begin < 0:
            self._begin = self._read = self._log.since(self._stream, event.time - _BACK)
        if event.position <= self._begin:
            return Chain(self._log, self._stream, self._wanted).before(event)
        self._read_to(event.position)
        found = list[Event]()
        for other in reversed(self._alerts):
            if other.position >= event.position or _about(other) != _about(event):
                continue
            if found and other.data.get("run") != found[0].data.get("run"):
                break
            if other.data.get("run") != event.data.get("run"):
                if other.type == OVER:
                    break
                found.append(other)
        return tuple(reversed(found))

    def _read_to(self, position: int) -> None:
        while self._read < position - 1:
            page = [event for event in self._log.read(self._stream, self._read, _PAGE) if event.position < position]
            if not page:
                return
            self._read = page[-1].position
            self._alerts.extend(event for event in page if self._wanted(event))


def _about(event: Event) -> tuple[object, object]:
    return event.data.get("event"), event.data.get("place")
