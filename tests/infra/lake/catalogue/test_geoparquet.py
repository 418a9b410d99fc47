"""What is exported as stac-geoparquet, other readers find item for item."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely
import shapely.geometry

from gemel.base.errors import InvalidInput
from gemel.infra.lake.catalogue import write_geoparquet

parquet = pytest.importorskip("pyarrow.parquet", reason="the extra [data] is not installed")

Item = dict[str, Any]


def item(number: int, **members: Any) -> Item:
    """Return a synthetic Item as STAC 1.1 has it."""
    box = [number % 90, 2.0, number % 90 + 1.0, 3.5]
    document = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": ["https://stac-extensions.github.io/eo/v2.0.0/schema.json"],
        "id": f"item-{number}",
        "geometry": json.loads(shapely.to_geojson(shapely.box(*box))),
        "bbox": box,
        "properties": {"datetime": "2020-01-01T06:00:00Z", "eo:cloud_cover": number / 2, "proj:shape": [number, 4]},
        "links": [{"rel": "self", "href": f"https://example.org/{number}"}],
        "assets": {"red": {"href": "red.tif", "roles": ["data"], "file:size": number}},
        "collection": "scenes",
    }
    return document | members


def plain(value: Any) -> Any:
    """Return a document as a reader sees it that has one word for null and for absent, and for nothing in a list."""
    if isinstance(value, dict):
        kept = {name: plain(inner) for name, inner in value.items()}
        return {name: inner for name, inner in kept.items() if inner is not None and inner not in ([], {})}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def comparable(document: Item) -> Item:
    """Return a document as `plain` does, its geometry as a set of areas: rustac makes several of one where others have."""
    shape = shapely.geometry.shape(document["geometry"])
    return plain(document) | {"geometry": shapely.normalize(shapely.MultiPolygon(shapely.get_parts(shape))).wkt}


def read_by_rustac(path: Path) -> list[Item]:
    rustac = pytest.importorskip("rustac", reason="rustac is not installed")
    return [comparable(found) for found in rustac.read_sync(str(path))["features"]]


def test_another_reader_finds_the_same_items(tmp_path: Path) -> None:
    items = [item(number) for number in range(7)]
    assert write_geoparquet(iter(items), tmp_path / "items.parquet") == 7
    assert read_by_rustac(tmp_path / "items.parquet") == [comparable(document) for document in items]
    assert [path.name for path in tmp_path.iterdir()] == ["items.parquet"]


def test_items_of_different_members_share_a_file(tmp_path: Path) -> None:
    """Members that only some have, boxes with heights and across the antimeridian, spans of time, nothing in a list."""
    east, west = shapely.box(170, -10, 180, 10), shapely.box(-180, -10, -170, 10)
    span = {"datetime": None, "start_datetime": "2020-01-01T00:00:00.5Z", "end_datetime": "2020-01-02T00:00:00Z"}
    items = [
        item(1),
        item(2, bbox=[2, 2, 0.5, 3, 3.5, 9]),
        item(3, bbox=[170, -10, -170, 10], geometry=json.loads(shapely.to_geojson(shapely.MultiPolygon([east, west])))),
        item(4, properties=span | {"gsd": 10, "instruments": ["msi"], "nested": {"a": {"b": 1}}}, links=[], assets={}),
        item(5, assets={"blue": {"href": "b.tif"}}, properties={"datetime": "2021-05-01T00:00:00Z", "gsd": 2.5}),
        item(6, properties={"datetime": "2021-05-01T02:00:00+02:00", "nested": {}}, stac_extensions=[]),
    ]
    write_geoparquet(items, tmp_path / "items.parquet")
    expected = [comparable(document) for document in items]
    expected[3]["properties"]["start_datetime"] = "2020-01-01T00:00:00.500Z"
    expected[5]["properties"]["datetime"] = "2021-05-01T00:00:00Z"
    assert read_by_rustac(tmp_path / "items.parquet") == expected


def test_an_item_without_a_geometry_is_one_for_geopandas_too(tmp_path: Path) -> None:
    geopandas = pytest.importorskip("geopandas", reason="the extra [data] is not installed")
    nowhere = {name: value for name, value in item(2, geometry=None).items() if name != "bbox"}
    write_geoparquet([item(1), nowhere, item(3)], tmp_path / "items.parquet")
    table = geopandas.read_parquet(tmp_path / "items.parquet")
    assert table["id"].tolist() == ["item-1", "item-2", "item-3"]
    assert [shape is None for shape in table.geometry] == [False, True, False]
    assert table.geometry[0].equals(shapely.box(1, 2, 2, 3.5)) and table.crs.to_epsg() in (4326, None)
    assert str(table["datetime"].dtype).endswith("UTC]")


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    collection = {"type": "Collection", "id": "scenes", "links": []}
    write_geoparquet([item(1), item(2)], tmp_path / "items.parquet", [collection])
    metadata = parquet.read_schema(tmp_path / "items.parquet").metadata
    geo, stac = json.loads(metadata[b"geo"]), json.loads(metadata[b"stac-geoparquet"])
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    assert geo["columns"]["geometry"]["geometry_types"] == ["Polygon"]
    assert geo["columns"]["geometry"]["bbox"] == [1.0, 2.0, 3.0, 3.5]
    assert geo["columns"]["geometry"]["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    assert stac == {"version": "1.0.0", "collections": {"scenes": collection}}


def test_many_items_pass_through_little_memory(tmp_path: Path) -> None:
    count = 6000

    def items() -> Iterator[Item]:
        for number in range(count):
            yield item(number, properties={"datetime": "2020-01-01T00:00:00Z", "note": f"{number:05}" * 400})

    list_size = count * 2000  # bytes of the notes alone, were they all held
    write_geoparquet([item(0)], tmp_path / "warm.parquet")
    tracemalloc.start()
    assert write_geoparquet(items(), tmp_path / "items.parquet") == count
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < list_size
    assert parquet.ParquetFile(tmp_path / "items.parquet").metadata.num_rows == count


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "no Item to export"),
        ([{"type": "Collection", "id": "c"}], "no STAC Item"),
        (
            [item(1), item(2, properties={"datetime": None, "eo:cloud_cover": "many"})],
            "'eo:cloud_cover' is of different",
        ),
        ([item(1, bbox=[1, 2, 3])], "box has 3 numbers"),
        ([item(1, geometry={"type": "Point"})], "'item-1' cannot be exported"),
        ([item(1, properties={"datetime": "yesterday"})], "datetime"),
        ([item(1, properties={"id": "x", "datetime": None})], "name of a member of all Items"),
    ],
)
def test_what_cannot_be_exported_leaves_no_file(items: list[Item], message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        write_geoparquet(items, tmp_path / "items.parquet")
    assert list(tmp_path.iterdir()) == []
