"""What one journaled, fully synced step costs, beside DBOS and beside the bare insert that no such engine can undercut."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench._environment import BUILD, python_with, version_in
from bench._report import progress, report
from bench._server import Measured

HERE = Path(__file__).parent
STEPS, ROUNDS = 400, 7


def steps() -> None:
    """Measure in interleaved rounds on one disk; the first round of each warms up and does not count."""
    BUILD.mkdir(exist_ok=True)
    pythons = {
        "gemel": Path(sys.executable),
        "sqlite": Path(sys.executable),
        "dbos": python_with("dbos", ["dbos>=3.4"]),
    }
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as folder:
        running = {
            name: Measured(python, HERE / f"_run_{name}.py", Path(folder, name)) for name, python in pythons.items()
        }
        seconds: dict[str, list[float]] = {name: [] for name in running}
        for number in range(ROUNDS + 1):
            progress(f"steps: round {number} of {ROUNDS}")
            for name, measured in running.items():
                taken = measured.seconds_per_step(STEPS) * 1000
                if number:
                    seconds[name].append(taken)
        for measured in running.values():
            measured.close()
    version = version_in(pythons["dbos"], "dbos")
    more = {"bar": "<= 0.4 ms", "steps": STEPS, "rounds": ROUNDS}
    report("step-overhead", seconds["gemel"], seconds["dbos"], "ms/step", f"DBOS {version} on SQLite", **more)
    report("step-overhead-floor", seconds["gemel"], seconds["sqlite"], "ms/step", "bare synced SQLite insert", **more)
