"""Ten streams of 16 kHz samples put side by side in windows of a second: how much faster than they come."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import numpy as np

from bench._report import progress, report
from gemel.core.stream import Event
from gemel.core.stream.windows import StreamRule, Windows, WindowSpec

CHANNELS, RATE, SECONDS, BLOCK, ROUNDS = 10, 16_000, 20, 4_000, 5
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


def windows() -> None:
    """Measure in rounds; blocks come as lists, as they do from JSON."""
    blocks = _blocks()
    found = []
    for number in range(ROUNDS + 1):
        progress(f"windows: round {number} of {ROUNDS}")
        rate = _one_round(blocks)
        found += [rate] if number else []
    facts = {"channels": CHANNELS, "hertz": RATE, "block": BLOCK, "rounds": ROUNDS, "bar": ">= 1"}
    report("windows", found, [1.0], "seconds of data per second", "the streams themselves", **facts)


def _blocks() -> list[list[Event]]:
    noise = np.random.default_rng(20261122).normal(size=(CHANNELS, BLOCK)).round(6).tolist()
    period = BLOCK / RATE
    return [
        [
            Event(
                f"{channel}-{number}",
                "gemel.observation",
                "/bench",
                BEGIN + timedelta(seconds=number * period),
                {"samples": {"strain": noise[channel]}, "period": 1 / RATE},
                position=number * CHANNELS + channel + 1,
            )
            for channel in range(CHANNELS)
        ]
        for number in range(int(SECONDS / period))
    ]


def _one_round(blocks: list[list[Event]]) -> float:
    rules = tuple(StreamRule(f"h{channel}", ("strain",), f"{RATE} Hz") for channel in range(CHANNELS))
    made = Windows(WindowSpec("bench", rules, "1 s", align=f"{RATE} Hz", told=False))
    told, begun = 0, time.perf_counter()
    for row in blocks:
        for rule, event in zip(rules, row, strict=True):
            told += len(made.push(rule.name, event))
    seconds = time.perf_counter() - begun
    assert told >= SECONDS - 2, told
    return SECONDS / seconds
