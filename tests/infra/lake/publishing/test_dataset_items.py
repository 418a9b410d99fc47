"""Files of the lake are Items, with what is known of them, as long as they are there."""

from __future__ import annotations

import hashlib

import pystac
import pytest

from gemel.infra.lake.catalogue import Catalogue, Search
from gemel.infra.lake.datasets import Facts
from gemel.infra.lake.publishing import DatasetItems


@pytest.fixture
def catalogue(any_lake) -> Catalogue:
    made = Catalogue(any_lake.store)
    made.follow(DatasetItems(any_lake.datasets, made).follow)
    return made


def ids(catalogue: Catalogue, **search) -> list[str]:
    return sorted(item["id"] for item in catalogue.search(Search(collections=("datasets",), **search)).items)


def test_a_file_is_an_item_with_its_multihash_licence_place_and_time(any_lake, catalogue, rain):
    facts = Facts({"bbox": [9, 50, 10, 51], "datetime": "2020-06-01T00:00:00Z", "sensor": "radar"}, "CC-BY-4.0")
    any_lake.datasets.put(rain, "hydro:rain.bin", facts=facts)
    any_lake.datasets.group("hydro:all", ["hydro:rain.bin"])
    item = catalogue.item("datasets", "hydro:rain.bin")
    assert pystac.Item.from_dict(item).collection_id == "datasets"
    asset = item["assets"]["data"]
    assert asset["file:checksum"] == "1220" + hashlib.sha256(rain.read_bytes()).hexdigest()
    assert asset["file:size"] == rain.stat().st_size and asset["gemel:storages"] == ["home"]
    assert item["properties"]["license"] == "CC-BY-4.0"
    assert item["properties"]["gemel:metadata"] == {"sensor": "radar"}
    assert item["bbox"] == [9, 50, 10, 51] and item["geometry"]["type"] == "Polygon"
    assert ids(catalogue, box=(9.5, 50.5, 9.6, 50.6)) == ["hydro:rain.bin"]
    assert ids(catalogue, box=(1, 1, 2, 2)) == []


def test_items_follow_what_happens(any_lake, catalogue, rain):
    assert [document["id"] for document in catalogue.collections()] == []
    any_lake.datasets.put(rain, "a:1")
    any_lake.datasets.put(rain, "a:2")
    assert ids(catalogue) == ["a:1", "a:2"]
    any_lake.datasets.copy("a:1", "archive")
    assert catalogue.item("datasets", "a:1")["assets"]["data"]["gemel:storages"] == ["archive", "home"]
    any_lake.datasets.remove("a:2")
    assert ids(catalogue) == ["a:1"]
    # Another process goes on where this one was.
    later = Catalogue(any_lake.store)
    later.follow(DatasetItems(any_lake.datasets, later).follow)
    any_lake.datasets.put(rain, "a:3")
    assert ids(later) == ["a:1", "a:3"]


def test_places_that_cannot_be_leave_the_file_without_one(any_lake, catalogue, rain):
    for number, wrong in enumerate(({"bbox": [1, 2]}, {"bbox": "here"}, {"datetime": "yesterday"}, {"geometry": 3})):
        any_lake.datasets.put(rain, f"a:{number}", facts=Facts(wrong))
    any_lake.datasets.put(rain, "a:across", facts=Facts({"bbox": [170, -10, -170, 10]}))
    assert len(ids(catalogue)) == 5
    assert catalogue.item("datasets", "a:across")["geometry"]["type"] == "MultiPolygon"
    assert ids(catalogue, box=(175, 0, 176, 1)) == ["a:across"]


def test_a_file_without_a_strong_digest_has_no_multihash(any_lake, catalogue, tmp_path):
    (tmp_path / "archive" / "old.bin").write_bytes(b"old")
    any_lake.datasets.register("a:old", "archive", "old.bin")
    asset = catalogue.item("datasets", "a:old")["assets"]["data"]
    assert "file:checksum" not in asset
    any_lake.datasets.verify(["a:old"])
    assert catalogue.item("datasets", "a:old")["assets"]["data"]["file:checksum"].startswith("1220")
