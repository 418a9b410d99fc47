"""Events and state: an ordered, replayable log of CloudEvents, the sources that feed it, and what a twin knows when."""

from gemel.core.stream._event import Event, finite
from gemel.core.stream._log import EventLog, SqlEventLog
from gemel.core.stream._replay import Replay
from gemel.core.stream._source import Source, SourceContext
from gemel.core.stream._state import State, StateStore

__all__ = ["Event", "EventLog", "Replay", "Source", "SourceContext", "SqlEventLog", "State", "StateStore", "finite"]
