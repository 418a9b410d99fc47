"""A record played as if it were observed now: which instants, how fast, and what is not a number."""

from __future__ import annotations

import math
import threading
import time
from datetime import UTC, datetime

import numpy as np
import pytest
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.core.stream import Replay, SourceContext

RECORD = xr.Dataset(
    {"flow": ("time", [1.0, math.nan, 3.0, 4.0, 5.0]), "rain": ("time", [0.0, 1.0, math.inf, 3.0, 4.0])},
    {"time": np.array(["2001-01-01", "2001-01-02", "2001-01-03", "2001-01-04", "2001-01-05"], "datetime64[ns]")},
)


def replay(stop: threading.Event | None = None, **options) -> Replay:
    def read(reader: str, reference: str) -> xr.Dataset:
        assert (reader, reference) == ("opened", "somewhere")
        return RECORD

    given = {"dataset": "somewhere", "reader": "opened", "speed": "max"} | options
    return Replay(SourceContext("gauge", "/twins/x/sources/gauge", given, read, stop or threading.Event()))


def days(source: Replay, after: datetime | None = None) -> list[int]:
    return [event.time.day for event in source.events(after)]


def test_each_instant_is_one_observation_and_nan_is_null():
    events = list(replay().events(None))
    assert [event.data for event in events] == [
        {"flow": 1.0, "rain": 0.0},
        {"flow": None, "rain": 1.0},
        {"flow": 3.0, "rain": None},
        {"flow": 4.0, "rain": 3.0},
        {"flow": 5.0, "rain": 4.0},
    ]
    assert events[0].id == "gauge@2001-01-01T00:00:00Z" and events[0].type == "gemel.observation"
    assert events[0].source == "/twins/x/sources/gauge" and events[0].time == datetime(2001, 1, 1, tzinfo=UTC)
    assert len({event.id for event in events}) == 5


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"start": "2001-01-03"}, [3, 4, 5]),
        ({"end": "2001-01-02"}, [1, 2]),
        ({"start": "2001-01-02", "end": "2001-01-04"}, [2, 3, 4]),
        ({"count": 2}, [1, 2]),
        ({"count": 0}, []),
        ({"start": "2001-01-02", "count": 2}, [2, 3]),
        ({"start": "2002-01-01"}, []),
        ({"start": "2001-01-02T12:00Z"}, [3, 4, 5]),
    ],
)
def test_start_end_and_count_choose_what_is_played(options, expected):
    assert days(replay(**options)) == expected


def test_it_goes_on_after_what_is_known_already():
    assert days(replay(), datetime(2001, 1, 3, tzinfo=UTC)) == [4, 5]
    assert days(replay(count=1), datetime(2001, 1, 3, tzinfo=UTC)) == [4]
    assert days(replay(), datetime(2001, 1, 5, tzinfo=UTC)) == []


def test_speed_is_time_of_theirs_for_time_of_ours():
    # Four days at 40 days a second are a tenth of a second, however long computing takes on top.
    begun = time.monotonic()
    assert days(replay(speed="40 d/s")) == [1, 2, 3, 4, 5]
    assert time.monotonic() - begun >= 0.1
    # At a day an hour nothing but the first comes before the stop.
    stop = threading.Event()
    events = replay(stop, speed="1 d/h").events(None)
    assert next(events).time.day == 1
    stop.set()
    assert list(events) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sped": "1 d/s"}, "Did you mean 'speed'"),
        ({"colour": "red"}, "dataset, reader, start"),
        ({"speed": "fast"}, "1 d/s"),
        ({"speed": "1 d/"}, "1 d/s"),
        ({"speed": "/s"}, "1 d/s"),
        ({"speed": "1 parsec/s"}, "parsec"),
        ({"speed": "0 d/s"}, "1 d/s"),
        ({"speed": "1 d/0 s"}, "1 d/s"),
        ({"start": "soon"}, "soon"),
        ({"end": ""}, "1988"),
        ({"count": "3"}, "count"),
        ({"count": -1}, "count"),
        ({"count": True}, "count"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_when_opening(options, says):
    with pytest.raises(InvalidInput) as refused:
        replay(**options)
    assert says in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize("missing", ["dataset", "reader"])
def test_what_it_cannot_do_without_is_asked_for(missing):
    options = {"dataset": "somewhere", "reader": "opened"}
    del options[missing]
    with pytest.raises(InvalidInput, match=missing):
        Replay(SourceContext("gauge", "/x", options, lambda _reader, _reference: RECORD))
