"""What every source of observations keeps: order, identity, resumption, what is malformed set aside, an end on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from gemel.base.errors import InvalidInput
from gemel.core.stream import Event, Source, SourceContext
from gemel.core.stream.sources import Forgetful, Memory, Receiver

_ENOUGH = 50
_PATIENCE = 30.0
_PROMPT = 10.0  # seconds within which a source that was told to stop has ended


class SourceContract:
    """Suite for one source; write `opened`, which returns it open on data of at least three events, unpaced.

    A source that is told things live, or asks again and again, never comes to an end by itself: say how many events
    there are in `amount`, and write `speak` when the outside world must be made to say them.

    Attributes:
        amount: How many events the outside world has, when the source does not end by itself.
        by_time: Whether the source goes on after an instant; one that is told things live need not.
        memory: What `context` gives the source; each opening within a test has it.
        rejected: What was rejected: reasons and payloads.
    """

    amount: int | None = None
    by_time = True
    memory: Memory
    rejected: list[tuple[str, bytes]]

    def opened(self, stop: threading.Event) -> Source:
        """Return the source, newly opened; it ends when `stop` is set."""
        raise NotImplementedError

    def speak(self, source: Source) -> None:
        """Make the outside world say its `amount` observations, the same each time; some are said already."""

    def babble(self, source: Source) -> bool:
        """Make the outside world say something malformed, and return whether it can."""
        return False

    def context(self, options: Mapping[str, Any], stop: threading.Event, **more: Any) -> SourceContext:
        """Return what a source is opened with: its memory and what it rejects are the suite's."""
        self.memory = self.__dict__.setdefault("memory", Forgetful())
        self.rejected = self.__dict__.setdefault("rejected", [])

        def reject(reason: str, payload: bytes) -> None:
            self.rejected.append((reason, payload))

        given: dict[str, Any] = {"read": _nothing, "memory": self.memory, "reject": reject} | more
        return SourceContext("told", "/sources/told", options, stop=stop, **given)

    def anew(self) -> None:
        """Forget what the source remembers: the next opening is its first."""
        self.__dict__.pop("memory", None)

    def heard(self, source: Source, after: datetime | None) -> Iterator[Event]:
        """Yield events as the engine gets them, one by one; a `Receiver` is handed what `speak` sends by the test."""
        for found in source.events(after):
            yield from [found] if isinstance(found, Event) else found

    def first(self, after: datetime | None = None, speaking: bool = True) -> list[Event]:
        """Return the first events, later than `after` where the source goes by time."""
        stop, found = threading.Event(), list[Event]()
        source = self.opened(stop)
        enough = _ENOUGH if self.amount is None else self.amount
        with _spoken(lambda: self.speak(source) if speaking else None), _ended(stop, _PATIENCE):
            for event in self.heard(source, after):
                found.append(event)
                # Asked for more once: what was yielded is durable, and may be acknowledged.
                if len({item.id for item in found}) >= enough:
                    stop.set()
        return found[:_ENOUGH]

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
        before = [event.id for event in self.first()]
        self.anew()
        assert [event.id for event in self.first()] == before

    def test_it_goes_on_after_an_instant(self) -> None:
        """Check that of what is not later than the instant given, nothing but that instant's own comes again."""
        events = self.first()
        if not self.by_time or self.amount is not None:
            assert all(event.time.tzinfo is not None for event in events)
            return
        later = self.first(events[1].time)
        assert [event.id for event in later[: len(events) - 2]] == [event.id for event in events[2:]]

    def test_it_ends_when_told(self) -> None:
        """Check that a source that was stopped yields no more, and ends soon."""
        stop = threading.Event()
        source = self.opened(stop)
        with _spoken(lambda: self.speak(source)):
            events = self.heard(source, None)
            next(events)
        begun = time.monotonic()
        stop.set()
        left = list(events)
        assert len(left) <= (1 if self.amount is None else self.amount)
        assert time.monotonic() - begun < _PROMPT

    def test_it_ends_when_told_while_nothing_comes(self) -> None:
        """Check that a source that waits for the outside world hears that it should stop."""
        stop = threading.Event()
        events = self.opened(stop).events(None)
        ended = threading.Event()

        def run() -> None:
            list(events)
            ended.set()

        threading.Thread(target=run, daemon=True).start()
        stop.set()
        assert ended.wait(_PROMPT)

    def test_what_is_malformed_is_set_aside(self) -> None:
        """Check that something malformed is rejected with its reason, and that what follows comes all the same."""
        stop, found = threading.Event(), list[Event]()
        source = self.opened(stop)
        can = threading.Event()

        def all_of_it() -> None:
            if self.babble(source):
                can.set()
            self.speak(source)

        with _spoken(all_of_it), _ended(stop, _PATIENCE):
            for event in self.heard(source, None):
                found.append(event)
                if len(found) >= (self.amount or 1):
                    stop.set()
        assert len(found) >= (self.amount or 1)
        if can.is_set():
            assert self.rejected, "nothing was rejected"
            assert all(reason and isinstance(payload, bytes) for reason, payload in self.rejected)

    def test_it_checks_its_options(self) -> None:
        """Check that an option that there is not is refused when the source is opened."""
        kind = type(self.opened(threading.Event()))
        stop = threading.Event()
        try:
            kind(SourceContext("told", "/sources/told", {"no-such-option": 1}, _nothing, stop))
        except InvalidInput as error:
            assert "no-such-option" in error.message
        else:
            raise AssertionError("an option that there is not was taken")


def received(source: Source, requests: list[tuple[Mapping[str, str], bytes]]) -> Iterator[Event]:
    """Yield the events that a `Receiver` finds in requests: what the server does with what arrives."""
    assert isinstance(source, Receiver)
    for headers, body in requests:
        yield from source.receive(headers, body)


def _nothing(process: str, reference: str) -> Any:
    raise AssertionError(f"the source reads {reference} with {process}")


@contextmanager
def _spoken(say: Callable[[], None]) -> Iterator[None]:
    """Let the outside world speak beside the source."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            say()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(_PATIENCE)
    if failed:
        raise failed[0]


@contextmanager
def _ended(stop: threading.Event, seconds: float) -> Iterator[None]:
    """Stop a source that does not say what it should in time; the test fails then, and does not hang."""
    timer = threading.Timer(seconds, stop.set)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
