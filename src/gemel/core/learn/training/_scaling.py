"""How a training scales: measured samples per second on more and more processes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gemel.core.learn.training._launching import Job, launch
from gemel.core.learn.training._settings import Settings


def scaling(job: Job, settings: Settings, processes: Sequence[int] = (1, 2)) -> list[dict[str, Any]]:
    """Return a row for every number of processes: `processes`, `samples_per_second`, `speedup` and `efficiency`.

    Strong scaling: the batch stays the same and is shared by more processes. Speed-up and efficiency are against the
    first row; the start of the processes does not count. All are measured here, one after the other.

    Raises:
        InvalidInput: The batch cannot be shared by that many.
        StepFailed: A process died.
    """
    rows: list[dict[str, Any]] = []
    for count in processes:
        with tempfile.TemporaryDirectory() as folder:
            outcome = launch(job, settings, Path(folder) / "training", count)
        rate = outcome.samples / outcome.seconds
        base = rows[0] if rows else {"samples_per_second": rate, "processes": count}
        speedup = rate / base["samples_per_second"]
        efficiency = speedup * base["processes"] / count
        rows.append({"processes": count, "samples_per_second": rate, "speedup": speedup, "efficiency": efficiency})
    return rows
