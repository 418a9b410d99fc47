"""Events and state: an ordered, replayable log of CloudEvents, the sources that feed it, and what a twin knows when."""

from gemel.core.stream._event import Event, finite
from gemel.core.stream._groups import SqlGroup
from gemel.core.stream._jetstream import JetStreamGroup, JetStreamLog
from gemel.core.stream._log import Delivery, EventLog, Group
from gemel.core.stream._log_sql import SqlEventLog
from gemel.core.stream._replay import Replay
from gemel.core.stream._source import Source, SourceContext
from gemel.core.stream._state import State, StateStore

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
