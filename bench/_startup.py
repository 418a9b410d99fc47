"""What it costs to be there: `import gemel`, `gemel --help`, and the number of packages a base install brings."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from bench._report import report

ROUNDS = 9
PINS = Path(__file__).parents[1] / "requirements" / "base.txt"


def startup() -> None:
    """Measure processor time, less that of Python starting alone, in interleaved rounds."""
    commands = {
        "bare": [sys.executable, "-c", "pass"],
        "import": [sys.executable, "-c", "import gemel"],
        "help": [str(Path(sys.executable).with_name("gemel")), "--help"],
        "click": [sys.executable, "-c", "import click"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(ROUNDS + 1):
        for name, command in commands.items():
            taken = _processor_seconds(command)
            if number:
                seconds[name].append(taken)
    bare = min(seconds["bare"])
    report(
        "import-gemel",
        [max(taken - bare, 0.0) for taken in seconds["import"]],
        [0.1],
        "s CPU",
        "the bar",
        rounds=ROUNDS,
    )
    report("gemel-help", seconds["help"], [0.25], "s CPU", "the bar", rounds=ROUNDS)
    report("gemel-help-beside-click", seconds["help"], seconds["click"], "s CPU", "import click alone", rounds=ROUNDS)


def packages() -> None:
    """Count what the base install pins."""
    pins = [line for line in PINS.read_text().splitlines() if "==" in line]
    report("base-packages", [len(pins)], [80], "packages", "the bar")


def _processor_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"COLUMNS": "100"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
