"""Windows of a live twin: what its sources tell, side by side on one time axis, as events of their own."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from typing import Any

from gemel.base.clock import iso
from gemel.base.errors import InvalidInput, StoreFull, StoreUnavailable, not_found
from gemel.core.engine._telling import Teller, stream_of
from gemel.core.stream import Event, EventLog
from gemel.core.stream.triggers import Marks
from gemel.core.stream.windows import StreamRule, WindowResult, Windows, WindowSpec
from gemel.core.twin import Twin, WindowTable

_LOOK_SECONDS = 0.2
_BATCH = 1000


class WindowFeed:
    """Reads the sources of one window and logs its results, each once, wherever the engine is killed.

    What is held lies in the log too: after a kill it is read again from the positions that the mark names, and a
    result that was told before has the id of one that the log knows. A source that is ahead of the others is not read
    on until they have come: it waits in the log, whose bound holds the source itself back.

    Attributes:
        name: Name of the window.
        sources: The sources that it is made of.
    """

    def __init__(self, name: str, table: WindowTable, log: EventLog, marks: Marks, teller: Teller) -> None:
        self.name, self.sources = name, tuple(table.streams)
        self._log, self._marks, self._teller = log, marks, teller
        self._spec = window_spec(name, table)
        self._windows = Windows(self._spec)
        self._read: dict[str, int] = {}
        self._told = 0
        self._where = f"Window '{name}'"

    def check(self, known: Collection[str]) -> None:
        """Raise `NotFound` when the window is made of a source that the twin does not have."""
        for source in self.sources:
            if source not in known:
                raise not_found(f"source of window '{self.name}'", source, known)

    def follow(self, stop: threading.Event) -> None:
        """Make windows of what comes until `stop`."""
        self._resume()
        while not stop.is_set():
            try:
                if not self._advance():
                    slowest = min(self.sources, key=lambda source: self._read[source])
                    self._log.wait(stream_of(self._teller.twin, slowest), self._read[slowest], _LOOK_SECONDS)
            except StoreUnavailable as error:
                # What was pushed and not told is made again from the log.
                self._teller.stumble(self._where, error)
                stop.wait(_LOOK_SECONDS)
                self._resume()
            except Exception as error:  # a block of samples that cannot be read must not end the following
                self._teller.stumble(self._where, error)

    def needed_from(self, stream: str) -> int:
        """Return the first position of a source's stream that windows to come need."""
        mark = self._marks.load(self._teller.twin, self._mark)
        source = stream.rpartition("/")[2]
        return int(mark.get("positions", {}).get(source, 0)) + 1

    def document(self) -> dict[str, Any]:
        """Return how the window does, as JSON values."""
        late = sum(self._windows.late.values())
        return {"name": self.name, "watermark": iso(self._windows.watermark), "told": self._told, "late": late}

    @property
    def _mark(self) -> str:
        return f"window:{self.name}"

    def _resume(self) -> None:
        mark = self._marks.load(self._teller.twin, self._mark)
        self._windows = Windows(self._spec, resume=mark or None)
        self._read = {source: int(mark.get("positions", {}).get(source, 0)) for source in self.sources}

    def _advance(self) -> bool:
        """Return whether anything was read: the next events of each source that is not held back."""
        found = False
        results: list[WindowResult] = []
        try:
            for source in self.sources:
                if self._windows.ready(source):
                    before = self._read[source]
                    results += self._pushed(source)
                    found = found or self._read[source] > before
            results += self._windows.advance()
        finally:
            # What is complete is told whatever another source made us stumble over.
            self._tell(results)
        return found

    def _pushed(self, source: str) -> list[WindowResult]:
        events = self._log.read(stream_of(self._teller.twin, source), self._read[source], _BATCH)
        if not events:
            return []
        try:
            results = self._windows.push_many(source, events)
        except (StoreFull, InvalidInput):
            return self._one_by_one(source, events)
        self._read[source] = events[-1].position
        return results

    def _one_by_one(self, source: str, events: Sequence[Event]) -> list[WindowResult]:
        """Push what there is room for; an event that cannot be read is told, and let go."""
        results: list[WindowResult] = []
        for event in events:
            try:
                results += self._windows.push(source, event)
            except StoreFull as error:
                if error.context.get("slowest") == source:  # waiting for the others would never help
                    self._teller.stumble(self._where, error)
                break
            except InvalidInput as error:
                self._teller.stumble(self._where, error)
            self._read[source] = event.position
        return results

    def _tell(self, results: list[WindowResult]) -> None:
        uri = f"/{stream_of(self._teller.twin)}/windows/{self.name}"
        if results:
            told = self._log.append_many(
                stream_of(self._teller.twin, self.name), [result.event(uri) for result in results]
            )
            self._told += sum(position is not None for position in told)
            self._marks.save(self._teller.twin, self._mark, self._windows.document())
            self._teller.works(self._where)
        for late in self._windows.take_late():
            about = {"window": self.name, "source": late.stream, "time": iso(late.event.time), "samples": late.samples}
            self._teller.tell("gemel.window.late", about, identity=f"late-{self.name}-{late.event.position}")


def window_feeds(twin: Twin, log: EventLog, marks: Marks, teller: Teller) -> list[WindowFeed]:
    """Return the windows of a twin.

    Raises:
        InvalidInput: One makes no sense.
    """
    return [WindowFeed(name, table, log, marks, teller) for name, table in twin.manifest.windows.items()]


def window_spec(name: str, table: WindowTable) -> WindowSpec:
    """Return what a table `[windows.NAME]` says.

    Raises:
        InvalidInput: It makes no sense.
    """
    streams = tuple(StreamRule(stream, rule.fields, rule.period) for stream, rule in table.streams.items())
    return WindowSpec(name, streams, **table.model_dump(exclude={"streams"}))
