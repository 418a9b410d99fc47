"""Run all benchmarks, or those named."""

from __future__ import annotations

import sys

from bench._copy import two_token_copy
from bench._cubes import beyond_memory, climatology, monthly_means
from bench._events import events
from bench._ingest import ingest
from bench._learning import distributed, serving, training
from bench._planning import planning, validation
from bench._regrid import regridding
from bench._small_files import small_files
from bench._stac import stac
from bench._startup import packages, startup
from bench._state import state
from bench._steps import steps
from bench._triggers import triggers
from bench._windows import windows

BENCHMARKS = {
    "events": events,
    "windows": windows,
    "state": state,
    "triggers": triggers,
    "training": training,
    "serving": serving,
    "distributed": distributed,
    "ingest": ingest,
    "two-token-copy": two_token_copy,
    "startup": startup,
    "packages": packages,
    "planning": planning,
    "steps": steps,
    "validation": validation,
    "climatology": climatology,
    "monthly-means": monthly_means,
    "beyond-memory": beyond_memory,
    "regridding": regridding,
    "stac": stac,
    "small-files": small_files,
}


def main(names: list[str]) -> None:
    """Run the benchmarks called `names`, or all of them."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(BENCHMARKS)}.")
    for name in names or BENCHMARKS:
        BENCHMARKS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
