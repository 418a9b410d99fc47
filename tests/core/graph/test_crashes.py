"""Kill -9 at random moments, again and again: nothing stored is computed twice, and the record stays consistent."""

from __future__ import annotations

import collections
import contextlib
import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import crashing
import pytest

from gemel.core.graph import Journal, ResultStore, Run
from gemel.infra.lake import ContentStore
from gemel.infra.store import open_store
from zygote import Zygote, forking

KILLS = 40
LONGEST_LIFE = 0.1  # seconds, to begin with: about what the whole ladder takes when nobody interrupts it


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with forking(crashing.__file__) as process:
        yield process


class Ladder:
    """One run of the ladder with all that is checked of it after each kill."""

    def __init__(self, url: str, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.url, self.home, self.side = url, home, home / "side"
        self.arguments = (url, str(home), str(self.side))
        self._settled: dict[str, int] = {}
        open_store(url).close()  # a process that lives for milliseconds would never get past creating the tables

    def check(self) -> Run | None:
        """Return the run after comparing record, results and side file; None when it was not recorded yet."""
        store = open_store(self.url)
        with contextlib.closing(store):
            results = ResultStore(store, ContentStore(self.home / "results"), 4096)
            journal = Journal(store, results)
            runs = journal.list()
            assert len(runs) <= 1, "a restart must go on with the run, not begin another"
            if not runs:
                return None
            run = journal.get(runs[0].id)
            for step in run.steps:
                if step.state == "finished":
                    assert step.key is not None
                    results.load(results.get(step.key))  # raises where the bytes do not match
            if run.state == "finished":
                assert results.load(results.get(run.outputs[0].key))["value"] == crashing.expected(crashing.DIAMONDS)
        self._compare_counts(run)
        return run

    def _compare_counts(self, run: Run) -> None:
        lines = self.side.read_text().splitlines() if self.side.exists() else []
        counts = collections.Counter(lines)
        for name, count in self._settled.items():
            assert counts[name] == count, f"{name} was stored and computed again"
        self._settled = {_side_name(step.node): counts[_side_name(step.node)] for step in run.steps if step.key}
        assert all(self._settled.values())


def _side_name(node: str) -> str:
    process = node.rstrip("0123456789")
    number = int(node.removeprefix(process))
    if process != "flank":
        return f"{process} {number - 1}"
    return f"{'left' if number % 2 else 'right'} {(number - 1) // 2}"


@pytest.mark.chaos
def test_killed_at_random_moments_a_run_goes_on_from_what_it_has(store_url, home, zygote, request):
    moments = random.Random(20261121)
    kills = rounds = 0
    while kills < KILLS:
        # A finished ladder is followed by a fresh one in the same store's place, until enough kills have hit.
        url = store_url if rounds == 0 else _another(store_url, request, home, rounds)
        kills += _climb(Ladder(url, home / f"ladder-{rounds}"), zygote, moments)
        rounds += 1
    assert rounds < 60, "kills come too late to interrupt anything"


def _climb(ladder: Ladder, zygote: Zygote, moments: random.Random) -> int:
    kills, longest, known = 0, LONGEST_LIFE, 0
    for _ in range(300):
        pid = zygote.start(*ladder.arguments)
        threading.Event().wait(moments.uniform(0, longest))
        os.kill(pid, signal.SIGKILL)
        code = zygote.reap(pid)
        assert code in (0, -signal.SIGKILL)
        kills += code == -signal.SIGKILL
        run = ladder.check()
        if run is not None and run.finished:
            _assert_complete(run)
            return kills
        # On a slow machine a life may be too short for a single step; it lasts longer until one gets through.
        steps = len(run.steps) if run is not None else 0
        longest, known = (longest, steps) if steps > known else (longest * 1.1, known)
    raise AssertionError("the run makes no headway")


def _assert_complete(run: Run) -> None:
    assert run.state == "finished" and run.error is None and run.ended is not None
    assert len(run.steps) == 4 * crashing.DIAMONDS
    assert {step.state for step in run.steps} == {"finished"}
    # Each step keeps the record of the moment it was computed, also where a later process merely found it.
    assert not any(step.cached for step in run.steps)
    assert all(step.seconds is not None and step.ingredients for step in run.steps)


def _another(url: str, request: pytest.FixtureRequest, home: Path, number: int) -> str:
    if url.startswith("sqlite"):
        return f"sqlite:///{home / f'gemel-{number}.db'}"
    return str(request.getfixturevalue("_new_database")())


@pytest.mark.chaos
def test_two_processes_may_run_the_same_graph_on_one_store_at_once(store_url, home, zygote):
    ladder = Ladder(store_url, home / "shared")
    pids = [zygote.start(*ladder.arguments, "new") for _ in range(2)]
    assert [zygote.reap(pid) for pid in pids] == [0, 0]
    counts = collections.Counter(ladder.side.read_text().splitlines())
    assert len(counts) == 4 * crashing.DIAMONDS
    assert max(counts.values()) <= 2, "each process computes a step at most once"
    store = open_store(store_url)
    with contextlib.closing(store):
        results = ResultStore(store, ContentStore(home / "shared" / "results"), 4096)
        journal = Journal(store, results)
        runs = [journal.get(run.id) for run in journal.list()]
        assert [run.state for run in runs] == ["finished", "finished"]
        assert {step.key for step in runs[0].steps} == {step.key for step in runs[1].steps}
        # A third run, alone now, finds everything.
        assert zygote.reap(zygote.start(*ladder.arguments, "new")) == 0
        assert collections.Counter(ladder.side.read_text().splitlines()) == counts
        assert all(step.cached for step in journal.get(journal.list(limit=1)[0].id).steps)


@pytest.mark.chaos
def test_many_processes_may_open_a_new_store_at_once(store_url, home, zygote):
    pids = [zygote.start(store_url, str(home), "", "open") for _ in range(6)]
    assert [zygote.reap(pid) for pid in pids] == [0] * 6


@pytest.mark.chaos
def test_killed_while_the_tables_are_made(sqlite_url, home, zygote):
    moments = random.Random(7)
    for _ in range(10):
        pid = zygote.start(sqlite_url, str(home), "", "open")
        threading.Event().wait(moments.uniform(0, 0.15))
        os.kill(pid, signal.SIGKILL)
        assert zygote.reap(pid) in (0, -signal.SIGKILL)
    open_store(sqlite_url).close()
