"""The SensorThings source, against a stand-in that filters, orders and pages as OGC 18-088 (version 1.1) says."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
from source_server import standing_in
from source_stage import START, Told, following, until

from gemel.base.clock import iso, parse_instant
from gemel.base.errors import InvalidInput
from gemel.core.stream.sources import SensorThings
from gemel.testing import SourceContract

QUICK = {"every": "50 ms"}


def observation(number: int, stream: int = 1, second: int | None = None) -> dict:
    moment = START + timedelta(seconds=number if second is None else second)
    return {
        "@iot.id": f"{stream}-{number}",
        "phenomenonTime": iso(moment),
        "resultTime": None,
        "result": float(number),
        "Datastream": {
            "@iot.id": stream,
            "name": f"stream {stream}",
            "unitOfMeasurement": {"name": "metre", "symbol": "m", "definition": "ucum:m"},
        },
    }


class Service:
    """A stand-in for a SensorThings service."""

    def __init__(self) -> None:
        self.observations: list[dict] = []

    def answer(self, request):
        assert request.query["$orderby"] == "phenomenonTime asc" and request.query["$expand"] == "Datastream"
        found = list(self.observations)
        if request.path != "/v1.1/Observations":
            stream = re.fullmatch(r"/v1\.1/Datastreams\((\d+)\)/Observations", request.path)
            assert stream, request.path
            found = [item for item in found if item["Datastream"]["@iot.id"] == int(stream[1])]
        if "$filter" in request.query:
            since = parse_instant(re.fullmatch("phenomenonTime ge (.+)", request.query["$filter"])[1])
            found = [item for item in found if parse_instant(item["phenomenonTime"].rpartition("/")[2]) >= since]
        found.sort(key=lambda item: item["phenomenonTime"])
        top, skip = int(request.query["$top"]), int(request.query.get("$skip", 0))
        page: dict = {"value": found[skip : skip + top]}
        if skip + top < len(found):
            query = {**request.query, "$skip": str(skip + top)}
            page["@iot.nextLink"] = "?" + "&".join(
                f"{name}={value.replace(' ', '%20').replace('+', '%2B')}" for name, value in query.items()
            )
        return page


@pytest.fixture
def service():
    found = Service()
    with standing_in(found.answer) as stand_in:
        yield found, f"{stand_in.url}/v1.1", stand_in


@pytest.fixture
def contract_service(request, service):
    request.instance.service, request.instance.url, _ = service


@pytest.mark.usefixtures("contract_service")
class TestSensorThings(SourceContract):
    amount = 6

    def opened(self, stop: threading.Event) -> SensorThings:
        return SensorThings(self.context({"url": self.url, "page": 2} | QUICK, stop))

    def speak(self, source) -> None:
        good = [observation(number) for number in range(6)]
        self.service.observations = [*self.service.observations[6:], *good]

    def babble(self, source) -> bool:
        self.service.observations = [observation(0)] * 6 + [observation(0) | {"@iot.id": None}]
        return True


def test_pages_are_followed_and_each_observation_comes_once(service):
    found, url, _ = service
    found.observations = [observation(number) for number in range(25)]
    told = Told(url=url, page=4, **QUICK)
    with following(SensorThings(told.context), told) as follower:
        follower.until(lambda: len(follower.durable) >= 25)
        # One that comes late, and one of the very same instant as the last.
        found.observations += [observation(100, second=10), observation(101, second=24)]
        follower.until(lambda: len(follower.durable) >= 27)
    assert [event.data["result"] for event in follower.durable] == [*map(float, range(25)), 100.0, 101.0]
    event = follower.durable[3]
    assert event.id == "gauge@Observations(1-3)" and event.time == START + timedelta(seconds=3)
    assert event.data["unit"] == "m" and event.data["datastream"] == 1 and event.subject == "stream 1"


def test_a_slow_datastream_is_not_passed_over_by_a_quick_one(service):
    found, url, stand_in = service
    found.observations = [observation(number, 1) for number in range(0, 90000, 3000)] + [observation(1, 2)]
    told = Told(url=url, datastreams={"level": 1, "rain": 2}, **QUICK)
    with following(SensorThings(told.context), told) as follower:
        follower.until(lambda: len(follower.durable) >= 31)
        # A day behind the other's clock.
        found.observations.append(observation(2, 2))
        follower.until(lambda: len(follower.durable) >= 32)
    assert follower.durable[-1].data["rain"] == 2.0 and follower.durable[0].data["level"] == 0.0
    assert {request.path for request in stand_in.asked} == {
        "/v1.1/Datastreams(1)/Observations",
        "/v1.1/Datastreams(2)/Observations",
    }


def test_opened_again_it_goes_on_where_it_was(service):
    found, url, _ = service
    found.observations = [observation(number) for number in range(5)]
    told = Told(url=url, **QUICK)
    with following(SensorThings(told.context), told) as follower:
        follower.until(lambda: len(follower.durable) >= 5)
    found.observations.append(observation(5))
    again = Told(told.memory, url=url, **QUICK)
    with following(SensorThings(again.context), again) as follower:
        follower.until(lambda: follower.durable)
    assert [event.data["result"] for event in follower.durable] == [5.0]


def test_it_begins_where_it_is_told(service):
    found, url, stand_in = service
    found.observations = [observation(number) for number in range(10)]
    told = Told(url=url, start="2001-01-01T00:00:07Z", **QUICK)
    with following(SensorThings(told.context), told) as follower:
        follower.until(lambda: len(follower.durable) >= 3)
    assert [event.data["result"] for event in follower.durable] == [7.0, 8.0, 9.0]
    assert stand_in.asked[0].query["$filter"] == "phenomenonTime ge 2001-01-01T00:00:07Z"


def test_intervals_count_from_their_end_and_what_has_no_time_is_set_aside_once(service):
    found, url, stand_in = service
    hour = observation(1) | {"phenomenonTime": "2001-01-01T00:00:00Z/2001-01-01T01:00:00Z"}
    found.observations = [hour, observation(2) | {"phenomenonTime": "0"}]
    told = Told(url=url, **QUICK)
    with following(SensorThings(told.context), told) as follower:
        follower.until(lambda: follower.durable and told.rejected)
        before = len(stand_in.asked)
        until(lambda: len(stand_in.asked) > before + 2)
    assert len(told.rejected) == 1, "what is rejected once is rejected in every pass"
    assert follower.durable[0].time == datetime(2001, 1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"datastream": [1]}, "Did you mean 'datastreams'"),
        ({"datastreams": [1.5]}, "no list of ids"),
        ({"datastreams": [True]}, "no list of ids"),
        ({"start": "soon"}, "soon"),
        ({"page": 0}, "from 1"),
        ({"url": "host"}, "http://host"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_when_opening(options, says):
    with pytest.raises(InvalidInput) as refused:
        SensorThings(Told(**({"url": "http://h"} | options)).context)
    assert says in f"{refused.value.message} {refused.value.hint}"
