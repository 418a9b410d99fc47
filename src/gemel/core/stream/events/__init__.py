"""The event log: CloudEvents in streams that are ordered, durable, bounded and replayable, shared out by groups."""

from gemel.core.stream.events._event import Event, finite
from gemel.core.stream.events._groups import SqlGroup
from gemel.core.stream.events._jetstream import JetStreamGroup, JetStreamLog
from gemel.core.stream.events._log import DEAD, MAX_BYTES, Delivery, EventLog, Group, checked
from gemel.core.stream.events._sql_log import SqlEventLog

__all__ = [
    "DEAD",
    "MAX_BYTES",
    "Delivery",
    "Event",
    "EventLog",
    "Group",
    "JetStreamGroup",
    "JetStreamLog",
    "SqlEventLog",
    "SqlGroup",
    "checked",
    "finite",
]
