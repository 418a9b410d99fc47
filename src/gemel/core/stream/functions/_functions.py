"""Deploying, calling and following functions; the calls of a dead engine go on in the next."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gemel.base.errors import GemelError, InvalidInput, StoreUnavailable, not_found
from gemel.base.ids import new_id
from gemel.base.sizes import spoken_size
from gemel.core.stream.events import DEAD, Event, EventLog, finite
from gemel.core.stream.functions._binding import Runnable, require_known
from gemel.core.stream.functions._calls import Call, CallTable, Taken
from gemel.core.stream.functions._deployments import Deployment, DeploymentTable
from gemel.core.stream.functions._listening import Listening, group_of
from gemel.core.stream.functions._outcome import Instance
from gemel.core.stream.functions._pool import Pool
from gemel.core.stream.functions._script import ScriptInstance
from gemel.core.stream.functions._spec import FunctionSpec
from gemel.core.stream.functions._warm import WarmInstance
from gemel.infra.store import Store

_log = logging.getLogger(__name__)
LARGEST = 10_000_000  # bytes of an input, and of a result
_LOOK_SECONDS = 0.5  # until calls that other engines and processes made are noticed
_TAKE_OVER_SECONDS = 1.0
_PRUNE_SECONDS = 60.0
_WAIT_SECONDS = 0.25
_CLOSE_SECONDS = 10.0
_LOST: Mapping[str, Any] = {"message": "Its engine ended while it ran.", "hint": None, "code": "function.engine-ended"}


class Functions:
    """Functions on one store; safe for threads, and for several engines.

    Each call is a row of the journal. It is finished once: what an instance brings counts only as long as the call is
    its own. It may be begun again, after a failure or the end of an engine, up to the function's `attempts`.

    Args:
        store: The journal.
        log: Streams of events, and where dead letters are announced (`functions/<name>.dead`).
        engine: Id of this engine.
        alive: Returns whether the engine with an id can still be at work.
        find: Returns what a function runs that is no script.
    """

    def __init__(
        self,
        store: Store,
        log: EventLog,
        *,
        engine: str,
        alive: Callable[[str], bool],
        find: Callable[[FunctionSpec], Runnable],
    ) -> None:
        self._log, self._engine, self._alive, self._find = log, engine, alive, find
        self.deployments = DeploymentTable(store)
        self._calls = CallTable(store, engine)
        self._pools: dict[str, Pool] = {}
        self._old: list[Pool] = []
        self._listening: dict[str, Listening] = {}
        self._news = threading.Condition()
        self._poked = False
        self._ends = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._looked_over = self._pruned = 0.0

    # Deployments

    def deploy(self, spec: FunctionSpec) -> Deployment:
        """Return a function after it was deployed; from now on each event of its stream is a call.

        Raises:
            Conflict: There is one of that name.
            NotFound: What it runs is not there.
            InvalidInput: An argument is unknown.
        """
        self._require_runnable(spec)
        deployed = self.deployments.add(spec)
        self._begin(spec)
        return deployed

    def update(self, spec: FunctionSpec) -> Deployment:
        """Return a function after it was changed; calls that run end as they began, those that wait run as it is now.

        Raises:
            NotFound: There is none of that name, or what it runs is not there.
            InvalidInput: An argument is unknown.
        """
        self._require_runnable(spec)
        deployed = self.deployments.change(spec)
        self._begin(spec)
        return deployed

    def remove(self, name: str) -> None:
        """Forget a function, its calls and their results; a call that runs brings nothing any more.

        A function that is deployed later under the same name and on the same stream goes on where this one was.

        Raises:
            NotFound: There is none of that name.
        """
        self.deployments.remove(name)
        self._poke()

    def get(self, name: str) -> Deployment:
        """Return a function.

        Raises:
            NotFound: There is none of that name.
        """
        return self.deployments.get(name)

    def list(self) -> Sequence[Deployment]:
        """Return every function in the order of names."""
        return self.deployments.all()

    def _require_runnable(self, spec: FunctionSpec) -> None:
        if spec.script is None:
            require_known(spec.arguments, self._find(spec).parameters)

    def _begin(self, spec: FunctionSpec) -> None:
        if spec.on is not None:
            group_of(self._log, spec).close()
        self._poke()

    # Calls

    def invoke(self, name: str, data: bytes = b"", *, cause: str | None = None, wait: float | None = 0.0) -> Call:
        """Return a call that waits to be run, or as it is after `wait` seconds.

        Args:
            name: Of the function.
            data: Its input.
            cause: What it is for: a second call for the same cause is the first. Default: like no other.
            wait: Seconds to wait for its end; None for as long as it takes.

        Raises:
            NotFound: There is no such function.
            InvalidInput: The input is too large, or the cause too long.
            StoreFull: Too many calls wait.
        """
        spec = self.get(name).spec
        if len(data) > LARGEST:
            raise InvalidInput(f"The input has more than {spoken_size(LARGEST)}.", hint="Store it, and send its name.")
        chosen = cause or f"by-hand/{new_id('cause')}"
        with self._calls.store.write() as connection:
            self._calls.add(connection, spec, [(chosen, data)])
        self._poke()
        call = self._calls.of_cause(name, chosen)
        return call if wait == 0.0 else self.wait(call.id, wait)

    def wait(self, id: str, timeout: float | None = None) -> Call:
        """Return a call when it has ended, or as it stands when the time is up.

        Raises:
            NotFound: There is none.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._news:
                seen = self._ends
            call = self._calls.get(id)
            left = _WAIT_SECONDS if deadline is None else deadline - time.monotonic()
            if call.over or left <= 0:
                return call
            with self._news:
                self._news.wait_for(lambda seen=seen: self._ends != seen, min(left, _WAIT_SECONDS))  # type: ignore[misc]

    def call(self, id: str) -> Call:
        """Return a call.

        Raises:
            NotFound: There is none.
        """
        return self._calls.get(id)

    def calls(
        self, name: str | None = None, state: str | None = None, limit: int = 50, offset: int = 0
    ) -> Sequence[Call]:
        """Return calls (of a function, in a state), the newest first.

        Raises:
            InvalidInput: There is no such state.
        """
        return self._calls.find(name, state, limit, offset)

    def input(self, id: str) -> bytes:
        """Return the input of a call."""
        return bytes(self._calls.content(id, "input"))

    def output(self, id: str) -> bytes | None:
        """Return the result of a call, None when it has none."""
        found: bytes | None = self._calls.content(id, "output")
        return found

    def logs(self, id: str) -> str:
        """Return the end of what a call's last attempt printed."""
        return str(self._calls.content(id, "log") or "")

    def dead(self, name: str, limit: int = 1000) -> Sequence[Call]:
        """Return the dead letters of a function, the newest first."""
        return self._calls.find(name, "failed", limit)

    def replay(self, name: str, id: str | None = None) -> Sequence[str]:
        """Return the ids of the dead letters (all, or one) that wait again, with all their attempts before them.

        Raises:
            NotFound: There is no such function, or the call is no dead letter of it.
        """
        self.get(name)
        found = self._calls.replay(name, id)
        if id is not None and not found:
            raise not_found(f"dead letter of function '{name}'", id, [call.id for call in self.dead(name, 100)])
        self._poke()
        return found

    def forget(self, name: str, id: str | None = None, *, all: bool = False) -> int:
        """Return how many calls of a function were forgotten: one, those that finished, or all.

        Raises:
            NotFound: There is no such function or call.
        """
        self.get(name)
        states = ("finished",) if id is None and not all else ("queued", "running", "finished", "failed")
        count = self._calls.remove(name, id=id, states=states)
        if id is not None and not count:
            raise not_found(f"call of function '{name}'", id, ())
        return count

    def status(self) -> dict[str, dict[str, Any]]:
        """Return for each function its calls by state, its instances in this engine, and what is wrong with it."""
        counts = self._calls.counts()
        found = {}
        for name in self.deployments.changes():
            pool, listening = self._pools.get(name), self._listening.get(name)
            instances, busy = (0, 0) if pool is None else pool.size()
            problem = None if listening is None else listening.problem
            calls: Mapping[str, Any] = counts.get(name, dict.fromkeys(("queued", "running", "finished", "failed"), 0))
            found[name] = dict(calls) | {"instances": instances, "busy": busy, "problem": problem}
        return found

    # Work

    def start(self) -> None:
        """Begin to run calls in the background, and to take over those of dead engines."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="gemel-functions", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop; calls that run are given back and go on in the next engine, as if they had never begun."""
        self._stop.set()
        self._poke()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)
        for listening in self._listening.values():
            listening.stop()
        pools = [*self._pools.values(), *self._old]
        for pool in pools:
            pool.kill()
        deadline = time.monotonic() + _CLOSE_SECONDS
        for pool in pools:
            pool.join(deadline - time.monotonic())
        for listening in self._listening.values():
            listening.join(max(0.0, deadline - time.monotonic()))

    def _poke(self) -> None:
        with self._news:
            self._poked = True
            self._news.notify_all()

    def _ended(self, _: str) -> None:
        with self._news:
            self._ends += 1
            self._news.notify_all()

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.is_set():
            with self._news:
                self._news.wait_for(lambda: self._poked or self._stop.is_set(), pause)
                self._poked = False
            try:
                pause = self._look()
            except StoreUnavailable:
                pause = _LOOK_SECONDS  # calls wait where they are until it is back
            except Exception:
                _log.exception("functions cannot be looked after")
                pause = _LOOK_SECONDS

    def _look(self) -> float:
        """Return the seconds until it is worth looking again, after everything that is due was begun."""
        now = time.monotonic()
        self._follow_changes()
        if now - self._looked_over >= _TAKE_OVER_SECONDS:
            self._looked_over = now
            self._take_over()
        if now - self._pruned >= _PRUNE_SECONDS:
            self._pruned = now
            for pool in self._pools.values():
                self._calls.prune(pool.spec)
        due = self._calls.due(list(self._pools))
        for name, pool in self._pools.items():
            pool.want(due.get(name, (0, 0.0))[0])
        waiting = [after - time.time() for count, after in due.values() if not count]
        return max(0.01, min([_LOOK_SECONDS, *waiting]))

    def _follow_changes(self) -> None:
        changes = self.deployments.changes()
        for name in [name for name, pool in self._pools.items() if changes.get(name) != pool.deployment.changed]:
            pool = self._pools.pop(name)
            pool.retire() if name in changes else pool.kill()
            self._old.append(pool)
            if name in self._listening:
                self._listening.pop(name).stop()
        self._old = [pool for pool in self._old if not pool.join(0.0)]
        for name in [name for name in changes if name not in self._pools]:
            self._take_on(name)

    def _take_on(self, name: str) -> None:
        try:
            deployment = self.deployments.get(name)
        except GemelError as error:
            _log.warning("function '%s' is not run here: %s", name, error.message)
            return
        spec = deployment.spec

        def make() -> Instance:
            script = spec.script is not None
            return ScriptInstance(spec, LARGEST) if script else WarmInstance(spec, self._find, LARGEST)

        self._pools[name] = Pool(deployment, self._calls, make, self._bury, self._ended)
        if spec.on is not None:
            self._listening[name] = Listening(spec, self._log, self._calls, self._poke)

    def _take_over(self) -> None:
        """Let calls wait again whose engine is dead; a call that had its last attempt there is a dead letter."""
        for engine in self._calls.engines():
            if engine == self._engine or self._alive(engine):
                continue
            for taken in self._calls.running(engine):
                pool = self._pools.get(taken.function)
                over = pool is not None and taken.attempt >= pool.spec.attempts
                if over:
                    self._bury(taken, _LOST)
                self._calls.fail(taken, _LOST, None, None if over else time.time())

    def _bury(self, taken: Taken, error: Mapping[str, Any]) -> None:
        # Announced first and under a name that stays: an engine that dies in between announces it no second time.
        said = {"function": taken.function, "call": taken.id, "cause": taken.cause, "attempts": taken.attempt}
        event = Event(
            f"{taken.id}/{taken.started:.6f}",
            "gemel.function.dead",
            f"functions/{taken.function}",
            datetime.now(UTC),
            finite(said | {"error": dict(error)}),
            taken.id,
        )
        try:
            self._log.append(f"functions/{taken.function}{DEAD}", event)
        except StoreUnavailable as unavailable:
            _log.warning("dead letter %s is not announced: %s", taken.id, unavailable.message)
