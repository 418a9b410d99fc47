"""Sources that ask again and again: one pass after the other, with what was seen remembered."""

from __future__ import annotations

import abc
import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from gemel.base.clock import iso, parse_instant
from gemel.base.errors import GemelError
from gemel.base.ids import digest_bytes
from gemel.core.stream.events import Event
from gemel.core.stream.sources._http import retry_after
from gemel.core.stream.sources._retry import Backoff
from gemel.core.stream.sources._source import SourceContext

BATCH = 100
_KEPT = 10_000  # characters of something malformed that go into its dead letter
REMEMBERED = 15_000  # keys of some 50 bytes that are kept: a memory holds a megabyte


class Polling(abc.ABC):
    """A source that makes passes over what is there, `every` so many seconds, and goes on whatever goes wrong."""

    def __init__(self, context: SourceContext, every: float) -> None:
        self._context, self._every = context, every

    def events(self, after: datetime | None) -> Iterator[Event | Sequence[Event]]:
        """Yield what is new until `stop`; what fails is said and tried again."""
        stop, backoff = self._context.stop, Backoff(self._context.name)
        while not stop.is_set():
            try:
                yield from self.passed(after)
                backoff.calm()
            except GemelError as error:
                if backoff.pause(stop, error, retry_after(error)):
                    return
                continue
            if stop.wait(self._every):
                return

    @abc.abstractmethod
    def passed(self, after: datetime | None) -> Iterator[Event | Sequence[Event]]:
        """Yield what is new in one pass, and remember it once it is durable."""


class Seen:
    """What a polling source has handed on: keys, and the newest stamp, kept in its memory.

    Everything before the stamp less `overlap` counts as seen; what lies later is known by its key.
    """

    def __init__(self, context: SourceContext, overlap: float = 0.0) -> None:
        self._memory, self._overlap = context.memory, timedelta(seconds=overlap)
        document = self._memory.load()
        stamp = document.get("stamp")
        self.stamp: datetime | None = parse_instant(stamp) if stamp else None
        # A dictionary keeps the order in which keys came.
        self._keys: dict[str, str] = {str(key): str(when) for key, when in document.get("keys", [])}

    @property
    def since(self) -> datetime | None:
        """Where the next pass begins."""
        return None if self.stamp is None else self.stamp - self._overlap

    def has(self, key: str) -> bool:
        """Return whether something was handed on."""
        return _short(key) in self._keys

    def reject(self, context: SourceContext, reason: str, document: Any) -> None:
        """Reject something that cannot be an event, once: it comes in every pass."""
        text = json.dumps(document, default=str)
        if not self.has(text):
            context.reject(reason, text[:_KEPT].encode())
            self.add((text, None))
            self.save()

    def add(self, *found: tuple[str, datetime | None]) -> None:
        """Note keys and their stamps; `save` makes them last."""
        for key, stamp in found:
            self._keys[_short(key)] = iso(stamp) or ""
        while len(self._keys) > 10 * REMEMBERED:
            self._keys.pop(next(iter(self._keys)))

    def advance(self, stamp: datetime | None) -> None:
        """Move the stamp forward, and forget keys that lie before all that will be asked for again."""
        if stamp is not None and (self.stamp is None or stamp > self.stamp):
            self.stamp = stamp
        since = self.since
        if since is not None:
            kept = self._keys.items()
            self._keys = {key: when for key, when in kept if not when or parse_instant(when) >= since}

    def save(self) -> None:
        """Make it last; the newest keys when there are too many (the log knows the others by the events' ids)."""
        keys = list(self._keys.items())[-REMEMBERED:]
        document: dict[str, Any] = {"keys": keys}
        self._memory.save(document | ({"stamp": iso(self.stamp)} if self.stamp else {}))


def _short(key: str) -> str:
    return digest_bytes(key.encode(errors="replace"))[:16]
