"""All that people may ask of alerts, answered in documents."""

from __future__ import annotations

import socket
from typing import Any

from gemel.base.errors import NotFound
from gemel.core.engine._alerting import Alerting, about_of
from gemel.core.engine._engine import Engine
from gemel.core.engine._stream_service import event_document
from gemel.core.engine._telling import stream_of
from gemel.core.stream import Event
from gemel.core.stream.alerts import CapSettings, Chain, Notice, cap_document, is_alert
from gemel.core.stream.events import DEAD
from gemel.core.twin import Twin

Document = dict[str, Any]
_PAGE = 1000  # newest events of a twin among which alerts are looked for
_STREAMS = "twins/"


class AlertService:
    """The alerts of an engine's twins, and where they go."""

    def __init__(self, engine: Engine, alerting: Alerting) -> None:
        self._engine, self._log, self._alerting = engine, engine.log, alerting

    def alerts(self, twin: str | None = None, count: int = 50) -> list[Document]:
        """Return the newest alerts as CloudEvents with their `position`, newest first.

        Args:
            twin: Whose; those of all twins by default.
            count: At most so many. Those are found that stand among the newest thousand events of a twin.

        Raises:
            NotFound: There is no such twin.
        """
        streams = self._streams() if twin is None else [stream_of(self._engine.twin(twin).id)]
        found = [event for stream in streams for event in self._log.last(stream, _PAGE) if is_alert(event)]
        found.sort(key=lambda event: (event.time, event.position), reverse=True)
        return [event_document(event) for event in found[:count]]

    def cap(self, twin: str, position: int) -> str:
        """Return the CAP 1.2 message of an alert, in the words of the twin's first outlet that writes such messages.

        Raises:
            NotFound: There is no such twin, no alert at that position, or a danger is over that had expired.
            InvalidInput: The alert's times cannot be read.
        """
        found = self._engine.twin(twin)
        stream = stream_of(found.id)
        event = self._at(stream, position)
        notice = Notice(event, about_of(found), Chain(self._log, stream).before(event))
        settings = _cap_settings(found)
        message = cap_document(notice, settings)
        if message is None:
            raise NotFound(f"The danger that alert {position} of twin '{twin}' ends had expired before.")
        return message.decode()

    def outlets(self) -> list[Document]:
        """Return where alerts go: state, sent, pending, problem."""
        return self._alerting.document()

    def _streams(self) -> list[str]:
        # Twins that are gone have alerts, too; parts of a twin have a further slash.
        names = self._log.streams()
        return [name for name in names if name.startswith(_STREAMS) and name.count("/") == 1 and DEAD not in name]

    def _at(self, stream: str, position: int) -> Event:
        found = self._log.read(stream, position - 1, 1) if position > 0 else []
        if not found or found[0].position != position or not is_alert(found[0]):
            hint = "GET /api/v1/alerts tells the positions."
            raise NotFound(f"There is no alert at position {position} of '{stream}'.", hint=hint)
        return found[0]


def _cap_settings(twin: Twin) -> CapSettings:
    for spec in twin.manifest.alerts.values():
        if spec.options.get("sender"):
            known = {name: value for name, value in spec.options.items() if name in CapSettings.model_fields}
            return CapSettings.model_validate(known)
    return CapSettings(sender=f"{twin.id}@{socket.gethostname() or 'localhost'}")
