"""Training buffers of a live twin: filled from a stream, trained with, and emptied only after success."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Any

import xarray as xr

from gemel.base.clock import iso, utc_now
from gemel.base.errors import StoreUnavailable, not_found
from gemel.core.engine._runs import Runs
from gemel.core.engine._telling import Teller, stream_of
from gemel.core.graph import Run
from gemel.core.stream import EventLog
from gemel.core.stream.buffers import Batch, BufferSpec, TrainingBuffer
from gemel.core.stream.triggers import Drift, Marks, Selection, Volume
from gemel.core.twin import BufferTable, Twin, resolve
from gemel.infra.store import Store

_LOOK_SECONDS = 0.5
_BATCH = 1000


class BufferFeed:
    """Keeps one training buffer of a twin: opens batches, has each trained with by one run, lets go after success.

    The graph gets what the batch holds as a NetCDF file in its parameter `batch`, and the batch's description in
    `about` if it has one.

    Attributes:
        name: Name of the buffer.
        source: Whose stream fills it.
    """

    def __init__(
        self, name: str, twin: Twin, runs: Runs, stores: tuple[Store, EventLog, Marks], ways: tuple[Path, Teller]
    ) -> None:
        self.twin, self.name = twin, name
        folder, self._teller = ways
        self._table: BufferTable = twin.manifest.buffers[name]
        self.source = self._table.on
        self._runs, (store, self._log, self._marks) = runs, stores
        self._folder = folder / "buffers" / twin.id
        self._where = f"Buffer '{name}'"
        self.buffer = TrainingBuffer(store, self._log, twin.id, buffer_spec(twin.id, name, self._table))
        #: Returns the first position of the source's stream that some follower has not worked on.
        self.needed_from: Callable[[], int] = lambda: 0

    def check(self, known: Collection[str]) -> None:
        """Raise `NotFound` when the buffer is filled from a source, or trains with a graph, that the twin has not."""
        if self.source not in known:
            raise not_found(f"source of buffer '{self.name}'", self.source, known)
        self.twin.graph(self._table.run)

    def follow(self, stop: threading.Event) -> None:
        """Look after the buffer until `stop`."""
        while not stop.is_set():
            try:
                self._look(stop)
            except StoreUnavailable as error:
                self._teller.stumble(self._where, error)
            except Exception as error:  # a batch that cannot be trained with must not end the following
                self._teller.stumble(self._where, error)
            stop.wait(_LOOK_SECONDS)
        self.buffer.close()

    def fire(self, reason: str) -> Batch | None:
        """Return a batch of all that waits, opened now; None when nothing does.

        Raises:
            Conflict: A batch is being trained with, or failed.
        """
        return self.buffer.fire(reason)

    def again(self) -> Batch | None:
        """Return the batch that had failed, to be trained with once more; None when none had."""
        pending = self.buffer.unfinished()
        if pending is None or pending.state != "failed":
            return None
        self._teller.works(self._where)
        return self.buffer.again(pending)

    def document(self) -> dict[str, Any]:
        """Return how the buffer does, as JSON values."""
        batches = [batch_document(batch) for batch in self.buffer.batches(5)]
        return {"name": self.name, "source": self.source, "waiting": self.buffer.waiting(), "batches": batches}

    def _look(self, stop: threading.Event) -> None:
        self._heed_events()
        age = self._table.volume is not None and self._table.volume.age is not None
        opened = self.buffer.look(utc_now() if age and self._is_live() else None)
        batch = opened or self.buffer.unfinished()
        if batch is None or batch.state == "failed":
            return
        run = self._trained(batch, stop)
        if not run.finished:
            return
        if run.state == "finished":
            self._let_go(batch, run, stop)
        else:
            error = dict(run.error or {"message": f"The training was {run.state}."})
            self.buffer.failed(batch, run.id, error)
            self._teller.stumble(self._where, error)
            self._tell("failed", batch, run)

    def _is_live(self) -> bool:
        source = self.twin.manifest.sources.get(self.source)
        return source is None or source.kind != "replay"

    def _trained(self, batch: Batch, stop: threading.Event) -> Run:
        """Return the one run that trains with a batch, ended unless `stop` came; taken up when its engine died."""
        graph = self.twin.graph(self._table.run)
        path = self._file(batch)
        wanted = {parameter.name for parameter in graph.parameters}
        known = {"batch": f"file:{path}", "about": batch_document(batch) | {"run": None, "state": "open"}}
        given = {name: value for name, value in known.items() if name in wanted}
        # A batch that failed and is opened again has a cause of its own: the attempt is counted by its runs.
        cause = f"buffers/{self.twin.id}/{self.name}/{batch.number}/{self._attempt(batch)}"
        run_id = self._runs.start(self.twin, graph, resolve(self.twin, graph, given), cause=cause)
        if batch.state == "open":
            self.buffer.training(batch, run_id)
        run = self._runs.wait(run_id, _LOOK_SECONDS)
        while not run.finished and not stop.is_set():
            run = self._runs.wait(run_id, _LOOK_SECONDS)
        return run

    def _attempt(self, batch: Batch) -> int:
        attempt = 1
        while True:
            known = self._runs.journal.caused(f"buffers/{self.twin.id}/{self.name}/{batch.number}/{attempt}")
            if known is None or not known.finished or known.state == "finished" or known.id == batch.run:
                return attempt
            attempt += 1

    def _file(self, batch: Batch) -> Path:
        path = self._file_of(batch)
        if not path.exists():
            data = self.buffer.data(batch)
            fields = {name: ("time", values) for name, values in data.items() if name != "time"}
            dataset = xr.Dataset(fields, {"time": data["time"].astype("datetime64[ns]")})
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part")
            dataset.to_netcdf(unfinished, engine="h5netcdf")
            unfinished.rename(path)
        return path

    def _let_go(self, batch: Batch, run: Run, stop: threading.Event) -> None:
        # Whoever has not worked on the events yet still needs them.
        while self.needed_from() <= batch.last and not stop.wait(_LOOK_SECONDS):
            continue
        if not stop.is_set():
            self.buffer.done(batch, run.id)
            self._file_of(batch).unlink(missing_ok=True)
            self._teller.works(self._where)
            self._tell("trained", batch, run)

    def _file_of(self, batch: Batch) -> Path:
        return self._folder / f"{self.name}-{batch.number}-{batch.digest[:12]}.nc"

    def _tell(self, what: str, batch: Batch, run: Run) -> None:
        told = batch_document(batch) | {"run": run.id}
        self._teller.tell(f"gemel.buffer.{what}", told, identity=f"{what}-{self.name}-{batch.number}-{run.id}"[:200])

    def _heed_events(self) -> None:
        """Open a batch when an event of the named type was told about the twin."""
        if self._table.event is None:
            return
        name, stream = f"buffer-event/{self.name}", stream_of(self.twin.id)
        mark = self._marks.load(self.twin.id, name)
        events = self._log.read(stream, int(mark.get("position", 0)), _BATCH)
        if not events:
            return
        chosen = Selection((self._table.event,))
        if any(chosen.matches(event) for event in events) and self.buffer.unfinished() is None:
            self.buffer.fire("event")
        self._marks.save(self.twin.id, name, {"position": events[-1].position})


def buffer_spec(twin: str, name: str, table: BufferTable) -> BufferSpec:
    """Return what a table `[buffers.NAME]` says.

    Raises:
        InvalidInput: It makes no sense.
    """
    volume = None if table.volume is None else Volume(**table.volume.model_dump())
    drift = None if table.drift is None else Drift(**table.drift.model_dump())
    return BufferSpec(name, stream_of(twin, table.on), table.fields, volume, drift, table.most)


def batch_document(batch: Batch) -> dict[str, Any]:
    """Return a batch: what it holds, why it was opened, what became of it."""
    plain = ("buffer", "number", "state", "first", "last", "events", "digest", "reason", "run")
    told = {name: getattr(batch, name) for name in plain}
    times: dict[str, datetime | None] = {"created": batch.created, "ended": batch.ended}
    statistics = {name: dict(values) for name, values in batch.statistics.items()}
    return told | {"statistics": statistics} | {name: iso(value) for name, value in times.items()}
