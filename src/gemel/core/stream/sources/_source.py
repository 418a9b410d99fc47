"""What a source of observations is: the contract of the plugin group `gemel.sources`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from gemel.core.stream.events import Event


class Memory(Protocol):
    """What a source wrote down for itself and finds again when it is opened anew: cursors, names seen."""

    def load(self) -> dict[str, Any]:
        """Return what was saved last, empty at first."""

    def save(self, document: Mapping[str, Any]) -> None:
        """Keep a JSON document of up to a megabyte, durable when this returns."""


class Forgetful:
    """A `Memory` that lasts as long as its object: for tests, and for whoever has no journal."""

    def __init__(self) -> None:
        self._document: dict[str, Any] = {}

    def load(self) -> dict[str, Any]:
        """Return what was saved last."""
        return dict(self._document)

    def save(self, document: Mapping[str, Any]) -> None:
        """Keep a document."""
        self._document = dict(document)


def _unheard(reason: str, payload: bytes) -> None:
    """Let a payload go that nobody asked to hear of."""


@dataclass(frozen=True)
class SourceContext:
    """What a source is told when it is opened.

    Attributes:
        name: Name of the source in `twin.toml`; observations carry `uri` as their CloudEvents source.
        options: The source's table in `twin.toml`, without `kind` and without the options common to all sources.
        read: Opens a reference to data with the named process of the twin, and returns its value.
        stop: Set when the source should end.
        memory: What the source may write down for the next time.
        reject: Called with (reason, payload) for what cannot be made into an event: it becomes a dead letter, durable
            when this returns.
    """

    name: str
    uri: str
    options: Mapping[str, Any]
    read: Callable[[str, str], Any]
    stop: threading.Event = field(default_factory=threading.Event)
    memory: Memory = field(default_factory=Forgetful)
    reject: Callable[[str, bytes], None] = _unheard


class Source(Protocol):
    """Yields observations in the order in which they become known.

    When `events` is asked for more, all that it yielded before is durable in the log: that is the moment to
    acknowledge them outside, and to save the memory. It is not asked for more while the log is full or away.
    """

    def __init__(self, context: SourceContext) -> None:
        """Open the source; raise `InvalidInput` when its options make no sense."""

    def events(self, after: datetime | None) -> Iterator[Event | Sequence[Event]]:
        """Yield observations, alone or several together, until there are no more or `stop`.

        Args:
            after: Time of the newest observation that the log has, None for an empty one. A source that plays or
                polls something ordered by time begins there; one that is told things live need not care. Ids are
                the same each time, so that what comes twice is known as a duplicate.
        """


@runtime_checkable
class Receiver(Protocol):
    """A source that others send to, over HTTP: the server hands it what arrives."""

    def receive(self, headers: Mapping[str, str], body: bytes) -> Sequence[Event]:
        """Return the events in a request, whose header names are in lower case.

        Raises:
            InvalidInput: It holds none; nothing is kept.
            Denied: The sender is not who it should be.
        """
