"""Log entries of a run, with the reason of a failure as the last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gemel.core.graph import Run

LEVELS = ("debug", "info", "warning", "error")
_FAILURE = "failure"


@dataclass(frozen=True)
class LogEntry:
    """One line.

    Attributes:
        id: Unique within the run; later lines can be asked for by the id of the last one seen.
        level: One of `LEVELS`.
        node: Step of the graph that wrote it, or an empty text.
        time: Seconds since 1970-01-01 UTC.
    """

    id: str
    level: str
    message: str
    node: str
    time: float
    code: str | None = None


def entries_of(run: Run, lines: Iterable[Mapping[str, Any]]) -> list[LogEntry]:
    """Return the entries of a run."""
    entries = [
        LogEntry(str(line["position"]), _level(line["level"]), line["message"], line["node"], line["time"])
        for line in lines
    ]
    if run.error:
        context = run.error.get("context") or {}
        hint = f" {run.error['hint']}" if run.error.get("hint") else ""
        message, code = f"{run.error['message']}{hint}", str(run.error.get("code", "error"))
        node, time = str(context.get("step") or ""), run.ended or run.created
        entries.append(LogEntry(_FAILURE, "error", message, node, time, code))
    return entries


def selected(entries: Sequence[LogEntry], *, level: str = "debug", after: str | None = None) -> list[LogEntry]:
    """Return the entries at least as grave as `level` that come behind the one with the id `after`.

    >>> lines = [LogEntry("1", "info", "a", "", 0.0), LogEntry("2", "error", "b", "", 1.0)]
    >>> [entry.id for entry in selected(lines, level="warning")], selected(lines, after="2")
    (['2'], [])
    """
    position = next((number + 1 for number, entry in enumerate(entries) if entry.id == after), 0)
    least = LEVELS.index(level)
    return [entry for entry in entries[position:] if LEVELS.index(entry.level) >= least]


def _level(level: str) -> str:
    return {"critical": "error", "fatal": "error"}.get(level, level if level in LEVELS else "info")
