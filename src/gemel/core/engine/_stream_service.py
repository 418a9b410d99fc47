"""All that people may ask of streams, states and triggers, answered in JSON documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from gemel.base.clock import iso, parse_instant
from gemel.base.errors import Denied, InvalidInput, NotFound, not_found
from gemel.core.engine._buffering import BufferFeed, batch_document
from gemel.core.engine._engine import Engine
from gemel.core.engine._telling import stream_of
from gemel.core.engine._watching import KnownTrigger
from gemel.core.stream import Event, State
from gemel.core.stream.events import DEAD
from gemel.core.stream.triggers import CAUSES

Document = dict[str, Any]
Documents = list[Document]
# What the engine itself writes; others send to sources of twins, or to streams of other names.
_OURS = ("twins/", "functions/", "models/", "aviso/", "lake", CAUSES)
_MOST = 10_000
_PATIENCE_SECONDS = 5.0


class StreamService:
    """The event log and the states of an engine, seen through documents (see `docs/reference/documents.md`)."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._log = engine, engine.log

    def streams(self) -> Documents:
        """Return every stream that has events, with its newest position and its dead letters."""
        return [self._short(name) for name in self._log.streams()]

    def stream(self, name: str) -> Document:
        """Return one stream: its newest position, its bounds, and how far its groups are.

        Raises:
            NotFound: Nothing was ever told in it.
        """
        known = self._log.streams()
        if name not in known:
            raise not_found("stream", name, known, command="gemel stream list")
        return self._short(name) | self._log.described(name)

    def _short(self, name: str) -> Document:
        last = self._log.last(name)
        newest = last[-1] if last else None
        return {
            "name": name,
            "position": newest.position if newest else 0,
            "time": iso(newest.time) if newest else None,
            "type": newest.type if newest else None,
        }

    def events(
        self, stream: str, after: int = 0, limit: int = 100, since: str | None = None, wait: float = 0.0
    ) -> Documents:
        """Return events after a position as CloudEvents with their `position`, oldest first.

        Args:
            stream: Its name.
            after: A position; a negative one counts from the end: -5 begins with the last five.
            limit: Most events, up to ten thousand.
            since: Instead of `after`: events recorded at this instant or later.
            wait: Seconds to wait for the first one.
        """
        if not 1 <= limit <= _MOST:
            raise InvalidInput(f"A limit of {limit} events is not between 1 and {_MOST:,}.", hint="Ask in pieces.")
        if after < 0:
            found = self._log.last(stream, min(-after, limit))
        else:
            begin = after if since is None else self._log.since(stream, parse_instant(since))
            if wait > 0:
                self._log.wait(stream, begin, wait)
            found = self._log.read(stream, begin, limit)
        return [event_document(event) for event in found]

    def send(self, stream: str, events: Iterable[Mapping[str, Any]]) -> Document:
        """Return how many CloudEvents were new and how many known, once they are durable in a stream of people's own.

        Raises:
            Denied: Only the engine writes to that stream.
            InvalidInput: One of the events is malformed; none was kept.
            StoreFull: The stream is full; none was kept.
        """
        if stream.startswith(_OURS):
            hint = "Send to a source of kind webhook, or choose another name."
            raise Denied(f"Only the engine writes to the stream '{stream}'.", hint=hint)
        positions = self._log.append_many(stream, [Event.from_document(event) for event in events])
        new = [position for position in positions if position is not None]
        return {"accepted": len(new), "duplicates": len(positions) - len(new), "position": max(new, default=None)}

    def receive(self, twin: str, source: str, headers: Mapping[str, str], body: bytes) -> Document:
        """Return how many observations in a request were new, known, and rejected, once they are durable.

        Raises:
            NotFound: The twin is not live, or has no such source.
            InvalidInput: The request holds no observation.
            Denied: The sender is not who it should be.
            StoreFull: The stream is full; nothing was kept, send it again.
        """
        counts = self._engine.live(twin).receive(source, headers, body)
        return {"accepted": counts.received, "duplicates": counts.duplicates, "rejected": counts.rejected}

    def tail(self, stream: str, after: int | None = None, timeout: float | None = None) -> Iterator[Document]:
        """Yield events as they come (see `tailed`)."""
        return tailed(self.events, stream, after, timeout)

    def dead(self, stream: str, after: int = 0, limit: int = 100) -> Documents:
        """Return the dead letters of a stream: what could not be taken in or worked on, and why."""
        return self.events(stream + DEAD, after, limit)

    def replay(self, stream: str, positions: Iterable[int] | None = None) -> Document:
        """Return how many dead letters were put back into their stream, as new events; each goes back once.

        Args:
            stream: Its name.
            positions: Positions of the letters; all of them by default.

        Raises:
            NotFound: There is no letter at a position.
            InvalidInput: A letter holds a payload that is no event; correct it and send it again.
        """
        letters = {event.position: event for event in self._log.read(stream + DEAD, 0, _MOST)}
        wanted = sorted(letters) if positions is None else list(positions)
        for position in wanted:
            if position not in letters:
                raise not_found(f"dead letter of '{stream}'", str(position), map(str, letters))
        chosen = [letters[position] for position in wanted]
        unfit = [str(letter.position) for letter in chosen if "event" not in letter.data]
        if unfit and positions is not None:
            message = f"Dead letters {', '.join(unfit)} of '{stream}' are payloads that are no events."
            raise InvalidInput(message, hint="Read them, correct them, and send them again.")
        fit = [letter for letter in chosen if "event" in letter.data]
        back = self._log.append_many(stream, [_revived(letter) for letter in fit]) if fit else []
        return {"replayed": sum(position is not None for position in back), "left": len(unfit)}

    # Buffers

    def buffers(self, twin: str) -> Documents:
        """Return the training buffers of a live twin: what waits, and the newest batches."""
        return [buffer.document() for buffer in self._engine.live(twin).buffers.values()]

    def fire_buffer(self, twin: str, buffer: str, reason: str = "call") -> Document:
        """Return the batch of all that waits in a buffer, opened now to be trained with.

        Raises:
            NotFound: The twin has no such buffer, or nothing waits in it.
            Conflict: A batch is being trained with, or failed.
        """
        batch = self._buffer(twin, buffer).fire(reason)
        if batch is None:
            raise NotFound(f"Nothing waits in buffer '{buffer}' of twin '{twin}'.")
        return batch_document(batch)

    def retry_buffer(self, twin: str, buffer: str) -> Document:
        """Return the batch whose training had failed, to be trained with once more.

        Raises:
            NotFound: The twin has no such buffer, or none of its batches failed.
        """
        batch = self._buffer(twin, buffer).again()
        if batch is None:
            raise NotFound(f"No training of buffer '{buffer}' of twin '{twin}' has failed.")
        return batch_document(batch)

    def _buffer(self, twin: str, buffer: str) -> BufferFeed:
        known = self._engine.live(twin).buffers
        if buffer not in known:
            raise not_found(f"buffer of twin '{twin}'", buffer, known)
        return known[buffer]

    # States

    def states(
        self, twin: str, count: int = 20, begin: str | None = None, end: str | None = None, known: str | None = None
    ) -> Documents:
        """Return versions of the twin's state, oldest first: valid between two instants, known by a third."""
        self._engine.twin(twin)
        bounds = {
            name: parse_instant(text)
            for name, text in (("begin", begin), ("end", end), ("known", known))
            if text is not None
        }
        return [state_document(state) for state in self._engine.states.history(twin, count, **bounds)]

    def state(self, twin: str, valid: str | None = None, known: str | None = None) -> Document:
        """Return the state at an instant, as it was known at another; the latest by default.

        Raises:
            NotFound: The twin had none.
        """
        self._engine.twin(twin)
        if valid is None and known is None:
            found = self._engine.states.latest(twin)
        else:
            at = (
                datetime.max.replace(tzinfo=parse_instant("2000-01-01").tzinfo)
                if valid is None
                else parse_instant(valid)
            )
            found = self._engine.states.as_of(twin, at, None if known is None else parse_instant(known))
        if found is None:
            raise NotFound(f"Twin '{twin}' has no state {'yet' if valid is None else f'at {valid}'}.", hint="gemel up")
        return state_document(found)


class TriggerService:
    """The triggers of an engine, seen through documents."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self, twin: str | None = None) -> Documents:
        """Return the triggers of a twin, or those of live twins and all that were added."""
        return [self._document(item) for item in self._engine.triggers.all(twin)]

    def get(self, twin: str, name: str) -> Document:
        """Return one trigger."""
        return self._document(self._engine.triggers.get(self._engine.twin(twin).id, name))

    def add(self, twin: str, document: Mapping[str, Any]) -> Document:
        """Return a new trigger, described as a table `[[triggers]]` of `twin.toml`."""
        return self._document(self._engine.triggers.add(self._engine.twin(twin), document))

    def remove(self, twin: str, name: str) -> None:
        """Remove a trigger that was added."""
        self._engine.triggers.remove(self._engine.twin(twin).id, name)

    def call(
        self, twin: str, name: str, parameters: Mapping[str, Any] | None = None, key: str | None = None
    ) -> Document:
        """Return the cause that a call gave; the same key gives the same cause, and one run."""
        event = self._engine.triggers.call(self._engine.twin(twin), name, parameters or {}, key)
        return self._cause(event)

    def causes(self, twin: str | None = None, count: int = 50) -> Documents:
        """Return the newest causes, newest first, each with its run when it has one."""
        found = self._engine.log.last(CAUSES, _MOST if twin else count)
        mine = [event for event in found if twin is None or event.subject == twin]
        return [self._cause(event) for event in reversed(mine[-count:])]

    def _document(self, item: KnownTrigger) -> Document:
        mark = self._engine.marks.load(*item.key)
        table = item.spec.model_dump(exclude_defaults=True)
        problem = self._engine.triggers.problems.get("/".join(item.key))
        about = {"twin": item.twin, "name": item.spec.title, "kind": item.spec.kind, "run": item.spec.run}
        told = {"position": mark.get("position"), "last": mark.get("after"), "problem": problem}
        return about | {"stored": item.stored, "table": table} | told

    def _cause(self, event: Event) -> Document:
        run = self._engine.runs.journal.caused(f"{CAUSES}/{event.id}")
        about = {name: event.data.get(name) for name in ("twin", "trigger", "kind", "key", "graph")}
        done = {"run": run.id if run else None, "state": run.state if run else "waiting"}
        return {"id": event.id, "time": iso(event.time), **about, **done}


def tailed(
    read: Callable[..., Documents], stream: str, after: int | None = None, timeout: float | None = None
) -> Iterator[Document]:
    """Yield the events of a stream as they come.

    Args:
        read: Returns events after a position (see `StreamService.events`).
        stream: Name of the stream.
        after: A position, whose successors come first; None for what comes from now on.
        timeout: Ends after so many seconds in which nothing came; None never.
    """
    newest = read(stream, -1, 1)
    position = after if after is not None else (newest[-1]["position"] if newest else 0)
    quiet = 0.0
    while timeout is None or quiet < timeout:
        step = _PATIENCE_SECONDS if timeout is None else min(_PATIENCE_SECONDS, timeout - quiet)
        found = read(stream, position, 1000, None, step)
        quiet = 0.0 if found else quiet + step
        for event in found:
            position = event["position"]
            yield event


def event_document(event: Event) -> Document:
    """Return an event as a CloudEvent, with its position as the extension attribute `position`."""
    return event.document() | {"position": event.position}


def state_document(state: State) -> Document:
    """Return a version of a twin's state."""
    return {
        "twin": state.twin,
        "sequence": state.sequence,
        "valid": iso(state.valid),
        "known": iso(state.known),
        "run": state.run,
        "source": state.source,
        "uncertainty": dict(state.uncertainty),
        "outputs": sorted(state.document),
    }


def twin_stream(twin: str, part: str | None = None) -> str:
    """Return the stream of a twin, or of one of its sources and windows."""
    return stream_of(twin, part)


def _revived(letter: Event) -> Event:
    event = Event.from_document(letter.data["event"])
    # A new id, as the old one is known in the stream; made of the letter, so that it goes back once.
    name = f"{event.id[:170]}~{letter.position}"
    return Event(name, event.type, event.source, event.time, event.data, event.subject)
