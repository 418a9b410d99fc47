"""Alerts as people meet them: a list, a message, and a folder that fills while the twin is live."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from gemel.core.engine import Service
from stage import until, write_brook

PEOPLE = '[alerts.people]\nkind = "cap"\nsender = "warnings@example.org"\nlasts = "30 d"\nfolder = "{folder}"\n\n[[views]]\nid = "flow"'


def test_an_alert_is_told_listed_written_as_cap_and_taken_back(sqlite_engine, here):
    outbox = here / "out"
    write_brook(here, [1.0, 60.0, 2.0], **{'[[views]]\nid = "flow"': PEOPLE.format(folder=outbox)})
    sqlite_engine.serve()
    sqlite_engine.go_live(sqlite_engine.twin("brook")).wait_finished()
    service = Service(sqlite_engine)
    until(lambda: len(list(outbox.glob("*.xml"))) == 2)
    listed = service.alerts.alerts("brook")
    assert [item["type"] for item in listed] == ["gemel.twin.alert-over", "gemel.twin.alert"]
    message = ElementTree.fromstring(service.alerts.cap("brook", listed[1]["position"]))
    name = "{urn:oasis:names:tc:emergency:cap:1.2}"
    assert message.findtext(f"{name}status") == "Exercise" and message.findtext(f"{name}msgType") == "Alert"
    kinds = sorted(ElementTree.parse(file).getroot().findtext(f"{name}msgType") for file in outbox.glob("*.xml"))
    assert kinds == ["Alert", "Cancel"]
    (outlet,) = service.alerts.outlets()
    assert outlet["problem"] is None and json.dumps(outlet)
