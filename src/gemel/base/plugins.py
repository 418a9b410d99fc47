"""Plugins: named things that any installed distribution offers through entry points, loaded on first use.

gemel's own processes, sources, checks and twins are registered in the same groups as those of third parties, so what
a plugin can do is exactly what gemel can do. A broken plugin is reported by `status` and skipped; it never stops the rest.
"""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from gemel.base.errors import MissingExtra, PluginBroken, not_found

GROUPS = {
    "processes": "functions that graphs are made of",
    "storages": "places where datasets lie",
    "compute": "sites that run steps",
    "sources": "where observations and events come from",
    "models": "kinds of models that can be trained",
    "checks": "assertions on data, models and results",
    "thematic": "domain modules",
    "twins": "digital twin packages",
    "faces": "standards spoken to others",
    "auth": "ways to tell who is asking",
}


_importing = threading.RLock()


@dataclass(frozen=True)
class PluginStatus:
    """What is known of one plugin: where it comes from and whether it loads."""

    group: str
    name: str
    value: str
    distribution: str
    version: str
    healthy: bool
    problem: str | None = None


class PluginGroup:
    """The plugins of one kind, by name.

    >>> "earlywarning" in plugins("twins").names()
    True
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, EntryPoint] | None = None
        self._loaded: dict[str, Any] = {}
        self.conflicts: list[str] = []

    def _scan(self) -> dict[str, EntryPoint]:
        if self._entries is None:
            found: dict[str, EntryPoint] = {}
            # gemel's own come first, so that another distribution cannot quietly replace a built-in.
            for entry in sorted(entry_points(group=f"gemel.{self.kind}"), key=_built_in_first):
                if entry.name not in found:
                    found[entry.name] = entry
                elif found[entry.name].value != entry.value:
                    self.conflicts.append(
                        f"'{entry.name}' of {_source(entry)[0]} hides behind the one already registered"
                    )
            self._entries = found
        return self._entries

    def names(self) -> list[str]:
        """Return the registered names in alphabetical order, without importing any plugin."""
        return sorted(self._scan())

    def get(self, name: str) -> Any:
        """Return the object registered as `name`, importing it on first use.

        Raises:
            NotFound: Nothing is registered under `name`.
            PluginBroken: The plugin's module cannot be imported.
        """
        if name not in self._loaded:
            entry = self._scan().get(name)
            if entry is None:
                raise not_found(f"{self.kind} plugin", name, self._scan(), command="gemel plugins")
            # Two threads that import modules of one circle see them half made.
            with _importing:
                self._loaded[name] = _load(entry, self.kind)
        return self._loaded[name]

    def healthy(self) -> Iterator[tuple[str, Any]]:
        """Yield (name, object) of every plugin that loads; broken ones are left to `status`."""
        for name in self.names():
            try:
                yield name, self.get(name)
            except PluginBroken:
                continue

    def status(self) -> list[PluginStatus]:
        """Return one `PluginStatus` per registered name, broken ones included."""
        return [self._status(name, entry) for name, entry in sorted(self._scan().items())]

    def _status(self, name: str, entry: EntryPoint) -> PluginStatus:
        distribution, version = _source(entry)
        try:
            self.get(name)
        except PluginBroken as error:
            return PluginStatus(self.kind, name, entry.value, distribution, version, False, error.message)
        return PluginStatus(self.kind, name, entry.value, distribution, version, True)


@functools.cache
def plugins(kind: str) -> PluginGroup:
    """Return the group of plugins of one `kind` (a key of `GROUPS`).

    Raises:
        NotFound: There is no such kind.
    """
    if kind not in GROUPS:
        raise not_found("plugin kind", kind, GROUPS)
    return PluginGroup(kind)


def require(module: str, *, extra: str) -> ModuleType:
    """Return the optional `module`, imported.

    Raises:
        MissingExtra: It is not installed; the hint is the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        hint = f"pip install 'gemel[{extra}]'"
        raise MissingExtra(
            f"This needs the package '{module}', which is not installed.", hint=hint, extra=extra
        ) from error


def _load(entry: EntryPoint, kind: str) -> Any:
    try:
        return entry.load()
    except Exception as error:
        # Whatever a third party's module raises on import must not take the engine down with it.
        message = f"Plugin '{entry.name}' ({entry.value}) cannot be loaded: {type(error).__name__}: {error}"
        raise PluginBroken(message, hint="gemel plugins", kind=kind, name=entry.name) from error


def _source(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "0")


def _built_in_first(entry: EntryPoint) -> tuple[bool, str, str]:
    name = _source(entry)[0]
    return (name != "gemel", name, entry.name)
