"""Secondary services: the result of a process, served as map tiles."""

from __future__ import annotations

import builtins
import functools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

from gemel.base.errors import Conflict, InvalidInput, NotFound, StepFailed
from gemel.base.ids import new_id
from gemel.core.graph import Graph, Run
from gemel.core.workspace._logs import LogEntry, entries_of
from gemel.core.workspace._processes import StoredProcesses
from gemel.core.workspace._records import Records
from gemel.core.workspace._runner import Runner
from gemel.core.workspace._styles import Style, style_of
from gemel.core.workspace._tiles import Picture, picture_of
from gemel.infra.store import Store, schema

Document = dict[str, Any]
_DOCUMENTS = ("process", "configuration", "settings")
_REMEMBERED = 8


@dataclass(frozen=True)
class SecondaryService:
    """A process whose result is served.

    Attributes:
        type: `XYZ`.
        configuration: How it is drawn (see `Style`).
        settings: What else was said about it.
        run: The run that computed what is served, or None before somebody asked for it.
    """

    id: str
    owner: str
    type: str
    title: str | None
    description: str | None
    process: Document
    configuration: Document
    settings: Document
    enabled: bool
    created: float
    updated: float
    run: str | None


class Services:
    """The secondary services of each person; what one serves is computed once, as a run, and memoised."""

    types = ("XYZ",)

    def __init__(self, store: Store, processes: StoredProcesses, runner: Runner) -> None:
        self._records = Records(store, schema.services, "service", _DOCUMENTS)
        self._processes = processes
        self._runner = runner
        self._lock = threading.Lock()
        self._picture = functools.lru_cache(_REMEMBERED)(self._drawn)

    def create(self, owner: str, type: str, process: Mapping[str, Any], values: Mapping[str, Any]) -> SecondaryService:
        """Return a new service.

        Args:
            owner: Whose it is.
            type: `XYZ`, in any case.
            process: What is served.
            values: `title`, `description`, `configuration`, `settings`, `enabled`, as far as given.

        Raises:
            InvalidInput: The type or the configuration is not supported.
            GraphInvalid: The process cannot be read.
        """
        if type.upper() not in self.types:
            raise InvalidInput(f"There are no services of type '{type}'.", hint="XYZ", kind="service-type", name=type)
        style_of(values.get("configuration") or {})
        self._processes.ready(owner, process)
        row = {"title": None, "description": None, "configuration": {}, "settings": {}, "enabled": True} | dict(values)
        id = new_id("service")
        self._records.put(owner, id, row | {"type": type.upper(), "process": dict(process), "run": None})
        return self.get(owner, id)

    def list(self, owner: str, limit: int | None = None, after: str | None = None) -> builtins.list[SecondaryService]:
        """Return the services of a person, newest first."""
        return [SecondaryService(**row) for row in self._records.list(owner, limit, after)]

    def get(self, owner: str, id: str) -> SecondaryService:
        """Return a service.

        Raises:
            NotFound: There is none.
        """
        return SecondaryService(**self._records.get(owner, id))

    def change(self, owner: str, id: str, values: Mapping[str, Any]) -> None:
        """Change title, description, process, configuration, settings or whether it is enabled.

        Raises:
            NotFound: There is none.
            InvalidInput: The configuration is not supported.
        """
        service = self.get(owner, id)
        changed = dict(values)
        if "configuration" in changed:
            style_of(changed["configuration"])
        if "settings" in changed:
            changed["settings"] = service.settings | changed["settings"]
        if "process" in changed:
            self._processes.ready(owner, changed["process"])
            changed["run"] = None
        self._records.change(owner, id, changed)

    def delete(self, owner: str, id: str) -> None:
        """Remove a service with what only it computed.

        Raises:
            NotFound: There is none.
        """
        service = self.get(owner, id)
        if service.run is not None:
            self._runner.cancel(service.run)
            self._runner.forget(service.run)
        self._records.remove(owner, id)

    def logs(self, owner: str, id: str) -> builtins.list[LogEntry]:
        """Return what the computation logged."""
        service = self.get(owner, id)
        return [] if service.run is None else entries_of(self._runner.get(service.run), self._runner.logs(service.run))

    def tile(self, owner: str, id: str, place: tuple[int, int, int], patience: float) -> bytes:
        """Return the PNG image of a tile, 256 by 256 pixels.

        Args:
            owner: Whose service it is.
            id: The service.
            place: Zoom level, column and row, as in the slippy maps of OpenStreetMap.
            patience: Seconds to wait for what is served to be computed.

        Raises:
            NotFound: There is no such service, it is switched off, or there is no such tile.
            Conflict: It is still being computed.
            StepFailed: It could not be computed.
        """
        service = self.get(owner, id)
        if not service.enabled:
            raise NotFound(f"Service '{id}' is switched off.", kind="service", name=id)
        run = self._computed(service, patience)
        return self._picture(run.id, style_of(service.configuration)).tile(*place)

    def _computed(self, service: SecondaryService, patience: float) -> Run:
        with self._lock:
            current = self.get(service.owner, service.id).run
            if current is None or self._runner.get(current).state == "cancelled":
                current = self._runner.start(_unsaved(self._processes.ready(service.owner, service.process)))
                self._records.change(service.owner, service.id, {"run": current}, touch=False)
        run = self._runner.wait(current, patience)
        if run.state == "failed":
            problem = run.error or {"message": "It failed."}
            raise StepFailed(str(problem["message"]), hint=problem.get("hint"), kind="service")
        if run.state != "finished":
            raise Conflict(f"Service '{service.id}' is still being computed.", kind="service", reason="busy")
        return run

    def _drawn(self, run_id: str, style: Style) -> Picture:
        run = self._runner.get(run_id)
        value = self._runner.output(run, self._runner.outputs(run)[0])
        if not isinstance(value, xr.DataArray):
            raise InvalidInput(f"A {type(value).__name__} cannot be drawn on a map.", hint="Serve a raster cube.")
        return picture_of(value, style)


def _unsaved(graph: Graph) -> Graph:
    """Return the graph that ends with what would have been saved: tiles are drawn from the data, not from a file."""
    name, node = next(iter(graph.outputs.items()))
    while node in graph.nodes and graph.nodes[node].process == "save_result":
        data = graph.nodes[node].arguments.get("data")
        if not isinstance(data, Mapping) or "from_node" not in data:
            break
        node = data["from_node"]
    return replace(graph, outputs={name: node})
