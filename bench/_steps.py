"""What one journaled, fully synced step costs, beside DBOS and beside the bare insert that no such engine can undercut."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench._report import progress, report
from bench._server import Measured

HERE = Path(__file__).parent
BUILD = HERE.parent / "build"
STEPS, ROUNDS = 400, 7


def steps() -> None:
    """Measure in interleaved rounds on one disk; the first round of each warms up and does not count."""
    BUILD.mkdir(exist_ok=True)
    pythons = {"gemel": Path(sys.executable), "sqlite": Path(sys.executable), "dbos": _dbos_python()}
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
    version = _dbos_version(pythons["dbos"])
    more = {"bar": "<= 0.4 ms", "steps": STEPS, "rounds": ROUNDS}
    report("step-overhead", seconds["gemel"], seconds["dbos"], "ms/step", f"DBOS {version} on SQLite", **more)
    report("step-overhead-floor", seconds["gemel"], seconds["sqlite"], "ms/step", "bare synced SQLite insert", **more)


def _dbos_python() -> Path:
    folder = BUILD / "bench-dbos"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        progress("steps: installing DBOS into an environment of its own (once)")
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "dbos>=3.4"]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        (folder / "ready").touch()
    return python


def _dbos_version(python: Path) -> str:
    code = f"import {importlib.metadata.__name__} as m; print(m.version('dbos'))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
