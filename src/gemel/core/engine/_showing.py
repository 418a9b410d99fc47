"""What pages and terminals show of a twin: its views, drawn from the outputs of a run and from its newest report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gemel.core.graph import Journal, Run
from gemel.core.stream import StateStore
from gemel.core.trust import ReportStore
from gemel.core.twin import Twin, draw


class Showing:
    """Draws views.

    Args:
        journal: Runs.
        states: Of the twins.
        reports: On the twins.
        output: Loads an output of a run by name.
    """

    def __init__(
        self, journal: Journal, states: StateStore, reports: ReportStore, output: Callable[[Run, str], Any]
    ) -> None:
        self._journal, self._states, self._reports, self._output = journal, states, reports, output

    def views(self, twin: Twin, run: Run | None = None) -> list[dict[str, Any]]:
        """Return the documents of the twin's views, of `run` or else of its latest update or run."""
        chosen = run or self._latest_run(twin)
        report = self._reports.latest(twin.id, twin.content) or self._reports.latest(twin.id)
        outputs = {} if chosen is None else self._shown(twin, chosen)
        if report is not None and report.run is not None:
            # Views of figures, such as a reliability diagram, show those the report was made on.
            outputs = self._shown(twin, self._journal.get(report.run)) | outputs
        return [draw(spec, outputs, report.document() if report else None) for spec in twin.manifest.views]

    def _shown(self, twin: Twin, run: Run) -> dict[str, Any]:
        options = {str(value) for view in twin.manifest.views for value in view.options.values()}
        wanted = {view.output for view in twin.manifest.views} | options
        return {output.name: self._output(run, output.name) for output in run.outputs if output.name in wanted}

    def _latest_run(self, twin: Twin) -> Run | None:
        state = self._states.latest(twin.id)
        if state is not None:
            return self._journal.get(state.run)
        shown = {view.output for view in twin.manifest.views}
        for run in self._journal.list(twin=twin.id, states=("finished",), limit=20):
            full = self._journal.get(run.id)
            if shown & {output.name for output in full.outputs}:
                return full
        return None
