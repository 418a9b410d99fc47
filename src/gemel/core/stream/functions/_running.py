"""What an instance calls: a process, or a graph whose steps are computed one after another, with nothing stored."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from gemel.base.errors import InvalidInput
from gemel.core.graph import (
    Graph,
    Performer,
    Plan,
    PlannedStep,
    Process,
    Registry,
    ResultStore,
    StoredResult,
    Surroundings,
    plan,
    require_valid,
    within,
)

_ONLY = "result"
Filled = Callable[[Any, Graph, Mapping[str, Any]], dict[str, Any]]


class Package(Protocol):
    """Processes and graphs that belong together, in a folder: a twin."""

    @property
    def registry(self) -> Registry:
        """Return its processes, and those that are installed."""

    @property
    def folder(self) -> Path:
        """Return where relative references to files start."""

    def graph(self, name: str | None = None) -> Graph:
        """Return a graph by name."""


def work_of(package: Package, process: str | None, graph: str | None) -> Process | Graph:
    """Return the process or graph of a package.

    Raises:
        NotFound: There is none of that name.
    """
    return package.graph(graph) if graph is not None else package.registry.get(str(process))


def installed(module: str, process: str, place: Surroundings, base: Path) -> Callable[..., Any]:
    """Return what calls an installed process or graph; its module comes first, which spares looking through all of them.

    Args:
        module: Where its function was written.
        process: Its id.
        place: What surrounds it.
        base: Where relative references to files start.
    """
    held = vars(importlib.import_module(module)).values()
    near = [item for item in held if isinstance(item, Process) and item.id == process]
    registry = Registry({item.id: item for item in near})
    return _calling(registry.get(process), replace(place, registry=None), base, dict)


def of_package(
    load: Callable[[], Package], fill: Filled, names: tuple[str | None, str | None], place: Surroundings
) -> Callable[..., Any]:
    """Return what calls a process or graph of a package.

    Args:
        load: Returns the package.
        fill: Returns the arguments of a graph of it, with what the package itself knows of them.
        names: Of the process and of the graph, one of which is None.
        place: What surrounds it.
    """
    package = load()
    work = work_of(package, *names)

    def filled(given: Mapping[str, Any]) -> dict[str, Any]:
        return fill(package, work, given) if isinstance(work, Graph) else dict(given)

    return _calling(work, replace(place, registry=package.registry), package.folder, filled)


def _calling(
    work: Process | Graph, place: Surroundings, base: Path, filled: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        planned = _planned(work, place.registry, filled(arguments))
        with within(place):
            return _outputs(planned, Performer(planned, _NoResults(), base, place))

    return call


def _planned(work: Process | Graph, registry: Registry | None, arguments: Mapping[str, Any]) -> Plan:
    if isinstance(work, Process):
        values = {item.name: arguments.get(item.name, item.default) for item in work.parameters}
        return Plan({_ONLY: PlannedStep(work.id, work, values, ())}, {_ONLY: ()}, {_ONLY: _ONLY})
    found = registry or Registry()
    require_valid(work, found, arguments)
    return plan(work, found, arguments)


def _outputs(planned: Plan, performer: Performer) -> Any:
    """Return the one output, or all by name; each step is computed once."""
    values: dict[str, Any] = {}

    def load(name: str) -> Any:
        if name not in values:
            values[name] = performer.ground(load).compute(planned.steps[name], load)
        return values[name]

    found = {output: load(step) for output, step in planned.outputs.items()}
    return next(iter(found.values())) if len(found) == 1 else found


class _NoResults(ResultStore):
    """Instances have no journal: what they compute goes to whoever called."""

    def __init__(self) -> None:
        pass

    def get(self, key: str) -> StoredResult:
        """Refuse.

        Raises:
            InvalidInput: Always.
        """
        raise InvalidInput("A function cannot start from the stored result of a run.", hint="Hand over the value.")
