"""Real clients: frost-sta-client in an environment of its own, and the source of our own engine."""

from __future__ import annotations

import json
import subprocess
import threading

import pytest
from sensorthings_stage import FOLDER, LEVELS, ROOT, api, asked, frost, send, served, stamp

from gemel.core.stream.sources import SensorThings, SourceContext

__all__ = ["api", "frost", "served"]


@pytest.mark.slow
def test_frost_client_lists_filters_orders_and_pages(served, frost):
    command = [str(item) for item in (frost, FOLDER / "foreign_frost.py", served.url + ROOT, served.token)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["things"]["pond"] == "A synthetic pond" and next(iter(told["things"])) == "heap"
    assert told["pond"] == ["A synthetic pond", "0.2.0"] and told["places"] == [[10.1, 54.3]]
    assert told["streams"]["pond:gauge:level"] == ["m", "gauge", "level"]
    assert told["streams"]["pond:gauge:inflow"] == [None, "gauge", "inflow"]
    assert told["streams"]["pond:@model:misfit"] == ["m", "model", "misfit"]
    assert [result for _, result in told["all"]] == LEVELS
    assert [time.replace("+00:00", "Z") for time, _ in told["all"]] == [stamp(number) for number in range(5)]
    assert told["count"] == 2 and told["high"] == [4.0, 3.5] and told["one"] == 4.0
    assert told["expanded"] == ["pond"] * 3
    assert told["created"][0] == 405 and "POST /api/v1/twins/{twin}/sources/{source}/events" in told["created"][1]


@pytest.mark.parametrize("streams", [{"level": "pond:gauge:level"}, None], ids=["named", "all"])
def test_our_own_source_receives_every_observation_once(served, api, tmp_path, streams):
    (tmp_path / "token").write_text(served.token)
    options = {"url": served.url + ROOT, "token": f"file:{tmp_path}/token", "every": "20 ms", "page": 3}
    options |= {"datastreams": streams} if streams else {}
    stop, rejected = threading.Event(), []
    context = SourceContext(
        "far", "/twins/far", options, lambda *_: None, stop, reject=lambda *found: rejected.append(found)
    )
    known = asked(api, "Observations", select="id", top=1000)["value"]
    wanted = {item["@iot.id"] for item in known if not streams or item["@iot.id"].startswith("pond:gauge:level:")}
    minute, last = (7, "") if streams else (8, "")
    keys: list[str] = []
    events = []
    for found in SensorThings(context).events(None):
        events += found if isinstance(found, list) else [found]
        keys = [event.id.partition("@Observations(")[2].removesuffix(")") for event in events]
        if not last and wanted <= set(keys):
            # One more comes while the source goes on asking.
            send(served.service.engine, [9.0], first=minute)
            last = f"pond:gauge:level:{served.service.engine.log.last('twins/pond/gauge')[-1].position}"
        if last in keys:
            stop.set()
    assert rejected == [] and len(keys) == len(set(keys)) and {*wanted, last} <= set(keys)
    if streams:
        assert [event.data["level"] for event in events] == [*LEVELS, 9.0]
        assert {event.data["unit"] for event in events} == {"m"}
