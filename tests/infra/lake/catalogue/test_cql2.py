"""CQL2: both spellings are one tree, unknown values behave as in SQL, and what is malformed is named."""

from __future__ import annotations

import pytest

from gemel.base.errors import InvalidInput
from gemel.infra.lake.catalogue import checked, parse_text
from gemel.infra.lake.catalogue._evaluate import holds, readied

ITEM = {
    "id": "a1",
    "collection": "c",
    "geometry": {"type": "Point", "coordinates": [5, 5]},
    "properties": {
        "datetime": "2020-06-01T00:00:00Z",
        "n": 3,
        "word": "Sentinel-2",
        "flag": True,
        "none": None,
        "created": "2021-01-01T02:00:00+02:00",
        "eo:cloud_cover": 12.5,
        "deep": {"er": 7},
    },
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n = 3", True),
        ("n <> 3", False),
        ("3 < n OR n <= 3", True),
        ("eo:cloud_cover BETWEEN 10 AND 15", True),
        ('"eo:cloud_cover" NOT BETWEEN 10 AND 15', False),
        ("properties.n IN (1, 2, 3)", True),
        ("n NOT IN (1, 2)", True),
        ("deep.er = 7", True),
        ("word LIKE 'Sen%-_'", True),
        ("word LIKE 'sen%'", False),
        (r"word LIKE 'Sen\%'", False),
        ("CASEI(word) LIKE CASEI('sen%')", True),
        ("CASEI(word) = CASEI('SENTINEL-2')", True),
        ("flag = TRUE", True),
        ("none IS NULL AND missing IS NULL AND n IS NOT NULL", True),
        # What is unknown stays unknown under NOT, and gives way to what decides.
        ("missing < 3", None),
        ("NOT missing < 3", None),
        ("missing < 3 OR n = 3", True),
        ("missing < 3 AND n = 4", False),
        # Kinds are not compared with each other.
        ("word < 3", None),
        ("flag = 1", None),
        ("datetime > TIMESTAMP('2020-05-31T23:59:59Z') AND datetime < DATE('2020-06-02')", True),
        ("datetime = '2020-06-01T00:00:00Z'", True),
        ("created = TIMESTAMP('2021-01-01T00:00:00Z')", True),
        ("T_DURING(datetime, INTERVAL('2020-01-01', '..'))", True),
        ("T_AFTER(created, datetime)", True),
        ("S_INTERSECTS(geometry, POLYGON((0 0, 10 0, 10 10, 0 10, 0 0)))", True),
        ("S_WITHIN(geometry, BBOX(-180, -90, 0, 0))", False),
        ("S_DISJOINT(geometry, MULTIPOINT((0 0), (-1.5 -2e1)))", True),
        ("S_INTERSECTS(geometry, GEOMETRYCOLLECTION(POINT(5 5), LINESTRING(0 0, 1 1)))", True),
        ("S_EQUALS(geometry, POINT(5 5))", True),
    ],
)
def test_a_filter_is_true_false_or_unknown(text, expected):
    tree = parse_text(text)
    assert checked(tree) == tree
    assert holds(readied(tree), ITEM) is expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "n", "n =", "= 3", "n = 3 AND", "(n = 3", "n = 3)", "n LIKE 3", "n BETWEEN 1", "n IN ()", "n ? 3"),
        *("S_INTERSECTS(geometry, POINT(1))", "S_INTERSECTS(geometry)", "T_AFTER(datetime, 'x') AND", "'a' 'b'"),
        *("S_INTERSECTS(geometry, POLYGON((0 0, 1 1, 0 1, 1 0, 0 0)))", "datetime > TIMESTAMP('yesterday')"),
        *("(" * 500 + "n = 1" + ")" * 500, "NOT " * 500 + "n = 1", "GEOMETRYCOLLECTION(" * 500, "f(x) = 1"),
        *("S_INTERSECTS(geometry, " + "GEOMETRYCOLLECTION(" * 300, 'a"b = 1', "casei() = 1"),
        " OR ".join(["n = 1"] * 3000),
    ],
)
def test_a_malformed_text_is_refused_in_one_sentence(text):
    with pytest.raises(InvalidInput) as caught:
        parse_text(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "tree",
    [
        *(None, 3, "n = 3", [], {}, {"op": "="}, {"op": "=", "args": []}, {"op": "nonsense", "args": [1]}),
        *({"op": "and", "args": []}, {"op": "and", "args": [1]}, {"op": "in", "args": [{"property": "n"}, 3]}),
        *({"op": "=", "args": [{"property": "n"}, None]}, {"op": "=", "args": [{"property": ""}, 1]}),
        *({"op": "=", "args": [{"property": 'a"b'}, 1]}, {"op": "like", "args": [{"property": "n"}, 3]}),
        {"op": "s_intersects", "args": [{"property": "geometry"}, {"type": "Point", "coordinates": "x"}]},
        {"op": "t_after", "args": [{"property": "datetime"}, {"interval": ["2020-01-01"]}]},
    ],
)
def test_a_malformed_tree_is_refused(tree):
    with pytest.raises(InvalidInput):
        checked(tree)


def test_a_tree_that_no_person_wrote_is_refused():
    tree = {"op": "=", "args": [{"property": "n"}, 1]}
    for _ in range(1000):
        tree = {"op": "not", "args": [tree]}
    with pytest.raises(InvalidInput, match="deep"):
        checked(tree)


def test_between_is_read_as_drafts_had_it_too():
    old = {"op": "between", "args": [{"property": "n"}, [1, 5]]}
    assert checked(old) == checked({"op": "between", "args": [{"property": "n"}, 1, 5]})
