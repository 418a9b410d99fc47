"""What the tests of staging share: the commands as processes, on a home of their own, under the name `gemel`."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemel.base.config import load_settings
from gemel.core.engine import open_engine
from gemel.infra.lake.datasets import Record

# The command as nodes call it, wherever the tests run.
_CODE = """\
import sys
from gemel.cli import _data, main
_data._VERBS.setdefault("stage", ("_data_sites", "stage"))
sys.argv[0] = "gemel"
main()
"""


@dataclass
class Node:
    """A node that shares the engine's folder, with `gemel` on its path."""

    home: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("GEMEL_", "SLURM_"))}
        path = f"{self.home.parent / 'bin'}:{os.environ['PATH']}"
        return kept | {"PATH": path, "GEMEL_HOME": str(self.home)}

    def install(self) -> Node:
        program = self.home.parent / "bin" / "gemel"
        program.parent.mkdir()
        self.folder.mkdir()
        program.write_text(f"#!{sys.executable}\n{_CODE}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return self

    def gemel(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.run("gemel", "data", *words, **more)

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = list(words)
        environment = self.environment | more
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def put(self, name: str, content: bytes) -> str:
        file = self.home.parent / "source"
        file.write_bytes(content)
        with open_engine(load_settings(home=self.home, environ={}, folder=self.home)) as engine:
            engine.datasets.put(file, name)
        return name

    def record(self, name: str) -> Record:
        with open_engine(load_settings(home=self.home, environ={}, folder=self.home)) as engine:
            return engine.datasets.get(name)

    def content(self, name: str) -> bytes:
        target = self.home.parent / "found"
        with open_engine(load_settings(home=self.home, environ={}, folder=self.home)) as engine:
            engine.datasets.fetch(name, target, replace=True)
        return target.read_bytes()

    def names(self) -> list[str]:
        with open_engine(load_settings(home=self.home, environ={}, folder=self.home)) as engine:
            return [str(item.name) for item in engine.datasets.find()]


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))
