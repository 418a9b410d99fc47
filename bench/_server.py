"""Measuring in a process of its own that answers one line per round, so that rounds of several can be interleaved."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path


class Measured:
    """A running script that reads a number of steps per line and answers with seconds per step."""

    def __init__(self, python: Path, script: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        command: Sequence[str] = [str(python), str(script), str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds_per_step(self, steps: int) -> float:
        """Return the seconds that each of `steps` took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        while line := self._process.stdout.readline():
            if line.startswith("seconds "):
                return float(line.split()[1])
        raise RuntimeError(f"{self._process.args} ended without an answer")

    def close(self) -> None:
        """End the script."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
