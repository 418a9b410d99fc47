"""What an event log is, whoever keeps it: streams, groups of consumers, deliveries; and what an event may be."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from gemel.base.errors import InvalidInput
from gemel.core.stream.events._event import Event, finite

# NATS takes messages of 1 MiB with their headers; what fits one log fits the other.
MAX_BYTES = 1_000_000
DEAD = ".dead"
# Made once: `json.dumps` with an option makes an encoder for each call.
_encoder = json.JSONEncoder(allow_nan=False, check_circular=False)

Begin = int | Literal["new", "all"]


class Delivery(NamedTuple):
    """An event handed to one consumer of a group, which acknowledges it or gives it back.

    Attributes:
        event: The event, with its position.
        attempt: 1 when the group sees the event for the first time.
        lease: What the log knows the delivery by.
    """

    event: Event
    attempt: int
    lease: Any


@runtime_checkable
class Group(Protocol):
    """Consumers that share a stream: each event goes to one of them, until one acknowledges it."""

    stream: str
    name: str

    def take(self, limit: int = 100, timeout: float = 0.0) -> list[Delivery]:
        """Return up to `limit` events as soon as there are any, or nothing when `timeout` seconds are over.

        What was not acknowledged in time comes again before anything new. An event's last attempt is handed out
        alone, so that one that kills its consumers takes no other with it.
        """

    def ack(self, *deliveries: Delivery, connection: Any = None) -> None:
        """Acknowledge deliveries: they do not come again.

        With a `connection` of the journal, the acknowledgement becomes part of the caller's transaction: the result
        and the position are written together or not at all.

        Raises:
            Conflict: With a `connection`: a delivery has meanwhile gone to another consumer; roll back.
            InvalidInput: This log cannot write in the caller's transaction.
        """

    def again(self, delivery: Delivery, after: float = 0.0, reason: str = "given back by its consumer") -> None:
        """Give a delivery back: it comes again after so many seconds, or is dead when this was its last attempt."""

    def working(self, delivery: Delivery) -> None:
        """Say that a delivery is still worked on: the time to acknowledge begins anew for all that came with it."""

    def bury(self, delivery: Delivery, reason: str) -> None:
        """Move a delivery to the dead letters at once, with the reason."""

    def pending(self) -> int:
        """Return how many events the group has not acknowledged, handed out or not."""

    def close(self) -> None:
        """Leave the group; what this consumer did not acknowledge comes again to the others."""


@runtime_checkable
class EventLog(Protocol):
    """Streams of events: ordered, durable, deduplicated, bounded, replayable, and shared out by groups."""

    def append(self, stream: str, event: Event) -> int | None:
        """Return the event's position once it is durable, or None when its id is already in the stream.

        Raises:
            InvalidInput: The event is malformed or larger than `MAX_BYTES`; nothing was kept.
            StoreFull: The stream's bound or the disk is reached; nothing was kept.
        """

    def append_many(self, stream: str, events: Sequence[Event]) -> list[int | None]:
        """Return the position of each event, None for the duplicates. Errors are those of `append`."""

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """Return events after a position, oldest first."""

    def last(self, stream: str, count: int = 1) -> Sequence[Event]:
        """Return the last `count` events, oldest first."""

    def since(self, stream: str, time: datetime) -> int:
        """Return the position after which the events recorded at `time` or later stand: `read` on from it."""

    def wait(self, stream: str, after: int, timeout: float) -> Sequence[Event]:
        """Return the events after a position as soon as there are any, or nothing when the time is up."""

    def group(
        self, stream: str, name: str, *, begin: Begin = "all", ack_wait: float = 30.0, attempts: int = 5
    ) -> Group:
        """Return a consumer of a group, which is made when it is new.

        Args:
            stream: What it consumes.
            name: All who use the same name share the events.
            begin: Where a new group begins: a position (events after it), "new" or "all". A known one goes on.
            ack_wait: Seconds until an event that nobody acknowledged comes again.
            attempts: After so many of them an event goes to the stream `<stream>.dead`, with the reason.
        """

    def limit(self, stream: str, *, events: int | None = None, bytes: int | None = None) -> None:
        """Bound a stream: what goes beyond is refused with `StoreFull`, and nothing is dropped for it."""

    def trim(self, stream: str, before: int) -> int:
        """Remove events before a position that every group has acknowledged, and return how many went."""

    def forget(self, stream: str) -> None:
        """Remove every event of a stream."""

    def close(self) -> None:
        """Close what the log opened."""


def checked(event: Event) -> str:
    """Return the event's data as JSON text, once the event is fit for any log.

    Raises:
        InvalidInput: A required attribute is empty, too long or no text, the time has no zone, the data is not JSON,
            or the whole is larger than `MAX_BYTES`.

    >>> from datetime import UTC
    >>> checked(Event("e1", "gemel.observation", "/gauge", datetime(1984, 1, 1, tzinfo=UTC), {"flow": 3.0}))
    '{"flow": 3.0}'
    """
    for name, most, value in (("id", 200, event.id), ("type", 200, event.type), ("source", 300, event.source)):
        if type(value) is not str or not 0 < len(value) <= most or "\0" in value:
            raise InvalidInput(
                f"The event's {name} is not a text of 1 to {most} characters.",
                hint="CloudEvents 1.0 requires it.",
                attribute=name,
            )
    subject = event.subject
    if subject is not None and (type(subject) is not str or len(subject) > 300 or "\0" in subject):
        raise InvalidInput("The event's subject is not a text of up to 300 characters.", attribute="subject")
    if not isinstance(event.time, datetime) or event.time.tzinfo is None:
        raise InvalidInput("The event's time has no time zone.", hint="Use datetime(…, tzinfo=UTC).", attribute="time")
    text = data_text(event)
    if len(text) > MAX_BYTES:
        message = f"The event '{event.id}' has {len(text):,} bytes of data; {MAX_BYTES:,} are allowed."
        raise InvalidInput(message, hint="Put the data into a dataset, and its name into the event.", bytes=len(text))
    return text


def data_text(event: Event) -> str:
    """Return the event's data as JSON text, null where a number is not finite."""
    try:
        return _encoder.encode(event.data)
    except (TypeError, ValueError, RecursionError):
        pass  # the slow way knows more kinds of values, and what to do with NaN
    try:
        return _encoder.encode(finite(event.data))
    except (TypeError, ValueError, RecursionError) as error:
        message = f"The data of event '{event.id}' is not JSON: {error}."
        raise InvalidInput(message, hint="Numbers, texts, lists and objects are.") from error


def checked_stream(stream: str) -> str:
    """Return the name of a stream; raise `InvalidInput` when it is empty, too long or not printable."""
    if not isinstance(stream, str) or not 0 < len(stream) <= 290 or not stream.isprintable():
        raise InvalidInput("A stream's name is a text of 1 to 290 printable characters.", stream=str(stream)[:300])
    return stream


def dead_letter(group: str, delivery: Delivery, reason: str) -> Event:
    """Return the event that tells of a dead letter: the whole event, its position, and why."""
    event = delivery.event
    data = {"reason": reason, "group": group, "attempts": delivery.attempt, "position": event.position}
    id = f"{group}/{event.position}"
    return Event(id, "gemel.dead-letter", event.source, event.time, data | {"event": event.document()}, event.subject)


def this_consumer() -> str:
    """Return who we are among the consumers of all machines; a process that ended can be told from its successor."""
    return f"{_host()}:{os.getpid()}:{_started(os.getpid())}"


def is_gone(consumer: str) -> bool:
    """Return whether the process of a consumer has ended, as far as this machine can know."""
    host, pid, started, *_ = (*consumer.split(":"), "", "")
    return host == _host() and pid.isdigit() and _started(int(pid)) != started


@cache
def _host() -> str:
    return socket.gethostname().replace(":", "-")[:200]


def _started(pid: int) -> str:
    try:
        # Fields after the command's name, which may hold blanks: state is the first, start time the 20th (proc(5)).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "gone"
    return "gone" if fields[0] in "ZX" else fields[19]
