"""What a client of the Web of Things may rely on: forms that work, streams that can be taken up again, a closed door."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from wot_stage import send_level, served, things

from gemel.faces.wot import _events
from stage import until

__all__ = ["served", "things"]
_MINUTES = itertools.count(1)


def forms(document: dict) -> Iterator[dict]:
    """Yield every form of a description."""
    yield from document.get("forms", [])
    for kind in ("properties", "actions", "events"):
        for item in document.get(kind, {}).values():
            yield from item["forms"]


def messages(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """Yield the fields of each message of an event stream, comments under an empty name."""
    message: dict[str, str] = {}
    for line in lines:
        if not line:
            yield message
            message = {}
        else:
            name, _, value = line.partition(":")
            message[name] = value.strip()


def heard(client, path: str, count: int, **headers: str) -> list[dict[str, str]]:
    """Return the first messages with data that a stream tells."""
    with client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        told = (item for item in messages(answer.iter_lines()) if "data" in item)
        return list(itertools.islice(told, count))


def test_every_form_answers_and_none_without_the_token(served, things):
    description = things.get("/wot/things/brook").json()
    tried = list(forms(description)) + list(forms(things.get("/.well-known/wot").json()))
    assert len(tried) > 12
    with served.client(signed_in=False) as stranger:
        for form in tried:
            plain = form["href"].partition("?")[0].removeprefix(served.url)
            method = form.get("htv:methodName", "GET")
            refused = stranger.request(method, plain)
            assert refused.status_code == 401 and refused.headers["WWW-Authenticate"] == "Bearer", plain
            assert refused.headers["content-type"] == "application/problem+json"
            if form.get("subprotocol") != "sse" and method == "GET":
                assert things.get(plain).status_code == 200, plain
        for path in ("/wot", "/wot/", "/wot/things", "/wot/nothing", "/wot/things/brook", "/.well-known/wot"):
            assert stranger.get(path).status_code == 401, path


def test_a_signed_address_opens_its_stream_and_nothing_else(served, things):
    form = things.get("/wot/things/brook").json()["events"]["updated"]["forms"][0]
    parts = urlsplit(form["href"])
    with served.client(signed_in=False) as stranger:
        told = heard(stranger, f"{parts.path}?{parts.query}", 1, **{"Last-Event-ID": "0"})
        assert json.loads(told[0]["data"])["type"] == "gemel.twin.updated"
        for path in ("/wot/things/brook", "/wot/things/brook/events/alert", "/wot/things/brook/properties"):
            assert stranger.get(f"{path}?{parts.query}").status_code == 401, path
        assert stranger.post("/wot/things/brook/actions/run?" + parts.query).status_code == 401


def test_a_description_says_what_the_twin_declares(served, things):
    tank = things.get("/wot/things/tank")
    assert tank.headers["content-type"] == "application/td+json"
    document = tank.json()
    assert document["@context"][0] == "https://www.w3.org/2022/wot/td/v1.1"
    assert document["id"].startswith("urn:uuid:") and document["version"] == {"instance": "0.1.0"}
    assert (document["geo:lat"], document["geo:long"]) == (54.3, 10.1)
    assert document["gemel:syncInterval"] == "1 min" and document["gemel:fidelity"] == {"level": "0.1 m"}
    links = {link["rel"]: link["href"] for link in document["links"]}
    assert links["license"] == "https://spdx.org/licenses/Apache-2.0.html"
    assert things.get(links["describedby"].removeprefix(served.url)).text.startswith("# Tank")
    assert document["actions"].keys() == {"whatif", "run", "call.noting"}
    brook = things.get("/wot/things/brook").json()
    assert "geo:lat" not in brook and "call.noting" not in brook["actions"]
    rain = brook["actions"]["whatif"]["input"]["properties"]["rain"]
    assert rain == {"type": "number", "title": "Rain", "unit": "1", "default": 1.0, "minimum": 0.0, "maximum": 3.0}
    assert brook["actions"]["whatif"]["input"]["properties"]["length"]["unit"] == "km"
    assert brook["properties"]["freshness"]["enum"] == ["in-step", "late", "silent", "not-live"]
    listed = things.get("/wot/things").json()
    ids = {item["id"] for item in listed}
    assert {document["id"], brook["id"]} <= ids and len(ids) == len(listed)  # the twin that cannot be read is left out


def test_a_stream_goes_on_after_the_last_event_that_was_heard(served, things):
    path = "/wot/things/brook/events/updated"
    whole = heard(things, path, 3, **{"Last-Event-ID": "0"})
    assert [json.loads(item["data"])["data"]["sequence"] for item in whole] == [1, 2, 3]
    assert things.head(path, headers={"Last-Event-ID": "9" * 40}).status_code == 200  # no position: from now on
    rest = heard(things, path, 2, **{"Last-Event-ID": whole[0]["id"]})
    assert rest == whole[1:]
    assert int(whole[0]["id"]) < int(whole[1]["id"]) < int(whole[2]["id"])


def test_observed_values_are_those_that_were_told(served, things):
    first, second = next(_MINUTES), next(_MINUTES)
    send_level(served, first, 1.5)
    path = "/wot/things/tank/properties/gauge.level"
    assert things.get(path).json()["value"] == 1.5
    newest = served.service.engine.log.last("twins/tank/gauge")[-1].position
    send_level(served, second, None)
    told = heard(things, f"{path}/observe", 1, **{"Last-Event-ID": str(newest)})
    assert json.loads(told[0]["data"])["value"] is None and things.get(path).json()["value"] is None
    until(lambda: things.get("/wot/things/tank/properties/lag").json() == {"waiting": 0, "seconds": 0.0})
    state = things.get("/wot/things/tank/properties/state").json()
    assert state["uncertainty"] == {"level": {"standard_error": 0.1, "unit": "m"}}
    observed = heard(things, "/wot/things/tank/properties/state/observe", 1, **{"Last-Event-ID": "0"})
    assert json.loads(observed[0]["data"]) == state
    refused = things.get("/wot/things/brook/properties/parameters/observe")
    assert refused.status_code == 400 and "cannot be observed" in refused.json()["detail"]


def test_a_misfit_beyond_the_declared_fidelity_is_told_and_read(served, things):
    send_level(served, next(_MINUTES), 9.0)
    diverged = heard(things, "/wot/things/tank/events/diverged", 1, **{"Last-Event-ID": "0"})
    assert json.loads(diverged[0]["data"])["data"]["diverged"] is True
    until(lambda: things.get("/wot/things/tank/properties/misfit").json()["diverged"])
    send_level(served, next(_MINUTES), 3.0)
    converged = heard(things, "/wot/things/tank/events/converged", 1, **{"Last-Event-ID": diverged[0]["id"]})
    assert json.loads(converged[0]["data"])["data"]["diverged"] is False


def test_whether_observations_come_in_step_is_told(served, things):
    send_level(served, next(_MINUTES), 3.0)
    told = heard(things, "/wot/things/tank/events/freshness", 1, **{"Last-Event-ID": "0"})
    assert json.loads(told[0]["data"])["data"] == {"state": "in-step"}
    path = "/wot/things/tank/properties/freshness"
    assert things.get(path).json() == "in-step"
    observed = heard(things, f"{path}/observe", 1, **{"Last-Event-ID": "0"})
    assert json.loads(observed[0]["data"]) == "in-step"


def test_a_quiet_stream_still_gives_signs_of_life(things, monkeypatch):
    monkeypatch.setattr(_events, "_HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(_events, "_LOOK_SECONDS", 0.1)
    with things.stream("GET", "/wot/things/brook/events/problem") as answer:
        comments = itertools.islice(messages(answer.iter_lines()), 3)
        assert [item[""] for item in comments] == ["connected", "still here", "still here"]


@pytest.mark.parametrize(
    ("action", "body", "status"),
    [
        ("whatif", b'{"rain": 4}', 400),
        ("whatif", b'{"snow": 1}', 404),
        ("whatif", b"[1]", 400),
        ("whatif", b"{", 400),
        ("run", b'{"graph": "nothing"}', 404),
        ("run", b'{"graphs": "forecast"}', 400),
        ("run", b'{"parameters": [1]}', 400),
        ("dance", b"{}", 404),
    ],
)
def test_an_action_that_makes_no_sense_is_refused(things, action, body, status):
    answer = things.post(f"/wot/things/brook/actions/{action}", content=body)
    assert answer.status_code == status and answer.json()["status"] == status


def test_a_run_is_created_and_a_call_accepted(served, things):
    created = things.post("/wot/things/brook/actions/run", json={"graph": "forecast"})
    assert created.status_code == 201 and created.headers["Location"] == created.json()["href"]
    run = things.get(created.headers["Location"].removeprefix(served.url), params={"wait": 30}).json()
    assert run["state"] == "finished"
    called = things.post("/wot/things/tank/actions/call.noting", json={"key": "once"})
    assert called.status_code == 202
    until(lambda: things.post("/wot/things/tank/actions/call.noting", json={"key": "once"}).json()["run"])
    causes = things.get("/api/v1/causes", params={"twin": "tank"}).json()["causes"]
    assert sum(cause["key"] == "once" for cause in causes) == 1


def test_what_is_not_there_and_what_cannot_be_done(things):
    for path in ("/wot/things/nobody", "/wot/things/brook/properties/none", "/wot/things/brook/events/none"):
        assert things.get(path).status_code == 404, path
    for path in ("/wot/nothing", "/wot/things/brook/nothing"):
        assert things.get(path).json()["code"] == "not-found", path
    written = things.put("/wot/things/brook/properties/state", json={})
    assert written.status_code == 405 and written.headers["Allow"] == "GET, HEAD"
    assert things.get("/wot/things/brook/actions/run").headers["Allow"] == "POST"
    assert things.head("/wot/things/brook/events/alert").status_code == 200
    assert things.get("/wot/things/broken").status_code == 422


@pytest.mark.slow
def test_many_listeners_keep_nobody_waiting(things, monkeypatch):
    monkeypatch.setattr(_events, "_LOOK_SECONDS", 5.0)
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            answer = stack.enter_context(things.stream("GET", "/wot/things/brook/events/problem"))
            assert answer.status_code == 200
        begin = time.monotonic()
        assert things.get("/wot/things/brook/properties/state").json()["sequence"] == 3
        assert time.monotonic() - begin < 3.0
