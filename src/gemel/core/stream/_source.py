"""What a source of observations is: the contract of the plugin group `gemel.sources`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from gemel.core.stream._event import Event


@dataclass(frozen=True)
class SourceContext:
    """What a source is told when it is opened.

    Attributes:
        name: Name of the source in `twin.toml`; observations carry `uri` as their CloudEvents source.
        options: The source's table in `twin.toml`, without `kind`.
        read: Opens a reference to data with the named process of the twin, and returns its value.
        stop: Set when the source should end.
    """

    name: str
    uri: str
    options: Mapping[str, Any]
    read: Callable[[str, str], Any]
    stop: threading.Event = field(default_factory=threading.Event)


class Source(Protocol):
    """Yields observations in the order in which they become known."""

    def __init__(self, context: SourceContext) -> None:
        """Open the source; raise `InvalidInput` when its options make no sense."""

    def events(self, after: datetime | None) -> Iterator[Event]:
        """Yield observation events later than `after` (all of them for None), until there are no more or `stop`."""
