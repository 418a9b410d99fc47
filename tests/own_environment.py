"""Virtual environments beside ours, for foreign clients and servers whose dependencies are none of gemel's."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def own_environment(name: str, pins: Path) -> Path:
    """Return the Python of the environment `.venv-<name>`, made by one process on first use and kept.

    `GEMEL_<NAME>_ENV` names another folder for it. Where it cannot be made, the test is skipped, with the reason.
    """
    variable = f"GEMEL_{name.upper().replace('-', '_')}_ENV"
    place = Path(os.environ.get(variable) or ROOT / f".venv-{name}")
    stamp, python = place / ".gemel-pins", place / "bin" / "python"
    wanted = hashlib.sha256(pins.read_bytes()).hexdigest()
    place.mkdir(parents=True, exist_ok=True)
    # Not `.lock`, which the installer itself locks.
    with (place / ".gemel-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != wanted:
            _make(name, place, python, pins)
            stamp.write_text(wanted)
    return python


def _make(name: str, place: Path, python: Path, pins: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    quick = [str(uv), "pip", "install", "--quiet", "--python", str(python)]
    plain = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    commands = [[sys.executable, "-m", "venv", str(place)], [*(quick if uv.exists() else plain), "-r", str(pins)]]
    for command in commands:
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            pytest.skip(f"the environment '{name}' cannot be made: {ended.stderr.strip()[-300:]}")
