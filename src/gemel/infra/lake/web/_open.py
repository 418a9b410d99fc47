"""Files on the web as cubes: rasters by ranges, Zarr chunk by chunk, everything else by way of the cache."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gemel.infra.lake._places import Place
from gemel.infra.lake.collections import open_file
from gemel.infra.lake.collections._assets import RASTERS
from gemel.infra.lake.formats import format_named
from gemel.infra.lake.formats._cf import restored
from gemel.infra.lake.formats._format import reading
from gemel.infra.lake.formats._zarr import opened
from gemel.infra.lake.web._cache import Cache
from gemel.infra.lake.web._client import Web
from gemel.infra.lake.web._store import WebStore


def opener(web: Web, cache: Cache) -> Callable[[Place, str, list[str] | None], Any]:
    """Return the function that opens a file wherever it lies, from its place, its format and names of variables."""

    def open_place(place: Place, kind: str, variables: list[str] | None) -> Any:
        if not place.remote:
            return open_file(place, kind, variables)
        web.check(place.address)
        if kind in RASTERS:
            return open_file(place, kind, variables)
        if kind == "Zarr" and not place.address.split("?")[0].endswith(".zip"):
            with reading("Zarr", place.path):
                return restored(opened(WebStore(place.address), place.path), "Zarr", variables)
        path = cache.file(web, place.address)
        options = {"variables": variables} if variables and "variables" in format_named(kind).input_parameters else {}
        return format_named(kind).read(path, options)

    return open_place


@functools.cache
def _passing() -> tuple[Cache, tempfile.TemporaryDirectory[str]]:
    # Holding the folder's guard keeps the folder until the process ends.
    folder = tempfile.TemporaryDirectory(prefix="gemel-cache-", ignore_cleanup_errors=True)
    return Cache(Path(folder.name)), folder


def cache_of(home: Path | None) -> Cache:
    """Return the cache of an engine's home; without one, a folder that goes with this process."""
    return Cache(home / "cache" / "web") if home is not None else _passing()[0]
