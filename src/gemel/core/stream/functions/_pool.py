"""The instances of one function in one engine: as many as there are calls, none when there are none for a while."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from gemel.base.errors import GemelError, StoreUnavailable
from gemel.core.stream.functions._calls import CallTable, Taken
from gemel.core.stream.functions._deployments import Deployment
from gemel.core.stream.functions._outcome import Asked, Instance, Outcome, failed
from gemel.infra.compute import Stopped

_log = logging.getLogger(__name__)
_AGAIN_SECONDS = 0.5  # between attempts to write down what a call brought, while the store is away

Bury = Callable[[Taken, Mapping[str, Any]], None]
Heard = Callable[[str], None]


class Pool:
    """Threads with an instance each.

    Args:
        deployment: The function.
        calls: Where calls come from and results go to.
        make: Returns a new instance.
        bury: Announces a dead letter, before it becomes one.
        ended: Told the id of each call that ended.
    """

    def __init__(
        self, deployment: Deployment, calls: CallTable, make: Callable[[], Instance], bury: Bury, ended: Heard
    ) -> None:
        self.deployment, self.spec = deployment, deployment.spec
        self._calls, self._make, self._bury, self._ended = calls, make, bury, ended
        self._news = threading.Condition()
        self._threads: set[threading.Thread] = set()
        self._busy = self._due = 0
        self._retired = self._killed = False

    def want(self, due: int) -> None:
        """Have enough instances for so many calls that are due, and the function's minimum."""
        spec = self.spec
        with self._news:
            if self._retired:
                return
            self._due = due
            free = len(self._threads) - self._busy
            more = min(max(due - free, spec.minimum - len(self._threads)), spec.concurrency - len(self._threads))
            for _ in range(more):
                thread = threading.Thread(target=self._work, name=f"gemel-function-{spec.name}", daemon=True)
                self._threads.add(thread)
                thread.start()
            self._news.notify_all()

    def retire(self) -> None:
        """Take no further calls; those that run come to their end."""
        with self._news:
            self._retired = True
            self._news.notify_all()

    def kill(self) -> None:
        """Take no further calls, and give those that run back."""
        self._killed = True
        self.retire()

    def join(self, seconds: float) -> bool:
        """Return whether every instance has gone before the time is up."""
        deadline = time.monotonic() + seconds
        with self._news:
            return self._news.wait_for(lambda: not self._threads, max(0.0, deadline - time.monotonic()))

    def size(self) -> tuple[int, int]:
        """Return (instances, those with a call)."""
        with self._news:
            return len(self._threads), self._busy

    def _work(self) -> None:
        instance = self._make()
        try:
            if len(self._threads) <= self.spec.minimum and not self._due:
                instance.warm(self._is_killed)
            while not self._retired:
                taken = self._take()
                if taken is not None:
                    self._perform(instance, taken)
                elif not self._rest():
                    return
        finally:
            instance.close()
            with self._news:
                self._threads.discard(threading.current_thread())
                self._news.notify_all()

    def _take(self) -> Taken | None:
        try:
            return self._calls.take(self.spec)
        except StoreUnavailable:
            return None
        except Exception:
            _log.exception("calls of function '%s' cannot be taken", self.spec.name)
            return None

    def _rest(self) -> bool:
        """Return whether to look for calls again; False once there were none for so long that the instance goes."""
        until = time.monotonic() + self.spec.idle
        with self._news:
            while not self._retired and not self._due:
                left = until - time.monotonic()
                if left <= 0 and len(self._threads) > self.spec.minimum:
                    # Whoever counts instances must not count on one that is about to go.
                    self._threads.discard(threading.current_thread())
                    return False
                self._news.wait(left if left > 0 else None)
            self._due = max(0, self._due - 1)
            return True

    def _perform(self, instance: Instance, taken: Taken) -> None:
        with self._news:
            self._busy += 1
        try:
            outcome = self._outcome(instance, taken)
            self._persist(taken, lambda: self._settle(taken, outcome))
        except Stopped:
            self._persist(taken, lambda: self._calls.give_back(taken))
        finally:
            with self._news:
                self._busy -= 1
            self._ended(taken.id)

    def _outcome(self, instance: Instance, taken: Taken) -> Outcome:
        try:
            return instance.run(Asked(taken.id, taken.input), self._is_killed)
        except GemelError as error:
            return failed(error.message, error.code, hint=error.hint)
        except Stopped:
            raise
        except Exception as error:
            _log.exception("call %s of function '%s'", taken.id, self.spec.name)
            return failed(f"The engine stumbled: {type(error).__name__}: {error}", "error")

    def _settle(self, taken: Taken, outcome: Outcome) -> None:
        if outcome.output is not None:
            self._calls.finish(taken, outcome.output, outcome.log)
            return
        error = dict(outcome.error or {})
        over = bool(error.pop("permanent", False)) or taken.attempt >= self.spec.attempts
        if over:
            self._bury(taken, error)
        due = None if over else time.time() + self.spec.delay(taken.attempt)
        self._calls.fail(taken, error, outcome.log, due)

    def _persist(self, taken: Taken, write: Callable[[], Any]) -> None:
        """Write down what became of a call, however long the store is away; the next engine takes over what never was."""
        tries = 0
        while True:
            try:
                write()
                return
            except StoreUnavailable as error:
                _log.warning("call %s of function '%s' waits for the store: %s", taken.id, self.spec.name, error)
            except Exception:
                _log.exception("what call %s of function '%s' brought cannot be kept", taken.id, self.spec.name)
                write = functools.partial(self._settle, taken, failed("Its result cannot be kept.", "error"))
                tries += 1
                if tries > 1:
                    raise
            with self._news:
                if self._killed or self._news.wait_for(self._is_killed, _AGAIN_SECONDS):
                    return

    def _is_killed(self) -> bool:
        return self._killed
