"""A storm: engine, broker and consumer are killed at random during a replay, and then everything is counted.

A stand-in for an instrument publishes a synthetic record to a real NATS JetStream server, each observation until the
server has acknowledged it. The twin takes them in, steps its state, fires a run for each update; a function is called for each
observation; a consumer notes each event about the twin in the transaction that acknowledges it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nats
import sqlalchemy as sql

from gemel.base.clock import iso
from gemel.base.config import load_settings
from gemel.core.engine import Engine, Service, open_engine
from gemel.infra.store import open_store

FOLDER = Path(__file__).parent
sys.path += [str(FOLDER.parent), str(FOLDER.parent / "core" / "stream"), str(FOLDER)]
from nats_server import NatsServer, nats_program  # noqa: E402
from storm_life import EFFECTS  # noqa: E402

from zygote import Zygote, forking  # noqa: E402

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
_PATIENCE = 300.0
_WEIGHTS = {"engine": 0.56, "broker": 0.22, "consumer": 0.22}

TOML = """
[twin]
id = "storm"
title = "A synthetic gauge"

[physical]
sync = "1 min"

[sources.gauge]
kind = "nats"
url = "{url}"
stream = "gauge"

[[triggers]]
on = "gauge"
run = "update"

[[triggers]]
event = "gemel.twin.updated"
run = "heed"
"""
CODE = '''
"""A synthetic gauge."""

from __future__ import annotations

from typing import Any

from gemel import graph, process


@process
def taken(state: dict[str, Any] | None, observation: dict[str, Any]) -> dict[str, Any]:
    """What came up to now."""
    before = state or {"count": 0, "total": 0}
    return {"count": before["count"] + 1, "total": before["total"] + observation["flow"], "last": observation["flow"]}


@process
def heeded(event: dict[str, Any]) -> int:
    """Which state an update made."""
    return event["data"]["sequence"]


@process
def doubled(flow: int) -> int:
    """Twice the flow."""
    return 2 * flow


@graph
def update(observation: dict[str, Any], state: dict[str, Any] | None = None):
    """One more observation."""
    return {"state": taken(state, observation)}


@graph
def heed(event: dict[str, Any]):
    """Look at an update."""
    return {"sequence": heeded(event)}
'''


@dataclass
class Counted:
    """What was found after the storm.

    Attributes:
        kills: How often each was killed.
        seconds: How long it took, until everything was through.
        wrong: What is not as it must be; empty when all is well.
    """

    kills: dict[str, int]
    observations: int
    steps: int
    causes: int
    runs: int
    calls: int
    effects: int
    seconds: float
    wrong: list[str] = field(default_factory=list)


class Storm:
    """One storm over a store of its own.

    Args:
        folder: For everything.
        url: Of the store.
        kills: How many.
        observations: How many are published meanwhile.
        seed: Of whom is killed when.
    """

    def __init__(self, folder: Path, url: str, kills: int, observations: int, seed: int) -> None:
        self._home, self._url = folder / "home", url
        self._kills, self._observations = kills, observations
        self._moments = random.Random(seed)
        (folder / "nats").mkdir(parents=True)
        self._broker = NatsServer(folder / "nats", nats_program())
        self._lives: dict[str, int] = {}
        self._published, self._stop = 0, threading.Event()
        self._write_twin()

    def run(self) -> Counted:
        """Return what was found when all was through."""
        begun = time.monotonic()
        self._broker.start()
        with contextlib.ExitStack() as closing:
            closing.callback(self._broker.kill)
            asyncio.run(self._make_stream())
            self._prepare_store()
            told = closing.enter_context((self._home / "lives.log").open("w"))
            zygote = closing.enter_context(forking(str(FOLDER / "storm_life.py"), told))
            publishing = threading.Thread(target=lambda: asyncio.run(self._publish()), daemon=True)
            publishing.start()
            kills = self._rage(zygote)
            publishing.join(_PATIENCE)
            self._settle()
            for victim in ("engine", "consumer"):
                self._kill(zygote, victim)
        return self._counted(kills, time.monotonic() - begun)

    def _write_twin(self) -> None:
        twin = self._home / "twins" / "storm"
        twin.mkdir(parents=True)
        (twin / "twin.toml").write_text(TOML.replace("{url}", self._broker.url))
        (twin / "twin.py").write_text(CODE)

    def _prepare_store(self) -> None:
        store = open_store(self._url)
        EFFECTS.metadata.create_all(store.engine)
        store.close()
        with self._engine() as engine:
            spec = {"name": "double", "twin": "storm", "process": "doubled", "on": "twins/storm/gauge", "begin": "all"}
            Service(engine).functions.deploy(spec | {"attempts": 100, "backoff": 0.05, "keep": 100_000})

    def _engine(self) -> contextlib.AbstractContextManager[Engine]:
        return open_engine(load_settings(home=self._home, assignments=[f"store.url={self._url}"]))

    # Who is killed

    def _rage(self, zygote: Zygote) -> dict[str, int]:
        kills: Counter[str] = Counter()
        for victim in ("engine", "consumer"):
            self._begin(zygote, victim)
        names, weights = list(_WEIGHTS), list(_WEIGHTS.values())
        while sum(kills.values()) < self._kills:
            self._stop.wait(self._moments.uniform(0.1, 1.6))
            (victim,) = self._moments.choices(names, weights)
            kills[victim] += 1
            if victim == "broker":
                self._broker.kill()
                self._stop.wait(self._moments.uniform(0.0, 0.3))
                self._broker.start()
            else:
                self._kill(zygote, victim)
                self._begin(zygote, victim)
        return dict(kills)

    def _begin(self, zygote: Zygote, victim: str) -> None:
        self._lives[victim] = zygote.start(victim, self._url, str(self._home))

    def _kill(self, zygote: Zygote, victim: str) -> None:
        code = zygote.kill(self._lives[victim])
        assert code == -signal.SIGKILL, (
            f"the {victim} ended by itself: {(self._home / 'lives.log').read_text()[-3000:]}"
        )

    # What is published

    async def _make_stream(self) -> None:
        client = await nats.connect(self._broker.url)
        await client.jetstream().add_stream(name="gauge", subjects=["gauge"])
        await client.close()

    async def _publish(self) -> None:
        """Publish each observation until the server has acknowledged it, in their order, over the time of the storm."""
        client = None
        while self._published < self._observations:
            number = self._published
            message = {"time": iso(BEGIN + timedelta(minutes=number)), "flow": number}
            try:
                if client is None:
                    client = await nats.connect(
                        self._broker.url, allow_reconnect=False, connect_timeout=2, error_cb=_quiet
                    )
                headers = {"Nats-Msg-Id": f"gauge-{number}"}
                await client.jetstream(timeout=2).publish("gauge", json.dumps(message).encode(), headers=headers)
            except (TimeoutError, OSError, nats.errors.Error):
                if client is not None:
                    with contextlib.suppress(Exception):
                        await client.close()
                client = None
                await asyncio.sleep(0.05)
                continue
            self._published += 1
            await asyncio.sleep(0.85 * self._kills / self._observations)
        if client is not None:
            await client.close()

    # What is found

    def _settle(self) -> None:
        """Return when nothing is left to do, or the patience is over: what is counted then speaks for itself."""
        deadline = time.monotonic() + _PATIENCE
        with self._engine() as engine:
            while time.monotonic() < deadline and not self._is_through(engine):
                self._stop.wait(0.2)

    def _is_through(self, engine: Engine) -> bool:
        told = engine.log.read("twins/storm", 0, 100_000)
        updates = [event for event in told if event.type == "gemel.twin.updated"]
        if len(updates) < self._observations or len(engine.log.read("causes", 0, 100_000)) < len(updates):
            return False
        runs = engine.runs.journal.list(twin="storm", limit=100_000)
        open_runs = any(not run.finished for run in runs) or len(runs) < 2 * self._observations
        calls = engine.functions.status()["double"]
        with engine._store.read() as connection:
            effects = connection.execute(sql.select(sql.func.count()).select_from(EFFECTS)).scalar_one()
        return not open_runs and calls["finished"] >= self._observations and effects >= len(told)

    def _counted(self, kills: dict[str, int], seconds: float) -> Counted:
        with self._engine() as engine:
            observed = engine.log.read("twins/storm/gauge", 0, 100_000)
            told = engine.log.read("twins/storm", 0, 100_000)
            causes = engine.log.read("causes", 0, 100_000)
            states = engine.states.history("storm", 100_000)
            runs = engine.runs.journal.list(twin="storm", limit=100_000)
            calls = engine.functions.calls("double", "finished", 100_000)
            with engine._store.read() as connection:
                effects = list(connection.execute(sql.select(EFFECTS.c.event)).scalars())
            last = (
                engine.results.load(engine.results.get(states[-1].document["state"]["from_result"])) if states else None
            )
            dead = len(engine.log.read("causes.dead")) + len(engine.log.read("twins/storm/gauge.dead"))
        fired = [run for run in runs if (run.cause or "").startswith("causes/")]
        flows, number = [event.data["flow"] for event in observed], self._observations
        updates = [event.id for event in told if event.type == "gemel.twin.updated"]
        facts = {
            "an observation is lost, double or out of order": flows == list(range(number)),
            "a step is missing or double": [state.cause for state in states] == [event.position for event in observed],
            "the last state is not of all observations": last
            == {"count": number, "total": sum(range(number)), "last": number - 1},
            "an update has no cause, or two": sorted(cause.data["key"] for cause in causes) == sorted(updates),
            "a cause has no run, or two": Counter(run.cause for run in fired)
            == Counter(f"causes/{cause.id}" for cause in causes),
            "a run did not finish": {run.state for run in runs} == {"finished"},
            "an event has no call, or two": len({call.cause for call in calls}) == len(calls) == number,
            "an effect is missing or double": Counter(effects) == Counter(event.id for event in told),
            "something is dead": dead == 0,
        }
        wrong = [what for what, holds in facts.items() if not holds]
        sizes = (len(observed), len(states), len(causes), len(fired), len(calls), len(effects))
        return Counted(kills, *sizes, round(seconds, 1), wrong)


async def _quiet(_: Exception) -> None:
    """A server that is killed is no news here."""
