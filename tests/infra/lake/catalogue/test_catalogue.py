"""The catalogue on both databases: what is put is found again, by every part of a search, page by page."""

from __future__ import annotations

import random
import threading

import hypothesis
import hypothesis.strategies as st
import pytest
import shapely

from gemel.base.errors import Conflict, InvalidInput, NotFound
from gemel.infra.lake.catalogue import Catalogue, Search, box, chosen, digest, parse_sort, parse_text, span
from gemel.infra.lake.catalogue._evaluate import holds, readied
from gemel.infra.lake.catalogue._tables import COLLECTIONS, ITEMS
from gemel.infra.lake.collections import Collections
from gemel.infra.store import open_store, schema


def collection(id="c", **more):
    return {"type": "Collection", "stac_version": "1.1.0", "id": id, **more}


def item(id, west=0.0, south=0.0, when="2020-01-01T00:00:00Z", size=1.0, **properties):
    ring = [[west, south], [west + size, south], [west + size, south + size], [west, south + size], [west, south]]
    return {
        "type": "Feature",
        "id": id,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, west + size, south + size],
        "properties": {"datetime": when, **properties},
    }


@pytest.fixture
def catalogue(store_url):
    """Yield an empty catalogue with the collection `c`, once on SQLite and once on PostgreSQL."""
    store = open_store(store_url)
    found = Catalogue(store)
    found.put_collection(collection())
    yield found
    store.close()


def found(catalogue, **asked):
    return [document["id"] for document in catalogue.search(Search(**asked)).items]


def walked(catalogue, **asked):
    """Return the ids on all pages, after looking that the way back shows the same pages."""
    pages, token = [], None
    while True:
        page = catalogue.search(Search(**asked, token=token))
        pages.append(page)
        token = page.next
        if token is None:
            break
    for position in range(len(pages) - 1, 0, -1):
        before = catalogue.search(Search(**asked, token=pages[position].previous))
        assert before.items == pages[position - 1].items
        assert (before.previous is None) == (position == 1)
    assert pages[0].previous is None
    return [document["id"] for page in pages for document in page.items]


def test_the_tables_named_here_are_the_schema_s():
    for own, theirs in ((COLLECTIONS, schema.stac_collections), (ITEMS, schema.stac_items)):
        assert own.name == theirs.name and list(own.c.keys()) == list(theirs.c.keys())


def test_documents_come_back_as_they_were_put(catalogue):
    odd = item("a/ü b", foreign={"x": [1, 2.5, None, "é"]}) | {"links": [{"rel": "about", "href": "x"}], "zz": 1e-7}
    catalogue.put_item("c", odd)
    assert catalogue.item("c", "a/ü b") == odd | {"collection": "c"}
    assert catalogue.collection("c") == collection() and catalogue.collections() == [collection()]


def test_putting_again_replaces_and_deleting_removes(catalogue):
    catalogue.put_item("c", item("a", west=0))
    catalogue.put_item("c", item("a", west=50))
    assert found(catalogue, box=box([0, 0, 2, 2])) == [] and found(catalogue, box=box([50, 0, 51, 1])) == ["a"]
    catalogue.delete_item("c", "a")
    assert found(catalogue) == [] and found(catalogue, box=box([50, 0, 51, 1])) == []
    with pytest.raises(NotFound, match="a"):
        catalogue.item("c", "a")
    catalogue.put_item("c", item("b"))
    catalogue.delete_collection("c")
    assert found(catalogue) == []
    with pytest.raises(NotFound, match="collection 'c'"):
        catalogue.item("c", "b")


def test_conditions_of_writing_are_kept(catalogue):
    catalogue.put_item("c", item("a"), new=True)
    with pytest.raises(Conflict, match="already"):
        catalogue.put_item("c", item("a"), new=True)
    with pytest.raises(NotFound):
        catalogue.put_item("c", item("b"), new=False)
    before = digest(catalogue.item("c", "a"))
    catalogue.put_item("c", item("a", n=1), expected=before)
    for change in (
        lambda: catalogue.put_item("c", item("a"), expected=before),
        lambda: catalogue.delete_item("c", "a", expected=before),
    ):
        with pytest.raises(Conflict, match="meanwhile"):
            change()
    with pytest.raises(Conflict):
        catalogue.put_items("c", [item("x"), item("a")], new=True)
    with pytest.raises(InvalidInput):
        catalogue.put_items("c", [item("x"), {"type": "Feature"}])
    assert found(catalogue) == ["a"]
    with pytest.raises(NotFound, match="collection"):
        catalogue.put_item("d", item("a"))


def test_of_many_who_change_one_item_at_once_one_wins(catalogue):
    catalogue.put_item("c", item("a", n=0))
    before, won, lost = digest(catalogue.item("c", "a")), [], []

    def change(number):
        try:
            catalogue.put_item("c", item("a", n=number), expected=before)
            won.append(number)
        except Conflict:
            lost.append(number)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and len(lost) == 5
    assert catalogue.item("c", "a")["properties"]["n"] == won[0]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([-1, -1, 0.5, 0.5], ["zero"]),
        ([-1, -1, -500, 0.5, 0.5, 500], ["zero"]),
        ([0, 0, 0, 0], ["zero"]),
        ([170, -20, -170, 20], ["across", "west", "east"]),
        ([-180, -20, -178, 20], ["across", "west"]),
        ([178, -20, 180, 20], ["across", "east"]),
        ([-180, -90, 180, 90], ["across", "east", "west", "zero"]),
        ([180.2, -20, 183, 20], ["across", "west"]),
        ([20, 20, 21, 21], []),
    ],
)
def test_boxes_find_what_they_touch_also_across_the_antimeridian(catalogue, asked, expected):
    across = item("across") | {"bbox": [179.5, 0, -179.5, 1]}
    across["geometry"] = {
        "type": "MultiPolygon",
        "coordinates": [
            [[[179.5, 0], [180, 0], [180, 1], [179.5, 1], [179.5, 0]]],
            [[[-180, 0], [-179.5, 0], [-179.5, 1], [-180, 1], [-180, 0]]],
        ],
    }
    nowhere = item("nowhere") | {"geometry": None}
    del nowhere["bbox"]
    catalogue.put_items("c", [item("zero"), item("east", west=178.0), item("west", west=-179.75), across, nowhere])
    assert sorted(found(catalogue, box=box(asked))) == sorted(expected)


def test_geometries_are_met_exactly(catalogue):
    triangle = {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [0, 10], [0, 0]]]}
    catalogue.put_items("c", [item("a") | {"geometry": triangle, "bbox": [0, 0, 10, 10]}, item("b", west=179.5)])
    assert found(catalogue, geometry={"type": "Point", "coordinates": [1, 1]}) == ["a"]
    assert found(catalogue, geometry={"type": "Point", "coordinates": [9, 9]}) == []
    # The square runs on beyond 180, so it also lies at the other side.
    assert found(catalogue, geometry={"type": "Point", "coordinates": [-179.8, 0.5]}) == ["b"]


def test_times_are_instants_and_spans(catalogue):
    during = item("during", when=None, start_datetime="2020-01-10T00:00:00Z", end_datetime="2020-03-01T00:00:00Z")
    catalogue.put_items("c", [item("new-year"), during, item("leap", when="2020-02-29T12:00:00.5+01:00")])
    assert found(catalogue, times=span("2020-01-01T01:00:00+01:00")) == ["new-year"]
    assert found(catalogue, times=span("2020-02-01T00:00:00Z/..")) == ["leap", "during"]
    assert found(catalogue, times=span("../2020-01-10T00:00:00Z")) == ["during", "new-year"]
    assert found(catalogue, times=span("2020-01-02T00:00:00Z/2020-01-09T00:00:00Z")) == []
    assert found(catalogue, times=span("2020-02-29T11:00:00.5Z")) == ["leap", "during"]


def test_ids_and_collections_narrow(catalogue):
    catalogue.put_collection(collection("d"))
    catalogue.put_items("c", [item("a"), item("b")])
    catalogue.put_items("d", [item("a")])
    assert [document["collection"] for document in catalogue.search(Search(ids=("a",))).items] == ["d", "c"]
    assert found(catalogue, ids=("a", "b", "z"), collections=("c", "nowhere")) == ["b", "a"]


FILTERS = [
    *("n < 5", "NOT n < 5", "n IS NULL", "n IS NOT NULL", "n IN (1, 2, 9)", "n NOT BETWEEN 2 AND 6", "n = 3.0"),
    *("word LIKE 'a%'", "word LIKE '%[*]_'", "NOT word LIKE 'A%'", "word > 'b'", "flag = TRUE", "flag <> FALSE"),
    *(
        "n < 5 OR word = 'abc'",
        "n < 5 AND (missing = 1 OR flag = TRUE)",
        "id > 'i05'",
        "collection = 'c'",
        "id LIKE 'i1_'",
    ),
    *("datetime >= TIMESTAMP('2020-01-08T00:00:00Z')", "datetime < '2020-01-04T00:00:00Z'", "mixed > 2", "mixed = 'x'"),
    *("mixed = TRUE", "s_intersects(geometry, BBOX(2, -1, 4.5, 5))", "NOT s_intersects(geometry, POINT(3 0.5))"),
    *("s_disjoint(geometry, BBOX(2, -1, 4.5, 5)) AND n > 2", "CASEI(word) = 'abc'", "3 > n", "deep.er >= 4"),
    "T_BEFORE(datetime, TIMESTAMP('2020-01-04T00:00:00Z')) OR n = 7",
]


def test_databases_and_python_agree_on_filters(catalogue):
    words, mixed = ["abc", "Abc", "b[*]x", "zé", "a_b%"], [1, 3, "x", True, None, [1]]
    documents = [
        item(
            f"i{n:02d}", west=float(n), when=f"2020-01-{n + 1:02d}T00:00:00Z", word=words[n % 5], flag=n % 3 == 0,
            mixed=mixed[n % 6], deep={"er": n}, **({} if n % 4 == 0 else {"n": n}),
        )
        for n in range(20)
    ]  # fmt: skip
    catalogue.put_items("c", documents)
    for text in FILTERS:
        tree = parse_text(text)
        wanted = [
            document["id"] for document in documents if holds(readied(tree), document | {"collection": "c"}) is True
        ]
        assert found(catalogue, filter=tree, sort=parse_sort("id"), limit=50) == wanted, text


@pytest.mark.parametrize("sort", ["", "id", "-id", "n,-id", "-n", "+properties.datetime,-n", "mixed", "-word,n"])
@pytest.mark.parametrize("limit", [1, 7, 30])
def test_every_item_is_on_one_page_whatever_the_order(catalogue, sort, limit):
    rng = random.Random(4)
    documents = [
        item(f"i{n:02d}", when=f"2020-01-{rng.randint(1, 3):02d}T00:00:00Z", word=rng.choice("aBc"), **({"n": rng.randint(0, 3)} if n % 3 else {}))
        for n in range(23)
    ]  # fmt: skip
    catalogue.put_items("c", documents)
    ids = walked(catalogue, sort=parse_sort(sort), limit=limit)
    assert sorted(ids) == [document["id"] for document in documents]
    if sort in ("id", "-id"):
        assert ids == sorted(ids, reverse=sort.startswith("-"))
    if sort in ("n,-id", "-n"):
        by_id = {document["id"]: document["properties"].get("n") for document in documents}
        values = [by_id[id] for id in ids]
        known = [value for value in values if value is not None]
        assert values[len(known) :] == [None] * (23 - len(known)) and known == sorted(known, reverse=sort == "-n")


def test_pages_stay_where_they_are_while_items_come_and_go(catalogue):
    catalogue.put_items("c", [item(f"i{n}") for n in range(9)])
    first = catalogue.search(Search(sort=parse_sort("id"), limit=3))
    catalogue.delete_item("c", "i1")
    catalogue.put_item("c", item("i0a"))
    assert found(catalogue, sort=parse_sort("id"), limit=3, token=first.next) == ["i3", "i4", "i5"]


def test_what_matched_is_counted(catalogue):
    catalogue.put_items("c", [item(f"i{n}", west=float(n), n=n) for n in range(9)])
    assert catalogue.search(Search(limit=2)).matched == 9
    assert catalogue.search(Search(limit=2, box=box([0, 0, 3.5, 1]))).matched == 4
    assert catalogue.search(Search(limit=2, filter=parse_text("n > 5"))).matched == 3


@pytest.mark.parametrize("token", ["", "x", "é", "bnVsbA", "WzEsMCxbMV1d", "A" * 5000])
def test_a_token_of_something_else_is_refused(catalogue, token):
    with pytest.raises(InvalidInput, match="token"):
        catalogue.search(Search(token=token))


def test_a_forged_token_is_refused(catalogue):
    catalogue.put_items("c", [item(f"i{n}") for n in range(3)])
    token = catalogue.search(Search(limit=1)).next
    with pytest.raises(InvalidInput, match="another search"):
        catalogue.search(Search(limit=1, sort=parse_sort("id"), token=token))


BAD_ITEMS = [
    *(None, [], {}, {"type": "Collection", "id": "a"}, item(""), item(3), item("a" * 301), item("a\n")),
    *(item("a") | {"properties": None}, item("a", when=None), item("a", when="yesterday"), item("a", when=3)),
    *(item("a", start_datetime="2020-02-01T00:00:00Z", end_datetime="2020-01-01T00:00:00Z"),),
    *(
        item("a") | {"geometry": {"type": "Point"}},
        item("a") | {"geometry": "POINT(0 0)"},
        item("a") | {"collection": "d"},
    ),
    *(item("a") | {"bbox": [1, 2, 3]}, item("a") | {"bbox": [0, 9, 1, 1]}, item("a") | {"bbox": "0,0,1,1"}),
    *(item("a", n=float("nan")), item("a", text="\x00"), item("a", text="\ud800"), item("a") | {"links": {}}),
]


@pytest.mark.parametrize("document", BAD_ITEMS)
def test_what_is_no_item_is_refused_and_nothing_is_written(catalogue, document):
    with pytest.raises(InvalidInput):
        catalogue.put_item("c", document)
    assert found(catalogue) == []


@pytest.mark.parametrize("numbers", [[], [1, 2, 3], [0, 0, 1, "1"], [0, 2, 1, 1], [0, -91, 1, 1], [0, 0, float("nan"), 1], [-999, 0, 0, 1], [0, 0, 9, 1, 1, 1], None, [True, 0, 1, 1]])  # fmt: skip
def test_a_wrong_box_is_refused(numbers):
    with pytest.raises(InvalidInput):
        box(numbers)


@pytest.mark.parametrize("text", ["", "/", "../..", "2020", "2020-01-01", "2020-01-01T00:00:00", "2020-02-01T00:00:00Z/2020-01-01T00:00:00Z", "a/b/c", None, "2020-13-01T00:00:00Z"])  # fmt: skip
def test_a_wrong_time_is_refused(text):
    with pytest.raises(InvalidInput):
        span(text)


def test_collections_that_the_lake_keeps_come_and_go(store_url, tmp_path):
    store, kept = open_store(store_url), Collections(tmp_path)
    catalogue = Catalogue(store, kept)
    assert catalogue.collections() == []
    kept.add(collection("static", title="Static"), [item("a"), item("b")])
    assert catalogue.collection("static")["title"] == "Static" and found(catalogue) == ["b", "a"]
    for change in (
        lambda: catalogue.put_item("static", item("z")),
        lambda: catalogue.delete_collection("static"),
        lambda: catalogue.put_collection(collection("static")),
    ):
        with pytest.raises(Conflict, match="lake"):
            change()
    # Another engine on the same store sees the same, and takes nothing in a second time.
    assert found(Catalogue(store, kept)) == ["b", "a"]
    kept.remove("static")
    kept.add(collection("static", title="Again"), [item("c")])
    assert catalogue.collection("static")["title"] == "Again" and found(catalogue) == ["c"]
    kept.remove("static")
    assert catalogue.collections() == [] and found(catalogue) == []
    store.close()


def test_the_index_of_boxes_holds_what_was_there_before_it(sqlite_url):
    store = open_store(sqlite_url)
    Catalogue(store).put_collection(collection())
    Catalogue(store).put_item("c", item("a", west=7))
    with store.write() as connection:
        for name in ("added", "changed", "removed"):
            connection.exec_driver_sql(f"DROP TRIGGER stac_boxes_{name}")
        connection.exec_driver_sql("DROP TABLE stac_boxes")
    assert found(Catalogue(store), box=box([7, 0, 8, 1])) == ["a"]
    store.close()


@pytest.fixture(scope="module")
def scattered(tmp_path_factory):
    """Yield a catalogue of 300 squares anywhere, and their shapely boxes."""
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('scattered') / 'x.db'}")
    catalogue, rng = Catalogue(store), random.Random(5)
    catalogue.put_collection(collection())
    documents = [
        item(f"i{n}", rng.uniform(-180, 170), rng.uniform(-90, 80), size=rng.uniform(0, 10)) for n in range(300)
    ]
    catalogue.put_items("c", documents)
    yield catalogue, {document["id"]: shapely.box(*document["bbox"]) for document in documents}
    store.close()


@hypothesis.given(st.floats(-180, 180), st.floats(-90, 90), st.floats(0, 60), st.floats(0, 60))
@hypothesis.settings(max_examples=50)
def test_boxes_find_exactly_what_shapely_says(scattered, west, south, width, height):
    catalogue, shapes = scattered
    east, north = min(180.0, west + width), min(90.0, south + height)
    asked = shapely.box(west, south, east, north)
    wanted = sorted(id for id, shape in shapes.items() if shape.intersects(asked))
    assert sorted(found(catalogue, box=box([west, south, east, north]), limit=1000)) == wanted


def test_a_part_of_an_item_is_what_was_asked_for():
    whole = item("a", n=1, m=2) | {"collection": "c", "stac_version": "1.1.0"}
    always = {"type", "id", "collection", "stac_version"}
    assert set(chosen(whole, ["properties.n"], [])) == always | {"properties"}
    assert chosen(whole, ["properties"], ["properties.n"])["properties"] == {"datetime": "2020-01-01T00:00:00Z", "m": 2}
    assert chosen(whole, [], ["properties.n", "bbox"]) == {key: value for key, value in (whole | {"properties": {"datetime": "2020-01-01T00:00:00Z", "m": 2}}).items() if key != "bbox"}  # fmt: skip
    assert "n" in whole["properties"]
