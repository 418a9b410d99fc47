"""Batch jobs: a process that is run once it is started, and what came of it."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gemel.base.errors import Conflict
from gemel.base.ids import new_id
from gemel.core.graph import Run
from gemel.core.workspace._logs import LogEntry, entries_of
from gemel.core.workspace._processes import StoredProcesses
from gemel.core.workspace._records import Records
from gemel.core.workspace._results import ResultFiles, Results
from gemel.core.workspace._runner import Expected, Runner
from gemel.infra.store import Store, schema

Document = dict[str, Any]
# States of runs in the words of the openEO API, with its spelling.
_STATUS = {"failed": "error", "cancelled": "canceled"}
_DOCUMENTS = ("process", "settings")


@dataclass(frozen=True)
class Job:
    """A process that somebody wants run.

    Attributes:
        settings: What else was said about it (`log_level`, `plan`, `budget`, and whatever a client adds).
        created: Seconds since 1970-01-01 UTC; `updated` likewise.
        run: Its newest run, or None before it was started.
    """

    id: str
    owner: str
    title: str | None
    description: str | None
    process: Document
    settings: Document
    created: float
    updated: float
    run: Run | None = field(default=None, compare=False)

    @property
    def status(self) -> str:
        """Return `created`, `queued`, `running`, `finished`, `error` or `canceled`."""
        return "created" if self.run is None else _STATUS.get(self.run.state, self.run.state)

    @property
    def busy(self) -> bool:
        """Return whether it is queued or running."""
        return self.run is not None and not self.run.finished


class Jobs:
    """The jobs of each person; a job's work is a run of the engine: durable, memoised, taken up after a crash."""

    def __init__(self, store: Store, processes: StoredProcesses, runner: Runner, files: ResultFiles) -> None:
        self._records = Records(store, schema.jobs, "job", _DOCUMENTS)
        self._processes = processes
        self._runner = runner
        self._files = files
        self._starting = threading.Lock()

    def create(
        self,
        owner: str,
        process: Mapping[str, Any],
        *,
        title: str | None = None,
        description: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Job:
        """Return a new job that has not begun.

        Raises:
            GraphInvalid: The process has no process graph, or one that cannot be read.
        """
        self._processes.ready(owner, process)
        row = {
            "title": title,
            "description": description,
            "process": dict(process),
            "settings": dict(settings or {}),
            "run": None,
        }
        id = new_id("job")
        self._records.put(owner, id, row)
        return self.get(owner, id)

    def list(self, owner: str, limit: int | None = None, after: str | None = None) -> builtins.list[Job]:
        """Return the jobs of a person, newest first."""
        return [self._job(row) for row in self._records.list(owner, limit, after)]

    def get(self, owner: str, id: str) -> Job:
        """Return a job.

        Raises:
            NotFound: There is none.
        """
        return self._job(self._records.get(owner, id))

    def change(self, owner: str, id: str, values: Mapping[str, Any]) -> None:
        """Change title, description, process or settings of a job that is not at work.

        Raises:
            Conflict: It is queued or running.
            GraphInvalid: The new process cannot be read.
        """
        job = self.get(owner, id)
        if job.busy:
            raise Conflict(f"Job '{id}' is {job.status}.", hint="Stop it first.", kind="job", reason="locked")
        if "process" in values:
            self._processes.ready(owner, values["process"])
        changed = dict(values)
        if "settings" in changed:
            changed["settings"] = job.settings | changed["settings"]
        self._records.change(owner, id, changed)

    def delete(self, owner: str, id: str) -> None:
        """Remove a job with what only it computed; it is stopped first.

        Raises:
            NotFound: There is none.
        """
        job = self.get(owner, id)
        if job.run is not None:
            if job.busy:
                self._runner.cancel(job.run.id)
            self._runner.forget(job.run.id)
        self._records.remove(owner, id)

    def start(self, owner: str, id: str) -> Job:
        """Return the job after starting it; one that is queued or running goes on as it is.

        Raises:
            GraphInvalid: The process cannot be run; every finding is in the context.
        """
        with self._starting:
            job = self.get(owner, id)
            if job.busy:
                return job
            run = self._runner.start(self._processes.ready(owner, job.process))
            if not self._records.swap(owner, id, "run", job.run.id if job.run else None, run):
                self._runner.cancel(run)  # another engine on the same store was quicker
        return self.get(owner, id)

    def stop(self, owner: str, id: str) -> None:
        """Stop a job that is queued or running; anything else stays as it is.

        Raises:
            NotFound: There is none.
        """
        job = self.get(owner, id)
        if job.run is not None and job.busy:
            self._runner.cancel(job.run.id)
            self._records.change(owner, id, {})

    def estimate(self, owner: str, id: str) -> Expected:
        """Return what running the job will take."""
        return self._runner.estimate(self._processes.ready(owner, self.get(owner, id).process))

    def logs(self, owner: str, id: str) -> builtins.list[LogEntry]:
        """Return what the job's newest run logged, in the order it was written, and at the end why it failed."""
        job = self.get(owner, id)
        return [] if job.run is None else entries_of(job.run, self._runner.logs(job.run.id))

    def results(self, owner: str, id: str, *, partial: bool = False) -> Results:
        """Return the files of a finished job, or with `partial` those that are there by now.

        Raises:
            Conflict: It was not started, has not finished, or failed (`context["reason"]`).
        """
        job = self.get(owner, id)
        if job.run is None:
            raise Conflict(f"Job '{id}' has not been started.", kind="job", reason="not-started")
        if job.status != "finished" and not partial:
            reason = "failed" if job.status == "error" else "not-finished"
            raise Conflict(f"Job '{id}' is {job.status}.", kind="job", reason=reason)
        return self._files.of(job.run)

    def _job(self, row: Mapping[str, Any]) -> Job:
        names = ("id", "owner", "title", "description", "process", "settings", "created", "updated")
        run = self._runner.get(row["run"]) if row["run"] else None
        return Job(**{name: row[name] for name in names}, run=run)
