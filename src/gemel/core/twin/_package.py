"""A twin on disk: its manifest, its Python, its graphs and processes, and the digest of all of it."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from gemel.base.errors import GemelError, TwinInvalid, not_found
from gemel.base.ids import digest_bytes
from gemel.core.graph import Graph, Process, Registry
from gemel.core.twin._manifest import MANIFEST, Manifest, read_manifest, read_tables

CARD = "README.md"
CODE = "twin.py"
_LOADING = threading.RLock()
_SKIPPED = {"__pycache__", ".git", ".pytest_cache", ".mypy_cache", ".ruff_cache"}


@dataclass(frozen=True)
class Twin:
    """A DT application: manifest, graphs and processes.

    Attributes:
        folder: Where it lies; relative references to data start here.
        registry: Its own processes and graphs, then those of plugins.
        graphs: By the name people run them with.
        content: Digest of every file of the package.
        origin: `folder`, `pulled` or `plugin`.
    """

    manifest: Manifest
    folder: Path
    registry: Registry
    graphs: Mapping[str, Graph]
    content: str
    origin: str

    @property
    def id(self) -> str:
        """Return the twin's id."""
        return self.manifest.id

    @property
    def main(self) -> str:
        """Return the graph that `gemel run` runs: the one named in `[twin] main`, else the first."""
        return self.manifest.twin.main or next(iter(self.graphs))

    def graph(self, name: str | None = None) -> Graph:
        """Return a graph by name, the main one by default.

        Raises:
            NotFound: The twin has no such graph.
        """
        wanted = name or self.main
        if wanted not in self.graphs:
            raise not_found(f"graph of twin '{self.id}'", wanted, self.graphs, command=f"gemel card {self.id}")
        return self.graphs[wanted]

    def card(self) -> str:
        """Return the card (Markdown), or an empty text when there is none."""
        path = self.folder / CARD
        return path.read_text(encoding="utf-8") if path.is_file() else ""


def read_twin(
    folder: Path, *, origin: str = "folder", parent: Twin | None = None, package: ModuleType | None = None
) -> Twin:
    """Return the twin in `folder`.

    Args:
        folder: Holds `twin.toml`, and `twin.py` unless there is a parent.
        origin: How it was found.
        parent: The twin that this one is an instance of: code and graphs, and all it does not say itself, are its.
        package: The installed Python package that the folder is, when a plugin brought it.

    Raises:
        TwinInvalid: The manifest or the code is wrong; names file and place.
    """
    path = folder / MANIFEST
    if parent is not None:
        manifest, _ = read_manifest(path, _inheritable(parent))
        content = digest_bytes((parent.content + content_digest(folder)).encode())
        return Twin(manifest, folder, parent.registry, parent.graphs, content, origin)
    manifest, _ = read_manifest(path)
    code = importlib.import_module(f"{package.__name__}.twin") if package else _module(folder, manifest)
    processes = {item.id: item for item in vars(code).values() if isinstance(item, (Process, Graph))}
    graphs = _graphs(manifest, code, path)
    return Twin(manifest, folder, Registry(processes), graphs, content_digest(folder), origin)


def content_digest(folder: Path) -> str:
    """Return the digest of all files of a twin: their relative names and their bytes."""
    hasher = hashlib.sha256()
    for path in package_files(folder):
        hasher.update(path.relative_to(folder).as_posix().encode() + b"\0")
        hasher.update(digest_bytes(path.read_bytes()).encode())
    return hasher.hexdigest()


def package_files(folder: Path) -> Iterator[Path]:
    """Yield the files that belong to the twin in `folder`, sorted; caches and hidden files are left out."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part in _SKIPPED or part.startswith(".") for part in parts):
            yield path


def take_along(twin: Path | None, folder: Path) -> None:
    """Copy the package in folder `twin`, if any, to `twin` in `folder`, replacing what was there."""
    target = folder / "twin"
    shutil.rmtree(target, ignore_errors=True)
    for path in package_files(twin) if twin else ():
        place = target / path.relative_to(twin) if twin else target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def _inheritable(parent: Twin) -> dict[str, Any]:
    raw = read_tables(parent.folder / MANIFEST)
    # What only holds for the parent's own physical twin is not handed down.
    return raw | {"twin": {**raw.get("twin", {}), "citation": "", "contact": ""}}


def _module(folder: Path, manifest: Manifest) -> ModuleType:
    path = folder / CODE
    if not path.is_file():
        raise TwinInvalid(f"{folder} has no {CODE}.", hint="Put the twin's processes and graphs there.")
    # Named by content: an edited twin is a new module, and two versions can be loaded side by side.
    name = f"gemel_twin_{manifest.id.replace('-', '_')}_{content_digest(folder)[:12]}"
    # A second thread must not find a module that a first one is still filling.
    with _LOADING:
        return sys.modules[name] if name in sys.modules else _loaded(name, folder, path)


def _loaded(name: str, folder: Path, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except GemelError as error:
        del sys.modules[name]
        raise TwinInvalid(f"{path}: {error.message}", hint=error.hint) from error
    except Exception as error:
        del sys.modules[name]
        place = _place(error, path)
        raise TwinInvalid(f"{path}{place}: {type(error).__name__}: {error}", hint="Correct the code.") from error
    return module


def _place(error: Exception, path: Path) -> str:
    line = getattr(error, "lineno", None)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}" if line else ""


def _graphs(manifest: Manifest, module: ModuleType, path: Path) -> dict[str, Graph]:
    found = {name: item for name, item in vars(module).items() if isinstance(item, Graph)}
    if not manifest.graphs:
        if not found:
            raise TwinInvalid(f"{path.parent / CODE} holds no graph.", hint="Decorate a function with @graph.")
        return found
    graphs = {}
    for name, function in manifest.graphs.items():
        if function not in found:
            raise TwinInvalid(f"{path}: [graphs.{name}] {not_found('graph', function, found).message}")
        graphs[name] = found[function]
    return graphs
