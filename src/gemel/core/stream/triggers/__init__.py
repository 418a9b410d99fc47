"""Triggers: what watches a clock or a stream, and turns what it saw into causes of runs, each of them once."""

from gemel.core.stream.triggers._causes import CAUSES, TimedWatch, Watch, cause, watch_clock, watch_stream
from gemel.core.stream.triggers._clock import Clock
from gemel.core.stream.triggers._drift import Drift
from gemel.core.stream.triggers._marks import Marks, StoredTrigger, StoredTriggers
from gemel.core.stream.triggers._selection import Selection
from gemel.core.stream.triggers._watchers import Each, Firing, Volume, Watcher, numbers

__all__ = [
    "CAUSES",
    "Clock",
    "Drift",
    "Each",
    "Firing",
    "Marks",
    "Selection",
    "StoredTrigger",
    "StoredTriggers",
    "TimedWatch",
    "Volume",
    "Watch",
    "Watcher",
    "cause",
    "numbers",
    "watch_clock",
    "watch_stream",
]
