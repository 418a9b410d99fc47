"""What a test runs in a process that it kills: triggers that watch a stream and a clock, from step to step.

`python watching_process.py URL LIMIT` says "ready" and then "idle" each time that it has seen everything.
"""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime, timedelta

from gemel.core.stream import SqlEventLog
from gemel.core.stream.triggers import (
    Clock,
    Drift,
    Each,
    Marks,
    Selection,
    TimedWatch,
    Volume,
    Watch,
    cause,
    watch_clock,
    watch_stream,
)
from gemel.infra.store import open_store

START = datetime(2001, 1, 1, tzinfo=UTC)
WATCHERS = {
    "each": Each(Selection(where={"level": (None, 40)})),
    "volume": Volume(events=7),
    "drift": Drift("level", reference=20, window=10, level=0.001),
}


def watches() -> list[Watch]:
    """Return one watch for each kind of watcher."""
    return [
        Watch("gauge", "brook", name, watcher, lambda firing, name=name: cause("brook", name, firing, "update"))
        for name, watcher in WATCHERS.items()
    ]


def timed() -> TimedWatch:
    """Return a watch of a clock that catches up with all that it missed."""
    clock = Clock(every="1 h", missed="all", begin=START)
    return TimedWatch("brook", "hourly", clock, lambda firing: cause("brook", "hourly", firing))


def main(url: str, limit: int) -> None:
    """Watch until killed; the clock stands at the time of the newest event."""
    store = open_store(url)
    log, marks = SqlEventLog(store), Marks(store)
    print("ready", flush=True)
    while True:
        seen = sum(watch_stream(log, marks, watch, limit)[0] for watch in watches())
        newest = log.last("gauge")
        ticks = watch_clock(log, marks, timed(), newest[-1].time if newest else START - timedelta(days=1))
        if not seen and not ticks:
            print("idle", flush=True)
            threading.Event().wait(0.01)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
