"""What a run's graph belongs to: a twin, or nothing but the installed processes."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

from gemel.core.graph import Registry, Run
from gemel.core.twin import Twin


@functools.cache
def _installed() -> Registry:
    return Registry()


@dataclass(frozen=True)
class Origin:
    """Where the processes and relative files of a run come from.

    Attributes:
        id: The twin's id, or an empty text for a graph that belongs to none.
        version: The twin's version, or an empty text.
        content: Digest of every file of the twin, or an empty text.
        folder: Where relative references to files start, or None for the current folder.
        registry: Processes that the graph may use.
    """

    id: str = ""
    version: str = ""
    content: str = ""
    folder: Path | None = None
    registry: Registry = field(default_factory=_installed)

    @classmethod
    def of(cls, twin: Twin) -> Origin:
        """Return the origin that a twin is to its graphs."""
        return cls(twin.id, twin.manifest.twin.version, twin.content, twin.folder, twin.registry)


def loose(folder: Path) -> Origin:
    """Return the origin of a graph without a twin, whose relative files lie in `folder`."""
    return Origin(folder=folder)


def twin_folder(run: Run) -> Path | None:
    """Return the folder that the run's twin was loaded from, if it is still there."""
    folder = Path(str(run.environment.get("folder") or ""))
    return folder if run.twin and folder.is_dir() else None
