"""Events and state: an ordered, replayable log of CloudEvents, the sources that feed it, and what a twin knows when."""

from gemel.core.stream.events import (
    Delivery,
    Event,
    EventLog,
    Group,
    JetStreamGroup,
    JetStreamLog,
    SqlEventLog,
    SqlGroup,
    finite,
)
from gemel.core.stream.sources import Replay, Source, SourceContext
from gemel.core.stream.states import State, StateStore

__all__ = [
    "Delivery",
    "Event",
    "EventLog",
    "Group",
    "JetStreamGroup",
    "JetStreamLog",
    "Replay",
    "Source",
    "SourceContext",
    "SqlEventLog",
    "SqlGroup",
    "State",
    "StateStore",
    "finite",
]
