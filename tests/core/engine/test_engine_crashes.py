"""Kill -9 of whole engines at random moments: runs are taken up, live twins lose and double nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
import reliving

from gemel.base.config import load_settings
from gemel.core.engine import open_engine
from stage import gemel, until, write_brook
from zygote import Zygote, forking

pytestmark = pytest.mark.chaos
LONGEST_LIFE = 0.25  # seconds, to begin with


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with forking(reliving.__file__) as process:
        yield process


def killed_until_done(
    zygote: Zygote, arguments: tuple[str, ...], moments: random.Random, longest: float = LONGEST_LIFE
) -> int:
    """Return how often the engine was killed before one of its lives was long enough."""
    for kills in range(200):
        pid = zygote.start(*arguments)
        threading.Event().wait(moments.uniform(0, longest))
        os.kill(pid, signal.SIGKILL)
        code = zygote.reap(pid)
        if code == 0:
            return kills
        assert code == -signal.SIGKILL, "an engine that went on from a killed one stumbled"
        longest *= 1.03  # a life may be too short to open the store on a slow machine
    raise AssertionError("no headway in 200 lives")


def test_a_live_twin_killed_again_and_again_takes_in_each_day_once(store_url, home, here, zygote):
    flows = [float(number % 11) for number in range(40)]
    flows[20] = 60.0
    folder = write_brook(here, flows)
    kills = killed_until_done(zygote, (store_url, str(home), str(folder), "live"), random.Random(20261121))
    assert kills >= 3, "nothing was killed half way"
    with open_engine(load_settings(home=home, assignments=[f"store.url={store_url}"])) as engine:
        history = engine.states.history("brook", 1000)
        assert [state.sequence for state in history] == list(range(1, 41))
        assert [state.cause for state in history] == [event.position for event in engine.log.read("twins/brook/gauge")]
        last = engine.results.load(engine.results.get(history[-1].document["state"]["from_result"]))
        assert last == {"days": 40, "total": sum(flows), "flow": flows[-1]}
        runs = engine.runs.journal.list(twin="brook", limit=1000)
        assert len(runs) == 40 and {run.state for run in runs} == {"finished"}
        told = Counter(event.type for event in engine.log.read("twins/brook"))
        assert told["gemel.twin.updated"] == 40 and told["gemel.twin.alert"] == 1


def test_a_killed_run_is_the_same_run_when_it_ends(store_url, home, here, zygote):
    folder = write_brook(here)
    arguments = (store_url, str(home), str(folder), "held")
    pid = zygote.start(*arguments)
    settings = load_settings(home=home, assignments=[f"store.url={store_url}"])
    with open_engine(settings) as engine:
        begun = until(lambda: engine.runs.journal.list(states=("running",)))[0].id
        os.kill(pid, signal.SIGKILL)
        zygote.reap(pid)
        assert not engine.runs.journal.get(begun).finished
    (here / "gate").touch()
    killed_until_done(zygote, arguments, random.Random(7))
    with open_engine(settings) as engine:
        # A life that ended after the run's end but before its own may have been followed by another run.
        oldest = engine.runs.journal.list(limit=100)[-1]
        assert oldest.id == begun and oldest.state == "finished"
        assert all(run.state == "finished" for run in engine.runs.journal.list(limit=100))
        assert engine.output(engine.runs.journal.get(begun), "sum") == 10


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_gemel_run_takes_up_what_a_killed_gemel_run_left(home, here, store_url):
    write_brook(here)
    command = [sys.executable, "-m", "gemel", "run", "brook", "held", "--json"]
    with open_engine(load_settings(home=home)) as engine:
        process = subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        begun = until(lambda: engine.runs.journal.list(states=("running",)))[0].id
        process.kill()
        process.wait()
        process.stdout.close()
    (here / "gate").touch()
    ended = gemel("run", "brook", "held", "--json", home=home, cwd=here)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["id"] == begun


HEEDED = '[[triggers]]\nevent = "gemel.twin.updated"\nrun = "forecast"\n\n[[checks]]\nid = "sum"'


def all_were_heeded_once(home, store_url: str, days: int) -> None:
    with open_engine(load_settings(home=home, assignments=[f"store.url={store_url}"])) as engine:
        told = [event.id for event in engine.log.read("twins/brook") if event.type == "gemel.twin.updated"]
        causes = engine.log.read("causes")
        assert sorted(cause.data["key"] for cause in causes) == sorted(told) and len(told) == days
        runs = [run for run in engine.runs.journal.list(twin="brook", limit=1000) if run.graph == "forecast"]
        assert Counter(run.cause for run in runs) == Counter(f"causes/{cause.id}" for cause in causes)
        assert {run.state for run in runs} == {"finished"}
        assert [state.sequence for state in engine.states.history("brook", 1000)] == list(range(1, days + 1))


def test_triggers_killed_between_cause_and_run_make_one_run_for_each_cause(store_url, home, here, zygote):
    folder = write_brook(here, [float(number) for number in range(15)], **{'[[checks]]\nid = "sum"': HEEDED})
    kills = killed_until_done(zygote, (store_url, str(home), str(folder), "fired 15"), random.Random(20261122), 1.5)
    assert kills >= 3, "nothing was killed half way"
    all_were_heeded_once(home, store_url, 15)


def test_two_engines_one_of_which_is_killed_again_and_again_make_one_run_for_each_cause(store_url, home, here, zygote):
    days, moments = 40, random.Random(20261123)
    folder = write_brook(here, [float(number) for number in range(days)], **{'[[checks]]\nid = "sum"': HEEDED})
    arguments = (store_url, str(home), str(folder), f"fired {days}")
    lives, kills = [zygote.start(*arguments), zygote.start(*arguments)], 0
    ended: set[int] = set()
    while kills < 6 and not ended:
        threading.Event().wait(moments.uniform(0.1, 0.6))
        victim = moments.randrange(2)
        code = zygote.kill(lives[victim])
        assert code in (0, -signal.SIGKILL), "an engine that went on from a killed one stumbled"
        if code == 0:  # all was done before it could be killed
            ended.add(victim)
        else:
            kills += 1
            lives[victim] = zygote.start(*arguments)
    assert kills >= 3, "nothing was killed half way"
    assert [zygote.reap(pid) for number, pid in enumerate(lives) if number not in ended] == [0] * (2 - len(ended))
    all_were_heeded_once(home, store_url, days)
