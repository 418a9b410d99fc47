"""The outside client of the STAC community walks and searches the catalogue."""

from __future__ import annotations

import pytest
from stac_stage import COUNT, KEPT, SCENES

pystac_client = pytest.importorskip("pystac_client")


@pytest.fixture
def client(served):
    return pystac_client.Client.open(f"{served.url}/stac", headers={"Authorization": f"Bearer {served.token}"})


def test_it_walks_the_catalogue(client):
    assert [found.id for found in client.get_collections()] == [KEPT, SCENES]
    scenes = client.get_collection(SCENES)
    assert scenes.extent.spatial.bboxes == [[0, 0, 10, 6]]
    walked = [found.id for found in scenes.get_items()]
    assert sorted(walked) == [f"scene-{number:03d}" for number in range(COUNT)]
    one = scenes.get_item("scene-004")
    assert one.get_collection().id == SCENES and one.properties["eo:cloud_cover"] == 4.0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_it_searches_page_by_page(client, method):
    search = client.search(
        method=method,
        collections=[SCENES],
        bbox=[0, 0, 4.2, 6],
        datetime="2020-01-01/2020-02",
        filter="eo:cloud_cover >= 10",
        filter_lang="cql2-text",
        sortby="-eo:cloud_cover",
        limit=4,
    )
    found = [item.id for item in search.items()]
    assert found == [f"scene-{number:03d}" for number in range(COUNT - 1, 9, -1) if number % 10 <= 4]
    assert search.matched() == len(found) == 25


def test_it_asks_for_a_part_of_the_items(client):
    search = client.search(ids=["scene-003"], fields={"include": ["properties.title"], "exclude": []})
    (found,) = search.items_as_dicts()
    assert found["properties"] == {"title": "Scene 3"} and "assets" not in found
    met = client.search(intersects={"type": "Point", "coordinates": [2.25, 0.25]})
    assert [item.id for item in met.items()] == ["scene-002"]
    assert "eo:cloud_cover" not in client.get_merged_queryables([SCENES])["properties"]
