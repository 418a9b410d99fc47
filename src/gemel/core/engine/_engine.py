"""One object that opens a home folder and does what people ask of twins and runs."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gemel.base.clock import parse_duration
from gemel.base.config import Settings, load_settings
from gemel.base.errors import CheckFailed, GemelError, NotFound, not_found
from gemel.core.engine._alerting import Alerting
from gemel.core.engine._checking import checked, explained, output_checks, tell_failures
from gemel.core.engine._duties import Duties
from gemel.core.engine._firing import Firing
from gemel.core.engine._freshness import LiveStatus
from gemel.core.engine._functions import Known, functions_of
from gemel.core.engine._graphs import GraphRuns
from gemel.core.engine._home import place_of, signing_key
from gemel.core.engine._lake_events import LakeEvents
from gemel.core.engine._live import LiveParts, LiveTwin
from gemel.core.engine._live_twins import LiveTwins
from gemel.core.engine._memories import SourceMemory
from gemel.core.engine._modelling import models_of
from gemel.core.engine._origin import Origin, loose, twin_folder
from gemel.core.engine._presence import Presence
from gemel.core.engine._run_items import RunItems
from gemel.core.engine._runs import Runs
from gemel.core.engine._showing import Showing
from gemel.core.engine._telling import Teller
from gemel.core.engine._watching import Watching
from gemel.core.graph import (
    Graph,
    Journal,
    Performer,
    ResultStore,
    Run,
    Services,
    capture_logs,
    plan,
    require_valid,
    within,
)
from gemel.core.stream import SqlEventLog, StateStore
from gemel.core.stream.triggers import Marks, StoredTriggers
from gemel.core.tiling import Estimate, estimate, evaluate, foresee
from gemel.core.trust import Report, ReportStore, compare
from gemel.core.twin import Crate, Repository, Twin, find_twin, known_twins, load_twin, resolve
from gemel.core.workspace import Workspace
from gemel.infra.lake import ContentStore
from gemel.infra.lake.formats import Format, formats
from gemel.infra.lake.parts import Lake
from gemel.infra.store import Store, open_store, schema

_TICK_SECONDS = 0.5
_LOADED_SECONDS = 1.0


class Engine:
    """Twins, runs, states and reports of one home folder; safe for threads, and for several engines on one store.

    Attributes:
        settings: What it was opened with.
        services: What runs are made with.
        runs: Starting, following and stopping runs.
        log: Events of all twins.
        states: Versions of each twin's state.
        models: What was learned: versions, and which is in service.
        marks: How far the followers of streams are.
        duties: Which engine does what.
        triggers: What makes graphs run.
        functions: Processes that are deployed to be called.
        alerting: Where alerts go out.
        reports: Reports of checks.
        graphs: Runs of graphs that belong to no twin.
        workspace: What people keep here: jobs, stored processes, files, services.
        lake: Data: where they lie, what moves, keeps and finds them.
        collections: Of the lake: data that graphs can load by name.
        storages: Of the lake: places where datasets lie.
        datasets: Of the lake: named data with digests and replicas.
        catalogue: Of the lake: STAC Collections and Items.
        run_items: Outputs of runs in the catalogue.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self._store = store
        files = ContentStore(settings.home / "results")
        self.results = ResultStore(store, files, settings.store.inline_limit)
        self._presence = Presence(store, settings.home, parse_duration(settings.runs.lease).total_seconds())
        pool = ThreadPoolExecutor(settings.runs.workers or max(4, os.cpu_count() or 1), thread_name_prefix="gemel-step")
        journal = Journal(store, self.results)
        workspace = settings.home / "workspace"
        self.log = SqlEventLog(store)
        self.models = models_of(store, settings.home, self.log)
        place = replace(place_of(settings), models=self.models)
        self.services = Services(journal, self.results, pool, {}, place, evaluate, foresee)
        self.runs = Runs(journal, self.services, self._presence, settings.runs.keep_updates)
        self.states = StateStore(store)
        self.reports = ReportStore(store)
        self.marks, self.duties = Marks(store), Duties(store, self._presence)
        self._showing = Showing(journal, self.states, self.reports, self.output)
        self.repository = Repository(settings.repository)
        self.graphs = GraphRuns(self.runs, workspace, self.results, self.estimate)
        self.workspace = Workspace(store, self.graphs, settings.home)
        self.lake = Lake(store, schema.metadata.tables, settings.home, settings.lake)
        self.collections, self.catalogue = self.lake.collections, self.lake.catalogue
        self.storages, self.datasets = self.lake.storages, self.lake.datasets
        self._lake_events = LakeEvents(self.datasets.changes, self.log)
        self.run_items = RunItems(self.catalogue, journal, self.results, files, self.twin_of)
        self.catalogue.follow(self.run_items.follow)
        self.runs.dropped = self.run_items.forget
        self._loaded: dict[str, tuple[float, Twin]] = {}
        self.alerting = Alerting(self.log, settings.home / "alerts")
        memory = partial(SourceMemory, store)
        stores = (self.log, self.states, self.marks)
        parts = LiveParts(self.runs, *stores, self.output, memory, self.duties, store, settings.home)
        self._live = LiveTwins(parts, self.alerting)
        self.triggers = Watching(
            self.log, self.marks, StoredTriggers(store), self.duties, (self._find, self._live.twins)
        )
        self._live.changed = self.triggers.changed
        self._firing = Firing(self.runs, self.log, self.states, self._find, self._check_run)
        known = Known(replace(place, models=None), workspace, self.twin, self._folders)
        self.functions = functions_of(store, self.log, self._presence, known)
        capture_logs()
        self._presence.keep(self.runs.heed_cancellations, _TICK_SECONDS)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop following sources and running graphs; all of it can be taken up by the next engine."""
        self.functions.stop()
        self.triggers.stop()
        self._live.stop()
        self.alerting.stop()
        self._firing.stop()
        self.runs.close()
        self._presence.close()
        self._lake_events.stop()
        self.lake.close()
        self._store.close()

    # Twins

    def twins(self) -> list[tuple[Twin | None, str, str]]:
        """Return (twin, name, problem) of every twin that can be found; twin is None where there is a problem."""
        return known_twins(folders=self._folders())

    def twin(self, name: str) -> Twin:
        """Return a twin by id or folder; a live twin stays as it was when it went live.

        Raises:
            NotFound: There is none.
            TwinInvalid: It is malformed.
        """
        live = self._live.get(name)
        return live.twin if live is not None else find_twin(name, folders=self._folders())

    def _find(self, name: str) -> Twin:
        # Loading a twin digests all of its files: a twin that fires often is looked at once a second.
        known = self._loaded.get(name)
        if known is None or time.monotonic() - known[0] > _LOADED_SECONDS:
            known = self._loaded[name] = (time.monotonic(), self.twin(name))
        return known[1]

    def _folders(self) -> list[Path]:
        return [*(Path(folder).expanduser() for folder in self.settings.twins.folders), self.settings.home / "twins"]

    # Runs

    def start(self, twin: Twin, graph: str | None = None, given: Mapping[str, Any] | None = None) -> str:
        """Return the id of a run of one of the twin's graphs (the main one by default) that has begun.

        Args:
            twin: The twin.
            graph: Name of the graph.
            given: Values for parameters; others come from `twin.toml`. A graph with a parameter `state` gets the
                twin's latest state unless another is given.

        Raises:
            NotFound: No such graph or parameter.
            InvalidInput: A value is of the wrong kind, unit or size.
        """
        chosen = twin.graph(graph)
        values = dict(given or {})
        if any(item.name == "state" for item in chosen.parameters) and "state" not in values:
            latest = self.states.latest(twin.id)
            if latest is not None and "state" in latest.document:
                values["state"] = latest.document["state"]
        return self.runs.start(twin, chosen, resolve(twin, chosen, values))

    def start_graph(self, graph: Graph, given: Mapping[str, Any] | None = None) -> str:
        """Return the id of a run of a graph that belongs to no twin.

        Raises:
            GraphInvalid: The graph or the values given for its parameters are wrong.
        """
        return self.graphs.start(graph, given)

    def estimate(self, graph: Graph, arguments: Mapping[str, Any], origin: Origin | None = None) -> Estimate:
        """Return what running a graph will need: shapes, tiles, memory and bytes to read. Nothing is run or read for it.

        Args:
            graph: The graph.
            arguments: Values for its parameters.
            origin: Where its processes come from; default the installed ones.

        Raises:
            GraphInvalid: The graph or its arguments are wrong.
            DoesNotFit: A step needs more memory than a run may use.
        """
        found = origin or loose(self.settings.home / "workspace")
        require_valid(graph, found.registry, arguments)
        planned = plan(graph, found.registry, arguments)
        place = replace(self.services.surroundings, registry=found.registry)
        with within(place):
            return estimate(planned, Performer(planned, self.results, found.folder, place).ground)

    @staticmethod
    def formats() -> list[Format]:
        """Return the file formats that results are written in and data read from."""
        return list(formats().values())

    def finish(self, run_id: str, timeout: float | None = None) -> Run:
        """Return the run after it ended (or the time is up), with the twin's checks on its outputs made."""
        run = self.runs.wait(run_id, timeout)
        return self.runs.journal.get(run_id) if self._check_run(run) else run

    def _check_run(self, run: Run) -> bool:
        """Return whether the twin's checks on a run's outputs were made now."""
        if not run.twin or run.state != "finished" or run.checks:
            return False
        with contextlib.suppress(GemelError):
            twin = self.twin_of(run)
            documents = [result.document() for result in output_checks(twin, run, self.output)]
            if documents:
                self.runs.journal.set_checks(run.id, documents)
                tell_failures(Teller(self.log, twin.id), documents, run.id)
        return True

    def twin_of(self, run: Run) -> Twin:
        """Return the twin that a run belongs to, as it is now.

        Raises:
            NotFound: The twin is gone, or the run's graph belongs to none.
        """
        if not run.twin:
            raise NotFound(f"Run {run.id} is of a graph that belongs to no twin.")
        live = self._live.get(run.twin)
        if live is not None:
            return live.twin
        folder = twin_folder(run)
        return load_twin(folder) if folder and (folder / "twin.toml").is_file() else self.twin(run.twin)

    def output(self, run: Run, name: str) -> Any:
        """Return the value of a run's output.

        Raises:
            NotFound: The run has no such output.
            ResultCorrupt: The stored value was damaged.
        """
        keys = {output.name: output.key for output in run.outputs}
        if name not in keys:
            raise not_found(f"output of run {run.id}", name, keys)
        return self.results.load(self.results.get(keys[name]))

    def outputs(self, run: Run) -> dict[str, Any]:
        """Return every output of a run by name."""
        return {output.name: self.output(run, output.name) for output in run.outputs}

    def recover(self) -> list[str]:
        """Return the ids of runs of dead engines that now go on here."""
        taken = []
        for run in self.runs.orphans():
            # A run whose twin is gone stays as it is; live updates are taken up by their own trigger.
            with contextlib.suppress(GemelError):
                source = self.twin_of(run) if run.twin else loose(self.settings.home / "workspace")
                if run.cause is None and self.runs.take_up(run, source):
                    taken.append(run.id)
        return taken

    def serve(self) -> None:
        """Begin all work in the background: data are moved and kept, triggers watch and fire, functions are called, alerts go out."""
        self.lake.start()
        self._lake_events.start()
        self._firing.start()
        self.triggers.start()
        self.functions.start()
        self.alerting.start()

    def go_live(self, twin: Twin, options: Mapping[str, Any] | None = None) -> LiveTwin:
        """Return the twin following its sources; a twin goes live once.

        Args:
            twin: The twin.
            options: Options of the sources that take precedence over those in `twin.toml`, such as `speed`.

        Raises:
            NotFound: The twin has no source.
        """
        return self._live.go_live(twin, options)

    @property
    def live_parts(self) -> LiveParts:
        """Return what a live twin of this engine works with."""
        return self._live.parts

    def begin_again(self, twin: Twin) -> None:
        """Forget the twin's states and observations, so that its sources are followed from their beginning.

        Raises:
            Conflict: The twin is live in this engine.
        """
        self._live.begin_again(twin)

    def live(self, twin_id: str) -> LiveTwin:
        """Return a live twin.

        Raises:
            NotFound: This engine does not keep it in step.
        """
        found = self._live.get(twin_id)
        if found is None:
            raise NotFound(f"Twin '{self.twin(twin_id).id}' is not live.", hint=f"gemel up --live {twin_id}")
        return found

    def is_live(self, twin_id: str) -> bool:
        """Return whether this engine follows the twin's sources."""
        return self._live.get(twin_id) is not None

    def live_ids(self) -> list[str]:
        """Return the ids of the twins that this engine keeps in step."""
        return self._live.ids()

    def status(self, twin: Twin) -> LiveStatus:
        """Return how far a twin is from its physical twin."""
        return self._live.status(twin)

    def views(self, twin: Twin, run: Run | None = None) -> list[dict[str, Any]]:
        """Return the documents of the twin's views, of `run` or else of its latest update or run."""
        return self._showing.views(twin, run)

    # Trust

    def check(self, twin: Twin) -> Report:
        """Return the report of all the twin's checks, after running the graphs they look at."""
        report = checked(twin, self.reports, lambda graph: self.runs.wait(self.start(twin, graph)), self.output)
        tell_failures(Teller(self.log, twin.id), report.checks, report.id)
        return report

    def explain(self, run_id: str) -> dict[str, Any]:
        """Return why a run's numbers are what they are: lineage of its steps, and where the doubt comes from."""
        return explained(self.runs.journal.get(run_id), self.twin_of, self.outputs)

    def compare(self, first: str, second: str) -> dict[str, Any]:
        """Return what differs between two runs."""
        journal = self.runs.journal
        return compare(journal.get(first), journal.get(second))

    # Sharing

    def publish(self, twin: Twin) -> tuple[Crate, Path, bool]:
        """Return (crate, path, whether it is new) after publishing the twin's version.

        Raises:
            CheckFailed: No passing report on exactly this content; the gate stays shut.
            Conflict: The version is published with another content.
        """
        report = self.reports.latest(twin.id, twin.content)
        if report is None or not report.passed:
            why = "has not been checked as it is now" if report is None else "did not pass its checks"
            raise CheckFailed(f"Twin '{twin.id}' {why}, so it is not published.", hint=f"gemel check {twin.id}")
        return self.repository.publish(twin, signing_key(self.settings.home), report.document())

    def pull(self, twin: str, version: str | None = None) -> Crate:
        """Return the crate of a published version after its twin lies among the engine's own."""
        return self.repository.pull(twin, version, self.settings.home / "twins")


@contextlib.contextmanager
def open_engine(settings: Settings | None = None, *, assignments: Sequence[str] = ()) -> Iterator[Engine]:
    """Yield the engine of `settings` (default: the settings in force), closed at the end.

    Raises:
        StoreUnavailable: The journal or the home folder cannot be used.
    """
    chosen = settings or load_settings(assignments=assignments)
    store = open_store(chosen.store_url)
    with Engine(chosen, store) as engine:
        yield engine
