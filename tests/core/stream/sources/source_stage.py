"""What the tests of sources share: contexts that note what was rejected, and sources run in a thread into a log."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from gemel.core.stream import Event, Source, SourceContext
from gemel.core.stream.sources import Forgetful

START = datetime(2001, 1, 1, tzinfo=UTC)
PATIENCE = 30.0


def reading(number: int) -> bytes:
    """Return one observation as sensors send it."""
    return json.dumps({"time": (START + timedelta(seconds=number)).isoformat(), "flow": float(number)}).encode()


class Told:
    """A context for one source, and what it rejected."""

    def __init__(self, memory: Forgetful | None = None, **options: Any) -> None:
        self.memory, self.rejected = memory or Forgetful(), list[tuple[str, bytes]]()
        self.stop = threading.Event()
        self.context = SourceContext(
            "gauge",
            "/twins/x/sources/gauge",
            options,
            lambda _process, _reference: None,
            self.stop,
            self.memory,
            lambda reason, payload: self.rejected.append((reason, payload)),
        )


class Follower:
    """A source followed by a thread, as the engine does it: what it yields is durable when it is asked for more."""

    def __init__(self, source: Source, told: Told, hold: Callable[[Sequence[Event]], None] | None = None) -> None:
        self.source, self.told = source, told
        self.durable: list[Event] = []
        self._hold = hold
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            for found in self.source.events(None):
                events = [found] if isinstance(found, Event) else list(found)
                if self._hold is not None:
                    self._hold(events)
                self.durable += events
        except BaseException as error:
            self.error = error

    def firsts(self, name: str = "flow") -> list[Any]:
        """Return the values in the order in which the log has them: duplicates count where they came first."""
        known: dict[str, Any] = {}
        for event in list(self.durable):
            known.setdefault(event.id, event.data[name])
        return list(known.values())

    def until(self, condition: Callable[[], Any]) -> None:
        until(lambda: self.error is not None or condition())
        assert self.error is None, self.error

    def end(self) -> None:
        self.told.stop.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        assert self.error is None, self.error


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Return the condition's value as soon as it is true; fail when that takes too long."""
    deadline, never = time.monotonic() + seconds, threading.Event()
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        never.wait(0.02)
    raise AssertionError("this never came true")


@contextlib.contextmanager
def following(source: Source, told: Told, hold: Callable[[Sequence[Event]], None] | None = None) -> Iterator[Follower]:
    follower = Follower(source, told, hold)
    try:
        yield follower
    finally:
        follower.end()
