"""Outputs of runs as STAC Items of the collection `results`: with digest, licence, and the way to their provenance."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gemel.base.clock import iso
from gemel.base.errors import Conflict, GemelError, NotFound, not_found
from gemel.core.graph import Journal, Output, ResultStore, Run
from gemel.core.twin import Twin
from gemel.core.workspace import is_item
from gemel.infra.lake import ContentStore
from gemel.infra.lake.catalogue import Catalogue
from gemel.infra.lake.collections import EXTENSIONS, placed

COLLECTION = "results"
_PROVENANCE = "http://www.w3.org/ns/prov#has_provenance"  # link relation of W3C PROV-AQ, section 3.2
_MULTIHASH = "1220"  # SHA-256 of 32 bytes (multiformats table)
_MEDIA = {"netcdf": "application/x-netcdf", "json": "application/json"}
_BATCH = 100
_OVERLAP_SECONDS = 5.0  # runs of other engines may be written a little later than they ended

Document = dict[str, Any]


class RunItems:
    """Puts what runs bring into the catalogue, before somebody looks there.

    Args:
        catalogue: Where Items go.
        journal: Of the runs.
        results: Their outputs.
        files: Content of outputs that were saved as files.
        twin_of: Returns the twin that a run belongs to.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        journal: Journal,
        results: ResultStore,
        files: ContentStore,
        twin_of: Callable[[Run], Twin],
    ) -> None:
        self._catalogue, self._journal, self._results, self._files = catalogue, journal, results, files
        self._twin_of = twin_of
        self._lock = threading.Lock()
        self._until: float | None = None
        self._taken: set[str] = set()

    def follow(self) -> None:
        """Put the outputs of runs that finished since the last look into the catalogue."""
        # Whoever holds the lock is at it; putting something here leads back to this very place.
        if not self._lock.acquire(blocking=False):
            return
        try:
            while self._take_in():
                pass
        finally:
            self._lock.release()

    def forget(self, run_id: str) -> None:
        """Take the Items of a run's outputs away whose results are no longer kept."""
        for output in self._journal.get(run_id).outputs:
            if not self._kept(output):
                with contextlib.suppress(NotFound):
                    self._catalogue.delete_item(COLLECTION, item_id(run_id, output.name))

    def content(self, run: Run, name: str, file: str | None = None) -> tuple[bytes | Path, str, str]:
        """Return (bytes or the file that holds them, media type, SHA-256 digest) of an output as it is stored.

        Args:
            run: The run.
            name: Of the output.
            file: One of the files of an output that was saved as files.

        Raises:
            NotFound: There is no such output or file.
            ResultCorrupt: What was stored was damaged.
        """
        keys = {output.name: output.key for output in run.outputs}
        if name not in keys:
            raise not_found(f"output of run {run.id}", name, keys)
        stored = self._results.get(keys[name])
        if file is None:
            return self._results.read(stored), _media(stored.format), stored.digest
        value = self._results.load(stored)
        assets = value["assets"] if is_item(value) else {}
        if file not in assets:
            raise not_found(f"file of the output '{name}'", file, assets)
        digest = str(assets[file]["gemel:digest"])
        return self._files.verify(digest), str(assets[file].get("type", _media(""))), digest

    def _take_in(self) -> bool:
        """Return whether there may be more."""
        since = self._since()
        ended = dict(self._journal.finished_since(since - _OVERLAP_SECONDS, _BATCH + len(self._taken)))
        fresh = [run for run in ended if run not in self._taken]
        if not fresh:
            return False
        items = [item for run in fresh for item in self._items(self._journal.get(run))]
        if since == 0.0:
            with contextlib.suppress(Conflict):
                self._catalogue.put_collection(_collection(0.0), new=True)
        self._catalogue.put_items(COLLECTION, items)
        self._until = max(since, *(ended[run] for run in fresh))
        self._taken = {run for run in ended if ended[run] > self._until - 2 * _OVERLAP_SECONDS}
        self._catalogue.put_collection(_collection(self._until))
        return len(fresh) >= _BATCH

    def _since(self) -> float:
        if self._until is None:
            try:
                self._until = float(self._catalogue.collection(COLLECTION).get("gemel:followed", 0.0))
            except NotFound:
                self._until = 0.0
        return self._until

    def _items(self, run: Run) -> Iterator[Document]:
        for output in run.outputs:
            # What was removed or damaged meanwhile has no Item; the run's record says what became of it.
            with contextlib.suppress(GemelError):
                yield self._item(run, output)

    def _item(self, run: Run, output: Output) -> Document:
        stored = self._results.get(output.key)
        value = self._results.load(stored)
        kept = is_item(value)
        where = (
            {key: value[key] for key in ("geometry", "bbox", "properties") if key in value} if kept else placed(value)
        )
        address = f"/api/v1/runs/{run.id}/outputs/{output.name}"
        if kept:
            assets = {
                name: {key: told for key, told in asset.items() if key != "gemel:digest"}
                | {"href": f"{address}/files/{name}"}
                for name, asset in value["assets"].items()
            }
        else:
            asset: Document = {"href": f"{address}/stored", "type": _media(stored.format)}
            asset |= {"file:checksum": _MULTIHASH + stored.digest, "file:size": stored.size}
            assets = {"data": asset | {"title": output.name, "roles": ["data"]}}
        properties = where["properties"] | self._facts(run, output)
        links = [{"rel": _PROVENANCE, "href": f"/api/v1/runs/{run.id}/explain", "type": "application/json"}]
        links += [{"rel": "via", "href": f"/api/v1/runs/{run.id}", "type": "application/json", "title": "The run"}]
        shape: Document = {"type": "Feature", "stac_version": "1.1.0", "stac_extensions": EXTENSIONS}
        shape |= {"id": item_id(run.id, output.name), "collection": COLLECTION, **where, "properties": properties}
        return shape | {"links": links, "assets": assets}

    def _facts(self, run: Run, output: Output) -> Document:
        facts: Document = {
            "title": f"{output.name} of {run.twin or 'a graph'}",
            "license": self._licence(run) or "other",
        }
        facts |= {"created": iso(datetime.fromtimestamp(run.ended or run.created, UTC))}
        facts |= {"gemel:run": run.id, "gemel:output": output.name, "gemel:graph": run.graph}
        facts |= {"gemel:twin": run.twin} if run.twin else {}
        return facts | ({"gemel:unit": output.unit} if output.unit else {})

    def _licence(self, run: Run) -> str:
        try:
            return self._twin_of(run).manifest.twin.licence or "other"
        except GemelError:
            return "other"

    def _kept(self, output: Output) -> bool:
        try:
            self._results.get(output.key)
        except NotFound:
            return False
        return True


def item_id(run: str, output: str) -> str:
    """Return the id of the Item of a run's output."""
    return f"{run}.{output}"


def _collection(followed: float) -> Document:
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": COLLECTION,
        "title": "Results of runs",
        "description": "Every output of every finished run that is still kept, with its digest and its provenance.",
        "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
        "gemel:followed": followed,
    }


def _media(format: str) -> str:
    return _MEDIA.get(format, "application/octet-stream")
