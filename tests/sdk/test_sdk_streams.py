"""Streams and triggers by the Python client and the command line: the same here and behind an address."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemel import Client, connect
from gemel.base.config import load_settings
from gemel.base.errors import Conflict, Denied, InvalidInput, NotFound
from gemel.core.engine import Service, open_engine
from stage import gemel, serving, until

sys.path.append(str(Path(__file__).parents[1] / "core" / "engine"))
from tank_stage import BATCH, levels, write_tank

ASK = '[[triggers]]\nname = "ask"\ncall = true\nrun = "note"\n'
BUFFER = '[buffers.lessons]\non = "level"\nrun = "train"\nfields = ["level"]\nvolume = { events = 1000 }\n'


@pytest.fixture(scope="module", params=["local", "remote"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("streams") / "home"
    write_tank(home / "twins", BUFFER, ASK)
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(open_engine(load_settings(home=home, environ={}, folder=home)))
        engine.go_live(engine.twin("tank"))
        engine.serve()
        if request.param == "local":
            yield Client(Service(engine), stack)
            return
        server = stack.enter_context(serving(Service(engine)))
        yield stack.enter_context(connect(server.url, home=home))


def test_observations_become_states_that_can_be_read(client):
    streams = client.streams
    assert streams.receive("tank", "level", BATCH, levels([1.0, 2.0, 3.0]))["accepted"] == 3
    told = [event for event in streams.tail("twins/tank", 0, timeout=2.0) if event["type"] == "gemel.twin.updated"]
    assert [event["data"]["sequence"] for event in told] == [1, 2, 3]
    assert [state["sequence"] for state in streams.states("tank")] == [1, 2, 3]
    assert streams.state("tank", valid="2024-01-01T00:01Z")["sequence"] == 2
    assert streams.stream("twins/tank/level")["position"] == streams.events("twins/tank/level", -1)[0]["position"]
    with pytest.raises(NotFound):
        streams.state("tank", valid="1999-01-01")
    with pytest.raises(InvalidInput):
        streams.states("tank", begin="yesterday")


def test_a_stream_of_peoples_own(client):
    event = json.loads(levels([5.0]))
    assert client.streams.send("alarms", event)["accepted"] == 1
    assert client.streams.send("alarms", event)["duplicates"] == 1
    with pytest.raises(Denied):
        client.streams.send("lake", event)
    with pytest.raises(InvalidInput):
        client.streams.send("alarms", [{"no": "event"}])


def test_a_trigger_is_added_called_and_removed(client):
    assert client.triggers.call("tank", "ask", {"what": "hello"}, "monday")["id"] == "tank/ask/monday"
    until(lambda: client.triggers.causes("tank")[0]["state"] == "finished")
    added = client.triggers.add("tank", {"name": "often", "every": "1 h", "run": "note"})
    assert added["kind"] == "clock" and added["stored"]
    with pytest.raises(Conflict):
        client.triggers.add("tank", {"name": "often", "every": "1 h", "run": "note"})
    assert {item["name"] for item in client.triggers.list("tank")} >= {"ask", "often"}
    assert {item["name"] for item in client.triggers.list()} >= {"ask", "often"}
    client.triggers.remove("tank", "often")
    with pytest.raises(NotFound):
        client.triggers.get("tank", "often")


def test_a_buffer_is_fired_by_hand(client):
    client.streams.receive("tank", "level", BATCH, levels([1.0, 3.0], begin=100))
    batch = client.streams.fire_buffer("tank", "lessons")
    assert batch["reason"] == "call" and batch["events"] >= 2
    until(lambda: client.streams.buffers("tank")[0]["batches"][-1]["state"] == "done")
    with pytest.raises(NotFound):
        client.streams.retry_buffer("tank", "lessons")
    with pytest.raises(NotFound):
        client.streams.fire_buffer("tank", "lesson")


@pytest.mark.slow
def test_the_command_line_says_the_same(home, tmp_path):
    write_tank(home / "twins", "", ASK)
    say = {"home": home, "cwd": tmp_path}
    sent = gemel("stream", "send", "alarms", "level=3.2", "--id", "one", "--json", **say)
    assert json.loads(sent.stdout)["accepted"] == 1
    read = json.loads(gemel("stream", "read", "alarms", "--json", **say).stdout)["events"]
    assert read[0]["data"] == {"level": 3.2} and read[0]["id"] == "one"
    followed = gemel("stream", "follow", "alarms", "--after", "0", "--count", "1", "--json", **say)
    assert json.loads(followed.stdout)["id"] == "one"
    arguments = ("--cron", "0 3 * * *", "--zone", "Europe/Berlin", "--name", "nightly", "--set", "what=night")
    added = json.loads(gemel("trigger", "add", "tank", "note", *arguments, "--json", **say).stdout)
    assert added["table"]["parameters"] == {"what": "night"} and added["name"] == "nightly"
    assert "nightly" in gemel("trigger", "list", "tank", **say).stdout
    assert gemel("trigger", "remove", "tank", "weekly", **say).returncode == 4
    called = gemel("trigger", "call", "tank", "ask", "--key", "k", **say)
    assert "tank/ask/k: waiting" in called.stdout
    wrong = gemel("trigger", "add", "tank", "note", "--every", "1 h", "--call", "--json", **say)
    assert wrong.returncode == 1 and "exactly one of" in json.loads(wrong.stdout)["error"]["message"]
