"""The listener for aviso-servers, against a stand-in written from the published API (streaming semantics, 0.7 to 0.13)."""

from __future__ import annotations

import contextlib
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from source_server import standing_in
from source_stage import Told, following, until

from gemel.base.clock import parse_instant
from gemel.base.errors import InvalidInput
from gemel.core.stream.sources import Aviso
from gemel.testing import SourceContract

BEGIN = datetime(2026, 3, 4, 10, tzinfo=UTC)


class Server:
    """A stand-in for an aviso-server with one event type: history, then live, with heartbeats."""

    def __init__(self) -> None:
        self.history: list[dict] = []
        self.limit: int | None = None
        self.closing = threading.Event()
        self.broken: list[str] = []
        self.silent = False
        self.changed = threading.Condition()

    def notify(self, *payloads) -> None:
        with self.changed:
            for payload in payloads:
                number = len(self.history) + 1
                self.history.append(
                    {
                        "specversion": "1.0",
                        "id": f"mars@{number}",
                        "type": "int.ecmwf.aviso.mars",
                        "source": "http://aviso",
                        "time": (BEGIN + timedelta(seconds=number)).isoformat().replace("+00:00", "Z"),
                        "datacontenttype": "application/json",
                        "dataschema": "http://aviso/schema/mars",
                        "data": {"identifier": {"class": "od", "step": "24"}, "payload": payload},
                    }
                )
            self.changed.notify_all()

    def answer(self, request):
        asked = request.document()
        assert request.path == "/api/v1/watch" and request.method == "POST"
        assert asked["event_type"] == "mars" and not {"from_id", "from_date"} <= asked.keys()
        request.begin(200, **{"Content-Type": "text/event-stream"})
        with contextlib.suppress(OSError):
            self.stream(request, asked)

    def stream(self, request, asked) -> None:
        def send(name: str, document) -> None:
            request.write(f"event: {name}\ndata: {json.dumps(document)}\n\n".encode())

        def first() -> int:
            if "from_id" in asked:
                return int(asked["from_id"]) - 1
            since = parse_instant(asked["from_date"])
            return sum(parse_instant(item["time"]) < since for item in self.history)

        position = first()
        send("replay-control", {"type": "replay_started", "request_id": "r1"})
        most = len(self.history) if self.limit is None else min(len(self.history), position + self.limit)
        for document in self.history[position:most]:
            send("replay", document)
        if most < len(self.history) and position < most:
            send("replay-control", {"type": "notification_replay_limit_reached", "max_allowed": self.limit})
        send("replay-control", {"type": "replay_completed"})
        position = len(self.history)
        if self.broken:
            request.write(self.broken.pop().encode())
        while not self.closing.is_set():
            with self.changed:
                self.changed.wait_for(lambda known=position: len(self.history) > known, 0.05)
            for document in self.history[position:]:
                send("live-notification", document)
            position = len(self.history)
            if not self.silent:
                send("heartbeat", {"timestamp": "2026-03-04T10:00:00Z"})
        self.closing.clear()
        send("connection-closing", {"reason": "max_duration_reached", "request_id": "r1"})


@pytest.fixture
def aviso():
    server = Server()
    with standing_in(server.answer) as stand_in:
        yield server, stand_in


def listener(stand_in, memory=None, **more) -> tuple[Aviso, Told]:
    options = {"url": stand_in.url, "event_type": "mars", "identifier": {"class": "od"}, "start": BEGIN.isoformat()}
    told = Told(memory, **(options | more))
    return Aviso(told.context), told


@pytest.fixture
def contract_aviso(request, aviso):
    request.instance.server, request.instance.stand_in = aviso


@pytest.mark.usefixtures("contract_aviso")
class TestAviso(SourceContract):
    amount = 4
    by_time = False

    def opened(self, stop: threading.Event) -> Aviso:
        options = {"url": self.stand_in.url, "event_type": "mars", "start": BEGIN.isoformat()}
        return Aviso(self.context(options, stop))

    def speak(self, source) -> None:
        if not any(item["data"]["payload"] == 1 for item in self.server.history):
            self.server.notify(0, 1, 2, 3)

    def babble(self, source) -> bool:
        self.server.notify("bad")
        self.server.history[-1]["type"] = ""
        return True


def payloads(follower) -> list:
    return [event.data["payload"] for event in follower.durable]


def test_history_comes_first_and_then_what_is_new(aviso):
    server, stand_in = aviso
    server.notify(1, 2)
    source, told = listener(stand_in)
    with following(source, told) as follower:
        follower.until(lambda: len(follower.durable) == 2)
        server.notify({"note": "\u2028 is no end of a line"})
        follower.until(lambda: len(follower.durable) == 3)
    assert payloads(follower) == [1, 2, {"note": "\u2028 is no end of a line"}]
    event = follower.durable[0]
    assert event.type == "int.ecmwf.aviso.mars" and event.subject == "mars" and event.data["sequence"] == 1
    assert event.time == BEGIN + timedelta(seconds=1) and event.data["identifier"] == {"class": "od", "step": "24"}
    asked = stand_in.asked[0].document()
    assert asked["identifier"] == {"class": "od"} and parse_instant(asked["from_date"]) == BEGIN
    assert told.memory.load() == {"sequence": 3}


def test_opened_again_it_asks_for_what_follows_the_last_durable_one(aviso):
    server, stand_in = aviso
    server.notify(1, 2, 3)
    source, told = listener(stand_in)
    with following(source, told) as follower:
        follower.until(lambda: len(follower.durable) == 3)
    server.notify(4)
    source, told = listener(stand_in, told.memory)
    with following(source, told) as follower:
        follower.until(lambda: follower.durable)
    assert payloads(follower) == [4] and stand_in.asked[-1].document()["from_id"] == "4"


def test_what_was_taken_and_not_durable_comes_again(aviso):
    server, stand_in = aviso
    server.notify(1)
    source, told = listener(stand_in)
    events = source.events(None)
    (first,) = next(events)
    events.close()
    source, told = listener(stand_in, told.memory)
    with following(source, told) as follower:
        follower.until(lambda: follower.durable)
    assert follower.durable == [first]


def test_a_server_that_closes_breaks_off_or_is_full_is_asked_again(aviso, caplog):
    server, stand_in = aviso
    source, told = listener(stand_in, token="env:AVISO_TOKEN")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVISO_TOKEN", "t0ken")
        stand_in.instead += [(503, {"Retry-After": "0"}, b""), (401, {}, b"")]
        server.broken += ["event: live-notification\ndata: {half"]
        with following(source, told) as follower:
            server.notify(1)
            follower.until(lambda: len(follower.durable) == 1)
            server.closing.set()
            until(lambda: not server.closing.is_set())
            server.notify(2)
            follower.until(lambda: len(follower.durable) == 2)
    assert payloads(follower) == [1, 2]
    assert "status 503" in caplog.text and "another token" in caplog.text and "t0ken" not in caplog.text
    assert stand_in.asked[0].headers["authorization"] == "Bearer t0ken"


def test_a_limit_of_the_history_leaves_no_gap(aviso):
    server, stand_in = aviso
    server.limit = 3
    server.notify(*range(10))
    source, told = listener(stand_in)
    with following(source, told) as follower:
        follower.until(lambda: len(follower.durable) >= 10)
    assert payloads(follower) == list(range(10))


def test_silence_is_noticed(aviso):
    server, stand_in = aviso
    server.silent = True
    source, told = listener(stand_in, silence="0.3 s")
    with following(source, told):
        until(lambda: len(stand_in.asked) >= 2)


def test_a_notification_that_the_server_cannot_read_is_passed_over(aviso):
    server, stand_in = aviso
    error = {"error": "CloudEvent creation failed", "message": "no schema", "sequence": 1}
    server.broken += [f"event: error\ndata: {json.dumps(error)}\n\n"]
    source, told = listener(stand_in)
    with following(source, told) as follower:
        until(lambda: told.rejected)
        server.notify(1, 2)
        follower.until(lambda: follower.durable)
    assert told.memory.load()["sequence"] == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"event": "mars"}, "Did you mean 'event_type'"),
        ({"event_type": ""}, "event_type"),
        ({"url": "ftp://h"}, "http://host"),
        ({"identifier": "od"}, "no table"),
        ({"token": "secret"}, "env:VARIABLE"),
        ({"start": "soon"}, "soon"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_when_opening(options, says):
    with pytest.raises(InvalidInput) as refused:
        Aviso(Told(**({"url": "http://h", "event_type": "mars"} | options)).context)
    assert says in f"{refused.value.message} {refused.value.hint}"
