"""What a client may rely on: entities and their links, options, paging that nothing shifts, refusals, a closed door."""

from __future__ import annotations

import pytest
from sensorthings_stage import LEVELS, ROOT, api, asked, fill, followed, send, served, stamp

from gemel.core.stream import SqlEventLog

__all__ = ["api", "served"]
LEVEL = "Datastreams('pond:gauge:level')"
SETS = {
    "Things",
    "Locations",
    "HistoricalLocations",
    "Datastreams",
    "Sensors",
    "ObservedProperties",
    "Observations",
    "FeaturesOfInterest",
}


def test_the_root_names_the_sets_and_what_is_met(api):
    root = api.get(ROOT).json()
    assert {item["name"] for item in root["value"]} == SETS
    for item in root["value"]:
        assert "value" in api.get(item["url"], params={"$top": 1}).json(), item
    told = root["serverSettings"]["conformance"]
    assert "http://www.opengis.net/spec/iot_sensing/1.1/req/datamodel" in told
    assert not any("built-in-query-functions" in item or "create" in item for item in told)
    assert api.get(ROOT + "/").json() == root


def test_every_link_of_every_entity_leads_somewhere(api):
    for name in SETS:
        for entity in asked(api, name, top=5)["value"]:
            assert asked(api, entity["@iot.selfLink"].partition("v1.1/")[2]) == entity
            links = {key: value for key, value in entity.items() if key.endswith("@iot.navigationLink")}
            assert links or name == "HistoricalLocations"
            for link in links.values():
                assert api.get(link).status_code == 200, link


def test_a_pond_is_described(api):
    thing = asked(api, "Things('pond')", expand="Locations,Datastreams($select=name;$orderby=name desc)")
    assert thing["name"] == "A synthetic pond" and thing["properties"]["fidelity"]["inflow"] == "20 %"
    assert thing["Locations"][0]["location"] == {"type": "Point", "coordinates": [10.1, 54.3]}
    names = [item["name"] for item in thing["Datastreams"]]
    assert names == sorted(names, reverse=True) and set(thing["Datastreams"][0]) == {"name"}
    assert "level of gauge" in names and "misfit of model" in names and "state.count of model" in names
    level = asked(api, LEVEL)
    assert level["unitOfMeasurement"]["symbol"] == "m" and level["observationType"].endswith("OM_Measurement")
    inflow = asked(api, "Datastreams('pond:gauge:inflow')")
    # A share says nothing of the unit: what is not known is told as such.
    assert inflow["unitOfMeasurement"] == {"name": None, "symbol": None, "definition": None}
    assert inflow["properties"]["unit"].startswith("unknown")
    assert asked(api, "Datastreams('pond:gauge:flag')")["observationType"].endswith("OM_Observation")
    assert asked(api, "Things('heap')/Locations")["value"] == []
    assert asked(api, f"{LEVEL}/Sensor")["properties"] == {"kind": "webhook"}


def test_observations_are_those_of_the_log(api):
    found = asked(api, f"{LEVEL}/Observations", count="true")
    assert found["@iot.count"] == len(found["value"]) == len(LEVELS)
    assert [item["result"] for item in found["value"]] == LEVELS
    assert [item["phenomenonTime"] for item in found["value"]] == [stamp(number) for number in range(5)]
    assert all(item["resultTime"] is None and "resultQuality" not in item for item in found["value"])
    first = found["value"][0]
    assert first["parameters"]["event"] == "o-0"
    assert asked(api, f"Observations('{first['@iot.id']}')/FeatureOfInterest/feature")["feature"]["type"] == "Point"


def test_the_model_has_series_with_its_doubt(api):
    misfit = asked(api, "Datastreams('pond:@model:misfit')/Observations")["value"]
    assert [item["result"] for item in misfit] == [2.0, 0.5, None, 1.0, 0.5]
    assert all(item["resultTime"] >= item["phenomenonTime"] for item in misfit)
    levels = asked(api, "Datastreams('pond:@model:state.level')/Observations")["value"]
    assert [item["result"] for item in levels] == LEVELS
    assert {item["resultQuality"]["standard_error"] for item in levels} == {0.1}
    assert asked(api, "Datastreams('pond:@model:state.level')")["unitOfMeasurement"]["symbol"] == "m"
    one = asked(api, "Observations('pond:@model:misfit:2')")
    assert one == misfit[1]


def test_properties_values_references_and_arrays(api):
    first = asked(api, f"{LEVEL}/Observations")["value"][0]
    path = f"Observations('{first['@iot.id']}')"
    assert asked(api, f"{path}/result") == {"result": 1.0}
    assert api.get(f"{ROOT}/{path}/result/$value").text == "1.0"
    assert api.get(f"{ROOT}/Things('pond')/name/$value").text == "A synthetic pond"
    assert api.get(f"{ROOT}/{path}/resultTime").status_code == 204
    assert asked(api, f"{LEVEL}/unitOfMeasurement/symbol") == {"symbol": "m"}
    links = asked(api, f"{LEVEL}/Observations/$ref", top=2)
    assert links["value"][0] == {"@iot.selfLink": first["@iot.selfLink"]} and "@iot.nextLink" in links
    arrays = asked(api, "Observations", resultFormat="dataArray", filter="Datastream/name eq 'level of gauge'")["value"]
    assert len(arrays) == 1 and arrays[0]["dataArray@iot.count"] == 5
    column = arrays[0]["components"].index("result")
    assert [row[column] for row in arrays[0]["dataArray"]] == LEVELS


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("result gt 2.5", [4.0, 3.5]),
        ("result eq null", [None]),
        ("result ne null and not (result ge 3)", [1.0, 2.5]),
        ("not (result gt 3)", [1.0, 2.5, None]),
        ("result add 1 mul 2 ge 6", [4.0]),
        ("(result add 1) mul 2 ge 9", [4.0, 3.5]),
        ("result div 0 gt 1 or result eq 1", [1.0]),
        ("result mod 2 eq 0", [4.0]),
        ("-result lt -3.5", [4.0]),
        ("phenomenonTime ge 2024-01-01T00:03:00Z", [4.0, 3.5]),
        ("phenomenonTime lt 2024-01-01T02:01:00+02:00", [1.0]),
        ("minute(phenomenonTime) eq 4 or minute(phenomenonTime) eq 0", [1.0, 3.5]),
        ("year(phenomenonTime) eq 2024 and month(phenomenonTime) eq 1 and day(phenomenonTime) eq 2", []),
        ("date(phenomenonTime) eq 2024-01-01 and result lt 2", [1.0]),
        ("phenomenonTime lt now() and phenomenonTime gt mindatetime() and result lt 2", [1.0]),
        ("round(result) eq 4", [4.0, 3.5]),
        ("floor(result) eq 3 or ceiling(result) eq 3", [2.5, 3.5]),
        ("Datastream/Thing/name eq 'A synthetic pond' and result lt 2", [1.0]),
        ("substringof('pond', Datastream/description) and startswith(Datastream/name, 'level') and result lt 2", [1.0]),
        ("length(concat(Datastream/name, 'x')) eq 15 and toupper(trim(' a ')) eq 'A' and result lt 2", [1.0]),
        ("indexof(Datastream/name, 'vel') eq 2 and substring(Datastream/name, 6, 2) eq 'of' and result lt 2", [1.0]),
        ("Datastream/unitOfMeasurement/symbol eq 'm' and parameters/event eq 'o-1'", [2.5]),
        ("result eq 'it''s'", []),
        ("result gt 'a'", []),
        ("resultTime gt 2020-01-01T00:00:00Z", []),
    ],
)
def test_filters(api, text, levels):
    found = asked(api, f"{LEVEL}/Observations", filter=text, count="true")
    assert [item["result"] for item in found["value"]] == levels and found["@iot.count"] == len(levels)


@pytest.mark.parametrize(
    ("path", "options", "status", "word"),
    [
        ("Observations", {"filter": "result gt"}, 400, "too early"),
        ("Observations", {"filter": "results gt 3"}, 400, "no property 'results'"),
        ("Observations", {"filter": "result gt 3)"}, 400, "not expected"),
        ("Observations", {"filter": "frob(result) eq 3"}, 400, "frob()"),
        ("Observations", {"filter": "year() eq 3"}, 400, "other arguments"),
        ("Observations", {"filter": "(" * 300 + "1"}, 400, "too deeply"),
        ("Observations", {"filter": "not " * 390 + "true"}, 200, ""),
        ("Observations", {"filter": "true or " * 300 + "true"}, 400, "too long"),
        ("Observations", {"filter": "phenomenonTime gt 2024-13-01T00:00:00Z"}, 400, "not a date"),
        ("Things", {"filter": "st_within(Locations/location, geography'POINT(1 1)')"}, 501, "st_within"),
        ("Things", {"filter": "geo.distance(name, name) lt 1"}, 501, "geo.distance"),
        ("Things", {"filter": "Datastreams/name eq 'x'"}, 501, "no property of one"),
        ("Things", {"search": "x"}, 501, "$search"),
        ("Things", {"colour": "x"}, 400, "$colour"),
        ("Things", {"top": "-1"}, 400, "$top"),
        ("Things", {"count": "yes"}, 400, "$count"),
        ("Things", {"select": "colour"}, 400, "colour"),
        ("Things", {"expand": "Friends"}, 400, "Friends"),
        ("Things", {"expand": "Datastreams($top=x)"}, 400, "$top"),
        ("Things", {"skiptoken": "nonsense"}, 400, "$skiptoken"),
        ("Things", {"skiptoken": "W1tdLCIiLDFlOTld"}, 400, "another order"),
        ("Observations", {"skiptoken": "W1tdLCJhIiw5OTk5OTk5OTk5OTk5OTk5OTk5OTldCg"}, 400, "another order"),
        ("Things", {"orderby": "name", "skiptoken": "W1t7InQiOjV9XSwiYSIsMF0"}, 400, "none of ours"),
        ("Observations", {"filter": "phenomenonTime gt 0001-01-01T00:00:00%2B05:00"}, 400, "cannot be read"),
        ("Observations", {"filter": "phenomenonTime gt 0001-01-01T00:00:00+05:00"}, 400, "calendar"),
        ("Things", {"orderby": "name", "skiptoken": "W1tdLCJhIiwwXQ"}, 400, "another order"),
        ("Things", {"resultFormat": "dataArray"}, 400, "data arrays"),
        ("Observations", {"resultFormat": "csv"}, 501, "csv"),
        ("Things(5)", {}, 404, "'5'"),
        ("Things('pond')/colour", {}, 404, "colour"),
        ("Things('pond')/Sensors", {}, 404, "Sensors"),
        ("Observations('pond:gauge:level:0')", {}, 404, "level:0"),
        ("Observations('pond:gauge:level:99999999999999999999')", {}, 404, "level"),
        ("Datastreams('heap:meter:value')/Observations('pond:gauge:level:1')", {}, 404, ""),
        ("Frogs", {}, 404, "Frogs"),
        ("Things('.')", {}, 404, "'.'"),
        ("Things('nobody')/Datastreams", {}, 404, "nobody"),
        ("Things('pond", {}, 404, ""),
        ("Things/$value", {}, 400, "$value"),
    ],
)
def test_what_makes_no_sense_and_what_is_not_there(api, path, options, status, word):
    answer = api.get(f"{ROOT}/{path}", params={f"${name}": value for name, value in options.items()})
    assert answer.status_code == status, answer.text
    if status != 200:
        assert answer.json()["error"].keys() == {"code", "message"} and word in answer.json()["error"]["message"]


def test_nothing_is_told_without_the_token_and_nothing_is_written(served, api):
    with served.client(signed_in=False) as stranger:
        for path in ("", "/", "/Things", "/Things('pond')", "/nothing", "/Observations?$top=1"):
            refused = stranger.get(ROOT + path)
            assert refused.status_code == 401 and refused.headers["WWW-Authenticate"] == "Bearer", path
            assert refused.json()["error"]["code"] == "access.unauthenticated"
        assert stranger.post(f"{ROOT}/Things").status_code == 401
    for method in ("POST", "PATCH", "PUT", "DELETE"):
        for path in ("", "/Observations", "/Things('pond')"):
            refused = api.request(method, ROOT + path)
            assert refused.status_code == 405 and refused.headers["Allow"] == "GET, HEAD"
            assert "/api/v1/twins/{twin}/sources/{source}/events" in refused.json()["error"]["message"]
    assert api.head(f"{ROOT}/Things").status_code == 200


def test_an_answer_has_a_bound(api, monkeypatch):
    monkeypatch.setattr("gemel.faces.sensorthings._render._LARGEST_ANSWER", 5)
    refused = api.get(f"{ROOT}/Things", params={"$expand": "Datastreams($expand=Observations)"})
    assert refused.status_code == 400 and "more than" in refused.json()["error"]["message"]


def test_what_is_expanded_has_pages_too(api):
    pond = asked(api, "Things('pond')", expand="Datastreams($top=2;$count=true;$select=id)")
    whole = asked(api, "Things('pond')/Datastreams", select="id")["value"]
    found = list(pond["Datastreams"])
    link = pond["Datastreams@iot.nextLink"]
    assert len(found) == 2 and pond["Datastreams@iot.count"] == len(whole)
    while link:
        page = api.get(link).json()
        found += page["value"]
        link = page.get("@iot.nextLink")
    assert found == whole


def test_pages_are_not_shifted_by_what_comes_in_between(served, api):
    engine = served.service.engine
    before = [item["@iot.id"] for item in asked(api, f"{LEVEL}/Observations")["value"]]
    for order in ({}, {"orderby": "phenomenonTime desc"}, {"orderby": "result"}):
        page = asked(api, f"{LEVEL}/Observations", top=2, **order)
        found = list(page["value"])
        send(engine, [5.5], first=20 + len(order.get("orderby", "")))
        while "@iot.nextLink" in page:
            page = api.get(page["@iot.nextLink"]).json()
            found += page["value"]
        ids = [item["@iot.id"] for item in found]
        assert len(ids) == len(set(ids)) and set(before) <= set(ids), order


def test_a_bound_on_time_passes_over_what_was_recorded_long_before(served, api, monkeypatch):
    """Read from where the log knows that nothing later can stand before, and find the same."""
    engine = served.service.engine
    if not engine.log.last("twins/heap/meter"):
        fill(engine, [(minute, minute) for minute in range(50)])
    position = engine.log.last("twins/heap/meter")[-1].position
    began: list[int] = []
    read = SqlEventLog.read

    def noted(self, stream, after=0, limit=1000):
        if stream == "twins/heap/meter" and limit == 1000:
            began.append(after)
        return read(self, stream, after, limit)

    monkeypatch.setattr(SqlEventLog, "read", noted)
    path = "Datastreams('heap:meter:value')/Observations"
    assert followed(api, path, filter="phenomenonTime ge 2100-01-01") == []
    # Recorded today, so nothing of 2100 can be in it: nothing is read.
    assert began == []
    assert len(followed(api, path, filter="phenomenonTime ge 2024-01-01T00:40:00Z")) == 10
    assert began[0] < position
