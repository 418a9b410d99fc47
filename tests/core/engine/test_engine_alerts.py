"""Alerts of live twins leave the engine, are listed, and are read as CAP messages."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime

import pytest

from gemel.base.errors import InvalidInput, NotFound
from gemel.core.engine._alert_service import AlertService
from gemel.core.engine._alerting import Alerting, about_of, ended_alerts
from gemel.core.engine._telling import Teller
from stage import until, write_brook

ALERTS = """
[alerts.files]
kind = "folder"
path = "out"

[alerts.office]
kind = "cap"
folder = "cap"
sender = "warn@example.org"
severity = { high = "Severe" }

[[views]]
id = "flow"
"""


@pytest.fixture
def brook(engine, here):
    write_brook(here, [1.0, 60.0, 70.0], **{'\n[[views]]\nid = "flow"\n': ALERTS})
    return engine.twin("brook")


@pytest.fixture
def alerting(engine, brook, home):
    # The engine's own outlets, when it has them, are those of its home.
    found = Alerting(engine.log, home / "mine")
    yield found
    found.stop()


def test_alerts_of_a_live_twin_go_out_and_the_rest_does_not(engine, brook, alerting, home):
    alerting.add(brook)
    alerting.start()
    engine.go_live(brook).wait_finished()
    files = until(lambda: len(found := sorted((home / "mine" / "out").glob("*.json"))) == 2 and found)
    told = [json.loads(path.read_text()) for path in files]
    assert {item["type"] for item in told} == {"gemel.twin.alert"} and {item["data"]["event"] for item in told} == {
        "flood"
    }
    messages = until(lambda: len(found := sorted((home / "mine" / "cap").glob("*.xml"))) == 2 and found)
    assert all("<status>Exercise</status>" in path.read_text() for path in messages)
    assert all("<severity>Severe</severity>" in path.read_text() for path in messages)
    documents = until(lambda: all(item["pending"] == 0 for item in alerting.document()) and alerting.document())
    assert [(item["twin"], item["name"], item["kind"], item["sent"], item["problem"]) for item in documents] == [
        ("brook", "files", "folder", 2, None),
        ("brook", "office", "cap", 2, None),
    ]
    assert alerting.problems == {}


def test_what_cannot_go_out_is_said_until_it_can(engine, brook, alerting, home):
    alerting.add(brook)
    alerting.start()
    (home / "mine").write_text("no folder")
    engine.go_live(brook).wait_finished()
    until(lambda: set(alerting.problems) == {"brook/files", "brook/office"})
    assert "cannot be written" in alerting.problems["brook/files"]["message"]
    (home / "mine").unlink()
    until(lambda: len(list((home / "mine" / "out").glob("*.json"))) == 2)
    until(lambda: alerting.problems == {})


def test_alerts_are_listed_and_read_as_cap_messages(engine, brook, alerting):
    engine.go_live(brook).wait_finished()
    service = AlertService(engine, alerting)
    newest, older = service.alerts()
    assert newest["data"]["event"] == "flood" and newest["position"] > older["position"]
    assert service.alerts("brook", 1) == [newest] and service.outlets() == []
    root = ET.fromstring(service.cap("brook", newest["position"]))
    said = {item.tag.rpartition("}")[2]: item.text for item in root}
    assert said["sender"] == "warn@example.org" and said["status"] == "Exercise"
    # The danger of both is that of the first day of 2001: the second run takes the place of the first.
    first = ET.fromstring(service.cap("brook", older["position"]))
    identifier = next(item.text for item in first if item.tag.endswith("identifier"))
    assert said["msgType"] == "Update" and identifier in said["references"]
    for position in (0, -1, 10**9, newest["position"] - 1):
        with pytest.raises(NotFound, match="no alert at position"):
            service.cap("brook", position)
    with pytest.raises(NotFound):
        service.alerts("nothing")
    with pytest.raises(NotFound):
        service.cap("nothing", 1)


def test_a_twin_that_is_played_back_is_an_exercise_and_cannot_warn_for_real(engine, here, brook, alerting):
    assert about_of(brook).exercise and about_of(brook).title == "A synthetic brook"
    toml = here / "brook" / "twin.toml"
    toml.write_text(toml.read_text().replace('sender = "', 'status = "Actual"\nsender = "'))
    with pytest.raises(InvalidInput, match="played back"):
        alerting.add(engine.twin("brook"))


def test_a_danger_that_a_run_no_longer_sees_is_over_once(engine, brook, alerting):
    teller, valid = Teller(engine.log, "brook"), datetime(2001, 1, 2, tzinfo=UTC)
    place = {"place": "Mill", "issued": "2001-01-01", "valid": "2001-01-03"}
    flood, drought = {"event": "flood", **place}, {"event": "drought", **place}

    def run(name, *alerts):
        for number, alert in enumerate(alerts):
            teller.tell("gemel.twin.alert", alert | {"run": name}, identity=f"alert-{name}-{number}")
        over = ended_alerts(engine.log, "brook", name, alerts, valid)
        assert over == ended_alerts(engine.log, "brook", name, alerts, valid)
        for number, told in enumerate(over):
            teller.tell("gemel.twin.alert-over", told, identity=f"alert-over-{name}-{number}")
        assert over == ended_alerts(engine.log, "brook", name, alerts, valid)
        return [told["event"] for told in over]

    assert run("a", flood, drought) == []
    assert run("b", flood) == ["drought"]
    assert run("c", flood) == []
    assert run("d") == ["flood"]
    assert run("e") == []
    service = AlertService(engine, alerting)
    newest = service.alerts()[0]
    assert newest["type"] == "gemel.twin.alert-over" and newest["data"]["issued"] == "2001-01-02T00:00:00Z"
    assert "<msgType>Cancel</msgType>" in service.cap("brook", newest["position"])
