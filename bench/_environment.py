"""Peers in Python environments of their own, made once below `build/`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench._report import progress

BUILD = Path(__file__).parent.parent / "build"


def python_with(name: str, packages: Sequence[str], alone: Sequence[str] = ()) -> Path:
    """Return the Python of an environment with these packages; those in `alone` are installed without what they ask for."""
    folder = BUILD / f"bench-{name}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        progress(f"installing {name} into an environment of its own (once)")
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True, stdout=sys.stderr)
        if alone:
            subprocess.run([*pip, "--no-deps", *alone], check=True, stdout=sys.stderr)
        (folder / "ready").touch()
    return python


def version_in(python: Path, package: str) -> str:
    """Return the version of a package in the environment of `python`."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
