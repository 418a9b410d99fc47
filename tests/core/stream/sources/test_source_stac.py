"""The STAC source: against gemel's own STAC face, really served, and against a stand-in for what that does not do."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from source_server import standing_in
from source_stage import Told, following, until

from gemel.base.config import load_settings
from gemel.base.errors import InvalidInput
from gemel.core.engine import Service, open_engine
from gemel.core.stream.sources import Stac
from gemel.testing import SourceContract
from stage import serving

sys.path.append(str(Path(__file__).parents[3] / "faces" / "stac"))
from stac_stage import collection, item

QUICK = {"every": "50 ms"}


def changed(number: int, minute: int, **more) -> dict:
    """Return a synthetic item that was changed at a minute of a day."""
    return item(number, updated=f"2024-05-01T00:{minute:02d}:00Z", **more)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    home = tmp_path_factory.mktemp("stac") / "home"
    settings = load_settings(home=home, environ={}, folder=home)
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(open_engine(settings))
        yield opened, stack.enter_context(serving(Service(opened)))


@pytest.fixture
def scenes(engine, request, monkeypatch):
    """Return the catalogue with an empty collection, and the options of a source that follows it."""
    opened, served = engine
    name = re.sub("[^a-z]+", "-", request.node.name.lower())
    opened.catalogue.put_collection(collection(name))

    def put(*items) -> None:
        opened.catalogue.put_items(name, [found | {"collection": name} for found in items])

    monkeypatch.setenv("ENGINE_TOKEN", served.token)
    return put, {"url": f"{served.url}/stac", "collections": name, "token": "env:ENGINE_TOKEN"} | QUICK, served


@pytest.fixture
def contract_scenes(request, scenes):
    request.instance.put, request.instance.options, _ = scenes


@pytest.mark.slow
@pytest.mark.usefixtures("contract_scenes")
class TestStac(SourceContract):
    amount = 5
    by_time = False

    def opened(self, stop: threading.Event) -> Stac:
        return Stac(self.context(self.options, stop))

    def speak(self, source) -> None:
        self.put(*(changed(number, number) for number in range(5)))


def ids(follower) -> list[str]:
    return [event.data["id"] for event in follower.durable]


@pytest.mark.slow
def test_items_come_page_by_page_the_oldest_change_first_and_once(scenes):
    put, options, _ = scenes
    put(*(changed(number, 50 - number) for number in range(25)))
    told = Told(**options, page=7)
    with following(Stac(told.context), told) as follower:
        follower.until(lambda: len(follower.durable) >= 25)
        put(changed(30, 55))
        follower.until(lambda: len(follower.durable) >= 26)
    assert ids(follower) == [f"scene-{number:03d}" for number in [*range(24, -1, -1), 30]]
    first = follower.durable[0]
    assert first.data["assets"]["data"]["href"] == "https://example.org/data.tif"
    assert first.data["bbox"] == [4.0, 2.0, 4.5, 2.5] and first.subject == "scene-024"
    assert first.time == datetime(2020, 1, 25, tzinfo=UTC)


@pytest.mark.slow
def test_opened_again_it_tells_what_is_new_or_changed(scenes):
    put, options, _ = scenes
    put(changed(1, 1), changed(2, 2))
    told = Told(**options)
    with following(Stac(told.context), told) as follower:
        follower.until(lambda: len(follower.durable) >= 2)
    put(changed(1, 30), changed(3, 31))
    # One that was changed earlier than the newest seen, and registered late.
    put(changed(4, 0))
    again = Told(told.memory, **options)
    with following(Stac(again.context), again) as follower:
        follower.until(lambda: len(follower.durable) >= 3)
    assert ids(follower) == ["scene-004", "scene-001", "scene-003"]


@pytest.mark.slow
def test_where_and_when_are_asked_of_the_service(scenes):
    put, options, served = scenes
    put(*(changed(number, number) for number in range(20)))
    told = Told(**options, bbox=[2.9, 0, 6.1, 0.9], datetime="2020-01-05T00:00:00Z/..")
    with following(Stac(told.context), told) as follower:
        follower.until(lambda: len(follower.durable) >= 3)
    assert ids(follower) == ["scene-004", "scene-005", "scene-006"]
    assert served.url in options["url"]


def feature(number: int, **properties) -> dict:
    return {
        "id": f"i{number}",
        "collection": "c",
        "geometry": None,
        "properties": {"datetime": "2020-01-01"} | properties,
    }


class Api:
    """A stand-in for a STAC API with POST links and without `updated`."""

    def __init__(self) -> None:
        self.items = [feature(number) for number in range(4)]
        self.other: str | None = None

    def answer(self, request):
        start = request.document()["start"] if request.method == "POST" else int(request.query.get("start", 0))
        link = {"rel": "next", "href": self.other or "search", "method": "POST", "body": {"start": start + 2}}
        return {"features": self.items[start : start + 2], "links": [link] if start + 2 < len(self.items) else []}


@pytest.fixture
def api():
    found = Api()
    with standing_in(found.answer) as stand_in:
        yield found, stand_in


def test_links_that_post_are_followed_and_items_without_a_stamp_are_told_once(api):
    found, stand_in = api
    told = Told(url=stand_in.url, **QUICK)
    with following(Stac(told.context), told) as follower:
        follower.until(lambda: len(follower.durable) >= 4)
        found.items.append(feature(9))
        follower.until(lambda: len(follower.durable) >= 5)
    assert ids(follower) == ["i0", "i1", "i2", "i3", "i9"]


def test_something_that_is_no_item_is_set_aside(api):
    found, stand_in = api
    found.items[1] = {"id": 7}
    found.items[2] = feature(2, datetime="soon")
    told = Told(url=stand_in.url, **QUICK)
    with following(Stac(told.context), told) as follower:
        follower.until(lambda: len(follower.durable) >= 2 and len(told.rejected) >= 2)
    assert ids(follower) == ["i0", "i3"]


def test_failures_are_said_and_tried_again_when_the_server_asks_for_it(api, caplog):
    _, stand_in = api
    stand_in.instead += [
        (503, {"Retry-After": "0"}, b""),
        (429, {"Retry-After": "0"}, b""),
        (200, {}, b"{no"),
        (500, {"Retry-After": "0"}, b""),
    ]
    told = Told(url=stand_in.url, **QUICK)
    with following(Stac(told.context), told) as follower:
        follower.until(lambda: len(follower.durable) >= 4)
    for word in ("status 503", "status 429", "not JSON", "status 500"):
        assert word in caplog.text


def test_the_token_goes_to_its_own_host_alone(api, monkeypatch):
    found, stand_in = api
    monkeypatch.setenv("STAC_TOKEN", "t0ken")
    with standing_in(found.answer) as elsewhere:
        found.other = f"{elsewhere.url}/search"
        told = Told(url=stand_in.url, token="env:STAC_TOKEN", **QUICK)
        with following(Stac(told.context), told) as follower:
            follower.until(lambda: len(follower.durable) >= 4)
            until(lambda: elsewhere.asked)
        assert stand_in.asked[0].headers["authorization"] == "Bearer t0ken"
        assert all("authorization" not in request.headers for request in elsewhere.asked)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"collection": "a"}, "Did you mean 'collections'"),
        ({"url": "s3://x"}, "http://host"),
        ({"bbox": [1, 2, 3]}, "4 numbers"),
        ({"bbox": [1, 2, 3, float("nan")]}, "4 numbers"),
        ({"every": "0 s"}, "less than"),
        ({"token": "secret"}, "env:VARIABLE"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_when_opening(options, says):
    with pytest.raises(InvalidInput) as refused:
        Stac(Told(**({"url": "http://h"} | options)).context)
    assert says in f"{refused.value.message} {refused.value.hint}"
