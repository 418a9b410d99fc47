"""The webhook: CloudEvents in all three modes of their HTTP binding, JSON, signatures, and bodies that are too much."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import threading
import zlib
from datetime import UTC, datetime

import pytest
from source_stage import Told, reading

from gemel.base.errors import Denied, InvalidInput
from gemel.core.stream import Event
from gemel.core.stream.sources import Receiver, Webhook
from gemel.testing import SourceContract
from gemel.testing._sources import received

SENT = Event("e1", "rain.fell", "/gauge", datetime(2001, 1, 1, tzinfo=UTC), {"mm": 3}, "north")
STRUCTURED = {"content-type": "application/cloudevents+json; charset=UTF-8"}
BATCH = {"content-type": "application/cloudevents-batch+json"}


class TestWebhook(SourceContract):
    amount = 4
    by_time = False

    def opened(self, stop: threading.Event) -> Webhook:
        return Webhook(self.context({}, stop))

    def heard(self, source, after):
        bad = (({}, b'[{"time": "soon"}, {"time": 0, "flow": 0.0}]'),) if self.__dict__.get("babbling") else ()
        yield from received(source, [*bad, *(({}, reading(number)) for number in range(4))])

    def babble(self, source) -> bool:
        self.babbling = True
        return True


def webhook(**options) -> tuple[Webhook, Told]:
    told = Told(**options)
    return Webhook(told.context), told


def received_by(headers, body, **options):
    return list(webhook(**options)[0].receive(headers, body))


def test_it_is_a_receiver_and_waits_until_it_is_stopped():
    source, told = webhook()
    assert isinstance(source, Receiver)
    told.stop.set()
    assert list(source.events(None)) == []


def test_structured_mode():
    assert received_by(STRUCTURED, json.dumps(SENT.document()).encode()) == [SENT]


def test_batched_mode():
    several = [SENT, Event("e2", "t", "/g", SENT.time, {"mm": 4})]
    body = json.dumps([event.document() for event in several]).encode()
    assert received_by(BATCH, body) == several
    assert received_by(BATCH, b"[]") == []


def test_binary_mode_with_percent_encoded_headers():
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "e1",
        "ce-type": "rain.fell",
        "ce-source": "/gauge%20%C3%BC",
        "ce-time": "2001-01-01T00:00:00Z",
        "ce-subject": "north",
        "content-type": "application/json",
    }
    (event,) = received_by(headers, b'{"mm": 3}')
    assert event == Event("e1", "rain.fell", "/gauge ü", SENT.time, {"mm": 3}, "north")
    assert received_by(headers | {"content-type": "text/plain"}, b"drei")[0].data == {"value": "drei"}
    raw = received_by(headers | {"content-type": "application/octet-stream"}, b"\x00\x01")[0].data
    assert base64.b64decode(raw["data_base64"]) == b"\x00\x01"
    assert received_by(headers, b"")[0].data == {}


def test_plain_json_by_mapping():
    (event,) = received_by(
        {"content-type": "application/json"}, b'{"at": 0, "v": {"q": 2}}', time="at", fields={"flow": "v.q"}
    )
    assert event.data == {"flow": 2} and event.time == datetime(1970, 1, 1, tzinfo=UTC)
    # Readings without a time that come together are told apart.
    assert len({event.id for event in received_by({}, b"[1, 1, 1]")}) == 3


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_packed_bodies_are_unpacked_within_bounds(encoding, pack):
    packed = {"content-encoding": encoding} | STRUCTURED
    body = pack(json.dumps(SENT.document()).encode())
    assert received_by(packed, body) == [SENT]
    bomb = pack(b" " * 50_000_000)
    with pytest.raises(InvalidInput, match="larger than 1 MB"):
        received_by(packed, bomb, largest="1 MB")
    for broken in (body[:-5], b"\x00" + body, b""):
        with pytest.raises(InvalidInput, match="unpacked"):
            received_by(packed, broken)


@pytest.mark.parametrize(
    ("headers", "body", "says"),
    [
        ({}, b"{", "not JSON"),
        (STRUCTURED, b"[]", "no CloudEvent"),
        (STRUCTURED, b'{"specversion": "1.0", "type": "t", "source": "/s"}', "'id'"),
        (BATCH, b"{}", "array"),
        (BATCH, b"[3]", "no CloudEvent"),
        ({"content-type": "application/cloudevents+xml"}, b"<a/>", "not known"),
        ({"content-type": "application/json; charset=utf-16"}, b"{}", "utf-16"),
        ({"content-encoding": "br"}, b"{}", "'br'"),
        ({"ce-specversion": "2.0", "ce-id": "1", "ce-type": "t", "ce-source": "/s"}, b"{}", "2.0"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-type": "t"}, b"{}", "'source'"),
        ({}, b"[" + b"1," * 10_000 + b"1]", "10,001 events"),
        ({}, b" " * 9_000_000, "larger than 8 MB"),
    ],
)
def test_a_request_without_an_event_is_refused_with_its_reason(headers, body, says):
    source, told = webhook()
    with pytest.raises(InvalidInput) as refused:
        source.receive(headers, body)
    assert says in refused.value.message and not told.rejected


def test_the_bad_one_of_a_batch_is_set_aside():
    source, told = webhook()
    body = json.dumps([SENT.document(), SENT.document() | {"id": ""}]).encode()
    assert source.receive(BATCH, body) == [SENT]
    assert len(told.rejected) == 1


def test_a_signature_is_asked_for_where_there_is_a_secret(monkeypatch):
    monkeypatch.setenv("HOOK", "key")
    source, _ = webhook(secret="env:HOOK")
    body = json.dumps(SENT.document()).encode()
    good = "sha256=" + hmac.new(b"key", body, hashlib.sha256).hexdigest()
    assert source.receive(STRUCTURED | {"x-hub-signature-256": good}, body) == [SENT]
    for bad in (
        "",
        "sha256=",
        good[:-1],
        good[:-1] + "0ü",
        "sha256=" + hmac.new(b"k", body, hashlib.sha256).hexdigest(),
    ):
        with pytest.raises(Denied):
            source.receive(STRUCTURED | {"x-hub-signature-256": bad}, body)
    with pytest.raises(Denied):
        source.receive(STRUCTURED | {"x-hub-signature-256": good}, body + b" ")
    # It is over what is sent, packed or not; and the header may have another name.
    packed, named = gzip.compress(body), webhook(secret="env:HOOK", signature="X-Sum")[0]
    headers = STRUCTURED | {"content-encoding": "gzip", "x-sum": hmac.new(b"key", packed, hashlib.sha256).hexdigest()}
    assert named.receive(headers, packed) == [SENT]


@pytest.mark.parametrize("options", [{"secret": "plain"}, {"largest": "much"}, {"signatur": "x"}])
def test_an_option_that_makes_no_sense_is_refused_when_opening(options):
    with pytest.raises(InvalidInput):
        webhook(**options)
