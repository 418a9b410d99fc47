"""From a cause to its run: each cause in the log makes exactly one, whoever is killed in between."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

from gemel.base.errors import GemelError, NotFound, StoreUnavailable
from gemel.core.engine._given import arguments_for
from gemel.core.engine._runs import Runs
from gemel.core.engine._telling import Teller
from gemel.core.graph import Run
from gemel.core.stream import Delivery, Event, EventLog, Group, StateStore
from gemel.core.stream.triggers import CAUSES
from gemel.core.twin import Twin

GROUP = "runs"
_WORKERS = 8
_ACK_SECONDS = 30.0
_ATTEMPTS = 5
_LOOK_SECONDS = 0.5


class Firing:
    """Workers of one engine in the group of all engines that share the causes.

    A cause is acknowledged once its run has ended: when an engine is killed, its causes go to the others, which take
    up the same runs. A cause whose run cannot even begin is tried five times and then is a dead letter of the stream
    `causes`; a run that fails is a record like any other, and is not made again.
    """

    def __init__(
        self, runs: Runs, log: EventLog, states: StateStore, find: Callable[[str], Twin], ended: Callable[[Run], object]
    ) -> None:
        self._runs, self._log, self._states = runs, log, states
        self._find, self._ended = find, ended
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._in_hand: dict[int, tuple[Group, Delivery]] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to work on causes."""
        if self._threads:
            return
        for number in range(_WORKERS):
            self._spawn(f"gemel-cause-{number}", self._work)
        self._spawn("gemel-causes", self._keep)

    def stop(self) -> None:
        """Stop; causes whose runs go on are taken up by the next engine."""
        self._stop.set()
        for thread in self._threads:
            thread.join(5.0)

    @property
    def busy(self) -> int:
        """Return how many causes are being worked on here."""
        return len(self._in_hand)

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                group = self._log.group(CAUSES, GROUP, ack_wait=_ACK_SECONDS, attempts=_ATTEMPTS)
                while not self._stop.is_set():
                    for delivery in group.take(1, timeout=_LOOK_SECONDS):
                        self._handle(group, delivery)
            except StoreUnavailable:
                self._stop.wait(_LOOK_SECONDS)  # a database that is away for a moment ends nothing
        with contextlib.suppress(GemelError, UnboundLocalError):
            group.close()

    def _handle(self, group: Group, delivery: Delivery) -> None:
        cause = delivery.event
        with self._lock:
            self._in_hand[cause.position] = (group, delivery)
        try:
            run = self._fire(cause)
            if run.finished:
                group.ack(delivery)
                self._told(cause, run)
        except StoreUnavailable:
            raise
        except Exception as error:  # a cause that cannot be worked on must not end the worker
            self._teller(cause).stumble(_where(cause), error)
            reason = error.message if isinstance(error, GemelError) else f"{type(error).__name__}: {error}"
            group.again(delivery, after=min(2.0**delivery.attempt, 30.0), reason=reason)
        finally:
            with self._lock:
                self._in_hand.pop(cause.position, None)

    def _fire(self, cause: Event) -> Run:
        data: Mapping[str, Any] = cause.data
        name = f"{CAUSES}/{cause.id}"
        twin = self._find(str(data["twin"]))
        graph = twin.graph(str(data["graph"]))
        given: Mapping[str, Any] = data.get("given") or {}
        about = Event.from_document(given["event"]) if given.get("event") else cause
        wanted = {parameter.name for parameter in graph.parameters}
        # What fired may tell more than the graph wants to know; what the trigger says itself must fit.
        told = {name: value for name, value in given.items() if name in wanted and name != "event"}
        told |= dict(data.get("parameters") or {})
        arguments = arguments_for(twin, graph, about, self._states.latest(twin.id), told)
        return self._wait(self._runs.start(twin, graph, arguments, cause=name))

    def _wait(self, run_id: str) -> Run:
        while True:
            run = self._runs.wait(run_id, 5.0)
            if run.finished or self._stop.is_set():
                return run

    def _told(self, cause: Event, run: Run) -> None:
        teller = self._teller(cause)
        if run.state == "failed":
            told = {"trigger": cause.data["trigger"], "run": run.id, "error": dict(run.error or {})}
            teller.tell("gemel.trigger.failed", told, identity=f"failed-{cause.id}"[:200])
        with contextlib.suppress(NotFound):
            self._ended(run)

    def _teller(self, cause: Event) -> Teller:
        return Teller(self._log, str(cause.data.get("twin", "")))

    def _keep(self) -> None:
        # A run may take hours: its cause must not go to another engine meanwhile.
        while not self._stop.wait(_ACK_SECONDS / 3):
            with self._lock:
                held = list(self._in_hand.values())
            for group, delivery in held:
                with contextlib.suppress(GemelError):
                    group.working(delivery)


def _where(cause: Event) -> str:
    return f"Trigger '{cause.data.get('trigger')}'"
