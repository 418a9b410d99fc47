"""The workspace as one object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gemel.core.graph import Finding, Run
from gemel.core.workspace._files import Files
from gemel.core.workspace._jobs import Jobs
from gemel.core.workspace._processes import StoredProcesses
from gemel.core.workspace._results import ResultFiles
from gemel.core.workspace._runner import Runner
from gemel.core.workspace._services import Services
from gemel.infra.lake import ContentStore
from gemel.infra.store import Store


class Workspace:
    """What people keep on one engine.

    Attributes:
        processes: User-defined processes.
        jobs: Batch jobs.
        files: Uploaded files.
        services: Secondary services.
        results: Finds the files that runs leave behind.
    """

    def __init__(self, store: Store, runner: Runner, home: Path) -> None:
        self._runner = runner
        self.results = ResultFiles(runner, ContentStore(home / "results"))
        self.processes = StoredProcesses(store)
        self.jobs = Jobs(store, self.processes, runner, self.results)
        self.files = Files(home / "workspace")
        self.services = Services(store, self.processes, runner)

    def validate(self, owner: str, process: Mapping[str, Any]) -> list[Finding]:
        """Return everything that is wrong with a process; nothing is run, and its parameters need no values.

        Raises:
            GraphInvalid: It has not the shape of a process graph.
        """
        graph, findings = self.processes.read(owner, process)
        return [*findings, *self._runner.validate(graph)]

    def start(self, owner: str, process: Mapping[str, Any]) -> str:
        """Return the id of a run of a process, started now.

        Raises:
            GraphInvalid: It cannot be run.
        """
        return self._runner.start(self.processes.ready(owner, process))

    def wait(self, run: str, seconds: float) -> Run:
        """Return the run when it has ended, or as it stands when the time is up."""
        return self._runner.wait(run, seconds)

    def cancel(self, run: str) -> None:
        """Ask for the end of a run."""
        self._runner.cancel(run)
