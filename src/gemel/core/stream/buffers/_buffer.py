"""A training buffer: its events stay in the log until training with them succeeded; its batches stand in the journal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import sqlalchemy as sql
from sqlalchemy.engine import Connection

from gemel.base.errors import Conflict, NotFound, ResultCorrupt
from gemel.core.stream.buffers._batch import Batch, BatchState, BufferSpec, Digest, Moments, columns, instant
from gemel.core.stream.events import Event, EventLog
from gemel.core.stream.triggers import Firing, Marks, Volume
from gemel.infra.store import Store, schema

_BATCHES = schema.buffer_batches
_PAGE = 1000
_REASON = 40
_UNFINISHED = ("open", "training", "failed")
_ACK_WAIT = 10.0
_ATTEMPTS = 1_000_000_000  # nothing of a buffer ever becomes a dead letter


class TrainingBuffer:
    """Gathers the events of a stream for training, and lets them go when training succeeded.

    The events lie in the log. The buffer is a consumer group of its own there, which acknowledges a batch's events
    only when the batch is done: since `EventLog.trim` removes nothing that some group has not acknowledged, neither
    the buffer nor anyone else can remove an event that it still needs. A stream with a bound fills up when training
    fails for long, and then refuses more, loudly.

    There is one unfinished batch at a time; what comes meanwhile belongs to the next. Which events a batch has
    follows from the events alone: a process killed anywhere finds, or makes, the same batch with the same digest.
    One process at a time works with a buffer (the engine's duty).

    Args:
        store: The journal, for batches and the buffer's mark.
        log: Where the events are.
        twin: Name of the twin.
        spec: What is gathered, and when it is enough.
    """

    def __init__(self, store: Store, log: EventLog, twin: str, spec: BufferSpec) -> None:
        self._store, self._log, self.twin, self.spec = store, log, twin, spec
        self._marks, self._name = Marks(store), f"buffer/{spec.name}"
        self._bound = Volume(events=spec.most_events, kind="bound")
        self._group = log.group(
            spec.stream, f"{twin}/buffer/{spec.name}", begin="all", ack_wait=_ACK_WAIT, attempts=_ATTEMPTS
        )

    def look(self, now: datetime | None = None) -> Batch | None:
        """Return the batch that is to be trained with, opened now if it is time, or None.

        A batch that is being trained with, or failed, is not returned: see `unfinished` and `again`.

        Args:
            now: The events' own clock, for a volume by age although nothing comes.
        """
        self._finish()
        pending = self.unfinished()
        if pending is not None:
            return pending if pending.state == "open" else None
        while True:
            mark = self._mark()
            events = self._log.read(self.spec.stream, mark["position"], _PAGE)
            documents, firing = self._observed(mark, events)
            if firing is not None:
                return self._open(firing.kind, firing.position, documents)
            if events:
                self._save(mark | {"position": events[-1].position, "documents": documents})
            if len(events) < _PAGE:
                return self._aged(now)

    def fire(self, reason: str) -> Batch | None:
        """Return a new batch with all that has come (at most `most_events`), or None when nothing has.

        Raises:
            Conflict: A batch is not finished yet.
        """
        self._finish()
        pending = self.unfinished()
        if pending is not None:
            message = f"Batch {pending.number} of buffer '{self.spec.name}' is not finished: {pending.state}."
            raise Conflict(message, hint="Wait until it is done, or try a failed one again.", batch=pending.number)
        last, events = 0, 0
        for page in self._pages(self._from() - 1, None):
            page = page[: self.spec.most_events - events]
            last, events = page[-1].position, events + len(page)
            if events == self.spec.most_events:
                break
        if not events:
            return None
        # What lies before the end has been counted, or is now: the rules begin anew, the reference of drift goes on.
        mark = self._mark()
        drift = mark["documents"].get("drift", {})
        for page in self._pages(mark["position"], last):
            drift = self._drift(drift, page)[0]
        return self._open(reason[:_REASON], last, {"drift": drift})

    def unfinished(self) -> Batch | None:
        """Return the batch that is open, being trained with or failed, or None."""
        return self._one(_BATCHES.c.state.in_(_UNFINISHED))

    def batches(self, count: int = 100) -> list[Batch]:
        """Return the last `count` batches, oldest first."""
        query = sql.select(_BATCHES).where(*self._ours()).order_by(_BATCHES.c.number.desc()).limit(count)
        with self._store.read() as connection:
            return [_batch(row) for row in reversed(connection.execute(query).mappings().all())]

    def get(self, number: int) -> Batch:
        """Return a batch by its number; raise `NotFound` when there is no such."""
        found = self._one(_BATCHES.c.number == number)
        if found is None:
            raise NotFound(f"Buffer '{self.spec.name}' of twin '{self.twin}' has no batch {number}.", number=number)
        return found

    def waiting(self) -> int:
        """Return how many events belong to no batch yet; counted by the log, not read."""
        pending = self.unfinished()
        return max(0, self._group.pending() - (0 if pending is None else pending.events))

    def data(self, batch: Batch) -> dict[str, np.ndarray[Any, Any]]:
        """Return what the batch holds: "time" (datetime64[us], UTC) and each field (float64, NaN for null), 1-D.

        Raises:
            Conflict: It is done; its events may be gone.
            ResultCorrupt: The log does not have the events that the digest was made of.
        """
        if self.get(batch.number).state == "done":
            message = f"The events of batch {batch.number} of buffer '{self.spec.name}' were let go after training."
            raise Conflict(message, hint="Its digest and statistics are kept.", batch=batch.number)
        digest, pages = Digest(), []
        for page in self._pages(batch.first - 1, batch.last):
            digest.add(page)
            pages.append(columns(page, self.spec.fields))
        if digest.text() != batch.digest:
            message = f"The events of batch {batch.number} of buffer '{self.spec.name}' are not those it was made of."
            raise ResultCorrupt(message, hint="Was the stream forgotten?", batch=batch.number)
        return {name: np.concatenate([page[name] for page in pages]) for name in ("time", *self.spec.fields)}

    def training(self, batch: Batch, run: str) -> Batch:
        """Say that a run trains with the batch. Raises `Conflict` when it is done or failed."""
        return self._turn(batch, "training", ("open", "training"), {"run": run})

    def done(self, batch: Batch, run: str) -> Batch:
        """Say that training succeeded: from now on, and not before, the log may discard the batch's events.

        The batch is done when this is durable in the journal; acknowledging and trimming follow, and are finished
        by the next `look` when the process dies in between. Digest and statistics stay.

        Raises:
            Conflict: It had failed and was not opened again.
        """
        now = self.get(batch.number)
        if now.state != "done":
            now = self._turn(batch, "done", ("open", "training"), {"run": run, "ended": time.time()})
        self._finish()
        return now

    def failed(self, batch: Batch, run: str, error: Mapping[str, Any]) -> Batch:
        """Say that training failed, and why: the events stay, and `again` opens the batch once more."""
        document = json.dumps({"fields": batch.statistics, "error": dict(error)})
        changes = {"run": run, "ended": time.time(), "statistics": document}
        return self._turn(batch, "failed", ("open", "training", "failed"), changes)

    def again(self, batch: Batch) -> Batch:
        """Open a failed batch once more, with the same events. Raises `Conflict` when it has not failed."""
        return self._turn(batch, "open", ("failed",), {"ended": None, "run": None})

    def close(self) -> None:
        """Leave the log; what the buffer needs stays there."""
        self._group.close()

    def _observed(self, mark: Mapping[str, Any], events: Sequence[Event]) -> tuple[dict[str, Any], Firing | None]:
        """Return the rules' documents after the events, or after the first event at which one fires."""
        documents, fired = self._shown(mark["documents"], events)
        if not fired:
            return documents, None
        first = min(fired, key=lambda firing: firing.position)
        return self._shown(mark["documents"], [event for event in events if event.position <= first.position])[0], first

    def _shown(self, documents: Mapping[str, Any], events: Sequence[Event]) -> tuple[dict[str, Any], list[Firing]]:
        bound, full = self._bound.observe(documents.get("bound", {}), events)
        volume, enough = documents.get("volume", {}), list[Firing]()
        if self.spec.volume is not None:
            volume, enough = self.spec.volume.observe(volume, events)
        drift, drifted = self._drift(documents.get("drift", {}), events)
        # Of those that fire at the same event, the one with most to say comes first.
        return {"bound": bound, "volume": volume, "drift": drift}, [*drifted, *enough, *full]

    def _drift(self, document: Mapping[str, Any], events: Sequence[Event]) -> tuple[dict[str, Any], list[Firing]]:
        return ({}, []) if self.spec.drift is None else self.spec.drift.observe(document, events)

    def _aged(self, now: datetime | None) -> Batch | None:
        mark, rule = self._mark(), self.spec.volume
        if now is None or rule is None:
            return None
        _, fired = rule.elapsed(mark["documents"].get("volume", {}), now)
        return self._open(rule.kind, mark["position"], mark["documents"]) if fired else None

    def _open(self, reason: str, last: int, documents: Mapping[str, Any]) -> Batch:
        """Write the batch and the mark in one transaction; what a batch holds is counted from its first event on."""
        digest, moments, events = Digest(), {name: Moments() for name in self.spec.fields}, 0
        first = 0
        for page in self._pages(self._from() - 1, last):
            first, events = first or page[0].position, events + len(page)
            digest.add(page)
            values = columns(page, self.spec.fields)
            for name in self.spec.fields:
                moments[name].add(values[name])
        statistics = {name: moment.document() for name, moment in moments.items()}
        row = {"first": first, "last": last, "events": events, "digest": digest.text(), "reason": reason}
        row |= {"twin": self.twin, "buffer": self.spec.name, "state": "open", "run": None, "ended": None}
        row |= {"statistics": json.dumps({"fields": statistics}), "created": time.time()}
        mark = self._mark() | {"position": last, "documents": {"drift": documents.get("drift", {})}}
        with self._store.write() as connection:
            newest = sql.select(sql.func.max(_BATCHES.c.number)).where(*self._ours())
            row["number"] = (connection.execute(newest).scalar() or 0) + 1
            connection.execute(sql.insert(_BATCHES), row)
            self._save(mark, connection)
        return _batch(row)

    def _turn(self, batch: Batch, state: BatchState, earlier: tuple[str, ...], changes: Mapping[str, Any]) -> Batch:
        this = (*self._ours(), _BATCHES.c.number == batch.number)
        with self._store.write() as connection:
            query = sql.update(_BATCHES).where(*this, _BATCHES.c.state.in_(earlier))
            changed = connection.execute(query.values(state=state, **changes)).rowcount
        now = self.get(batch.number)
        if not changed:
            message = f"Batch {batch.number} of buffer '{self.spec.name}' is {now.state}; it cannot become {state}."
            raise Conflict(message, batch=batch.number, state=now.state)
        return now

    def _finish(self) -> None:
        """Let the log have what done batches held: acknowledge it as the buffer's group, then trim."""
        newest, mark = self._one(_BATCHES.c.state == "done"), self._mark()
        if newest is None or mark["discarded"] >= newest.last:
            return
        complete = self._acknowledged(mark["discarded"], newest.last)
        self._log.trim(self.spec.stream, newest.last + 1)
        # What was trimmed was acknowledged by all: the proof, when a process was killed while it acknowledged.
        oldest = self._log.read(self.spec.stream, 0, 1)
        if complete or not oldest or oldest[0].position > newest.last:
            self._save(self._mark() | {"discarded": newest.last})

    def _acknowledged(self, after: int, last: int) -> bool:
        """Acknowledge the events in (after, last], and return whether that was each of them."""
        left = sum(len(page) for page in self._pages(after, last))
        while left:
            # As many as there can be and no more: events of the next batch are not taken, or given back.
            taken = self._group.take(min(left, _PAGE))
            mine = [delivery for delivery in taken if delivery.event.position <= last]
            self._group.ack(*mine)
            for delivery in taken:
                if delivery.event.position > last:
                    self._group.again(delivery)
            left -= len(mine)
            if not taken or len(mine) < len(taken):
                return not left
        return True

    def _from(self) -> int:
        """Return the position from which events belong to no batch yet."""
        newest = self._one(None)
        return 1 if newest is None else newest.last + 1

    def _pages(self, after: int, last: int | None) -> Iterator[list[Event]]:
        """Yield the events in (after, last], a page at a time, none of them empty."""
        while True:
            found = self._log.read(self.spec.stream, after, _PAGE)
            page = [event for event in found if last is None or event.position <= last]
            if page:
                yield page
            if len(page) < _PAGE:
                return
            after = page[-1].position

    def _mark(self) -> dict[str, Any]:
        return {"position": 0, "documents": {}, "discarded": 0} | self._marks.load(self.twin, self._name)

    def _save(self, mark: Mapping[str, Any], connection: Connection | None = None) -> None:
        self._marks.save(self.twin, self._name, mark, connection)

    def _ours(self) -> tuple[Any, ...]:
        return (_BATCHES.c.twin == self.twin, _BATCHES.c.buffer == self.spec.name)

    def _one(self, which: Any) -> Batch | None:
        """Return the newest batch for which the condition holds, or None."""
        query = sql.select(_BATCHES).where(*self._ours()).order_by(_BATCHES.c.number.desc()).limit(1)
        with self._store.read() as connection:
            row = connection.execute(query if which is None else query.where(which)).mappings().first()
        return None if row is None else _batch(row)


def _batch(row: Mapping[Any, Any]) -> Batch:
    document = json.loads(row["statistics"])
    plain = {name: row[name] for name in ("twin", "buffer", "number", "state", "first", "last", "events", "digest")}
    created = datetime.fromtimestamp(row["created"], UTC)
    error = document.get("error") if row["state"] == "failed" else None
    ended = instant(row["ended"])
    return Batch(
        **plain,
        reason=row["reason"],
        statistics=document["fields"],
        run=row["run"],
        created=created,
        ended=ended,
        error=error,
    )
