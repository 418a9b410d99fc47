"""What every event log keeps: order, each id once, bounds that refuse, groups that share, redeliver and bury."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, ClassVar

from gemel.base.errors import InvalidInput, StoreFull
from gemel.core.stream import Delivery, Event, EventLog, Group

_START = datetime(2001, 1, 1, tzinfo=UTC)
_NAMES = ("plain", "twins/flood one/gauge", "a.b.c", "Überlauf *>", "x" * 250)


class EventLogContract:
    """Suite for one event log; write `opened` and `beside`.

    Attributes:
        patience: Seconds until something that should come is given up.
    """

    patience: ClassVar[float] = 20.0

    def opened(self) -> EventLog:
        """Return the log, with no stream in it."""
        raise NotImplementedError

    def beside(self) -> EventLog:
        """Return another handle on the log that `opened` returned, as another process would have it."""
        raise NotImplementedError

    def test_it_is_an_event_log(self) -> None:
        """Check that it has all that the protocols ask for."""
        log = self.opened()
        assert isinstance(log, EventLog)
        assert isinstance(log.group("a", "g"), Group)

    def test_events_come_back_in_order_and_each_id_once(self) -> None:
        """Check positions, duplicates in one call and in later ones, and that the first of an id is kept."""
        log = self.opened()
        first = log.append_many("a", [_event(1), _event(2), _event(2, other=True), _event(3)])
        assert [position is None for position in first] == [False, False, True, False]
        assert log.append("a", _event(1, other=True)) is None
        assert isinstance(log.append("a", _event(4)), int)
        found = log.read("a")
        assert [item.id for item in found] == ["e1", "e2", "e3", "e4"]
        assert all(one.position < two.position for one, two in pairwise(found))
        assert found[1].data == {"number": 2} and found[1].position == first[1]

    def test_an_event_is_kept_as_it_is(self) -> None:
        """Check every attribute: ids that are no header, a subject, data that is not finite."""
        log = self.opened()
        data = {"flow": float("nan"), "text": "Überlauf\n\0", "deep": [{"x": None}], "data": {}}
        event = Event('one "data": {}\r\n two', "gemel.test", "/a/b", _START + timedelta(microseconds=1), data, "Rhône")
        log.append("a", event)
        (found,) = log.read("a")
        assert found.data == data | {"flow": None}
        assert abs(found.time - event.time) <= timedelta(microseconds=1)
        assert replace(found, data={}, position=0, time=event.time) == replace(event, data={})

    def test_streams_do_not_mix(self) -> None:
        """Check names that people use; the same id may be in each."""
        log = self.opened()
        for number, name in enumerate(_NAMES):
            assert log.append(name, _event(1, at=number)) is not None
        assert [log.read(name)[0].data for name in _NAMES] == [{"at": number} for number in range(len(_NAMES))]

    def test_reading_begins_anywhere(self) -> None:
        """Check positions, limits, the newest, and a stream that is empty."""
        log = self.opened()
        assert log.read("a") == [] == log.last("a") and log.since("a", _START) == 0
        positions = _positions(log.append_many("a", [_event(number) for number in range(20)]))
        assert _ids(log.read("a", positions[16])) == ["e17", "e18", "e19"]
        assert _ids(log.read("a", positions[1], 2)) == ["e2", "e3"]
        assert _ids(log.last("a", 2)) == ["e18", "e19"] and _ids(log.last("a")) == ["e19"]
        assert len(log.last("a", 100)) == 20 and log.read("a", positions[-1]) == []

    def test_replay_begins_at_any_time_of_recording(self) -> None:
        """Check that the clock of the log counts, not that of the events, which may be reordered or in the future."""
        log = self.opened()
        log.append_many("a", [_event(9), replace(_event(1), time=datetime.now(UTC) + timedelta(days=3000))])
        _until_later()
        middle = datetime.now(UTC)
        _until_later()
        log.append("a", _event(2))
        assert _ids(log.read("a", log.since("a", middle))) == ["e2"]
        assert _ids(log.read("a", log.since("a", _START))) == ["e9", "e1", "e2"]
        assert log.read("a", log.since("a", datetime.now(UTC) + timedelta(days=1))) == []

    def test_what_is_no_event_is_refused_whole(self) -> None:
        """Check malformed and oversized events: nothing of their call is kept."""
        log = self.opened()
        good = _event(1)
        bad: list[Any] = [
            replace(good, id=""),
            replace(good, id="x" * 201),
            replace(good, id=3),  # type: ignore[arg-type]
            replace(good, type="nul\0l"),
            replace(good, source=None),  # type: ignore[arg-type]
            replace(good, time=datetime(2001, 1, 1)),
            replace(good, data={"x": object()}),
            replace(good, data={"x": "x" * 1_000_001}),
        ]
        for event in bad:
            _refused(log, "a", [good, event], InvalidInput)
        for name in ("", "x" * 400, "line\nbreak"):
            _refused(log, name, [good], InvalidInput)
        assert log.read("a") == []
        assert log.append("a", replace(good, data={"x": "x" * 900_000})) is not None

    def test_a_waiting_reader_is_woken_by_another_handle(self) -> None:
        """Check that waiting ends with the event, and without one when the time is up."""
        log, other = self.opened(), self.beside()
        begun = time.monotonic()
        assert log.wait("a", 0, 0.05) == []
        assert 0.04 < time.monotonic() - begun < self.patience
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(log.wait, "a", 0, self.patience)
            other.append("b", _event(1))
            other.append("a", _event(2))
            assert _ids(waiting.result(self.patience)) == ["e2"]

    def test_a_full_stream_refuses_and_drops_nothing(self) -> None:
        """Check bounds of events and of bytes, that a duplicate is no news, and that trimming makes room."""
        log = self.opened()
        log.limit("a", events=3)
        positions = _positions(log.append_many("a", [_event(number) for number in range(3)]))
        error = _refused(log, "a", [_event(3)], StoreFull)
        assert error.hint
        assert _ids(log.read("a")) == ["e0", "e1", "e2"]
        assert log.trim("a", positions[1]) == 1
        assert log.append("a", _event(3)) is not None
        log.limit("a", events=4, bytes=3000)
        _refused(log, "a", [_event(4, x="x" * 3000)], StoreFull)
        log.limit("a")
        assert log.append("a", _event(4, x="x" * 3000)) is not None
        assert _ids(log.read("a")) == ["e1", "e2", "e3", "e4"]

    def test_trimming_keeps_what_a_group_has_not_acknowledged(self) -> None:
        """Check events not handed out and events not acknowledged."""
        log = self.opened()
        group = log.group("a", "g")
        positions = _positions(log.append_many("a", [_event(number) for number in range(6)]))
        assert log.trim("a", positions[-1]) == 0
        taken = self._take(group, 4)
        group.ack(taken[0], taken[1], taken[3])
        assert log.trim("a", positions[-1]) == 2
        assert _ids(log.read("a")) == ["e2", "e3", "e4", "e5"]

    def test_a_group_begins_where_it_was_told_and_goes_on_where_it_was(self) -> None:
        """Check all, new and a position; a known group does not begin again."""
        log = self.opened()
        positions = _positions(log.append_many("a", [_event(number) for number in range(4)]))
        groups = [log.group("a", str(begin), begin=begin) for begin in ("all", "new", positions[1], 0)]
        assert [group.pending() for group in groups] == [4, 0, 2, 4]
        log.append("a", _event(4))
        assert [_ids_of(self._take(group, count)) for group, count in zip(groups, (5, 1, 3, 5), strict=True)] == [
            ["e0", "e1", "e2", "e3", "e4"], ["e4"], ["e2", "e3", "e4"], ["e0", "e1", "e2", "e3", "e4"],
        ]  # fmt: skip
        first = self.opened_group(log, "again")
        first.ack(*self._take(first, 2))
        assert _ids_of(self._take(self.opened_group(self.beside(), "again"), 3)) == ["e2", "e3", "e4"]

    def test_consumers_of_a_group_share_each_event_once(self) -> None:
        """Check that every event goes to exactly one of three, and to each group."""
        log = self.opened()
        other = self.beside()
        consumers = [log.group("a", "g"), log.group("a", "g"), other.group("a", "g")]
        whole = log.group("a", "other")
        seen: list[str] = []
        for start in range(0, 120, 40):
            log.append_many("a", [_event(number) for number in range(start, start + 40)])
        while len(seen) < 120:
            for consumer in consumers:
                taken = consumer.take(7, 0.2)
                consumer.ack(*taken)
                seen += _ids_of(taken)
        assert sorted(seen) == sorted(f"e{number}" for number in range(120))
        assert [consumer.take(7) for consumer in consumers] == [[], [], []]
        assert consumers[0].pending() == 0 and whole.pending() == 120

    def test_what_is_not_acknowledged_comes_again_and_is_buried_at_last(self) -> None:
        """Check the number of each attempt, the dead letter, its reason, and that the group goes on."""
        log = self.opened()
        group = log.group("a", "g", ack_wait=0.3, attempts=2)
        log.append_many("a", [_event(1), _event(2)])
        (first, _) = (self._take(group, 2))[:2]
        assert first.attempt == 1
        again: list[Delivery] = []
        while len(again) < 2:
            taken = self._take(group, 1)
            group.ack(*(item for item in taken if item.event.id == "e2"))
            again += taken
        assert sorted((item.event.id, item.attempt) for item in again) == [("e1", 2), ("e2", 2)]
        log.append("a", _event(3))
        rest = self._take(group, 1)
        while rest[0].event.id != "e3":
            rest = self._take(group, 1)
        group.ack(*rest)
        letter = self._letter(log, group)
        assert letter.data["event"]["id"] == "e1" and letter.data["position"] == first.event.position
        assert "2 attempts" in letter.data["reason"] and letter.data["group"] == "g"
        assert group.pending() == 0

    def test_a_delivery_can_be_given_back_kept_and_buried(self) -> None:
        """Check `again` with and without delay, `working`, and `bury` with the reason."""
        log = self.opened()
        group = log.group("a", "g", ack_wait=0.6, attempts=3)
        log.append_many("a", [_event(1), _event(2)])
        one, two = self._take(group, 2)
        group.ack(two)
        group.again(one)
        (one,) = self._take(group, 1)
        assert one.attempt == 2
        until = time.monotonic() + 1.5
        while time.monotonic() < until:  # longer than ack_wait allows without a word
            group.working(one)
            assert group.take(1, 0.1) == []
        group.again(one, after=0.3)
        begun = time.monotonic()
        (one,) = self._take(group, 1)
        assert one.attempt == 3 and time.monotonic() - begun > 0.2
        group.again(one, reason="the gauge was dry")
        assert self._letter(log, group).data["reason"] == "the gauge was dry"
        log.append("a", _event(3))
        (three,) = self._take(group, 1)
        group.bury(three, "poison")
        assert group.pending() == 0 and group.take(1) == []
        assert [item.data["reason"] for item in log.read("a.dead")] == ["the gauge was dry", "poison"]

    def test_a_living_consumer_keeps_what_it_holds(self) -> None:
        """Check that others of the group get nothing of it before `ack_wait` is over."""
        log = self.opened()
        log.append_many("a", [_event(1), _event(2)])
        first, other = log.group("a", "g"), self.beside().group("a", "g")
        held = self._take(first, 1)
        assert _ids_of(self._take(other, 1)) == ["e2"]
        assert other.take(1, 0.3) == []
        first.ack(*held)
        assert first.pending() == 1

    def test_forgetting_empties_a_stream(self) -> None:
        """Check that positions go on: none is given twice."""
        log = self.opened()
        group = log.group("a", "g")
        positions = _positions(log.append_many("a", [_event(number) for number in range(3)]))
        log.forget("a")
        assert log.read("a") == [] and group.pending() == 0
        assert (log.append("a", _event(7)) or 0) > positions[-1]
        assert _ids_of(self._take(group, 1)) == ["e7"]

    def opened_group(self, log: EventLog, name: str) -> Group:
        """Return a consumer of a group on the suite's stream."""
        return log.group("a", name)

    def _take(self, group: Group, count: int) -> list[Delivery]:
        """Return `count` deliveries, however many come at once."""
        found: list[Delivery] = []
        deadline = time.monotonic() + self.patience
        while len(found) < count:
            assert time.monotonic() < deadline, f"only {_ids_of(found)} came"
            found += group.take(count - len(found), 0.5)
        return found

    def _letter(self, log: EventLog, group: Group) -> Event:
        deadline = time.monotonic() + self.patience
        while not log.last("a.dead"):
            assert time.monotonic() < deadline, "no dead letter came"
            assert group.take(1, 0.1) == []
        return log.last("a.dead")[0]


def _event(number: int, **data: Any) -> Event:
    return Event(f"e{number}", "gemel.test", "/test", _START + timedelta(days=number), data or {"number": number})


def _positions(found: Sequence[int | None]) -> list[int]:
    positions = [position for position in found if position is not None]
    assert len(positions) == len(found)
    return positions


def _ids(events: Sequence[Event]) -> list[str]:
    return [event.id for event in events]


def _ids_of(deliveries: Sequence[Delivery]) -> list[str]:
    return [item.event.id for item in deliveries]


def _until_later() -> None:
    """Return when a clock of milliseconds shows another time."""
    begun = time.time()
    while time.time() < begun + 0.02:
        pass


def _refused(log: EventLog, stream: str, events: Sequence[Event], kind: type[Any]) -> Any:
    try:
        log.append_many(stream, events)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")
