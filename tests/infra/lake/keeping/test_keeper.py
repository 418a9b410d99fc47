"""The lake keeps itself: copies come, come back, and go; what rots is made good."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest

from gemel.base.errors import InvalidInput, NotFound, StoreFull
from gemel.infra.lake.datasets import Facts
from gemel.infra.lake.keeping import Keeper, Pace, Where
from gemel.infra.store import schema


@pytest.fixture
def sites(any_lake, tmp_path):
    """Return a lake with two more folders, at two sites."""
    for name, site in (("archive", "east"), ("near", "west"), ("far", "west")):
        if name != "archive":
            any_lake.add_folder(name, tmp_path / name)
        any_lake.keeper.standings.set(name, site=site, tags=("disk",))
    return any_lake


def storages(lake, name: str = "a:b") -> list[str]:
    return sorted(item.storage for item in lake.datasets.get(name).replicas if item.state == "here")


def flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[1000] ^= 4
    path.write_bytes(content)


def test_a_rule_brings_copies_and_holds_for_what_comes_later(sites, rain):
    sites.datasets.put(rain, "a:b")
    sites.datasets.group("a:all", ["a:b"])
    rule = sites.keeper.rules.add("a:all", 2, Where(near=("west",), tags=("disk",)))
    assert sites.keeper.round().rules == {rule.id: "copying"}
    assert sites.keeper.round().rules == {rule.id: "copying"}  # what is on its way is not asked for again
    assert len(sites.queue.list(("queued",))) == 2
    sites.settle()
    assert sites.keeper.round().rules == {rule.id: "ok"}
    assert storages(sites) == ["archive", "far", "home"]
    sites.datasets.put(rain, "a:later")
    sites.datasets.group("a:all", ["a:later"])
    sites.keeper.round()
    sites.settle()
    assert storages(sites, "a:later") == ["archive", "far", "home"]
    assert {item.cause for item in sites.queue.list()} == {rule.id}


def test_a_rule_that_cannot_hold_says_why(sites, rain):
    sites.datasets.put(rain, "a:b")
    rule = sites.keeper.rules.add("a:b", 1, Where(near=("north",)))
    nothing = sites.keeper.rules.add("a:nothing", 1)
    assert sites.keeper.round().rules == {rule.id: "stuck", nothing.id: "stuck"}
    assert "near 'north'" in sites.keeper.rules.get(rule.id).reason
    assert sites.keeper.rules.get(nothing.id).reason == "there is no such dataset"
    for copies, where in ((0, Where()), (1, Where(near=("east", "west"))), (99, Where())):
        with pytest.raises(InvalidInput):
            sites.keeper.rules.add("a:b", copies, where)
    sites.keeper.rules.remove(rule.id)
    with pytest.raises(NotFound):
        sites.keeper.rules.remove(rule.id)


def test_a_lost_copy_comes_back_by_itself(sites, rain):
    sites.datasets.put(rain, "a:b")
    sites.datasets.copy("a:b", "far")
    kept = Keeper(
        sites.store,
        schema.metadata.tables,
        sites.datasets,
        sites.storages,
        sites.mover,
        Pace(round=0.05, patrol=0.05, scrub=1e9),
    )
    lost = sites.path("a:b", "far")
    lost.unlink()
    kept.start()
    try:
        until = time.monotonic() + 30
        while storages(sites) != ["far", "home"] or sites.path("a:b", "far") == lost:
            assert time.monotonic() < until
            threading.Event().wait(0.02)
    finally:
        kept.stop()
    assert sites.path("a:b", "far").read_bytes() == rain.read_bytes()
    told = [(item.type, item.facts.get("change")) for item in sites.datasets.changes.of("a:b")]
    assert told[:2] == [("new", None), ("changed", "copied")]
    assert told[2:] == [("lost", None), ("changed", "copied"), ("changed", "dropped")]


def test_a_bit_that_flipped_is_found_by_the_scrubber_and_made_good(sites, rain):
    sites.datasets.put(rain, "a:b")
    sites.datasets.copy("a:b", "far")
    flip(sites.path("a:b", "far"))
    pace = Pace(patrol=1e9, scrub=-1.0, scrub_rate=1e9)
    kept = Keeper(sites.store, schema.metadata.tables, sites.datasets, sites.storages, sites.mover, pace)
    outcomes = {(item.storage, item.outcome) for item in kept.round().findings}
    assert ("far", "repaired") in outcomes and ("home", "good") in outcomes
    assert sites.path("a:b", "far").read_bytes() == rain.read_bytes()


def test_the_scrubber_keeps_to_its_budget_and_takes_turns(sites, tmp_path):
    for number in range(6):
        path = tmp_path / f"{number}"
        path.write_bytes(bytes(1000))
        sites.datasets.put(path, f"a:{number}")
    seen: list[str] = []
    for _ in range(3):
        # Two files of 1000 bytes are begun before 1500 are reached.
        pace = Pace(round=1.0, patrol=1e9, scrub=-1.0, scrub_rate=1500)
        kept = Keeper(sites.store, schema.metadata.tables, sites.datasets, sites.storages, sites.mover, pace)
        found = [item.name for item in kept.round().findings]
        assert len(found) == 2
        seen += found
    assert len(set(seen)) == 6


def test_what_is_wanted_only_for_a_time_goes_with_its_files(sites, rain):
    sites.datasets.put(rain, "a:short", facts=Facts(lifetime=timedelta(seconds=-1)))
    sites.datasets.put(rain, "a:long", facts=Facts(lifetime=timedelta(days=1)))
    assert sites.keeper.round().expired == ["a:short"]
    assert [str(item.name) for item in sites.datasets.find()] == ["a:long"]
    assert len(sites.on_disk()) == 1


def test_a_quota_is_kept_and_room_is_made_from_what_no_rule_needs(sites, tmp_path):
    for number in range(4):
        path = tmp_path / f"{number}"
        path.write_bytes(bytes([number]) * 1000)
        sites.datasets.put(path, f"a:{number}")
        sites.datasets.copy(f"a:{number}", "far")
    sites.keeper.rules.add("a:0", 1, Where(storages=("far",)))
    sites.keeper.standings.set("far", quota=4000)
    path.write_bytes(b"x" * 1000)
    with pytest.raises(StoreFull, match="4 kB"):
        sites.datasets.put(path, "a:more", storage="far")
    assert sites.datasets.find(["a:more"]) == []
    # Above nine tenths of the quota, down to eight.
    dropped = sites.keeper.round().reclaimed
    assert [(item.storage, item.size) for item in dropped] == [("far", 1000)] and dropped[0].name != "a:0"
    assert sites.keeper.standings.all()["far"].used == 3000
    sites.datasets.put(path, "a:more", storage="far")
    names = {item.name for item in sites.keeper.reclaim("far")}
    # What a rule needs there, and what is nowhere else, stays.
    assert {str(item.name) for item in sites.datasets.find(["storage=far"])} == {"a:0", "a:more"}
    assert "a:0" not in names and len(names) == 2


def test_the_only_true_copy_is_never_dropped(sites, rain):
    sites.datasets.put(rain, "a:b")
    sites.datasets.copy("a:b", "far")
    sites.path("a:b", "home").unlink()
    assert sites.keeper.reclaim("far") == []
    assert sites.path("a:b", "far").read_bytes() == rain.read_bytes()
