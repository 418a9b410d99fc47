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

pytestmark = pytest.mark.chaos
LONGEST_LIFE = 0.25  # seconds, to begin with


class Zygote:
    """The process that engines are forked from."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, *arguments: str) -> int:
        return int(self._ask("go " + json.dumps(arguments)))

    def reap(self, pid: int) -> int:
        return int(self._ask(f"reap {pid}"))

    def _ask(self, line: str) -> str:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the forking process died"
        return answer


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with subprocess.Popen([sys.executable, reliving.__file__], stdin=-1, stdout=-1, text=True) as process:
        yield Zygote(process)
        process.kill()


def killed_until_done(zygote: Zygote, arguments: tuple[str, ...], moments: random.Random) -> int:
    """Return how often the engine was killed before one of its lives was long enough."""
    longest = LONGEST_LIFE
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
