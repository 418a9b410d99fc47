"""Graphs without a twin: started, followed, and their outputs handed out; what people keep on an engine runs on this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gemel.base.errors import not_found
from gemel.core.engine._export import export
from gemel.core.engine._origin import loose
from gemel.core.engine._runs import Runs
from gemel.core.graph import Finding, Graph, ResultStore, Run, StoredResult, validate
from gemel.core.tiling import Estimate


class GraphRuns:
    """Runs of graphs that belong to no twin (see `gemel.core.workspace.Runner`)."""

    def __init__(
        self,
        runs: Runs,
        folder: Path,
        results: ResultStore,
        estimate: Callable[[Graph, Mapping[str, Any]], Estimate],
    ) -> None:
        self._runs = runs
        self._origin = loose(folder)
        self._results = results
        self._estimate = estimate

    def validate(self, graph: Graph, arguments: Mapping[str, Any] | None = None) -> list[Finding]:
        """Return everything that is wrong with the graph."""
        return validate(graph, self._origin.registry, arguments)

    def start(self, graph: Graph, arguments: Mapping[str, Any] | None = None) -> str:
        """Return the id of a run of the graph that has begun.

        Raises:
            GraphInvalid: The graph or its arguments are wrong.
        """
        return self._runs.start(self._origin, graph, dict(arguments or {}))

    def get(self, run: str) -> Run:
        """Return the run as it stands."""
        return self._runs.journal.get(run)

    def wait(self, run: str, timeout: float | None = None) -> Run:
        """Return the run when it has ended, or as it stands when the time is up."""
        return self._runs.wait(run, timeout)

    def cancel(self, run: str) -> Run:
        """Return the run after asking for its end."""
        return self._runs.cancel(run)

    def forget(self, run: str) -> None:
        """Remove the results that only this run made; its record stays."""
        self._runs.drop_results(run, ())

    def logs(self, run: str) -> list[Mapping[str, Any]]:
        """Return what the run logged."""
        return self._runs.journal.logs(run)

    def outputs(self, run: Run) -> list[str]:
        """Return the names of the outputs that the run has by now."""
        return list(self._stored(run))

    def output(self, run: Run, name: str) -> Any:
        """Return the value of an output.

        Raises:
            NotFound: The run does not have it (yet).
        """
        return self._results.load(self._result(run, name))

    def format(self, run: Run, name: str) -> str:
        """Return the format in which an output is stored."""
        return self._result(run, name).format

    def exported(self, run: Run, name: str) -> tuple[bytes, str]:
        """Return (bytes, media type) of an output: NetCDF for arrays, JSON for everything else."""
        return export(self.output(run, name), None)

    def _result(self, run: Run, name: str) -> StoredResult:
        stored = self._stored(run)
        if name not in stored:
            raise not_found(f"output of run {run.id}", name, stored)
        return self._results.get(stored[name])

    @staticmethod
    def _stored(run: Run) -> dict[str, str]:
        if run.finished and run.outputs:
            return {output.name: output.key for output in run.outputs}
        # An unfinished run has no outputs yet, but some of their steps may be through.
        keys = {step.node: step.key for step in run.steps if step.state == "finished" and step.key is not None}
        wanted: Mapping[str, str] = run.document.get("outputs") or {}
        return {name: keys[node] for name, node in wanted.items() if node in keys}

    def estimate(self, graph: Graph, arguments: Mapping[str, Any] | None = None) -> Estimate:
        """Return what running the graph will take."""
        return self._estimate(graph, dict(arguments or {}))
