"""Functions of an engine: what they run is found among the installed processes and the twins that the engine knows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gemel.core.engine._presence import Presence
from gemel.core.graph import Graph, Parameter, Process, Registry, Surroundings
from gemel.core.stream import EventLog
from gemel.core.stream.functions import Functions, FunctionSpec, Runnable, installed, of_package, work_of
from gemel.core.twin import Twin, find_twin, resolve
from gemel.infra.store import Store


@dataclass(frozen=True)
class Known:
    """Where functions find what they run.

    Attributes:
        place: Surroundings of their work.
        workspace: Folder in which relative files of installed processes start.
        twin: Finds a twin by name.
        folders: Returns the folders in which twins lie.
    """

    place: Surroundings
    workspace: Path
    twin: Callable[[str], Twin]
    folders: Callable[[], Sequence[Path]]


def functions_of(store: Store, log: EventLog, presence: Presence, known: Known) -> Functions:
    """Return the functions of an engine, not started yet.

    A graph of a twin takes what a call leaves out from the twin's parameters, settings and datasets; unlike a run, it gets
    no state of the twin that was not handed to it.
    """
    find = functools.partial(_found, known)
    return Functions(store, log, engine=presence.engine, alive=presence.alive, find=find)


def _found(known: Known, spec: FunctionSpec) -> Runnable:
    if spec.twin is None:
        work = Registry().get(str(spec.process))
        module = work.function.__module__ if isinstance(work, Process) else __name__
        make = functools.partial(installed, module, work.id, known.place, known.workspace)
        return Runnable(work.parameters, make)
    twin = known.twin(spec.twin)
    # Named by what is light to import: an instance needs twins, and nothing else of an engine.
    load = functools.partial(find_twin, spec.twin, folders=tuple(known.folders()))
    make = functools.partial(of_package, load, resolve, (spec.process, spec.graph), known.place)
    return Runnable(_parameters(work_of(twin, spec.process, spec.graph), twin), make)


def _parameters(work: Process | Graph, twin: Twin) -> tuple[Parameter, ...]:
    """Return what a call may give; of a graph the twin itself has the rest."""
    if not isinstance(work, Graph):
        return work.parameters
    known = {*twin.manifest.parameters, *twin.manifest.settings, *twin.manifest.datasets}
    return tuple(replace(item, required=False) if item.name in known else item for item in work.parameters)
