"""Alerts go out at least once, to each receiver by itself, and what cannot go out is kept and said."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alert_stage import BROOK, STREAM, alert, line, receiver, receiving, settled, updated

from gemel.base.errors import InvalidInput, NotFound, StoreUnavailable
from gemel.core.stream.alerts import OVER, OutletContext, Outlets, open_outlet
from gemel.core.stream.events import DEAD, SqlEventLog
from gemel.core.stream.sources import Forgetful, SourceContext, Webhook
from gemel.infra.store import open_store
from stage import until

__all__ = ["receiver"]


def ids(receiver):
    return [event["id"] for event in receiver.events()]


def dead(log):
    return [(letter.data["group"], letter.data["event"]["id"]) for letter in log.read(STREAM + DEAD)]


@pytest.fixture
def log(store):
    return SqlEventLog(store)


def test_alerts_are_posted_as_cloudevents_and_nothing_else_is(log, receiver):
    log.append_many(STREAM, [updated(1), alert(1), updated(2), alert(2)])
    out = settled(line(log, "webhook", url=receiver.url, origin="https://twins.example.org"))
    assert ids(receiver) == ["alert-1-0", "alert-2-0"]
    headers, body = receiver.came[0]
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    told = json.loads(body)
    assert told["type"] == "gemel.twin.alert" and told["source"] == "https://twins.example.org/twins/brook"
    assert told["data"] == alert(1).data and told["subject"] == "brook" and told["specversion"] == "1.0"
    document = out.document()
    assert (document["sent"], document["pending"], document["state"], document["problem"]) == (2, 0, "working", None)
    out.close()


def test_binary_mode_puts_the_attributes_into_headers(log, receiver):
    log.append(STREAM, dataclasses.replace(alert(1), subject='Bäche "und" 50 %'))
    settled(line(log, "webhook", url=receiver.url, mode="binary")).close()
    headers, body = receiver.came[0]
    assert headers["content-type"] == "application/json" and json.loads(body) == alert(1).data
    assert headers["ce-id"] == "alert-1-0" and headers["ce-specversion"] == "1.0"
    assert headers["ce-subject"] == "B%C3%A4che%20%22und%22%2050%20%25"


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_our_own_webhook_source_takes_them_with_their_signature(log, receiver, mode, monkeypatch):
    monkeypatch.setenv("HOOK_KEY", "s3cret")
    log.append(STREAM, alert(1))
    settled(line(log, "webhook", url=receiver.url, secret="env:HOOK_KEY", mode=mode)).close()
    headers, body = receiver.came[0]
    wanted = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert headers["x-hub-signature-256"] == f"sha256={wanted}"
    context = SourceContext(
        "in", "/in", {"secret": "env:HOOK_KEY", "ahead": "90000 d"}, lambda *_: None, memory=Forgetful()
    )
    context = dataclasses.replace(context, options={"secret": "env:HOOK_KEY"})
    (event,) = Webhook(context).receive(headers, body)
    assert event.data["event"] == "flood" and event.data["probability"] == 0.75


def test_a_receiver_that_fails_is_tried_again_and_gets_the_same_id(log, receiver):
    receiver.answers = [(500, {}), (503, {"Retry-After": "0"}), (401, {}), (302, {"Location": "http://127.0.0.1:1"})]
    log.append(STREAM, alert(1))
    out = settled(line(log, "webhook", url=receiver.url))
    assert ids(receiver) == ["alert-1-0"] * 5 and out.sent == 1 and out.problem is None and dead(log) == []
    out.close()


def test_retry_after_is_heeded(log, receiver):
    receiver.answers = [(429, {"Retry-After": "3600"})]
    log.append(STREAM, alert(1))
    out = line(log, "webhook", url=receiver.url)
    never = threading.Event()
    for _ in range(10):
        out.work(never, 0.02)
    assert ids(receiver) == ["alert-1-0"] and out.pending() == 1
    assert "429" in out.document()["problem"]["message"] and out.document()["state"] == "failing"
    out.close()


def test_after_its_attempts_an_alert_is_a_dead_letter_that_can_be_put_back(log, receiver):
    receiver.always = 500
    log.append_many(STREAM, [alert(1), alert(2)])
    out = settled(line(log, "webhook", url=receiver.url, attempts=3))
    assert sorted(ids(receiver)) == ["alert-1-0"] * 3 + ["alert-2-0"] * 3
    assert sorted(dead(log)) == [("alerts/out", "alert-1-0"), ("alerts/out", "alert-2-0")]
    assert "500" in log.read(STREAM + DEAD)[0].data["reason"] and out.problem is not None
    receiver.always, receiver.came[:] = None, []
    # As `StreamService.replay` puts letters back: with a new id, made of the old one.
    log.append(STREAM, dataclasses.replace(alert(1), id="alert-1-0~7"))
    settled(out)
    assert ids(receiver) == ["alert-1-0"] and out.problem is None
    out.close()


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_will_never_be_taken_is_not_tried_again(log, receiver, status):
    receiver.answers = [(status, {})]
    log.append_many(STREAM, [alert(1), alert(2)])
    out = settled(line(log, "webhook", url=receiver.url))
    assert ids(receiver) == ["alert-1-0", "alert-2-0"] and dead(log) == [("alerts/out", "alert-1-0")]
    out.close()


def test_a_dead_receiver_holds_back_nobody_else(log, receiver):
    with receiving() as gone:
        url = gone.url
    outlets = Outlets(log)
    for name, target in (("gone", url), ("there", receiver.url)):
        options = {"url": target, "begin": "all", "pause": "1 h", "longest_pause": "1 h"}
        outlets.add(STREAM, OutletContext(name, "webhook", options, BROOK, Path()))
    outlets.start()
    log.append_many(STREAM, [alert(number) for number in range(20)])
    until(lambda: len(receiver.came) == 20)
    until(lambda: "brook/gone" in outlets.problems)
    assert ids(receiver) == [f"alert-{number}-0" for number in range(20)]
    assert "cannot be reached" in outlets.problems["brook/gone"]["message"]
    until(lambda: [item["pending"] for item in outlets.documents()] == [20, 0])
    outlets.stop()


def test_an_outlet_added_while_others_run_begins_with_what_comes_then(log, receiver):
    log.append(STREAM, alert(1))
    outlets = Outlets(log)
    outlets.start()
    context = OutletContext("new", "webhook", {"url": receiver.url}, BROOK, Path())
    outlets.add(STREAM, context)
    outlets.add(STREAM, context)
    log.append(STREAM, alert(2))
    until(lambda: receiver.came)
    outlets.stop()
    assert ids(receiver) == ["alert-2-0"]


def test_what_an_engine_did_not_hand_over_is_handed_over_by_the_next(log, receiver):
    receiver.always = 500
    log.append_many(STREAM, [alert(1), alert(2), alert(3)])
    first = line(log, "webhook", url=receiver.url, pause="1 h", longest_pause="1 h", attempts=2)
    first.work(threading.Event(), 0.1)
    stopped = threading.Event()
    stopped.set()
    log.append(STREAM, alert(4))
    first.work(stopped, 0.1)  # taken, and stopped before it was sent
    first.close()
    receiver.always = None
    receiver.came.clear()
    second = line(log, "webhook", url=receiver.url, attempts=2)
    second.work(threading.Event(), 1.0)
    assert ids(receiver) == ["alert-4-0"] and second.pending() == 3
    second.close()


KILLED = """
import sys, threading
from alert_stage import line
from gemel.core.stream.events import SqlEventLog
from gemel.infra.store import open_store
print("ready", flush=True)
line(SqlEventLog(open_store(sys.argv[1])), "webhook", url=sys.argv[2]).follow(threading.Event())
"""


@pytest.mark.chaos
@pytest.mark.slow
def test_what_was_sent_and_not_yet_acknowledged_when_killed_is_sent_again_with_the_same_id(sqlite_url, receiver):
    store = open_store(sqlite_url)
    log = SqlEventLog(store)
    log.append_many(STREAM, [alert(1), alert(2)])
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[3])])
    command = [sys.executable, "-c", KILLED, sqlite_url, receiver.url]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths})
    # Killed before it has heard that the receiver has the first.
    receiver.before = lambda: (process.kill(), process.wait())
    until(lambda: receiver.came)
    receiver.before = None
    out = settled(line(log, "webhook", url=receiver.url))
    assert sorted(ids(receiver)) == ["alert-1-0", "alert-1-0", "alert-2-0"] and out.sent == 2
    out.close()
    store.close()


def test_an_outlet_sends_what_it_is_asked_to(log, receiver):
    told = [alert(1, probability=0.2), alert(2, event="drought"), alert(3), alert(4, type=OVER, probability=0.0)]
    log.append_many(STREAM, told)
    settled(line(log, "webhook", url=receiver.url, events=["flood"], probability=0.5)).close()
    assert ids(receiver) == ["alert-3-0", "alert-4-0"]


def test_a_secret_that_is_not_there_keeps_the_alert(log, receiver, monkeypatch):
    monkeypatch.delenv("NO_SUCH", raising=False)
    log.append(STREAM, alert(1))
    out = line(log, "webhook", url=receiver.url, token="env:NO_SUCH", pause="1 h", longest_pause="1 h")
    out.work(threading.Event(), 0.1)
    assert receiver.came == [] and "NO_SUCH" in out.problem["message"] and out.pending() == 1
    out.close()


def test_a_mistake_of_an_outlet_does_not_lose_the_alert(log, receiver, monkeypatch):
    log.append(STREAM, alert(1))
    out = line(log, "webhook", url=receiver.url)
    calls = []

    def broken(notice):
        calls.append(notice.id)
        if len(calls) == 1:
            raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(out._outlet, "send", broken)
    settled(out).close()
    assert calls == ["alert-1-0"] * 2


def test_tokens_and_passwords_are_shown(log, receiver, monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("pass\n")
    monkeypatch.setenv("TOKEN", "t0ken")
    log.append(STREAM, alert(1))
    settled(line(log, "webhook", name="a", url=receiver.url, token="env:TOKEN")).close()
    settled(line(log, "webhook", name="b", url=receiver.url, user="me", password=f"file:{tmp_path / 'secret'}")).close()
    shown = [headers["authorization"] for headers, _ in receiver.came]
    assert shown == ["Bearer t0ken", "Basic bWU6cGFzcw=="]


def test_an_aviso_server_is_notified(log, receiver):
    log.append(STREAM, alert(1))
    url = receiver.url.removesuffix("/alerts") + "/api/v1/"
    identifier = {"class": "od", "step": 24, "where": "{place}", "of": "{twin}"}
    settled(line(log, "aviso", url=url, event_type="flood", identifier=identifier)).close()
    (body,) = receiver.events()
    assert body["event_type"] == "flood"
    assert body["identifier"] == {"class": "od", "step": "24", "where": "Mill", "of": "brook"}
    assert body["payload"]["id"] == "alert-1-0" and body["payload"]["data"]["level"] == "2-year"


def test_an_identifier_that_asks_for_what_is_not_said_makes_a_dead_letter(log, receiver):
    log.append(STREAM, alert(1))
    out = settled(line(log, "aviso", url=receiver.url, event_type="flood", identifier={"a": "{nothing}"}))
    assert receiver.came == [] and "'nothing'" in out.problem["message"] and len(dead(log)) == 1
    out.close()


def test_a_cap_message_is_posted(log, receiver):
    log.append(STREAM, alert(1))
    settled(line(log, "cap", url=receiver.url, sender="warn@example.org")).close()
    headers, body = receiver.came[0]
    assert headers["content-type"] == "application/cap+xml" and b"<msgType>Alert</msgType>" in body


def test_a_folder_holds_one_whole_file_for_each_alert(log, tmp_path):
    log.append_many(STREAM, [alert(1), alert(2), dataclasses.replace(alert(1), id="alert-1-0~9")])
    settled(line(log, "folder", tmp_path, path="out")).close()
    files = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in files] == ["alert-1-0.json", "alert-2-0.json"]
    assert json.loads(files[0].read_text())["id"] == "alert-1-0"


def test_a_folder_that_cannot_be_written_to_is_tried_again(log, tmp_path):
    (tmp_path / "out").write_text("no folder")
    log.append(STREAM, alert(1))
    out = line(log, "folder", tmp_path, path="out", pause="0 s")
    out.work(threading.Event(), 0.1)
    assert out.problem["code"] == StoreUnavailable.code and out.pending() == 1
    (tmp_path / "out").unlink()
    settled(out).close()
    assert (tmp_path / "out" / "alert-1-0.json").exists()


@pytest.mark.parametrize(
    "kind, options, told",
    [
        ("webhook", {}, "url"),
        ("webhook", {"url": "ftp://x"}, "no http or https address"),
        ("webhook", {"url": "http://me:pw@x"}, "holds no password"),
        ("webhook", {"url": "http://x", "secret": "hunter2"}, "say where the secret is"),
        ("webhook", {"url": "http://x", "sekret": "env:A"}, "no option 'sekret'"),
        ("webhook", {"url": "http://x", "attempts": 0}, "attempts"),
        ("webhook", {"url": "http://x", "pause": "soon"}, "not a duration"),
        ("webhook", {"url": "http://x", "mode": "batch"}, "mode"),
        ("aviso", {"url": "http://x"}, "event_type"),
        ("folder", {}, "path"),
        ("folder", {"path": "x", "format": "cap"}, "say who warns"),
    ],
)
def test_options_that_make_no_sense_are_refused_without_showing_secrets(kind, options, told):
    with pytest.raises(InvalidInput, match=told) as caught:
        open_outlet(OutletContext("out", kind, options, BROOK, Path()))
    assert "hunter2" not in str(caught.value) and ":pw" not in str(caught.value)


def test_an_unknown_kind_is_refused():
    with pytest.raises(NotFound, match="webhok") as caught:
        open_outlet(OutletContext("out", "webhok", {}, BROOK, Path()))
    assert "webhook" in str(caught.value.hint)
