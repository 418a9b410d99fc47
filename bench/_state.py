"""From an observation that is sent to the state that has it: beside a run of the same graph without any stream."""

from __future__ import annotations

import json
import statistics
import time
from datetime import UTC, datetime, timedelta

from bench._live_engine import meter
from bench._report import progress, report
from gemel.base.clock import iso
from gemel.core.engine import Engine

COUNT, ROUNDS = 200, 5
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
_HEADERS = {"content-type": "application/json"}


def state() -> None:
    """Measure one observation at a time: received, durable, stepped, saved, told."""
    ours: dict[str, list[float]] = {"p50": [], "p99": []}
    peer: dict[str, list[float]] = {"p50": [], "p99": []}
    with meter() as engine:
        engine.go_live(engine.twin("meter"))
        for number in range(ROUNDS + 1):
            progress(f"state: round {number} of {ROUNDS}")
            pairs = ((ours, _observations(engine, number)), (peer, _runs(engine, number)))
            for kept, found in pairs if number else ():
                cuts = statistics.quantiles(found, n=100)
                kept["p50"].append(cuts[49])
                kept["p99"].append(cuts[98])
    for name in ("p50", "p99"):
        facts = {"observations": COUNT, "rounds": ROUNDS}
        report(f"state-{name}", ours[name], peer[name], "ms", "a run of the same graph, without a stream", **facts)


def _observations(engine: Engine, number: int) -> list[float]:
    live, found = engine.live("meter"), []
    last = engine.log.last("twins/meter")
    position = last[-1].position if last else 0
    for index in range(number * COUNT, (number + 1) * COUNT):
        body = json.dumps({"time": iso(BEGIN + timedelta(seconds=index)), "level": float(index)}).encode()
        begun = time.perf_counter()
        live.receive("level", _HEADERS, body)
        position = _told(engine, position)
        found.append((time.perf_counter() - begun) * 1000)
    return found


def _told(engine: Engine, position: int) -> int:
    """Return the position of the next event that tells of an update."""
    while True:
        for event in engine.log.wait("twins/meter", position, 5.0):
            position = event.position
            if event.type == "gemel.twin.updated":
                return position


def _runs(engine: Engine, number: int) -> list[float]:
    twin, graph, found = engine.twin("meter"), engine.twin("meter").graph("update"), []
    for index in range(COUNT):
        observation = {"time": iso(BEGIN), "level": -1.0 - index - number * COUNT}
        begun = time.perf_counter()
        engine.runs.wait(engine.runs.start(twin, graph, {"observation": observation, "state": None}))
        found.append((time.perf_counter() - begun) * 1000)
    return found
