"""All outlets of an engine: a thread for each, started and stopped together."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from gemel.core.stream.alerts._kinds import open_outlet
from gemel.core.stream.alerts._line import Line
from gemel.core.stream.alerts._outlet import OutletContext
from gemel.core.stream.events import EventLog

_PATIENCE_SECONDS = 15.0


class Outlets:
    """Sends the alerts of any number of streams.

    Args:
        log: Where the alerts stand.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._lines: dict[tuple[str, str], Line] = {}
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        self._started = False
        self._lock = threading.Lock()

    def add(self, stream: str, context: OutletContext) -> None:
        """Send the alerts of a stream to an outlet too; one that is there already stays as it is.

        When this returns, what is told in the stream from now on will be sent, also if that begins later.

        Raises:
            NotFound: There is no such kind of outlet.
            InvalidInput: Its options make no sense.
        """
        with self._lock:
            key = (stream, context.name)
            if key in self._lines:
                return
            self._lines[key] = Line(self._log, stream, open_outlet(context))
            if self._started:
                self._spawn(self._lines[key])

    def start(self) -> None:
        """Begin to send."""
        with self._lock:
            if not self._started:
                self._started = True
                for line in self._lines.values():
                    self._spawn(line)

    def stop(self) -> None:
        """Stop sending; what was not handed over is taken up by the next engine."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_PATIENCE_SECONDS)
        for line in self._lines.values():
            line.close()

    @property
    def problems(self) -> dict[str, Mapping[str, Any]]:
        """Return what is wrong at present, by ``twin/outlet``."""
        lines = list(self._lines.values())
        found = {f"{line.opened.context.about.twin}/{line.opened.context.name}": line.problem for line in lines}
        return {name: problem for name, problem in found.items() if problem is not None}

    def documents(self) -> list[dict[str, Any]]:
        """Return how each outlet goes."""
        return [line.document() for line in list(self._lines.values())]

    def _spawn(self, line: Line) -> None:
        name = f"gemel-alerts-{line.opened.context.name}"
        thread = threading.Thread(target=line.follow, args=(self._stop,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
