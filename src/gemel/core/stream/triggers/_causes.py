"""From what a watcher saw to causes in the log: each of them once, wherever the process is killed in between."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from gemel.base.clock import iso, parse_instant
from gemel.core.stream.events import Event, EventLog
from gemel.core.stream.triggers._clock import Clock
from gemel.core.stream.triggers._marks import Marks
from gemel.core.stream.triggers._selection import Selection
from gemel.core.stream.triggers._watchers import Firing, Watcher

CAUSES = "causes"
_MOST_ID = 200


def cause(twin: str, trigger: str, firing: Firing, graph: str | None = None) -> Event:
    """Return the event that causes one run, for the stream `CAUSES`.

    Its id is ``twin/trigger/key``, a digest of that when it is too long: the same firing is the same event, which the
    log keeps once.

    >>> firing = Firing("clock", "2024-01-01T06:00:00Z", datetime(2024, 1, 1, 6, tzinfo=UTC))
    >>> event = cause("brook", "morning", firing, "forecast")
    >>> event.id, event.subject, event.data["graph"]
    ('brook/morning/2024-01-01T06:00:00Z', 'brook', 'forecast')
    """
    id = f"{twin}/{trigger}/{firing.key}"
    if len(id) > _MOST_ID:
        id = "sha256:" + hashlib.sha256(id.encode()).hexdigest()
    data: dict[str, Any] = {"twin": twin, "trigger": trigger, "graph": graph, "kind": firing.kind, "key": firing.key}
    data["given"] = dict(firing.given)
    return Event(id, "gemel.cause", "/triggers", firing.time, data, twin)


@dataclass(frozen=True)
class Watch:
    """A trigger that watches a stream.

    Attributes:
        stream: What it watches.
        twin: Whose trigger it is.
        trigger: Its name; twin and trigger name its mark.
        watcher: What says when it is time.
        to_cause: Makes a cause of what fired.
        selection: Which events the watcher is shown; None for all.
        begin: Where a new trigger begins: "new" for what comes from now on, "all" for all that the log has.
    """

    stream: str
    twin: str
    trigger: str
    watcher: Watcher
    to_cause: Callable[[Firing], Event]
    selection: Selection | None = None
    begin: Literal["new", "all"] = "all"


@dataclass(frozen=True)
class TimedWatch:
    """A trigger that watches a clock; a new one begins with the clock's `begin`, or when it is first looked at."""

    twin: str
    trigger: str
    clock: Clock
    to_cause: Callable[[Firing], Event]


def watch_stream(
    log: EventLog, marks: Marks, watch: Watch, limit: int = 1000, now: datetime | None = None
) -> tuple[int, int]:
    """Return how many events a trigger looked at in one step, and how many causes it gave.

    The causes are durable before the mark moves on, and their ids follow from the events: a step that is killed
    anywhere is done again, and the log knows the causes that it has.

    Args:
        log: Where events are read and causes are kept.
        marks: Where the trigger's position and document are kept.
        watch: The trigger.
        limit: Most events in one step.
        now: The events' own clock, for a volume that fires by age though nothing comes.

    Raises:
        StoreFull: The log takes no more causes; the step comes again.
    """
    mark = marks.load(watch.twin, watch.trigger) or _first_mark(log, marks, watch)
    events = log.read(watch.stream, mark["position"], limit)
    shown = [event for event in events if watch.selection is None or watch.selection.matches(event)]
    document, fired = watch.watcher.observe(mark["document"], shown)
    elapsed = getattr(watch.watcher, "elapsed", None)
    if now is not None and elapsed is not None:
        document, aged = elapsed(document, now)
        fired = [*fired, *aged]
    if fired:
        log.append_many(CAUSES, [watch.to_cause(firing) for firing in fired])
    if events or fired:
        position = events[-1].position if events else mark["position"]
        marks.save(watch.twin, watch.trigger, {"position": position, "document": document})
    return len(events), len(fired)


def watch_clock(log: EventLog, marks: Marks, watch: TimedWatch, now: datetime) -> list[datetime]:
    """Return the instants for which causes were given in one step, as the clock's rule for missed ones says.

    Each instant is a cause once: its id names it, and the mark never goes back, though the clock may.
    """
    mark = marks.load(watch.twin, watch.trigger)
    if not mark:
        begin = watch.clock.begin
        mark = {"after": iso(now if begin is None else begin - timedelta(microseconds=1))}
        marks.save(watch.twin, watch.trigger, mark)
    after = parse_instant(mark["after"])
    due = watch.clock.due(after, now)
    if due:
        log.append_many(CAUSES, [watch.to_cause(_tick(instant)) for instant in due])
        marks.save(watch.twin, watch.trigger, {"after": iso(due[-1])})
    return due


def _first_mark(log: EventLog, marks: Marks, watch: Watch) -> dict[str, Any]:
    newest = log.last(watch.stream) if watch.begin == "new" else ()
    mark: dict[str, Any] = {"position": newest[-1].position if newest else 0, "document": {}}
    marks.save(watch.twin, watch.trigger, mark)
    return mark


def _tick(instant: datetime) -> Firing:
    return Firing("clock", str(iso(instant)), instant.astimezone(UTC), {"time": iso(instant)})
