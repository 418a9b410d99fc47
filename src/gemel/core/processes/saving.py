"""Results as files (openEO process specification, group `export`)."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gemel.core.graph import surroundings
from gemel.core.processes._lake import refusals
from gemel.core.processes._standard import standard
from gemel.infra.lake import ContentStore
from gemel.infra.lake.collections import kept_item
from gemel.infra.lake.formats import format_named

_STALE_SECONDS = 86400.0


@standard(durable=True, wider=["data"])
def save_result(data: Any, format: str, options: dict[str, Any] = {}) -> dict[str, Any]:  # noqa: B006
    """The STAC Item of the files in which a cube, table or value was saved.

    Args:
        data: What to save; a cube is read block by block while it is written.
        format: Name of a file format.
        options: Of writing that format.

    Raises:
        ProcessRefused: `FormatUnsuitable`, `DataCubeEmpty`.
        StoreFull: No space is left; nothing was half-written.
    """
    home = surroundings().lake()
    store = ContentStore(home / "results")
    with refusals(), _workbench(home / "scratch") as folder:
        writer = format_named(format)
        files = writer.write(data, folder / f"result{writer.suffix}", options)
        return kept_item(files, data, writer, store)


@contextlib.contextmanager
def _workbench(folder: Path) -> Iterator[Path]:
    """Yield a fresh folder beside the store, and sweep out what killed engines left there."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("saving-*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="saving-", dir=folder) as place:
        yield Path(place)
