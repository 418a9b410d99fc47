"""Handing on what an edge has kept: in order, packed, and again until the engine has it."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Sequence

import httpx2

from gemel.base.config import secret
from gemel.base.errors import ConfigInvalid, StoreUnavailable
from gemel.core.stream.edge._buffer import EdgeBuffer
from gemel.core.stream.events import Event
from gemel.core.stream.sources._http import retry_after, seconds_of
from gemel.core.stream.sources._retry import Backoff
from gemel.infra.lake.web import ON_BEHALF

_LOG = logging.getLogger("gemel.edge")
_LOOK = 0.5  # seconds after which an idle forwarder looks whether it should stop
_BODY = 900_000  # bytes of one request, before it is packed
_TIMEOUT = httpx2.Timeout(30.0, connect=10.0)
# What the sender can mend by sending less or something else; everything else is tried again as it is.
_BAD = (400, 413, 415, 422)


class _Refused(Exception):
    """The engine does not take what was sent; the message is its reason."""


def forward(
    buffer: EdgeBuffer, url: str, token: str | None, stop: threading.Event, *, signature: str | None = None
) -> int:
    """Return how many events were handed on by the time `stop` was set.

    Batches go one after the other as CloudEvents batches (HTTP protocol binding 1.0.2, section 3.3) with
    ``Content-Encoding: gzip``, and are forgotten here once the engine has answered with a 2xx status: by then they are
    in its log. A request whose answer was lost is sent again; the engine knows the events by their ids. A batch that
    the engine refuses is sent event by event, and those that it refuses alone are kept in `EdgeBuffer.refused`.

    Args:
        buffer: What is emptied.
        url: Of a `webhook` source of an engine: ``http(s)://host/…/sources/NAME/events``.
        token: Bearer token by reference (``env:NAME``, ``file:PATH``) or as it is; None for none.
        stop: Ends it, between requests.
        signature: The webhook's secret, likewise, when it asks for a signature.
    """
    backoff, sent = Backoff(url, first=0.2, longest=60.0), 0
    with httpx2.Client(timeout=_TIMEOUT, headers=ON_BEHALF) as http:
        line = _Line(http, url, token, signature)
        while not stop.is_set():
            if not buffer.wait(_LOOK) or (stored := buffer.oldest()) is None:
                continue
            try:
                refused = line.hand_on(stored.events)
            except (StoreUnavailable, ConfigInvalid) as error:
                backoff.pause(stop, error, retry_after(error))
                continue
            buffer.done(stored.number, refused)
            backoff.calm()
            sent += len(stored.events) - len(refused)
    return sent


class _Line:
    def __init__(self, http: httpx2.Client, url: str, token: str | None, signature: str | None) -> None:
        self._http, self._url, self._token, self._signature = http, url, token, signature

    def hand_on(self, events: Sequence[Event]) -> list[tuple[str, Event]]:
        """Return the events that the engine refuses, with its reasons; all others are in its log.

        Raises:
            StoreUnavailable: The engine cannot be reached, is full, or knows us not; some events may be in its log.
        """
        body = json.dumps([event.document() for event in events]).encode()
        if len(body) > _BODY and len(events) > 1:
            return self._halves(events)
        try:
            self._send(body)
        except _Refused as refused:
            if len(events) > 1:
                return self._halves(events)
            _LOG.warning("%s refuses the event '%s': %s", self._url, events[0].id, refused)
            return [(str(refused), events[0])]
        return []

    def _halves(self, events: Sequence[Event]) -> list[tuple[str, Event]]:
        middle = len(events) // 2
        return self.hand_on(events[:middle]) + self.hand_on(events[middle:])

    def _send(self, body: bytes) -> None:
        packed = gzip.compress(body, 6, mtime=0)
        headers = {"Content-Type": "application/cloudevents-batch+json", "Content-Encoding": "gzip"}
        if self._token:
            headers["Authorization"] = f"Bearer {secret(self._token)}"
        if self._signature:
            made = hmac.new(secret(self._signature).encode(), packed, hashlib.sha256).hexdigest()
            headers["X-Hub-Signature-256"] = f"sha256={made}"
        try:
            answer = self._http.post(self._url, content=packed, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise StoreUnavailable(f"{self._url} cannot be reached: {error or type(error).__name__}.") from error
        if answer.is_success:
            return
        told = f"status {answer.status_code}: {answer.text[:300]}"
        if answer.status_code in _BAD:
            raise _Refused(told)
        after = seconds_of(answer.headers.get("retry-after"))
        raise StoreUnavailable(f"{self._url} answers with {told}", retry_after=after)
