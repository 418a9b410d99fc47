"""All that people may ask of an engine, answered in JSON documents: the SDK's local end and the server's only source."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gemel.base.clock import iso
from gemel.base.errors import InvalidInput, not_found
from gemel.base.plugins import GROUPS, plugins
from gemel.core.engine._alert_service import AlertService
from gemel.core.engine._data_service import DataService
from gemel.core.engine._documents import live_document, run_document, twin_document
from gemel.core.engine._engine import Engine
from gemel.core.engine._export import export
from gemel.core.engine._function_service import FunctionService
from gemel.core.engine._model_service import ModelService
from gemel.core.engine._stream_service import StreamService, TriggerService
from gemel.core.graph import Graph, Registry, validate
from gemel.core.twin import Twin

Document = dict[str, Any]
OWNER = "owner"  # whose stored processes a graph may use that comes from the command line
_STATES = ("queued", "running", "finished", "failed", "cancelled")


class Service:
    """An engine seen through its documents (see `docs/reference/documents.md`).

    Attributes:
        engine: Which one.
        data: Its lake.
        streams: Its event log and the states of its twins.
        triggers: What makes graphs run.
        functions: Processes that are deployed to be called.
        alerts: Alerts of twins, and where they go out.
        models: What was learned, and what is learning.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.data = DataService(engine)
        self.streams, self.triggers = StreamService(engine), TriggerService(engine)
        self.functions = FunctionService(engine.functions)
        self.alerts = AlertService(engine, engine.alerting)
        self.models = ModelService(engine)

    def twins(self) -> list[Document]:
        """Return a short document of each twin that can be found; a malformed one carries its problem."""
        return [self._short(twin, name, problem) for twin, name, problem in self.engine.twins()]

    def _short(self, twin: Twin | None, name: str, problem: str) -> Document:
        if twin is None:
            return {"id": name, "version": None, "title": name, "summary": "", "live": False, "problem": problem}
        table = twin.manifest.twin
        return {
            "id": twin.id,
            "version": table.version,
            "title": table.title or twin.id,
            "summary": table.summary,
            "live": self.engine.is_live(twin.id),
            "problem": None,
        }

    def twin(self, id: str) -> Document:
        """Return everything needed to use a twin."""
        twin = self.engine.twin(id)
        return twin_document(twin, live=self.engine.is_live(twin.id))

    def card(self, id: str) -> str:
        """Return the twin's card as Markdown."""
        return self.engine.twin(id).card()

    def live(self, id: str) -> Document:
        """Return how far the twin is from its physical twin."""
        twin = self.engine.twin(id)
        return live_document(twin, self.engine.status(twin))

    def views(self, id: str, run: str | None = None) -> list[Document]:
        """Return the documents of the twin's views."""
        return self.engine.views(self.engine.twin(id), self.engine.runs.journal.get(run) if run else None)

    def report(self, id: str) -> Document | None:
        """Return the newest report on the twin, or None."""
        report = self.engine.reports.latest(self.engine.twin(id).id)
        return report.document() if report else None

    def start(self, id: str, graph: str | None, parameters: Mapping[str, Any], wait: float = 0.0) -> Document:
        """Return a run that has begun (and, after `wait` seconds, may have ended)."""
        run_id = self.engine.start(self.engine.twin(id), graph, parameters)
        return self.wait(run_id, wait) if wait > 0 else self.run(run_id)

    def run_graph(
        self, document: Mapping[str, Any], parameters: Mapping[str, Any] | None = None, wait: float = 0.0
    ) -> Document:
        """Return a run of an openEO process graph that belongs to no twin, begun (and maybe ended) now.

        Stored processes of the engine's owner can be used in it.
        """
        graph = self.engine.workspace.processes.ready(OWNER, document)
        run_id = self.engine.start_graph(graph, parameters)
        return self.wait(run_id, wait) if wait > 0 else self.run(run_id)

    def estimate_graph(self, document: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> Document:
        """Return what running an openEO process graph will need; nothing is run."""
        graph = self.engine.workspace.processes.ready(OWNER, document)
        return self.engine.estimate(graph, parameters or {}).document()

    def whatif(self, id: str, parameters: Mapping[str, Any], wait: float = 10.0) -> Document:
        """Return the run of the twin's `whatif` graph (its main graph if it has none), with views when finished."""
        twin = self.engine.twin(id)
        for name in parameters:
            if name not in twin.manifest.parameters:
                known = twin.manifest.parameters
                raise not_found(f"parameter of twin '{twin.id}'", name, known, command=f"gemel card {twin.id}")
        run_id = self.engine.start(twin, "whatif" if "whatif" in twin.graphs else None, parameters)
        run = self.engine.finish(run_id, wait)
        views = self.engine.views(twin, run) if run.state == "finished" else []
        return run_document(run) | {"views": [view for view in views if view["kind"] != "quality"]}

    def run(self, id: str) -> Document:
        """Return one run."""
        return run_document(self.engine.runs.journal.get(id))

    def runs(self, twin: str | None = None, state: str | None = None, limit: int = 50) -> list[Document]:
        """Return the newest runs first, without their steps and outputs."""
        if state is not None and state not in _STATES:
            raise InvalidInput(f"'{state}' is not a state of runs.", hint=f"One of: {', '.join(_STATES)}.")
        states = (state,) if state else ()
        return [run_document(run) for run in self.engine.runs.journal.list(twin=twin, states=states, limit=limit)]

    def wait(self, id: str, timeout: float | None = None) -> Document:
        """Return the run when it has ended, or as it stands when the time is up."""
        return run_document(self.engine.finish(id, timeout))

    def changes(self, id: str, timeout: float | None = None) -> Iterator[Document]:
        """Yield what happens to the run's steps, as it happens, until the run has ended."""
        self.engine.runs.journal.get(id)
        return self.engine.runs.watch(id, timeout)

    def cancel(self, id: str) -> Document:
        """Return the run after asking for its end."""
        return run_document(self.engine.runs.cancel(id))

    def logs(self, id: str) -> list[Document]:
        """Return the log lines of a run."""
        self.engine.runs.journal.get(id)
        return [
            {
                "time": iso(datetime.fromtimestamp(line["time"], UTC)),
                "step": line["node"],
                "level": line["level"],
                "message": line["message"],
            }
            for line in self.engine.runs.journal.logs(id)
        ]

    def output(self, id: str, name: str) -> Any:
        """Return the value of one output of a run."""
        return self.engine.output(self.engine.runs.journal.get(id), name)

    def output_bytes(self, id: str, name: str, format: str | None = None) -> tuple[bytes, str]:
        """Return (bytes, media type) of one output of a run."""
        return export(self.output(id, name), format)

    def stored_output(self, id: str, name: str, file: str | None = None) -> tuple[bytes | Path, str, str]:
        """Return (bytes or the file that holds them, media type, SHA-256 digest) of an output as it is stored."""
        return self.engine.run_items.content(self.engine.runs.journal.get(id), name, file)

    def explain(self, id: str) -> Document:
        """Return why a run's numbers are what they are."""
        return self.engine.explain(id)

    def compare(self, first: str, second: str) -> Document:
        """Return what differs between two runs."""
        return self.engine.compare(first, second)

    def check(self, id: str) -> Document:
        """Return the report of all the twin's checks, made now."""
        return self.engine.check(self.engine.twin(id)).document()

    def publish(self, id: str) -> Document:
        """Return what was published, and where."""
        crate, path, new = self.engine.publish(self.engine.twin(id))
        return dataclasses.asdict(crate) | {"path": str(path), "new": new}

    def pull(self, id: str, version: str | None = None) -> Document:
        """Return what was pulled."""
        crate = self.engine.pull(id, version)
        return dataclasses.asdict(crate) | {"path": str(self.engine.settings.home / "twins" / id)}

    def validate(self, document: Mapping[str, Any], twin: str | None = None) -> list[Document]:
        """Return every finding on an openEO process graph, in the registry of a twin when one is named."""
        registry = self.engine.twin(twin).registry if twin else Registry()
        return [dataclasses.asdict(finding) for finding in validate(Graph.from_json(document), registry)]

    def processes(self) -> list[Document]:
        """Return the openEO description of every registered process."""
        registry = Registry()
        return [registry.get(name).describe() for name in registry.names()]

    def plugins(self) -> list[Document]:
        """Return every registered plugin and whether it is healthy."""
        return [dataclasses.asdict(status) for kind in GROUPS for status in plugins(kind).status()]

    def events(self, id: str, after: int, timeout: float) -> list[tuple[int, Document]]:
        """Return (position, CloudEvent) of what is told about a twin after a position, waiting up to `timeout`."""
        found = self.engine.log.wait(f"twins/{id}", after, timeout)
        return [(event.position, event.document()) for event in found]

    def last_position(self, id: str) -> int:
        """Return the position of the newest event about a twin, 0 when there is none."""
        last = self.engine.log.last(f"twins/{id}")
        return last[-1].position if last else 0

    def health(self) -> Document:
        """Return whether the engine is well, and what is wrong if not."""
        problems = [
            {"twin": name, "where": where, **problem}
            for name in self.engine.live_ids()
            for where, problem in self.engine.live(name).status().problems.items()
        ]
        problems += [{"trigger": name, **problem} for name, problem in self.engine.triggers.problems.items()]
        problems += [{"function": name, **problem} for name, problem in self.functions.problems().items()]
        problems += [{"outlet": name, **problem} for name, problem in self.engine.alerting.problems.items()]
        return {"status": "degraded" if problems else "ok", "live": self.engine.live_ids(), "problems": problems}
