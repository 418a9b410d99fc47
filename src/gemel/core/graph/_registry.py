"""Which processes a graph may use: a twin's own first, then those that plugins register."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from gemel.base.errors import NotFound, not_found
from gemel.base.plugins import plugins
from gemel.core.graph._graph import Graph
from gemel.core.graph._process import Process


class Registry:
    """Processes (and graphs used as processes) by id.

    An entry point of the group `gemel.processes` names one process, or a module (a library) that holds several.

    >>> Registry().get("add").id
    'add'
    """

    def __init__(self, own: Mapping[str, Process | Graph] | None = None) -> None:
        self._own = dict(own or {})
        self._libraries: dict[str, Process] | None = None

    def get(self, name: str) -> Process | Graph:
        """Return the process or graph called `name`.

        Raises:
            NotFound: There is none; the hint names the nearest.
            PluginBroken: It is registered but cannot be loaded.
        """
        if name in self._own:
            return self._own[name]
        group = plugins("processes")
        if name in group.names():
            found = group.get(name)
            if isinstance(found, Process):
                return found
        if name in self._all():
            return self._all()[name]
        raise not_found("process", name, self.names(), command="gemel plugins processes")

    def find(self, name: str) -> Process | Graph | None:
        """Return the process or graph called `name`, or None."""
        try:
            return self.get(name)
        except NotFound:
            return None

    def names(self) -> list[str]:
        """Return every id in alphabetical order."""
        return sorted({*self._own, *self._all()})

    def extended(self, more: Iterable[Process | Graph]) -> Registry:
        """Return a registry in which `more` comes before what this one holds."""
        return Registry(self._own | {item.id: item for item in more})

    def _all(self) -> dict[str, Process]:
        if self._libraries is None:
            # Filled before it is shown: another thread must not find half of it.
            libraries: dict[str, Process] = {}
            for _, found in plugins("processes").healthy():
                for item in processes_of(found):
                    libraries.setdefault(item.id, item)
            self._libraries = libraries
        return self._libraries


def processes_of(found: Any) -> list[Process]:
    """Return the processes in a plugin object: itself, or what a module holds."""
    if isinstance(found, Process):
        return [found]
    members = vars(found).values() if isinstance(found, ModuleType) else ()
    return [item for item in members if isinstance(item, Process)]
