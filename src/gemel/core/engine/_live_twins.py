"""The twins that one engine keeps in step: brought to life once, asked after, begun anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from gemel.base.errors import Conflict
from gemel.core.engine._alerting import Alerting
from gemel.core.engine._freshness import LiveStatus
from gemel.core.engine._live import LiveParts, LiveTwin, require_sources
from gemel.core.engine._memories import SourceMemory
from gemel.core.engine._telling import stream_of
from gemel.core.twin import Twin


class LiveTwins:
    """The live twins of an engine, by id.

    Args:
        parts: What they work with.
        alerting: Where their alerts go out.
    """

    def __init__(self, parts: LiveParts, alerting: Alerting) -> None:
        self.parts, self._alerting = parts, alerting
        self._live: dict[str, LiveTwin] = {}
        self._lock = threading.Lock()
        #: Called when a twin has gone live.
        self.changed: Callable[[], None] = lambda: None

    def go_live(self, twin: Twin, options: Mapping[str, Any] | None = None) -> LiveTwin:
        """Return the twin following its sources; a twin goes live once.

        Raises:
            NotFound: The twin has no source.
        """
        with self._lock:
            if twin.id not in self._live:
                require_sources(twin)
                live = LiveTwin(twin, self.parts, options)
                self._alerting.add(twin)
                live.start()
                self._live[twin.id] = live
                self.changed()
            return self._live[twin.id]

    def begin_again(self, twin: Twin) -> None:
        """Forget the twin's states, observations and marks.

        Raises:
            Conflict: The twin is live here.
        """
        if twin.id in self._live:
            raise Conflict(f"Twin '{twin.id}' is live.", hint="Stop the engine first.")
        self.parts.states.forget(twin.id)
        self.parts.marks.forget(twin.id)
        for source in twin.manifest.sources:
            SourceMemory(self.parts.store, twin.id, source).forget()
        for part in (*twin.manifest.sources, *twin.manifest.windows):
            self.parts.log.forget(stream_of(twin.id, part))

    def get(self, twin: str) -> LiveTwin | None:
        """Return a live twin, or None."""
        return self._live.get(twin)

    def ids(self) -> list[str]:
        """Return the ids of the live twins."""
        return sorted(self._live)

    def twins(self) -> list[Twin]:
        """Return the live twins as they were when they went live."""
        return [live.twin for live in list(self._live.values())]

    def status(self, twin: Twin) -> LiveStatus:
        """Return how far a twin is from its physical twin."""
        live = self._live.get(twin.id)
        if live is not None:
            return live.status()
        state = self.parts.states.latest(twin.id)
        return LiveStatus() if state is None else LiveStatus(clock=state.valid, sequence=state.sequence, run=state.run)

    def stop(self) -> None:
        """End all following."""
        for live in list(self._live.values()):
            live.stop()

    def clear(self) -> None:
        """Know of none any more."""
        self._live.clear()
