"""Clocks: what is due and what was missed, across summer time, jumps of the clock and long sleeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput
from gemel.core.stream.triggers import Clock

START = datetime(2024, 3, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def local(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).astimezone(UTC)


def test_every_hour_means_each_full_hour():
    clock = Clock(every="1 h", missed="all")
    begin = START + timedelta(minutes=17)
    assert clock.next(begin) == START + timedelta(hours=1)
    assert clock.due(begin, begin + timedelta(hours=3)) == [START + timedelta(hours=hour) for hour in (1, 2, 3)]
    assert clock.next(START) == START + timedelta(hours=1), "an instant comes after itself only"


def test_a_time_that_summer_time_leaves_out_is_due_right_after_it_and_once():
    clock = Clock(cron="30 2 * * *", zone="Europe/Berlin", missed="all")
    due = clock.due(local("2024-03-30T12:00"), local("2024-04-01T12:00"))
    assert due == [local("2024-03-31T03:00"), local("2024-04-01T02:30")]


def test_a_time_that_comes_twice_in_autumn_is_due_the_first_time_only_wherever_one_begins_to_look():
    clock = Clock(cron="30 2 * * *", zone="Europe/Berlin", missed="all")
    first, second = local("2024-10-27T02:30", fold=0), local("2024-10-27T02:30", fold=1)
    assert second - first == timedelta(hours=1)
    assert clock.due(local("2024-10-26T12:00"), local("2024-10-27T12:00")) == [first]
    assert clock.next(first) == local("2024-10-28T02:30")
    assert clock.next(second - timedelta(minutes=5)) == local("2024-10-28T02:30")


def test_a_cron_of_each_quarter_goes_on_through_both_changes():
    clock = Clock(cron="*/15 * * * *", zone="Europe/Berlin", missed="all")
    for day in (datetime(2024, 3, 31, tzinfo=UTC), datetime(2024, 10, 27, tzinfo=UTC)):
        due = clock.due(day, day + timedelta(hours=6))
        assert due == [day + timedelta(minutes=15 * number) for number in range(1, 25)]


def test_weekdays_are_those_of_the_zone():
    clock = Clock(cron="0 1 * * MON", zone="Pacific/Auckland")
    due = clock.next(START)
    assert due.astimezone(ZoneInfo("Pacific/Auckland")).strftime("%a %H:%M") == "Mon 01:00"
    assert due.strftime("%a") == "Sun"


@pytest.mark.parametrize("given", [{"every": "10 min"}, {"cron": "*/10 * * * *"}])
def test_the_rule_for_missed_instants(given):
    now, slept = START + timedelta(days=3, minutes=4), timedelta(days=3)
    newest = START + timedelta(days=3)
    assert Clock(**given).due(now - slept, now) == [newest]
    all_of_them = Clock(**given, missed="all").due(now - slept, now)
    assert len(all_of_them) == 3 * 24 * 6 and all_of_them[-1] == newest
    assert Clock(**given, missed="skip").due(now - slept, now) == []
    assert Clock(**given, missed="skip", grace="5 min").due(now - slept, now) == [newest]
    assert Clock(**given, missed="skip").due(now - slept, newest + timedelta(seconds=30)) == [newest]


def test_what_is_missed_can_be_asked_for_in_parts():
    clock, after, found = Clock(every="1 min", missed="all"), START, []
    while due := clock.due(after, START + timedelta(minutes=95), limit=10):
        assert len(due) <= 10
        found, after = [*found, *due], due[-1]
    assert found == [START + timedelta(minutes=number) for number in range(1, 96)]


def test_a_clock_set_back_makes_nothing_due_again():
    for clock in (Clock(every="1 min"), Clock(cron="* * * * *", missed="all"), Clock(every="1 s", missed="skip")):
        assert clock.due(START, START - timedelta(hours=2)) == []
        assert clock.due(START, START) == []


def test_the_newest_of_a_rare_cron_is_found_years_later():
    clock = Clock(cron="0 0 29 2 *")
    assert clock.due(START - timedelta(days=4000), START + timedelta(days=1200)) == [datetime(2024, 2, 29, tzinfo=UTC)]


def test_nothing_is_due_before_the_begin():
    begin = START + timedelta(hours=5)
    for clock in (Clock(every="1 h", begin=begin), Clock(cron="0 * * * *", begin=begin, missed="all")):
        assert clock.due(START, START + timedelta(hours=4, minutes=59)) == []
        assert clock.next(START) == begin and clock.due(START, begin) == [begin]


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({}, "either"),
        ({"every": "1 h", "cron": "* * * * *"}, "either"),
        ({"every": "soon"}, "duration"),
        ({"every": "0 s"}, "short"),
        ({"cron": "61 * * * *"}, "minute"),
        ({"cron": "* * *"}, "fields"),
        ({"cron": "* * * * *", "zone": "Mars/Olympus"}, "zone"),
        ({"cron": "* * * * *", "zone": "../etc/passwd"}, "zone"),
        ({"every": "1 h", "missed": "later"}, "rule"),
        ({"every": "1 h", "begin": datetime(2024, 1, 1)}, "zone"),
    ],
)
def test_a_clock_that_cannot_run_is_refused_when_it_is_made(given, word):
    with pytest.raises(InvalidInput, match=word):
        Clock(**given)


@given(
    st.sampled_from(["7 min", "1 h", "1 d"]) | st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 1-3 * * *"]),
    st.integers(0, 366 * 24 * 60),
    st.lists(st.integers(0, 3000), min_size=1, max_size=8),
)
def test_however_often_one_asks_each_instant_is_due_once(schedule, begin, pauses):
    given = {"cron": schedule, "zone": "Europe/Berlin"} if "*" in schedule else {"every": schedule}
    clock = Clock(**given, missed="all")
    now = after = start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=begin)
    found = []
    for pause in pauses:
        now += timedelta(minutes=pause)
        due = clock.due(after, now)
        found, after = [*found, *due], due[-1] if due else after
    assert found == clock.due(start, now, limit=10_000)
    assert found == sorted(set(found)) and all(start < instant <= now for instant in found)
    newest = Clock(**given).due(start, now)
    assert newest == found[-1:]
