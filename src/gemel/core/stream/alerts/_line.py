"""One outlet on one stream: a consumer group of its own, so that a dead receiver holds back nobody else."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Mapping
from typing import Any

from gemel.base.errors import ConfigInvalid, GemelError, InvalidInput, StoreUnavailable
from gemel.core.stream.alerts._chain import Chain
from gemel.core.stream.alerts._outlet import Notice, OpenOutlet, seconds
from gemel.core.stream.events import Delivery, EventLog, Group
from gemel.core.stream.sources._http import retry_after

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5
_AT_ONCE = 100
_AN_HOUR = 3600.0  # the longest that a receiver may ask us to wait


class Line:
    """Sends the alerts of a stream to one outlet, each at least once; what cannot be sent becomes a dead letter.

    How often each was tried, and when it is tried again, stands in the log: it holds when the engine is killed.

    Attributes:
        opened: The outlet.
        sent: Alerts that were handed over since the line was made.
        problem: What is wrong at present, as an error document, or None.
    """

    def __init__(self, log: EventLog, stream: str, opened: OpenOutlet) -> None:
        self.opened, self.stream = opened, stream
        self._table, self._outlet = opened.table, opened.outlet
        # An alert may wait for a receiver that hangs while it was taken together with others.
        wait = max(30.0, 3 * seconds(self._table.timeout))
        attempts = self._table.attempts
        self._group: Group = log.group(stream, self.group, begin=self._table.begin, ack_wait=wait, attempts=attempts)
        self._chain = Chain(log, stream, self._table.wants)
        self.sent = 0
        self.problem: Mapping[str, Any] | None = None

    @property
    def group(self) -> str:
        """Return the name of its consumer group."""
        return f"alerts/{self.opened.context.name}"

    def follow(self, stop: threading.Event) -> None:
        """Send what comes until `stop`."""
        while not stop.is_set():
            try:
                self.work(stop)
            except StoreUnavailable as error:  # of the log: the same alerts come again
                self._stumble(error)
                stop.wait(_LOOK_SECONDS)
            except Exception as error:  # a mistake of ours must not end all further warnings
                self._stumble(GemelError(f"Outlet '{self.opened.context.name}': {type(error).__name__}: {error}"))
                stop.wait(_LOOK_SECONDS)

    def work(self, stop: threading.Event, timeout: float = _LOOK_SECONDS) -> None:
        """Send what has come, or wait a moment for something to come."""
        taken = self._group.take(_AT_ONCE, timeout)
        wanted = [delivery for delivery in taken if self._table.wants(delivery.event)]
        others = [delivery for delivery in taken if not self._table.wants(delivery.event)]
        if others:
            self._group.ack(*others)
        for number, delivery in enumerate(wanted):
            if stop.is_set():
                return
            if number:
                self._group.working(delivery)
            self._send(delivery)

    def pending(self) -> int:
        """Return how many events were not handed over or passed over yet."""
        return self._group.pending()

    def document(self) -> dict[str, Any]:
        """Return how it goes."""
        context = self.opened.context
        state = "failing" if self.problem else "working"
        about = {"twin": context.about.twin, "name": context.name, "kind": context.kind, "state": state}
        return about | {"sent": self.sent, "pending": self.pending(), "problem": self.problem}

    def close(self) -> None:
        """Leave the group, and let connections go."""
        self._group.close()
        self._outlet.close()

    def _send(self, delivery: Delivery) -> None:
        try:
            self._outlet.send(self._notice(delivery))
        except Exception as error:  # whatever an outlet raises, the alert stays in the log and is tried again
            told = error if isinstance(error, GemelError) else GemelError(f"{type(error).__name__}: {error}")
            self._stumble(told)
            # A secret that is not there may come; an alert that makes no sense will not get better.
            if isinstance(told, InvalidInput) and not isinstance(told, ConfigInvalid):
                self._group.bury(delivery, told.message)
            else:
                self._group.again(delivery, self._pause(delivery.attempt, retry_after(told)), told.message)
        else:
            self._group.ack(delivery)
            self.sent += 1
            self.problem = None

    def _notice(self, delivery: Delivery) -> Notice:
        earlier = self._chain.before(delivery.event) if self._outlet.needs_earlier else ()
        return Notice(delivery.event, self.opened.context.about, earlier, self._table.origin)

    def _pause(self, attempt: int, asked: float | None) -> float:
        if asked is not None:
            return min(asked, _AN_HOUR)
        longest = min(seconds(self._table.longest_pause), seconds(self._table.pause) * 2.0 ** (attempt - 1))
        # Shortened by chance, so that alerts that failed together do not come together again.
        return longest * random.uniform(0.5, 1.0)

    def _stumble(self, error: GemelError) -> None:
        document = error.document()
        if self.problem is None or self.problem.get("message") != document.get("message"):
            _LOG.warning("Outlet '%s' of %s: %s", self.opened.context.name, self.stream, error.message)
        self.problem = document
