"""Judgements: what a version has shown on data that no training has seen, and whether that opens the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gemel.base.clock import iso


@dataclass(frozen=True)
class Verdict:
    """One thing that had to hold.

    Attributes:
        id: What was looked at, such as `better-than-champion`.
        passed: Whether it held.
        value: What was found.
        bar: What it was held against.
        evidence: In words.
    """

    id: str
    passed: bool
    value: float | None
    bar: float | None
    evidence: str

    def document(self) -> dict[str, Any]:
        """Return the verdict as JSON."""
        return {name: getattr(self, name) for name in ("id", "passed", "value", "bar", "evidence")}


@dataclass(frozen=True)
class Judgement:
    """All verdicts on one version, made on one set of held-out data.

    Attributes:
        id: Its own.
        name: Of the model.
        version: That was judged.
        passed: Whether every verdict did.
        verdicts: In the order they were made.
        figures: What was measured, of the version (`challenger`) and of the one in service (`champion`).
        data: Digest and number of the samples it was judged by.
        run: In which.
        created: When.
    """

    id: str
    name: str
    version: int
    passed: bool
    verdicts: Sequence[Mapping[str, Any]]
    figures: Mapping[str, Any]
    data: Mapping[str, Any]
    run: str | None
    created: datetime

    def document(self) -> dict[str, Any]:
        """Return the judgement as JSON."""
        return {
            "id": self.id,
            "model": self.name,
            "version": self.version,
            "passed": self.passed,
            "verdicts": [dict(item) for item in self.verdicts],
            "figures": dict(self.figures),
            "data": dict(self.data),
            "run": self.run,
            "created": iso(self.created),
        }
