"""CAP 1.2: valid by the schema of OASIS, in the standard's words, and linked to what it takes the place of."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alert_stage import BEGIN, BROOK, STREAM, alert, line, settled, updated, validate
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput
from gemel.core.stream.alerts import OVER, CapSettings, Chain, Notice, OutletContext, cap_document, open_outlet
from gemel.core.stream.alerts._cap import cap_time, certainty, urgency
from gemel.core.stream.events import SqlEventLog

NS = "{urn:oasis:names:tc:emergency:cap:1.2}"
SENDER = CapSettings(sender="warn@example.org")


def read(document: bytes) -> ET.Element:
    return ET.fromstring(document)


def said(root: ET.Element, path: str) -> str | None:
    return root.findtext("/".join(f"{NS}{part}" for part in path.split("/")))


def of(event, earlier=(), settings=SENDER, about=BROOK) -> ET.Element:
    found = cap_document(Notice(event, about, tuple(earlier)), settings)
    assert found is not None
    return read(found)


def test_an_alert_says_what_where_when_and_how_sure():
    root = of(alert(7))
    assert said(root, "identifier") == "gemel.brook.alert-7-0.20260301T060700000000"
    assert said(root, "sender") == "warn@example.org" and said(root, "sent") == "2026-03-01T06:07:00-00:00"
    assert [said(root, name) for name in ("status", "msgType", "scope")] == ["Actual", "Alert", "Public"]
    assert said(root, "references") is None and said(root, "note") is None
    info = {name: said(root, f"info/{name}") for name in ("language", "category", "event", "urgency", "severity")}
    assert info == {
        "language": "en-GB",
        "category": "Met",
        "event": "flood",
        "urgency": "Future",
        "severity": "Unknown",
    }
    assert said(root, "info/certainty") == "Likely"
    assert said(root, "info/effective") == "2026-03-01T00:00:00-00:00"
    assert said(root, "info/onset") == "2026-03-03T00:00:00-00:00"
    assert said(root, "info/expires") == "2026-03-04T00:00:00-00:00"
    assert said(root, "info/senderName") == "A brook" and said(root, "info/contact") == "duty@example.org"
    assert said(root, "info/headline") == "Flood (2-year): Mill, 2026-03-03 00:00 UTC, 75 %"
    assert "75 %" in said(root, "info/description") and "120 m3 s-1" in said(root, "info/description")
    parameters = root.findall(f"{NS}info/{NS}parameter")
    told = {item.findtext(f"{NS}valueName"): item.findtext(f"{NS}value") for item in parameters}
    assert told["probability"] == "0.75" and told["run"] == "run-1" and told["lead_days"] == "2"
    assert said(root, "info/area/areaDesc") == "Mill (Valley)" and said(root, "info/area/circle") == "51.0,9.5 0"


@pytest.mark.parametrize(
    "chance, word", [(1.0, "Likely"), (0.5001, "Likely"), (0.5, "Possible"), (0.05, "Possible"), (0.0, "Unlikely")]
)
def test_certainty_follows_the_standard(chance, word):
    assert certainty({"probability": chance}) == word
    assert certainty({"probability": chance, "observed": True}) == "Observed"


def test_urgency_follows_the_standard():
    waits = (timedelta(hours=-1), timedelta(0), timedelta(hours=1), timedelta(hours=1, seconds=1))
    assert [urgency(wait) for wait in waits] == ["Immediate", "Immediate", "Expected", "Future"]


def test_times_are_written_with_an_offset_and_never_a_z():
    east = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert cap_time(east) == "2025-12-31T23:30:00-00:00"


def test_what_is_played_back_is_an_exercise_and_cannot_be_given_out_for_real(tmp_path):
    played = dataclasses.replace(BROOK, exercise=True)
    root = of(alert(1), about=played)
    assert said(root, "status") == "Exercise" and "played back" in said(root, "note")
    assert said(of(alert(1), about=played, settings=CapSettings(sender="a@b", status="Test")), "status") == "Test"
    for kind, options in (("cap", {"folder": "out"}), ("folder", {"path": "out", "format": "cap"})):
        options = {"sender": "a@b", "status": "Actual", **options}
        with pytest.raises(InvalidInput, match="played back"):
            open_outlet(OutletContext("cap", kind, options, played, tmp_path))


def test_a_later_run_updates_what_stands_and_the_end_of_the_danger_cancels_it():
    first = [alert(1), alert(2, lead_days=3, valid="2026-03-04")]
    root = of(alert(3, "run-2", issued="2026-03-02"), first)
    assert said(root, "msgType") == "Update"
    one, two = said(root, "references").split(" ")
    assert one == f"warn@example.org,{said(of(alert(1)), 'identifier')},2026-03-01T06:01:00-00:00"
    assert two.split(",")[1] == said(of(alert(2)), "identifier")
    over = of(alert(4, "run-3", OVER, issued="2026-03-02"), first)
    assert said(over, "msgType") == "Cancel" and said(over, "references").count("warn@example.org") == 2
    assert said(over, "info/responseType") == "AllClear" and said(over, "info/urgency") == "Past"


def test_what_has_expired_is_neither_updated_nor_cancelled():
    late = "2026-03-04T00:00:00Z"
    assert said(of(alert(3, "run-2", issued=late, valid=late), [alert(1)]), "msgType") == "Alert"
    assert cap_document(Notice(alert(3, "run-2", OVER, issued=late), BROOK, (alert(1),)), SENDER) is None
    assert cap_document(Notice(alert(3, "run-2", OVER), BROOK), SENDER) is None


def test_the_chain_is_made_of_the_log_alone(store):
    log = SqlEventLog(store)
    now = datetime.now(UTC)

    def tell(number, run, type="gemel.twin.alert", **changes):
        event = dataclasses.replace(alert(number, run, type, **changes), time=now)
        return dataclasses.replace(event, position=log.append(STREAM, event))

    one, two = tell(1, "a"), tell(2, "a", level="5-year")
    elsewhere, dry = tell(3, "a", place="Ford"), tell(4, "a", event="drought")
    log.append(STREAM, updated(1))
    three, four = tell(5, "b"), tell(6, "b")
    over, five = tell(7, "c", OVER), tell(8, "d")
    chain = Chain(log, STREAM)
    wanted = [(one, []), (two, []), (elsewhere, []), (three, [one, two]), (four, [one, two])]
    wanted += [(over, [three, four]), (five, []), (three, [one, two])]
    for event, earlier in wanted:
        assert [found.id for found in chain.before(event)] == [item.id for item in earlier]
        assert [found.id for found in Chain(log, STREAM).before(event)] == [item.id for item in earlier]
    assert [found.id for found in chain.before(tell(9, "e", event="drought"))] == [dry.id]


@pytest.mark.slow
def test_every_kind_of_message_passes_the_schema_of_oasis(store, tmp_path):
    log = SqlEventLog(store)
    now = datetime.now(UTC)
    ring = "50,9 51,9 51,10 50,9"
    events = [alert(1), alert(2, "run-2", issued="2026-03-02"), alert(3, "run-3", OVER, issued="2026-03-02")]
    events += [alert(4, place="Weir & <Lock>", event="drought \x00\x1b", level=None, probability=None, valid=None)]
    log.append_many(STREAM, [dataclasses.replace(event, time=now) for event in events])
    plain = {"sender": "warn@example.org", "folder": "plain"}
    full = plain | {
        "folder": "full",
        "scope": "Restricted",
        "restriction": "hydrologists",
        "polygon": ring,
        "web": "https://x.y/z",
    }
    full |= {
        "instruction": "Leave the banks.",
        "geocode": {"EMMA_ID": "DE001"},
        "severity": {"2-year": "Minor"},
        "area": "Valley",
    }
    private = plain | {
        "folder": "private",
        "scope": "Private",
        "addresses": ["one@x", "two@x"],
        "status": "Test",
        "radius": 7.5,
    }
    for name, options in {"plain": plain, "full": full, "private": private}.items():
        settled(line(log, "cap", tmp_path, name, **options)).close()
    played = dataclasses.replace(BROOK, exercise=True, place="", latitude=None)
    settled(
        line(log, "folder", tmp_path, "played", played, path="played", format="cap", sender="warn@example.org")
    ).close()
    files = sorted(tmp_path.glob("*/*.xml"))
    assert len(files) == 16
    assert [told for told in validate(files) if not told[0]] == []
    kinds = {said(read(path.read_bytes()), "msgType") for path in files}
    assert kinds == {"Alert", "Update", "Cancel"}
    broken = tmp_path / "broken.xml"
    broken.write_text(files[0].read_text().replace("Met", "Weather"))
    assert validate([broken])[0][0] is False


@given(st.text(max_size=50), st.text(max_size=50), st.floats(0, 1))
def test_no_text_makes_a_message_that_cannot_be_read(event, place, chance):
    root = of(alert(1, event=event, place=place, probability=chance))
    assert said(root, "info/event") and said(root, "info/area/areaDesc") and said(root, "info/senderName")
    assert len(said(root, "info/headline")) <= 160


@pytest.mark.parametrize(
    "wrong",
    [
        {"sender": "two words"},
        {"sender": ""},
        {"sender": "a,b"},
        {"scope": "Restricted"},
        {"scope": "Private"},
        {"restriction": "x"},
        {"category": "Weather"},
        {"severity": {"a": "Bad"}},
        {"polygon": "1,2 3,4 1,2"},
        {"polygon": "1,2 3,4 5,6 7,8"},
        {"polygon": "91,2 3,4 5,6 91,2"},
        {"polygon": "1,179 1,-179 2,0 1,179"},
        {"polygon": "here"},
        {"lasts": "soon"},
        {"radius": -1},
        {"status": "Real"},
        {"folder": ""},
        {"sendr": "x"},
    ],
)
def test_settings_that_cap_does_not_know_are_refused(wrong):
    options = {"sender": "a@b", "folder": "out", **wrong}
    with pytest.raises(InvalidInput, match=r"Outlet 'cap' \(cap\)"):
        open_outlet(OutletContext("cap", "cap", options, BROOK, Path()))


def test_a_time_that_cannot_be_read_is_said():
    with pytest.raises(InvalidInput, match="'tomorrow'"):
        cap_document(Notice(alert(1, valid="tomorrow"), BROOK), SENDER)


def test_the_moment_in_the_identifier_tells_two_engines_apart():
    later = dataclasses.replace(alert(1), time=BEGIN + timedelta(days=1))
    assert said(of(alert(1)), "identifier") != said(of(later), "identifier")
