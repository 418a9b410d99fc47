"""Transactions: whoever has the token writes, and nobody overwrites what they have not seen."""

from __future__ import annotations

import pytest
from stac_stage import KEPT, SCENES, collection, ids, is_error, item

PLACE = "/collections/mine"


@pytest.fixture
def mine(api):
    """Yield the address of the items of a collection of this test's own."""
    answer = api.post("/collections", json=collection("mine"))
    assert answer.status_code == 201 and answer.headers["location"].endswith(PLACE)
    yield f"{PLACE}/items"
    assert api.delete(PLACE).status_code == 204
    is_error(api.get(PLACE), 404)


def own(number, **properties):
    return item(number, **properties) | {"collection": "mine"}


def test_an_item_is_put_changed_and_deleted(api, mine):
    put = api.post(mine, json=own(1))
    assert put.status_code == 201 and put.headers["location"].endswith(f"{mine}/scene-001")
    is_error(api.post(mine, json=own(1)), 409, "already")
    assert api.put(f"{mine}/scene-001", json=own(1, title="New")).json()["properties"]["title"] == "New"
    patch = {"properties": {"title": None, "extra": {"a": 1}}}
    patched = api.patch(f"{mine}/scene-001", json=patch).json()["properties"]
    assert "title" not in patched and patched["extra"] == {"a": 1} and patched["eo:cloud_cover"] == 1.0
    assert api.get(f"{mine}/scene-001").json()["properties"] == patched
    assert api.delete(f"{mine}/scene-001").status_code == 204
    is_error(api.delete(f"{mine}/scene-001"), 404)
    is_error(api.put(f"{mine}/scene-001", json=own(1)), 404)


def test_several_items_are_put_together_or_not_at_all(api, mine):
    several = {"type": "FeatureCollection", "features": [own(number) for number in range(5)]}
    assert api.post(mine, json=several).status_code == 201
    broken = {"type": "FeatureCollection", "features": [own(7), own(8) | {"geometry": {"type": "Nonsense"}}]}
    is_error(api.post(mine, json=broken), 400)
    is_error(api.post(mine, json={"type": "FeatureCollection", "features": 3}), 400)
    assert len(ids(api.get(mine))) == 5


def test_what_has_changed_meanwhile_is_not_overwritten(api, mine):
    tag = api.post(mine, json=own(1)).headers["etag"]
    assert api.get(f"{mine}/scene-001").headers["etag"] == tag
    changed = api.put(f"{mine}/scene-001", json=own(1, n=1), headers={"If-Match": tag})
    assert changed.status_code == 200 and changed.headers["etag"] != tag
    for send in (
        lambda: api.put(f"{mine}/scene-001", json=own(1, n=2), headers={"If-Match": tag}),
        lambda: api.patch(f"{mine}/scene-001", json={"properties": {"n": 2}}, headers={"If-Match": tag}),
        lambda: api.delete(f"{mine}/scene-001", headers={"If-Match": tag}),
    ):
        is_error(send(), 412, "meanwhile")
    assert api.get(f"{mine}/scene-001").json()["properties"]["n"] == 1


def test_a_collection_is_changed(api, mine):
    assert api.patch(PLACE, json={"title": "Other", "keywords": None}).json()["title"] == "Other"
    tag = api.get(PLACE).headers["etag"]
    assert api.put(PLACE, json=collection("mine"), headers={"If-Match": tag}).status_code == 200
    is_error(api.put(PLACE, json=collection("mine"), headers={"If-Match": tag}), 412)
    is_error(api.put(PLACE, json=collection("other")), 400, "other", "mine")
    is_error(api.post("/collections", json=collection("mine")), 409)
    is_error(api.post("/collections", json=item(1)), 400, "Collection")


def test_links_of_the_server_are_not_stored_twice(api, mine):
    api.post(mine, json=own(1))
    shown = api.get(f"{mine}/scene-001").json()
    again = api.put(f"{mine}/scene-001", json=shown).json()
    assert [link["rel"] for link in again["links"]] == [link["rel"] for link in shown["links"]]


def test_a_stranger_neither_reads_nor_writes(stranger):
    place = f"/collections/{SCENES}/items"
    for answer in (
        stranger.get(""),
        stranger.get(f"{place}/scene-001"),
        stranger.get("/search"),
        stranger.post("/search", json={}),
        stranger.post(place, json=item(99)),
        stranger.put(f"{place}/scene-001", json=item(1)),
        stranger.patch(f"{place}/scene-001", json={}),
        stranger.delete(f"{place}/scene-001"),
        stranger.delete(f"/collections/{SCENES}"),
        stranger.post("/collections", json=collection("x")),
    ):
        is_error(answer, 401, "token")
    # What the API can is no secret.
    assert [stranger.get(path).status_code for path in ("/api", "/api.html", "/conformance")] == [200, 200, 200]


def test_what_the_lake_keeps_is_not_changed_here(api):
    is_error(api.delete(f"/collections/{KEPT}"), 409, "lake")
    is_error(api.post(f"/collections/{KEPT}/items", json=item(1) | {"collection": KEPT}), 409, "lake")


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b"{", b'{"type": "Feature"}', b'"x"', b'{"type": "Feature", "id": "../../x"}']
)
def test_what_is_no_item_is_refused(api, mine, body):
    is_error(api.post(mine, content=body), 400)
