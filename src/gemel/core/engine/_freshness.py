"""How far a twin is from its physical twin: when it was last heard of, how far the state is behind, how well it fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gemel.base.clock import parse_duration
from gemel.core.twin import Manifest

_LATE_AFTER = 2.5  # expected intervals without an observation
_SILENT_AFTER = 10.0


@dataclass(frozen=True)
class LiveStatus:
    """How far a twin is from its physical twin.

    Attributes:
        freshness: `in-step`, `late`, `silent`, or `not-live`.
        age: Seconds of ours since the last observation, or None.
        clock: Instant of the physical twin that the state describes.
        sequence: Version of the state.
        waiting: Observations that are in the log and not yet in the state, counted up to a thousand.
        lag: Seconds of the physical twin between the state and the newest observation, or None.
        parts: What each source, window and buffer does, as JSON values.
        standing_by: Whether another engine follows the twin, and this one would take over.
    """

    freshness: str = "not-live"
    age: float | None = None
    clock: datetime | None = None
    sequence: int = 0
    run: str | None = None
    last_observation: datetime | None = None
    late: int = 0
    duplicates: int = 0
    gaps: int = 0
    rejected: int = 0
    waiting: int = 0
    lag: float | None = None
    misfit: Mapping[str, Any] | None = None
    problem: Mapping[str, Any] | None = None
    problems: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    parts: Mapping[str, Any] = field(default_factory=dict)
    standing_by: bool = False


def freshness(age: float | None, expected: float) -> str:
    """Return the word for an age, both in seconds.

    >>> freshness(1.0, 1.0), freshness(3.0, 1.0), freshness(11.0, 1.0), freshness(None, 1.0)
    ('in-step', 'late', 'silent', 'not-live')
    """
    if age is None:
        return "not-live"
    if age > _SILENT_AFTER * expected:
        return "silent"
    return "late" if age > _LATE_AFTER * expected else "in-step"


def expected_seconds(manifest: Manifest, overrides: Mapping[str, Any]) -> float:
    """Return how many seconds of ours should lie between two observations: less where a record is played quickly."""
    sync = parse_duration(manifest.physical.sync).total_seconds()
    speeds = [str((dict(spec.options) | dict(overrides)).get("speed", "")) for spec in manifest.sources.values()]
    for speed in speeds:
        amount, slash, per = speed.partition("/")
        if slash:
            pace = parse_duration(amount) / parse_duration(f"1 {per}" if not per.strip()[:1].isdigit() else per)
            return max(sync / pace, 0.5)
    return sync
