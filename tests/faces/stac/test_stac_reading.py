"""Reading and searching over HTTP: links that lead somewhere, pages, and one clear sentence for bad input."""

from __future__ import annotations

import json

import pytest
from stac_stage import COUNT, KEPT, SCENES, ids, is_error


def followed(api, start):
    """Return the answers to a page and to all that follow it."""
    answers = [start]
    while True:
        links = [link for link in answers[-1].json()["links"] if link["rel"] == "next"]
        if not links:
            return answers
        (link,) = links
        posted = link.get("method") == "POST"
        answers.append(api.post(link["href"], json=link["body"]) if posted else api.get(link["href"]))


def test_every_link_of_every_page_leads_somewhere(api, served):
    seen, todo = set(), [f"{served.url}/stac"]
    while todo:
        address = todo.pop()
        answer = api.get(address)
        assert answer.status_code == 200, address
        seen.add(address)
        if "json" not in answer.headers["content-type"]:
            continue
        for link in answer.json().get("links", []):
            ours = link["href"].startswith(served.url) and link.get("method", "GET") == "GET"
            if ours and "/items" not in link["href"] and link["href"] not in seen:
                todo.append(link["href"])
    assert len(seen) >= 10 and f"{served.url}/stac/collections/{KEPT}" in seen


def test_the_landing_page_is_the_same_with_and_without_a_slash(api):
    bare, slashed = (api.get(address) for address in ("", "/"))
    assert bare.json() == slashed.json() and bare.json()["type"] == "Catalog"
    assert api.get("/conformance").json()["conformsTo"] == bare.json()["conformsTo"]
    served = api.get("/api").json()
    assert served["paths"]["/collections/{collection}/items/{item}"].keys() == {"get", "put", "patch", "delete"}


def test_collections_of_the_lake_are_beside_those_put_here(api):
    found = api.get("/collections").json()
    assert [document["id"] for document in found["collections"]] == [KEPT, SCENES]
    assert found["collections"][0]["cube:dimensions"]["t"]["type"] == "temporal"
    rels = [link["rel"] for link in found["collections"][1]["links"]]
    assert rels.count("self") == 1 and "license" in rels and "items" in rels


@pytest.mark.parametrize("posted", [False, True])
def test_pages_go_on_and_back(api, posted):
    asked = {
        "limit": 7,
        "sortby": [{"field": "id", "direction": "asc"}] if posted else "id",
        "collections": [SCENES] if posted else SCENES,
    }
    start = api.post("/search", json=asked) if posted else api.get("/search", params=asked)
    answers = followed(api, start)
    assert [id for answer in answers for id in ids(answer)] == [f"scene-{number:03d}" for number in range(COUNT)]
    assert [answer.json()["numberReturned"] for answer in answers] == [7] * 8 + [4]
    assert {answer.json()["numberMatched"] for answer in answers} == {COUNT}
    (link,) = [link for link in answers[3].json()["links"] if link["rel"] == "prev"]
    back = api.post(link["href"], json=link["body"]) if posted else api.get(link["href"])
    assert ids(back) == ids(answers[2])
    assert "prev" not in {link["rel"] for link in start.json()["links"]}


SEARCHES = [
    ({"bbox": [0, 0, 1.2, 1.2]}, ["scene-000", "scene-001", "scene-010", "scene-011"]),
    ({"bbox": [0, 0, -10, 0.2, 0.2, 10]}, ["scene-000"]),
    ({"intersects": {"type": "Point", "coordinates": [2.25, 0.25]}}, ["scene-002"]),
    ({"datetime": "2020-01-01T00:00:00Z/2020-01-02T12:00:00Z"}, ["scene-000", "scene-001"]),
    ({"datetime": "2020-02-28T00:00:00Z/.."}, ["scene-058", "scene-059"]),
    ({"ids": ["scene-007", "scene-003", "nothing"]}, ["scene-003", "scene-007"]),
    ({"collections": ["nothing"]}, []),
    ({"filter": "eo:cloud_cover < 3 AND platform = 'synthetic-a'", "filter-lang": "cql2-text"}, ["scene-001"]),
    ({"filter": "S_INTERSECTS(geometry, BBOX(8.9, 4.9, 9.1, 5.1))"}, ["scene-059"]),
    ({"filter": "eo:cloud_cover > 20", "bbox": [3, 0, 3.2, 2.1]}, ["scene-023"]),
]


@pytest.mark.parametrize(("asked", "expected"), SEARCHES)
def test_a_search_finds_the_same_by_address_and_by_body(api, asked, expected):
    posted = api.post("/search", json=asked | {"sortby": [{"field": "id", "direction": "asc"}]})
    spelled = {
        key: ",".join(map(str, value))
        if isinstance(value, list)
        else json.dumps(value)
        if isinstance(value, dict)
        else value
        for key, value in asked.items()
    }
    got = api.get("/search", params=spelled | {"sortby": "id"})
    assert ids(posted) == ids(got) == expected
    assert got.json()["numberReturned"] == len(expected)


def test_items_of_a_collection_are_searched_alike(api):
    place = f"/collections/{SCENES}/items"
    asked = {"bbox": "0,0,1.2,1.2", "sortby": "-eo:cloud_cover", "limit": 2, "fields": "properties.title"}
    answer = api.get(place, params=asked)
    assert ids(answer) == ["scene-011", "scene-010"] and answer.json()["numberMatched"] == 4
    assert answer.json()["features"][0]["properties"] == {"title": "Scene 11"}
    assert answer.headers["content-type"] == "application/geo+json"
    (link,) = [link for link in answer.json()["links"] if link["rel"] == "next"]
    assert ids(api.get(link["href"])) == ["scene-001", "scene-000"]
    assert api.get(f"/collections/{KEPT}/items").json()["features"] == []


BAD = [
    *({"bbox": "1,2,3"}, {"bbox": "a,b,c,d"}, {"bbox": "0,5,1,1"}, {"bbox": "0,0,nan,1"}, {"bbox": "0,-95,1,1"}),
    *({"limit": "0"}, {"limit": "-1"}, {"limit": "ten"}, {"limit": "1e3"}, {"limit": "9" * 5000}, {"limit": "²"}),
    *({"datetime": "yesterday"}, {"datetime": "2020-02-01T00:00:00Z/2020-01-01T00:00:00Z"}, {"datetime": "../.."}),
    *(
        {"intersects": "POINT(0 0)"},
        {"intersects": '{"type": "Point"}'},
        {"intersects": "[" * 5000},
        {"intersects": "3"},
    ),
    *({"intersects": '{"type":"Polygon","coordinates":[[[0,0],[1,1],[0,1],[1,0],[0,0]]]}'}, {"token": "mine"}),
    *(
        {"filter": "eo:cloud_cover <"},
        {"filter": "f(x) = 3"},
        {"filter": "n = 1", "filter-lang": "cql3"},
        {"sortby": "-"},
    ),
    *(
        {"filter": "n = 1", "filter-crs": "EPSG:3857"},
        {"filter": "{", "filter-lang": "cql2-json"},
        {"sortby": "geometry"},
    ),
    {"bbox": "0,0,1,1", "intersects": '{"type": "Point", "coordinates": [0, 0]}'},
]


@pytest.mark.parametrize("asked", BAD)
def test_bad_input_is_answered_in_one_sentence(api, asked):
    is_error(api.get("/search", params=asked), 400)
    assert api.get("/conformance").status_code == 200


BODIES = [
    *(
        b"",
        b"{",
        b"[]",
        b"3",
        b"null",
        b"\xff",
        b"[" * 100000,
        b'{"bbox": "0,0,1,1"}',
        b'{"ids": [1]}',
        b'{"fields": null}',
    ),
    *(b'{"sortby": "id"}', b'{"sortby": [{"field": 3}]}', b'{"limit": true}', b'{"limit": 1.5}', b'{"filter": 3}'),
    *(b'{"intersects": {"type": "Point", "coordinates": [null, 1]}}', b'{"datetime": 2020}', b'{"token": {}}'),
    *(b'{"filter": {"op": "=", "args": [1, NaN]}}', b'{"bbox": [0, 0, 1e999, 1]}', b'{"fields": {"include": "id"}}'),
    b'{"bbox": [0, 0, 1' + b"0" * 400 + b", 1]}",
    b'{"filter": {"op": "<", "args": [{"property": "n"}, 1e999]}}',
    b'{"filter": {"op": "<", "args": [{"property": "n"}, 1' + b"0" * 400 + b"]}}",
]


@pytest.mark.parametrize("body", BODIES)
def test_a_bad_body_is_answered_in_one_sentence(api, body):
    is_error(api.post("/search", content=body, headers={"Content-Type": "application/json"}), 400)


@pytest.mark.parametrize(
    "place",
    [
        "/nothing",
        "/collections/nothing",
        "/collections/nothing/items",
        f"/collections/{SCENES}/items/nothing",
        "/collections/nothing/queryables",
        "/collections/sce%2Fnes",
    ],
)
def test_what_is_not_there_is_named(api, place):
    is_error(api.get(place), 404, "here is no")


def test_a_wrong_method_is_refused_in_stac_s_shape(api):
    is_error(api.delete("/conformance"), 405)


def test_a_huge_limit_is_cut_not_refused(api):
    assert len(ids(api.get("/search", params={"limit": 10**6}))) == COUNT
