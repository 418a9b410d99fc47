"""Outside catalogues are brought in, renewed, and never mixed up with what is there."""

from __future__ import annotations

from typing import Any

import pytest

from gemel.base.errors import Conflict, Denied, InvalidInput, NotFound, StoreUnavailable
from gemel.infra.lake.catalogue import Catalogue, Search, import_catalogue, search_many
from gemel.infra.lake.collections import interval
from gemel.infra.store import open_store


@pytest.fixture
def own(store_url: str):
    store = open_store(store_url)
    yield Catalogue(store)
    store.close()


def item(number: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": f"scene-{number}",
        "geometry": {"type": "Point", "coordinates": [9.0, 50.0 + number]},
        "bbox": [9.0, 50.0 + number, 9.0, 50.0 + number],
        "properties": {"datetime": f"2020-01-{number + 1:02d}T00:00:00Z"},
        "links": [
            {"rel": "self", "href": f"./scene-{number}.json"},
            {"rel": "license", "href": "https://example.org/l"},
        ],
        "assets": {"red": {"href": "red.tif"}},
        **more,
    }


@pytest.fixture
def outside(site) -> str:
    """Return the address of a static Collection of five Items."""
    links = [{"rel": "item", "href": f"items/scene-{number}.json"} for number in range(5)]
    document = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": "scenes",
        "description": "Synthetic.",
        "license": "CC0-1.0",
        "extent": {"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [[None, None]]}},
        "links": [{"rel": "self", "href": "collection.json"}, *links],
    }
    site.routes["/cat/collection.json"] = lambda query, body: (200, document)
    for number in range(5):
        site.routes[f"/cat/items/scene-{number}.json"] = lambda query, body, number=number: (200, item(number))
    return f"{site.address}/cat/collection.json"


def found(own: Catalogue, id: str) -> list[str]:
    return sorted(entry["id"] for entry in own.search(Search(collections=(id,))).items)


def test_a_collection_is_brought_in_with_absolute_references_and_its_origin(own, outside, site):
    brought = import_catalogue(own, outside)
    assert (brought.collection, brought.items) == ("scenes", 5)
    entry = own.item("scenes", "scene-3")
    assert entry["assets"]["red"]["href"] == f"{site.address}/cat/items/red.tif"
    assert {link["rel"] for link in entry["links"]} == {"license", "via"}
    assert own.collection("scenes")["license"] == "CC0-1.0"
    # Doing it again renews what changed, and doubles nothing.
    site.routes["/cat/items/scene-3.json"] = lambda query, body: (
        200,
        item(3, properties={"datetime": "2021-01-01T00:00:00Z"}),
    )
    assert import_catalogue(own, outside).items == 5
    assert len(found(own, "scenes")) == 5
    assert own.item("scenes", "scene-3")["properties"]["datetime"] == "2021-01-01T00:00:00Z"


def test_a_part_is_brought_in_under_another_name(own, outside):
    brought = import_catalogue(own, outside, "january", interval=interval(["2020-01-02", "2020-01-04"]))
    assert brought.items == 2 and found(own, "january") == ["scene-1", "scene-2"]


def test_what_is_here_is_not_overwritten_from_elsewhere(own, outside, site):
    own.put_collection({"type": "Collection", "stac_version": "1.1.0", "id": "scenes"})
    with pytest.raises(Conflict, match="not from"):
        import_catalogue(own, outside)
    assert found(own, "scenes") == []


def test_what_is_no_catalogue_is_told(own, site):
    site.routes["/page"] = lambda query, body: (200, {"hello": "world"})
    with pytest.raises(InvalidInput, match="no STAC document"):
        import_catalogue(own, f"{site.address}/page", "x")
    with pytest.raises(NotFound):
        import_catalogue(own, f"{site.address}/nothing", "x")
    with pytest.raises(StoreUnavailable):
        import_catalogue(own, "http://127.0.0.1:9/collection.json", "x")
    with pytest.raises(Denied):
        import_catalogue(own, "http://169.254.169.254/latest", "x")
    assert own.collections() == []


def test_many_endpoints_are_searched_and_those_that_must_not_be_are_not_asked(site):
    site.routes["/good/search"] = lambda query, body: (200, {"type": "FeatureCollection", "features": [item(1)]})
    ends = [f"{site.address}/good", "http://127.0.0.1:9", "http://169.254.169.254"]
    answers = search_many(ends, {"limit": 1}, timeout=5)
    assert [len(answer.items) for answer in answers] == [1, 0, 0]
    assert answers[0].problem == "" and "not a host to read data from" in answers[2].problem
    assert "cannot be reached" in answers[1].problem
