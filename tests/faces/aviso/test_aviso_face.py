"""The routes themselves: what is asked, in which shape errors are told, how streams begin, live and end; our own source listens."""

from __future__ import annotations

import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aviso_stage import listening, notify, served, tell

from gemel.core.stream.alerts import About, OutletContext, Outlets
from gemel.core.stream.sources import Aviso, SourceContext
from gemel.faces.aviso import _streaming
from gemel.faces.aviso._asked import asked_in
from stage import until

__all__ = ["served"]


def ask(served, way, content=None, **body):
    with served.client() as client:
        given = {"content": content} if content is not None else {"json": body}
        return client.post(f"/aviso/api/v1/{way}", **given)


def sequences(messages, name):
    return [int(data["id"].partition("@")[2]) for event, data in messages if event == name]


@pytest.mark.parametrize(
    "shown, status",
    [("", 401), ("Bearer wrong", 401), ("Basic wrong", 401), ("Basic dTp3cm9uZw==", 401), ("right", 200)],
)
def test_only_the_owner_comes_in(served, shown, status):
    shown = "Basic " + base64.b64encode(f"x:{served.token}".encode()).decode() if shown == "right" else shown
    with served.client(signed_in=False) as client:
        for method, path in (
            ("GET", "/health"),
            ("GET", "/api/v1/schema"),
            ("POST", "/api/v1/watch"),
            ("GET", "/none"),
        ):
            answer = client.request(method, f"/aviso{path}", headers={"Authorization": shown} if shown else {})
            if status == 401:
                assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")
                assert set(answer.json()) == {"code", "error", "message", "request_id"}
                assert answer.json()["code"] == "UNAUTHORIZED"
            else:
                assert answer.status_code != 401


@pytest.mark.parametrize(
    "way, body, code",
    [
        ("notification", b"{", "INVALID_JSON"),
        ("notification", b"\xff", "INVALID_JSON"),
        ("watch", b"[1]", "INVALID_REQUEST_SHAPE"),
        ("watch", b'{"identifier": {}}', "INVALID_REQUEST_SHAPE"),
        ("watch", b'{"event_type": "twin", "identifier": []}', "INVALID_REQUEST_SHAPE"),
        ("watch", b'{"event_type": "twin", "from_id": [1]}', "INVALID_REQUEST_SHAPE"),
        ("watch", b'{"event_type": "twin", "fromid": "1"}', "UNKNOWN_FIELD"),
        ("watch", b'{"event_type": "nobody", "identifier": {}}', "UNKNOWN_EVENT_TYPE"),
        ("watch", b'{"event_type": "../x", "identifier": {}}', "UNKNOWN_EVENT_TYPE"),
        ("watch", b'{"event_type": "twin", "identifier": {}}', "INVALID_WATCH_REQUEST"),
        ("watch", b'{"event_type": "twin", "identifier": {"twin": "brook", "x": 1}}', "INVALID_WATCH_REQUEST"),
        ("watch", b'{"event_type": "twin", "identifier": {"twin": "brook", "type": "x"}}', "INVALID_WATCH_REQUEST"),
        ("watch", b'{"event_type": "twin", "identifier": {"twin": "brook/gauge"}}', "INVALID_WATCH_REQUEST"),
        ("watch", b'{"event_type": "dataset", "identifier": {"scope": null}}', "INVALID_WATCH_REQUEST"),
        ("watch", b'{"event_type": "dataset", "identifier": {"scope": "a"}, "to_id": "1"}', "INVALID_WATCH_REQUEST"),
        (
            "watch",
            b'{"event_type": "dataset", "identifier": {"scope": "a", "name": {"gt": "x"}}}',
            "INVALID_WATCH_REQUEST",
        ),
        (
            "watch",
            b'{"event_type": "dataset", "identifier": {"scope": "a", "name": {"gt": 1, "lt": 2}}}',
            "INVALID_WATCH_REQUEST",
        ),
        ("replay", b'{"event_type": "dataset", "identifier": {"scope": "a"}}', "INVALID_REPLAY_REQUEST"),
        ("replay", b'{"event_type": "dataset", "from_id": "1", "from_date": "2001-01-01"}', "INVALID_REPLAY_REQUEST"),
        ("replay", b'{"event_type": "dataset", "from_id": "-1"}', "INVALID_REPLAY_REQUEST"),
        ("replay", b'{"event_type": "dataset", "from_id": "99999999999999999999"}', "INVALID_REPLAY_REQUEST"),
        ("replay", b'{"event_type": "dataset", "from_date": "yesterday"}', "INVALID_REPLAY_REQUEST"),
        ("notification", b'{"event_type": "Not A Name", "identifier": {}}', "INVALID_NOTIFICATION_REQUEST"),
        ("notification", b'{"event_type": "a", "identifier": {"x": [1]}}', "INVALID_NOTIFICATION_REQUEST"),
        ("notification", b'{"event_type": "a", "identifier": {"x": ""}}', "INVALID_NOTIFICATION_REQUEST"),
        ("notification", b'{"event_type": "a", "identifier": {"x": {"gt": 1}}}', "INVALID_NOTIFICATION_REQUEST"),
        ("notification", b'{"event_type": "a", "identifier": {}, "from_id": "1"}', "INVALID_NOTIFICATION_REQUEST"),
    ],
)
def test_errors_have_the_shape_of_an_aviso_server(served, way, body, code):
    answer = ask(served, way, content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert {"code", "error", "message", "details", "request_id"} <= set(answer.json())
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


def test_a_body_without_end_is_refused(served):
    assert ask(served, "notification", content=b" " * 1_100_000).status_code == 400


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("2001-01-01T00:00:00Z", 978307200),
        ("2001-01-01 02:00:00+02:00", 978307200),
        ("978307200", 978307200),
        ("978307200000", 978307200),
        ("2001-01-01T00:00:00", 978307200),
        ("+0978307200", 978307200),
    ],
)
def test_dates_are_read_in_every_way_an_aviso_server_reads_them(text, seconds):
    asked = asked_in(f'{{"event_type": "x", "identifier": {{}}, "from_date": "{text}"}}'.encode())
    assert asked.from_date.timestamp() == seconds


def test_a_watch_begins_with_now_and_tells_what_comes(served):
    notify(served, "lake-level", {"lake": "old"})
    with listening(served, "watch", event_type="lake-level", identifier={"lake": {"in": ["one", "two"]}}) as listener:
        assert listener.answer.headers["content-type"].startswith("text/event-stream")
        name, opened = listener.next()
        assert name == "live-notification" and opened["type"] == "connection_established"
        assert opened["request_id"] == listener.answer.headers["x-request-id"]
        for lake in ("three", "one"):
            notify(served, "lake-level", {"lake": lake}, {"metres": 3})
        name, told = listener.next()
        assert (
            name == "live-notification"
            and told["id"] == "lake-level@3"
            and told["type"] == "int.ecmwf.aviso.lake-level"
        )
        assert (
            told["data"] == {"identifier": {"lake": "one"}, "payload": {"metres": 3}} and told["specversion"] == "1.0"
        )
        assert told["source"] == f"{served.url}/aviso"


def test_a_replay_ends_and_says_so(served):
    for number in range(120):
        notify(served, "steps", {"step": number, "parity": number % 2})
    with listening(served, "replay", event_type="steps", identifier={"parity": 1}, from_id="11") as listener:
        messages = listener.rest()
    assert messages[0][0] == "replay-control" and messages[0][1]["type"] == "replay_started"
    assert sequences(messages, "replay") == list(range(12, 121, 2))
    assert messages[-2][1]["type"] == "replay_completed"
    assert (messages[-1][0], messages[-1][1]["reason"]) == ("connection-closing", "end_of_stream")
    for first, last in ((1, 1), (60, 75), (120, 400), (121, 400), (1, 120)):
        with listening(
            served, "replay", event_type="steps", identifier={}, from_id=str(first), to_id=str(last)
        ) as listener:
            messages = listener.rest()
        assert sequences(messages, "replay") == list(range(first, min(last, 120) + 1))
        assert messages[0][1]["end_sequence"] == min(last, 120)


def test_history_passes_into_what_comes_without_a_gap_or_a_double(served):
    def writer():
        for number in range(150):
            notify(served, "busy", {"number": number})

    notify(served, "busy", {"number": -1})
    thread = threading.Thread(target=writer)
    thread.start()
    with listening(served, "watch", event_type="busy", identifier={}, from_id="1") as listener:
        found = list[int]()
        while len(found) < 151:
            _, data = listener.next()
            found += [int(data["id"].partition("@")[2])] if "specversion" in data else []
    thread.join()
    assert found == list(range(1, 152))


def test_sequences_have_no_gap_however_many_notify_at_once(served):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: notify(served, "crowd", {"number": number}).status_code, range(64)))
    assert answers == [200] * 64
    with listening(served, "replay", event_type="crowd", identifier={}, from_id="1") as listener:
        messages = listener.rest()
    assert sequences(messages, "replay") == list(range(1, 65))
    assert {data["data"]["identifier"]["number"] for name, data in messages if name == "replay"} == set(
        map(str, range(64))
    )


def test_a_quiet_watch_gives_signs_of_life_and_ends_in_time(served, monkeypatch):
    notify(served, "quiet")
    monkeypatch.setattr(_streaming, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(_streaming, "LONGEST_SECONDS", 1.0)
    with listening(served, "watch", event_type="quiet", identifier={}) as listener:
        messages = listener.rest()
    assert messages[1][0] == "heartbeat" and set(messages[1][1]) == {"timestamp", "topic"}
    assert (messages[-1][0], messages[-1][1]["reason"]) == ("connection-closing", "max_duration_reached")


def test_listeners_that_do_not_read_hold_back_nobody(served):
    big = "x" * 200_000
    notify(served, "heavy", {}, "first")
    with listening(served, "watch", event_type="heavy", identifier={}) as quick:
        quick.next()
        with (
            served.client() as lazy,
            lazy.stream(
                "POST", "/aviso/api/v1/watch", json={"event_type": "heavy", "identifier": {}, "from_id": "1"}
            ) as answer,
        ):
            assert answer.status_code == 200  # and not one byte of it is read
            begun = time.monotonic()
            for _ in range(40):
                assert notify(served, "heavy", {}, big).status_code == 200
            for _ in range(40):
                assert quick.next()[1]["data"]["payload"] == big
            assert time.monotonic() - begun < 30


def test_the_engine_alone_notifies_of_twins_and_datasets(served):
    for name in ("twin", "dataset"):
        answer = notify(served, name, {"twin": "brook"})
        assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")


def source(served, monkeypatch, memory=None, **options):
    monkeypatch.setenv("AVISO_KEY", served.token)
    stop = threading.Event()
    given = {"url": f"{served.url}/aviso", "token": "env:AVISO_KEY", **options}
    more = {} if memory is None else {"memory": memory}
    return Aviso(SourceContext("outside", "/outside", given, lambda *_: None, stop, **more)), stop


def take(source, stop, count):
    found = []
    for events in source.events(None):
        found += [events] if not isinstance(events, (list, tuple)) else list(events)
        if len(found) >= count:
            stop.set()
    return found


def test_our_own_source_listens_to_our_own_face(served, monkeypatch):
    for number in range(3):
        notify(served, "gauge", {"gauge": "mill"}, {"level": float(number)})
    notify(served, "gauge", {"gauge": "weir"}, {"level": 9.0})
    listener, stop = source(
        served, monkeypatch, event_type="gauge", identifier={"gauge": "mill"}, start="2001-01-01T00:00:00Z"
    )
    found = take(listener, stop, 3)
    assert [event.data["payload"]["level"] for event in found] == [0.0, 1.0, 2.0]
    assert [event.data["sequence"] for event in found] == [1, 2, 3]


def test_our_own_source_hears_the_alerts_of_a_twin(served, monkeypatch):
    tell(served, "twins/brook", "heard-1", "gemel.twin.alert", event="flood", place="Heard")
    identifier = {"twin": "brook", "type": "alert", "place": "Heard"}
    listener, stop = source(served, monkeypatch, event_type="twin", identifier=identifier, start="2001-01-01T00:00:00Z")
    (event,) = take(listener, stop, 1)
    assert event.data["payload"]["data"]["event"] == "flood"


def test_an_outlet_of_alerts_notifies_our_own_face(served, monkeypatch):
    monkeypatch.setenv("AVISO_KEY", served.token)
    log = served.service.engine.log
    outlets = Outlets(log)
    options = {"url": f"{served.url}/aviso", "event_type": "warnings", "token": "env:AVISO_KEY"}
    outlets.add("twins/brook", OutletContext("aviso", "aviso", options, About("brook"), Path()))
    outlets.start()
    tell(served, "twins/brook", "warn-1", "gemel.twin.alert", event="flood", place="Ford", probability=0.8)
    (kept,) = until(lambda: log.last("aviso/warnings"))
    outlets.stop()
    assert kept.data["identifier"] == {"twin": "brook", "event": "flood", "place": "Ford"}
    assert kept.data["payload"]["id"] == "warn-1"
