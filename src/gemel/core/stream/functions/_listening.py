"""One call for each event of a stream: the call is written and the event acknowledged in one transaction."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from gemel.base.errors import Conflict, NotFound, StoreFull, StoreUnavailable
from gemel.base.ids import digest_bytes
from gemel.core.stream.events import Delivery, EventLog, Group, SqlEventLog
from gemel.core.stream.functions._calls import MOST_CAUSE, CallTable
from gemel.core.stream.functions._spec import FunctionSpec

_log = logging.getLogger(__name__)
_TAKE_SECONDS, _AT_ONCE = 1.0, 100
_ACK_WAIT = 30.0
_NEVER_DEAD = 1_000_000  # making a call of an event cannot fail by the event's own fault
_FULL_SECONDS = 1.0


def group_of(log: EventLog, spec: FunctionSpec) -> Group:
    """Return the consumer of a function's events; from now on they are kept for it."""
    assert spec.on is not None
    begin = "all" if spec.begin == "all" else "new"
    name = f"function/{spec.name}"
    return log.group(spec.on, name, begin=begin, ack_wait=_ACK_WAIT, attempts=_NEVER_DEAD)  # type: ignore[arg-type]


def cause_of(delivery: Delivery, stream: str) -> str:
    """Return the cause of the call that an event makes: its stream and its position there."""
    cause = f"{stream}/{delivery.event.position}"
    return cause if len(cause) <= MOST_CAUSE else digest_bytes(cause.encode())


class Listening:
    """Makes calls of events, in a thread of its own.

    Args:
        spec: A function with a stream.
        log: Where the stream is.
        calls: Where calls go to.
        called: Told when there are new ones.
    """

    def __init__(self, spec: FunctionSpec, log: EventLog, calls: CallTable, called: Callable[[], None]) -> None:
        self._spec, self._log, self._calls, self._called = spec, log, calls, called
        self._stop = threading.Event()
        self.problem: str | None = None
        self._thread = threading.Thread(target=self._listen, name=f"gemel-events-{spec.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Make no further calls."""
        self._stop.set()

    def join(self, seconds: float) -> bool:
        """Return whether it has ended before the time is up."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _listen(self) -> None:
        group: Group | None = None
        while not self._stop.is_set():
            try:
                group = group or group_of(self._log, self._spec)
                deliveries = group.take(_AT_ONCE, _TAKE_SECONDS)
                if deliveries and self._until_room(group, deliveries):
                    self._called()
                self.problem = None
            except NotFound:
                break  # the function was removed
            except Exception as error:
                self.problem = f"{type(error).__name__}: {error}"
                if not isinstance(error, StoreUnavailable):
                    _log.exception("events of '%s' do not reach function '%s'", self._spec.on, self._spec.name)
                self._stop.wait(_FULL_SECONDS)
        if group is not None:
            with suppress(StoreUnavailable):
                group.close()

    def _until_room(self, group: Group, deliveries: list[Delivery]) -> bool:
        """Return whether calls were made; as long as too many wait, the events wait, too."""
        while not self._stop.is_set():
            try:
                return self._make(group, deliveries)
            except StoreFull as error:
                self.problem = error.message
                group.working(deliveries[0])
                self._stop.wait(_FULL_SECONDS)
        return False

    def _make(self, group: Group, deliveries: list[Delivery]) -> bool:
        assert self._spec.on is not None
        causes = [(cause_of(item, self._spec.on), _text(item)) for item in deliveries]
        together = isinstance(self._log, SqlEventLog)
        try:
            with self._calls.store.write() as connection:
                self._calls.add(connection, self._spec, causes)
                if together:
                    group.ack(*deliveries, connection=connection)
        except Conflict:
            return False  # another engine has them
        if not together:
            # Elsewhere the acknowledgement follows: events that come again find that they have their call.
            group.ack(*deliveries)
        return True


def _text(delivery: Delivery) -> bytes:
    return json.dumps(delivery.event.document(), ensure_ascii=False).encode()
