"""Payloads of every kind: what becomes an event, which id it has, and why what cannot is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some
from source_stage import Told

from gemel.base.errors import InvalidInput
from gemel.core.stream import Event
from gemel.core.stream.events import checked
from gemel.core.stream.sources._options import Options
from gemel.core.stream.sources._payload import MAPPING_OPTIONS, Payloads, instant_of

NOW = datetime(2020, 5, 1, 12, tzinfo=UTC)


def payloads(**options) -> tuple[Payloads, Told]:
    told = Told(**options)
    return Payloads(told.context, Options(told.context, "test", MAPPING_OPTIONS)), told


def taken(payload: bytes, key: str = "", **options) -> list[Event]:
    made, told = payloads(**options)
    found = made.taken(payload, NOW, key, "topic")
    assert not told.rejected, told.rejected
    return found


def reason(payload: bytes, **options) -> str:
    made, told = payloads(**options)
    assert made.taken(payload, NOW, subject="topic") == []
    assert [kept for _, kept in told.rejected] == [payload]
    return told.rejected[0][0]


def test_plain_json_becomes_an_observation_with_its_own_time():
    (event,) = taken(b'{"time": "2001-02-03T04:05:06+01:00", "flow": 3.5, "unit": "m3 s-1"}')
    assert event.time == datetime(2001, 2, 3, 3, 5, 6, tzinfo=UTC)
    assert event.data == {"flow": 3.5, "unit": "m3 s-1"}
    assert (event.type, event.source, event.subject) == ("gemel.observation", "/twins/x/sources/gauge", "topic")


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        (981173106, datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)),
        (981173106.5, datetime(2001, 2, 3, 4, 5, 6, 500000, tzinfo=UTC)),
        (981173106000, datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)),
        ("2001-02-03", datetime(2001, 2, 3, tzinfo=UTC)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-86400, datetime(1969, 12, 31, tzinfo=UTC)),
    ],
)
def test_instants_are_text_or_seconds_or_milliseconds(stamp, expected):
    assert instant_of(stamp) == expected


@given(some.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1)))
def test_seconds_and_milliseconds_of_an_instant_are_the_same_instant(moment):
    moment = moment.replace(tzinfo=UTC, microsecond=0)
    seconds = int(moment.timestamp())
    assert instant_of(seconds) == instant_of(seconds * 1000) == instant_of(moment.isoformat()) == moment


def test_fields_are_taken_from_where_they_lie_under_our_names():
    body = {"meta": {"at": 981173106, "no": 7}, "values": [{"q": 1.5}, {"q": None}], "a.b": 9}
    options = {"time": "meta.at", "id": "meta.no", "fields": {"flow": "values.0.q", "dotted": "a.b", "gone": "x.y"}}
    (event,) = taken(json.dumps(body).encode(), **options, subject="meta.no")
    assert event.data == {"flow": 1.5, "dotted": 9, "gone": None}
    assert event.id == "gauge@7" and event.subject == "7"


def test_numbers_arrays_and_cloudevents_are_known_by_themselves():
    assert [event.data for event in taken(b"3.25")] == [{"value": 3.25}]
    assert [event.data for event in taken(b" 1e3\n", format="number")] == [{"value": 1000.0}]
    several = taken(b'[{"time": 1, "flow": 1}, {"time": 2, "flow": 2}]')
    assert [event.data["flow"] for event in several] == [1, 2]
    sent = Event("e1", "rain.fell", "/gauge", datetime(2001, 1, 1, tzinfo=UTC), {"mm": 3}, "north")
    assert taken(json.dumps(sent.document()).encode()) == [sent]
    # A CloudEvent without a time or an object is of now, and holds a value.
    bare = {"specversion": "1.0", "id": "1", "type": "t", "source": "/s", "data": 3}
    (event,) = taken(json.dumps(bare).encode(), format="cloudevents")
    assert event.time == NOW and event.data == {"value": 3} and event.subject == "topic"


def test_what_says_its_time_is_the_same_event_each_time_it_comes():
    body = b'{"time": 1, "flow": 1}'
    assert taken(body, "first")[0].id == taken(b' { "flow":1,"time" : 1}', "second")[0].id
    assert taken(body)[0].id != taken(b'{"time": 2, "flow": 1}')[0].id


def test_what_says_no_time_is_known_by_how_it_came():
    assert taken(b"3", "17")[0].id == taken(b"3", "17")[0].id != taken(b"3", "18")[0].id


@pytest.mark.parametrize(
    ("payload", "options", "says"),
    [
        (b"{", {}, "not JSON"),
        (b"", {}, "not JSON"),
        (b'{"flow": NaN}', {}, "NaN"),
        (b'{"flow": -Infinity}', {}, "-Infinity"),
        (b"\xff\xfe{}", {}, "not UTF-8"),
        ('{"fluß": 1}'.encode("latin-1"), {}, "not UTF-8"),
        (b"[" * 100_000, {}, "nested"),
        (b"[" * 100 + b"]" * 100, {}, "nested"),
        (b'"text"', {}, "object or a number"),
        (b"true", {}, "object or a number"),
        (b"null", {}, "object or a number"),
        (b"x" * 1_000_001, {}, "1,000,001 bytes"),
        (b'{"time": "soon"}', {}, "soon"),
        (b'{"time": true}', {}, "not a date"),
        (b'{"time": 1e300}', {}, "no number of seconds"),
        (b'{"time": "0001-01-01T00:00:00+14:00"}', {}, "not a date"),
        (b'{"time": "' + b"9" * 1000 + b'"}', {}, "not a date"),
        (b'{"flow": 1}', {"time": "at"}, "no 'at'"),
        (b'{"flow": 1}', {"id": "number"}, "no 'number'"),
        (b'{"flow": 1}', {"fields": {"rain": "mm"}}, "none of the fields mm"),
        (b'{"flow": ' + b"1" * 5000 + b"}", {}, "not JSON"),
        (b"3,5", {"format": "number"}, "not a number"),
        (b"nan", {"format": "number"}, "finite"),
        (b"1e999", {"format": "number"}, "finite"),
        (b'{"specversion": "0.3", "type": "t"}', {}, "'0.3'"),
        (b'{"specversion": "1.0", "type": "t", "source": "/s"}', {}, "'id'"),
        (b'{"specversion": "1.0", "type": "t", "source": "/s", "id": "\\ud800"}', {}, "surrogate"),
        (b'{"specversion": "1.0", "type": "t", "source": "/s", "id": "' + b"x" * 300 + b'"}', {}, "200"),
        (b'{"specversion": "1.0", "type": "t", "source": "/s", "id": "1", "time": "0001-01-01T00+14:00"}', {}, "date"),
        (b'{"flow": 1}', {"format": "cloudevents"}, "1.0 is"),
    ],
)
def test_what_cannot_be_an_event_is_set_aside_with_its_reason(payload, options, says):
    assert says in reason(payload, **options)


_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=20,
)


@given(some.binary(max_size=200) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_no_payload_stops_a_source_and_every_event_fits_the_log(payload):
    made, told = payloads()
    for event in made.taken(payload, NOW, subject="topic"):
        checked(event)
    assert all(reason for reason, _ in told.rejected)


def test_one_bad_reading_among_good_ones_is_set_aside_alone():
    made, told = payloads()
    found = made.taken(b'[{"time": 1, "flow": 1}, {"time": "soon"}, {"time": 2, "flow": 2}]', NOW)
    assert [event.data["flow"] for event in found] == [1, 2] and len(told.rejected) == 1


def test_mapping_options_are_checked_when_opening():
    with pytest.raises(InvalidInput, match="format"):
        payloads(format="yaml")
