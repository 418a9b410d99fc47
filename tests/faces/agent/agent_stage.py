"""What the tests of agents share: a serving engine with a storage at a site, and agents as processes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gemel.base.clock import parse_duration
from gemel.core.engine import Engine
from gemel.infra.lake.agents import AgentKeys, AgentStorage, Limits
from stage import Serving, until

#: Time limits that a test can wait for.
LIMITS = Limits(patience=4.0, lease=2.0, silence=6.0, turn=30.0, poll=3.0)
START = "from gemel.cli._data_agent import agent; agent()"


@dataclass
class AgentProcess:
    """An agent at its site, and what it said."""

    process: subprocess.Popen[str]
    said: Path

    def events(self, **wanted: Any) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.said.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [event for event in found if all(event.get(key) == value for key, value in wanted.items())]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Field:
    """A serving engine and a site."""

    serving: Serving
    engine: Engine
    name: str
    folder: Path
    home: Path
    stack: contextlib.ExitStack = field(repr=False, default_factory=contextlib.ExitStack)

    @property
    def storage(self) -> AgentStorage:
        found = self.engine.storages.get(self.name)
        assert isinstance(found, AgentStorage)
        return found

    def token(self, storage: str | None = None, lasting: str = "1 h") -> str:
        return AgentKeys(self.engine.settings.home).minted(storage or self.name, parse_duration(lasting))[0]

    def agent(
        self, *, folder: Path | None = None, url: str | None = None, wait: str | None = "connected"
    ) -> AgentProcess:
        """Return a running agent, once it says so."""
        file = self.home / "token"
        file.write_text(self.token())
        said = self.home / f"agent-{len(list(self.home.glob('agent-*')))}.jsonl"
        command = [sys.executable, "-c", START, "--engine", url or self.serving.url, "--storage", self.name]
        command += ["--folder", str(folder or self.folder), "--token", f"file:{file}", "--json"]
        with said.open("w") as out, said.with_suffix(".err").open("w") as err:
            process = subprocess.Popen(
                command, stdout=out, stderr=err, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
            )
        agent = AgentProcess(process, said)
        self.stack.callback(agent.kill)
        if wait:
            until(lambda: agent.events(agent=wait))
        return agent

    def left(self) -> list[str]:
        """Return all files at the site, those in writing among them."""
        return sorted(item.relative_to(self.folder).as_posix() for item in self.folder.rglob("*") if item.is_file())


@contextlib.contextmanager
def fielded(serving: Serving, name: str, home: Path) -> Iterator[Field]:
    assert serving.service is not None
    engine = serving.service.engine
    folder = home / "site"
    folder.mkdir(parents=True)
    engine.storages.add(name, "agent", {"site": "the valley"})
    with contextlib.ExitStack() as stack:
        yield Field(serving, engine, name, folder, home, stack)
