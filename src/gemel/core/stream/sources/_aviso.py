"""Notifications of an outside aviso-server (ECMWF), from where the last durable one stood."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from gemel.base.clock import iso, parse_instant, utc_now
from gemel.base.errors import GemelError, InvalidInput, StoreUnavailable
from gemel.core.stream.events import Event
from gemel.core.stream.sources._http import Http, retry_after
from gemel.core.stream.sources._options import Options
from gemel.core.stream.sources._payload import accepted, from_cloudevent, parsed, within
from gemel.core.stream.sources._retry import Backoff
from gemel.core.stream.sources._source import SourceContext
from gemel.core.stream.sources._sse import server_sent

_OPTIONS = ["url", "event_type", "identifier", "start", "silence", "token"]
_LOOK = 0.2  # seconds after which a waiting source looks whether it should stop
_WAITING = 200  # notifications that wait to be handed on; the socket is not read beyond them
_NOTIFICATIONS = ("live-notification", "replay")

_Numbered = tuple[int, dict[str, Any]]


class _Over(StoreUnavailable):
    """The server has closed the stream in good order; it is opened again at once."""


class Aviso:
    """A watch on an aviso-server (API of versions 0.4 to 0.13): `POST /api/v1/watch`, answered by server-sent events.

    What is missed while the connection is away is asked for by `from_id`, one more than the sequence of the last
    notification that is durable here; before the first one, by `from_date`, the moment when the source was opened
    first. A server whose sequences begin anew (in memory, restarted) is not noticed: it needs a new source.

    Options:
        url: Of the server, without ``/api/v1``.
        event_type: Name of the kind of notification.
        identifier: Table of what is asked for, such as ``{ class = "od", step = { lte = 24 } }``.
        start: Instant from which history is wanted at first (default: none is).
        silence: Seconds without even a heartbeat after which the connection is given up (default 2 min).
        token: Reference to a bearer token.
    """

    def __init__(self, context: SourceContext) -> None:
        options = Options(context, "aviso", _OPTIONS, ("url", "event_type"))
        self._context = context
        self._url = options.url("url", ("http", "https")).removesuffix("/api/v1")
        self._type, self._identifier = options.text("event_type"), options.table("identifier")
        self._start, self._token = options.instant("start"), options.reference("token")
        self._silence = options.seconds("silence", "2 min", 0.1)

    def events(self, after: datetime | None) -> Iterator[Event | Sequence[Event]]:
        """Yield notifications; a server that is away, or silent, is tried again."""
        stop, backoff = self._context.stop, Backoff(self._context.name, first=0.2)
        while not stop.is_set():
            came = False
            try:
                for found in self._watched(after):
                    backoff.calm()
                    came = True
                    yield found
            except GemelError as error:
                if came and isinstance(error, _Over):
                    continue  # servers limit how long a stream lasts, and how much history it has
                if backoff.pause(stop, error, retry_after(error)):
                    return

    def _watched(self, after: datetime | None) -> Iterator[Sequence[Event]]:
        """Yield the notifications of one connection."""
        memory = self._context.memory
        with _Connection(self._url, self._token, self._silence, self._request(after)) as connection:
            while not self._context.stop.is_set():
                pairs = connection.take(_LOOK)
                events = [event for _, found in pairs if (event := self._event(found))]
                if events:
                    yield events
                if pairs:
                    memory.save({"sequence": max(sequence for sequence, _ in pairs)})

    def _request(self, after: datetime | None) -> dict[str, Any]:
        known = self._context.memory.load()
        request: dict[str, Any] = {"event_type": self._type, "identifier": self._identifier}
        if "sequence" in known:
            return request | {"from_id": str(int(known["sequence"]) + 1)}
        if "since" not in known:
            since = max([item for item in (after, self._start) if item], default=utc_now())
            known = {"since": iso(since)}
            self._context.memory.save(known)
        return request | {"from_date": iso(parse_instant(known["since"]))}

    def _event(self, document: dict[str, Any]) -> Event | None:
        try:
            found = from_cloudevent(document, utc_now())
        except InvalidInput as error:
            self._context.reject(error.message, json.dumps(document)[:10_000].encode())
            return None
        data = {**found.data, "sequence": sequence_of(document), "server": found.source}
        # The server's id holds until its stream is made anew: with the moment it holds for ever.
        id = within(f"{self._context.name}@{found.id}@{iso(found.time)}")
        event = Event(id, found.type, self._context.uri, found.time, data, self._type)
        return accepted(self._context, event, document)


class _Connection:
    """One watch: a thread reads it, so that the source can stop while nothing comes."""

    def __init__(self, url: str, token: str | None, silence: float, request: dict[str, Any]) -> None:
        self._http, self._url, self._request = Http(url, token, silence), f"{url}/api/v1/watch", request
        self._queue: queue.Queue[_Numbered | GemelError] = queue.Queue(_WAITING)
        self._closed, self._socket = threading.Event(), list[socket.socket]()
        self._thread = threading.Thread(target=self._read, name="gemel-aviso", daemon=True)

    def __enter__(self) -> _Connection:
        """Open it."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close it, whatever the thread waits for."""
        self._closed.set()
        for item in self._socket:
            with contextlib.suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
        self._thread.join(1.0)

    def take(self, timeout: float) -> list[_Numbered]:
        """Return notifications with their sequences.

        Raises:
            GemelError: The connection is over, once all before was taken.
        """
        found: list[_Numbered] = []
        with contextlib.suppress(queue.Empty):
            item = self._queue.get(timeout=timeout)
            while not isinstance(item, GemelError):
                found.append(item)
                item = self._queue.get_nowait()
            if not found:
                raise item
            self._queue.put(item)  # nothing comes after it: there is room
        return found

    def _read(self) -> None:
        try:
            with self._http.stream("POST", self._url, None, self._request) as answer:
                network = answer.extensions.get("network_stream")
                if network is not None:
                    self._socket.append(network.get_extra_info("socket"))
                for name, data in server_sent(answer.iter_bytes()):
                    self._notice(name, parsed(data))
            raise _Over("The server has ended the stream.")
        except GemelError as error:
            self._put(error)
        except Exception as error:  # else the source would wait for a thread that is no more
            self._put(StoreUnavailable(f"The watch broke off: {type(error).__name__}: {error}."))
        finally:
            self._http.close()

    def _notice(self, name: str, document: Any) -> None:
        if not isinstance(document, dict):
            raise InvalidInput("The aviso-server sends an event that is no JSON object.")
        if name in _NOTIFICATIONS and "specversion" in document:
            self._put((sequence_of(document), document))
        elif name == "replay-control" and document.get("type") == "notification_replay_limit_reached":
            # The live stream that follows would leave out what the limit held back.
            raise _Over("The server replays no more at a time.")
        elif name == "connection-closing":
            raise _Over(f"The server closes the stream: {document.get('reason')}.")
        elif name == "error" and isinstance(document.get("sequence"), int):
            self._put((document["sequence"], document))  # one that the server cannot read is passed over
        elif name == "error":
            told = document.get("message") or document.get("error")
            raise StoreUnavailable(f"The aviso-server reports: {str(told)[:300]}.")

    def _put(self, item: _Numbered | GemelError) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                return self._queue.put(item, timeout=_LOOK)
        if not isinstance(item, GemelError):
            raise _Over("It was closed from our side.")
        return None


def sequence_of(document: dict[str, Any]) -> int:
    """Return the sequence of a notification: what stands behind the @ of its CloudEvents id.

    Raises:
        InvalidInput: There is none.

    >>> sequence_of({"id": "mars@42"})
    42
    """
    told = str(document.get("id", "")).rpartition("@")[2]
    if not told.isdecimal():
        raise InvalidInput(f"The notification's id {str(document.get('id'))[:80]!r} has no sequence in it.")
    return int(told)
