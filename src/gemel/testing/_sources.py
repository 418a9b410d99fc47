"""What every source of observations keeps: order, identity, resumption, and an end on demand."""

from __future__ import annotations

import itertools
import json
import threading
from datetime import datetime

from gemel.core.stream import Event, Source

_ENOUGH = 50


class SourceContract:
    """Suite for one source; write `opened`, which returns it open on data of at least three events, unpaced."""

    def opened(self, stop: threading.Event) -> Source:
        """Return the source, newly opened; it ends when `stop` is set."""
        raise NotImplementedError

    def first(self, after: datetime | None = None) -> list[Event]:
        """Return the first events later than `after`."""
        return list(itertools.islice(self.opened(threading.Event()).events(after), _ENOUGH))

    def test_events_are_identified_and_are_json(self) -> None:
        """Check that no two events share an id, and that each is a CloudEvent in JSON."""
        events = self.first()
        assert len(events) >= 3
        assert len({event.id for event in events}) == len(events)
        for event in events:
            assert event.time.tzinfo is not None
            assert Event.from_document(json.loads(json.dumps(event.document(), allow_nan=False))) == event

    def test_opening_again_gives_the_same_events(self) -> None:
        """Check that ids do not change: they are how a duplicate is told from news."""
        assert [event.id for event in self.first()] == [event.id for event in self.first()]

    def test_it_goes_on_after_an_instant(self) -> None:
        """Check that only what is later than the instant given comes again."""
        events = self.first()
        later = self.first(events[1].time)
        assert [event.id for event in later[: len(events) - 2]] == [event.id for event in events[2:]]

    def test_it_ends_when_told(self) -> None:
        """Check that a source that was stopped yields no more."""
        stop = threading.Event()
        events = self.opened(stop).events(None)
        next(iter(events))
        stop.set()
        assert len(list(events)) <= 1
