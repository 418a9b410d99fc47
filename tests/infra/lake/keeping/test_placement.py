"""Where copies go: a rule that can hold does hold afterwards, with no copy too many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gemel.infra.lake.datasets import Name
from gemel.infra.lake.keeping import Rule, Where, placement
from gemel.infra.lake.storages import Standing

SITES = ("east", "west", None)
standings = st.lists(
    st.tuples(st.sampled_from(SITES), st.sets(st.sampled_from(("disk", "tape"))), st.sampled_from((None, 0, 10))),
    min_size=1,
    max_size=6,
).map(
    lambda rows: {
        f"s{number}": Standing(f"s{number}", "local", site, tuple(sorted(tags)), quota)
        for number, (site, tags, quota) in enumerate(rows)
    }
)
wheres = st.builds(
    Where,
    near=st.sets(st.sampled_from(("east", "west"))).map(lambda found: tuple(sorted(found))),
    tags=st.sets(st.sampled_from(("disk", "tape"))).map(lambda found: tuple(sorted(found))),
    apart=st.booleans(),
)


def rule(copies: int, where: Where) -> Rule:
    return Rule("rule-1", Name("a", "b"), copies, where)


@given(places=standings, where=wheres, copies=st.integers(2, 4), data=st.data())
def test_a_rule_holds_once_its_targets_have_their_copies(places, where, copies, data):
    present = data.draw(st.sets(st.sampled_from(sorted(places))))
    found = placement(rule(copies, where), 5, present, places, set(places))
    assert not set(found.targets) & present
    assert len(set(found.targets)) == len(found.targets) <= copies
    for name in found.targets:
        assert set(where.tags) <= set(places[name].tags)
        assert places[name].room >= 5
    after = placement(rule(copies, where), 5, present | set(found.targets), places, set(places))
    assert after.targets == ()
    assert after.reason == found.reason or found.reason is not None


@given(places=standings, copies=st.integers(1, 4), data=st.data())
def test_no_more_is_asked_for_than_is_missing(places, copies, data):
    present = data.draw(st.sets(st.sampled_from(sorted(places))))
    found = placement(rule(copies, Where()), 5, present, places, set(places))
    if found.reason is None:
        assert len(found.targets) == max(copies - len(present), 0)
    else:
        able = {item.name for item in places.values() if item.room >= 5}
        assert len(able | present) < copies


def test_copies_spread_over_sites_and_to_where_most_room_is():
    places = {
        "a": Standing("a", "s3", "east", quota=100, used=10),
        "b": Standing("b", "s3", "east", quota=100, used=50),
        "c": Standing("c", "s3", "west", quota=100, used=90),
    }
    assert placement(rule(3, Where()), 5, {"a"}, places, set(places)).targets == ("c", "b")
    assert placement(rule(2, Where(near=("east",))), 5, set(), places, set(places)).targets == ("a", "c")
    apart = placement(rule(3, Where(apart=True)), 5, set(), places, set(places))
    assert apart.targets == ("a", "c") and apart.reason == "only 2 of 3 copies have a place to be"
    assert placement(rule(1, Where(near=("north",))), 5, set(), places, set(places)).reason == (
        "no storage near 'north' can take a copy"
    )
