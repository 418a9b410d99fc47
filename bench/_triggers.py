"""Ten thousand causes, each with its run: how quickly, and whether any is missing or double."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta

from bench._live_engine import meter
from bench._report import progress, report
from gemel.core.engine import Engine
from gemel.core.stream import Event
from gemel.core.stream.triggers import CAUSES

CAUSED, BARE = 10_000, 1_000
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


def triggers() -> None:
    """Measure once: an event trigger on a stream of so many events, beside runs started one after the other."""
    ours, peer, wrong = one_round(CAUSED, BARE)
    facts = {"causes": CAUSED, "missing_or_double": wrong}
    report("triggers", [ours], [peer], "runs/s", "runs started by hand, one after the other", **facts)


def one_round(caused: int, bare: int) -> tuple[float, float, int]:
    """Return (runs a second by cause, runs a second by hand, causes without exactly one run)."""
    with meter() as engine:
        engine.serve()
        twin, graph = engine.twin("meter"), engine.twin("meter").graph("note")
        begun = time.perf_counter()
        for number in range(bare):
            engine.runs.wait(engine.runs.start(twin, graph, {"number": -1.0 - number}))
        by_hand = bare / (time.perf_counter() - begun)
        spec = {"name": "each", "event": "alarm", "stream": "alarms", "run": "heed"}
        engine.triggers.add(twin, spec)
        begun = time.perf_counter()
        for first in range(0, caused, 1000):
            engine.log.append_many("alarms", [_alarm(number) for number in range(first, min(first + 1000, caused))])
        while (done := _done(engine)) < caused:
            progress(f"triggers: {done:,} of {caused:,}")
            time.sleep(2.0)
        by_cause = caused / (time.perf_counter() - begun)
        names = Counter(run.cause for run in engine.runs.journal.list(twin="meter", limit=10**6) if run.cause)
        causes = [f"{CAUSES}/{event.id}" for event in engine.log.read(CAUSES, 0, 10**6)]
        wrong = sum(names.get(cause, 0) != 1 for cause in causes) + abs(len(causes) - caused)
    return by_cause, by_hand, wrong


def _alarm(number: int) -> Event:
    return Event(f"alarm-{number}", "alarm", "/bench", BEGIN + timedelta(seconds=number), {"number": float(number)})


def _done(engine: Engine) -> int:
    runs = engine.runs.journal.list(twin="meter", states=("finished",), limit=10**6)
    return sum(run.cause is not None for run in runs)
