"""Where tasks wait for the agents of sites: kept in memory, since whoever asked waits for the answer in this process."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gemel.base.errors import Conflict, GemelError, NotFound, StoreUnavailable
from gemel.base.ids import new_id
from gemel.infra.lake.agents._channel import Channel
from gemel.infra.lake.agents._tasks import ENDED, RUNNING, WAITING, Interrupted, Task, understood

_LOOK_SECONDS = 1.0
_ATTEMPTS = 3  # agents that may die over one task


@dataclass(frozen=True)
class Limits:
    """On time, in seconds.

    Attributes:
        patience: After which a task that nobody comes for has failed: time for an agent to connect again.
        lease: After which an agent that says nothing of its tasks is taken for dead.
        silence: After which a task that does not get on has failed, and a channel in which nothing moves is broken.
        turn: After which a task that an agent, busy with others, did not take has failed.
        poll: For which an agent's question for tasks is kept open; proxies cut what lasts longer than half a minute.
    """

    patience: float = 20.0
    lease: float = 15.0
    silence: float = 60.0
    turn: float = 600.0
    poll: float = 20.0


@dataclass
class _Present:
    """An agent that serves a storage: one at a time, so that two folders are never taken for one."""

    agent: str
    seen: float
    polls: int = 0


class Exchange:
    """Tasks for agents and their answers; safe for threads.

    Args:
        limits: On time.

    >>> exchange = Exchange()
    >>> exchange.open()
    >>> task = exchange.post("site", "stat", {"path": "a"})
    >>> [item.verb for item in exchange.take("site", "agent-1", 4)]
    ['stat']
    >>> exchange.answer(task.id, "agent-1", {"result": {"size": 3}})
    >>> exchange.wait(task)
    {'size': 3}
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._changed = threading.Condition()
        self._tasks: dict[str, Task] = {}
        self._present: dict[str, _Present] = {}
        self._seen: dict[str, float] = {}
        self._wakers: dict[str, set[Callable[[], None]]] = {}
        self._opened: float | None = None
        self._closed = False

    # What the engine does.

    def open(self) -> None:
        """Begin to serve: agents can call from now on."""
        with self._changed:
            self._opened = self._opened or time.monotonic()

    def close(self) -> None:
        """Let everybody who waits go on with an error."""
        with self._changed:
            self._closed = True
            for task in list(self._tasks.values()):
                self._end(task, error=StoreUnavailable("The engine stops.", hint="Try again."))

    @property
    def serving(self) -> bool:
        """Whether agents can call this process."""
        return self._opened is not None and not self._closed

    def reachable(self, storage: str) -> bool:
        """Return whether an agent serves a storage now."""
        with self._changed:
            return self.serving and self._alive(storage) is not None

    def seen(self, storage: str) -> float | None:
        """Return when an agent of a storage last called (seconds since 1970-01-01 UTC); None for never."""
        return self._seen.get(storage)

    def post(self, storage: str, verb: str, details: Mapping[str, Any], channel: Channel | None = None) -> Task:
        """Return a task that waits for the agent of a storage.

        Raises:
            StoreUnavailable: No agent can call this process, or none has for a while.
        """
        task = Task(new_id("task"), storage, verb, details, channel)
        with self._changed:
            if not self.serving:
                raise not_serving(storage)
            if self._alive(storage) is None and time.monotonic() - (self._opened or 0.0) > self.limits.patience:
                last = self._seen.get(storage)
                if last is None or time.time() - last > self.limits.patience:
                    raise absent(storage, last)
            self._tasks[task.id] = task
            wakers = list(self._wakers.get(storage, ()))
        for wake in wakers:
            wake()
        return task

    def taken(self, task: Task) -> None:
        """Return once an agent has taken a task.

        Raises:
            StoreUnavailable: None does.
        """
        with self._withdrawing(task):
            while task.state == WAITING:
                self._step(task)
            if task.error is not None:
                raise task.error

    def wait(self, task: Task, progress: Callable[[int], None] | None = None) -> Mapping[str, Any]:
        """Return what an agent answered to a task.

        Args:
            task: As `post` returned it.
            progress: Told how many bytes are done, once a second; when it raises, the task is withdrawn.

        Raises:
            StoreUnavailable: No agent comes for it, it does not get on, or the agent died over it.
            GemelError: What the agent says.
        """
        with self._withdrawing(task):
            while task.state != ENDED:
                self._step(task)
                if progress is not None and task.state == RUNNING:
                    progress(task.done)
            if task.error is not None:
                raise task.error
            return task.result

    def withdraw(self, task: Task) -> None:
        """Forget a task; the agent that has it hears of it."""
        with self._changed:
            self._end(task, error=StoreUnavailable("The task was withdrawn."))

    @contextlib.contextmanager
    def _withdrawing(self, task: Task) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.withdraw(task)
            raise

    def _step(self, task: Task) -> None:
        """Wait a moment for a task, and raise when it has waited for too long."""
        with self._changed:
            if task.state == ENDED:
                return
            self._changed.wait(_LOOK_SECONDS)
            now, waited = time.monotonic(), time.monotonic() - task.moved
            if task.state == WAITING:
                alive = self._alive(task.storage) is not None
                if waited > (self.limits.turn if alive else self.limits.patience):
                    raise busy(task) if alive else absent(task.storage, self._seen.get(task.storage))
            elif task.state == RUNNING and task.until < now:
                self._orphaned(task)
            elif task.state == RUNNING and waited > self.limits.silence:
                raise slow(task, self.limits.silence)

    # What agents do.

    def arrive(self, storage: str, agent: str) -> None:
        """Note that an agent called.

        Raises:
            Conflict: Another one serves the storage.
        """
        with self._changed:
            here = self._alive(storage)
            if here is not None and here.agent != agent:
                hint = "It takes over once that one is silent."
                raise Conflict(f"Another agent serves storage '{storage}'.", hint=hint)
            if here is None:
                here = self._present[storage] = _Present(agent, 0.0)
            here.seen, self._seen[storage] = time.monotonic(), time.time()

    def leave(self, storage: str, agent: str) -> None:
        """Note that an agent goes; its tasks wait for another."""
        with self._changed:
            here = self._present.get(storage)
            if here is not None and here.agent == agent:
                del self._present[storage]
            for task in [item for item in self._tasks.values() if item.holder == agent and item.storage == storage]:
                self._orphaned(task)

    @contextlib.contextmanager
    def polling(self, storage: str, agent: str, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake`, from any thread, when there is a new task; the agent is there as long as its question is open."""
        self.arrive(storage, agent)
        here = self._present[storage]
        with self._changed:
            here.polls += 1
            self._wakers.setdefault(storage, set()).add(wake)
        try:
            yield
        finally:
            with self._changed:
                here.polls -= 1
                here.seen, self._seen[storage] = time.monotonic(), time.time()
                self._wakers[storage].discard(wake)

    def hung_up(self, storage: str, agent: str) -> None:
        """Note that an agent's question was cut: it is gone unless it is at work."""
        with self._changed:
            here = self._present.get(storage)
            working = any(item.holder == agent for item in self._tasks.values())
            if here is not None and here.agent == agent and not here.polls and not working:
                del self._present[storage]

    def take(self, storage: str, agent: str, most: int) -> list[Task]:
        """Return tasks, now held by an agent: the oldest first, and those of dead agents.

        Raises:
            Conflict: Another agent serves the storage.
        """
        self.arrive(storage, agent)
        with self._changed:
            found: list[Task] = []
            now = time.monotonic()
            for task in list(self._tasks.values()):
                if task.storage != storage:
                    continue
                if task.state == RUNNING and task.until < now:
                    self._orphaned(task)
                if task.state == WAITING and len(found) < most:
                    task.state, task.holder, task.until = RUNNING, agent, now + self.limits.lease
                    task.attempts, task.moved, task.done = task.attempts + 1, now, 0
                    found.append(task)
            self._changed.notify_all()
        return found

    def beat(self, storage: str, agent: str, done: Mapping[str, int]) -> list[str]:
        """Return which of its tasks an agent is to give up, after it told how far they are.

        Raises:
            Conflict: Another agent serves the storage.
        """
        self.arrive(storage, agent)
        with self._changed:
            now = time.monotonic()
            for id, moved in done.items():
                task = self._tasks.get(id)
                if task is not None and task.holder == agent and task.storage == storage:
                    task.until = now + self.limits.lease
                    if moved != task.done:
                        task.done, task.moved = moved, now
            return [id for id in done if id not in self._tasks or self._tasks[id].holder != agent]

    def held(self, id: str, storage: str, agent: str, *, begin: bool = False) -> Task:
        """Return a task that an agent holds.

        Args:
            id: Of the task.
            storage: Of the agent.
            agent: Its id.
            begin: Whether bytes begin to pass now, which they do once.

        Raises:
            NotFound: It does not hold it any more.
            Conflict: Bytes have passed already.
        """
        with self._changed:
            task = self._tasks.get(id)
            if task is None or task.storage != storage or task.holder != agent or task.state != RUNNING:
                raise NotFound("This task is not yours any more.", hint="Do nothing of it.")
            if begin and (task.begun or task.channel is None):
                raise Conflict("Bytes of this task have passed already, or none are to pass.")
            task.begun = task.begun or begin
            task.until = time.monotonic() + self.limits.lease
            return task

    def passed(self, task: Task, count: int) -> None:
        """Note that bytes of a task passed, which is a sign of life."""
        with self._changed:
            task.done += count
            task.moved = time.monotonic()
            task.until = task.moved + self.limits.lease

    def answer(self, id: str, agent: str, document: Mapping[str, Any]) -> None:
        """Take an agent's answer: `result` or `error`; one to a task that it does not hold any more is dropped."""
        with self._changed:
            task = self._tasks.get(id)
            if task is None or task.holder != agent:
                return
            if isinstance(document.get("error"), Mapping):
                self._end(task, error=understood(document["error"]))
            else:
                result = document.get("result")
                self._end(task, result=result if isinstance(result, Mapping) else {})

    def give_back(self, id: str, agent: str) -> None:
        """Let another agent, or the same one later, do a task."""
        with self._changed:
            task = self._tasks.get(id)
            if task is not None and task.holder == agent:
                self._orphaned(task)

    def broken(self, task: Task) -> None:
        """Note that bytes of a task stopped in the middle."""
        with self._changed:
            if task.state == RUNNING:
                self._orphaned(task)

    # With the lock held.

    def _alive(self, storage: str) -> _Present | None:
        here = self._present.get(storage)
        if here is None or (not here.polls and time.monotonic() - here.seen > self.limits.lease):
            return None
        return here

    def _orphaned(self, task: Task) -> None:
        if task.begun or task.attempts >= _ATTEMPTS:
            message = f"The agent of storage '{task.storage}' went away in the middle of '{task.verb}'."
            self._end(task, error=Interrupted(message, hint="Try again.", storage=task.storage))
            return
        task.state, task.holder, task.moved = WAITING, None, time.monotonic()
        for wake in list(self._wakers.get(task.storage, ())):
            wake()
        self._changed.notify_all()

    def _end(self, task: Task, *, result: Mapping[str, Any] | None = None, error: GemelError | None = None) -> None:
        self._tasks.pop(task.id, None)
        if task.state == ENDED:
            return
        task.state, task.result, task.error = ENDED, result or {}, error
        # Bytes that came with an answer are still to be read; for an agent that has answered none are left to be sent.
        if task.channel is not None and (error is not None or task.verb == "write"):
            task.channel.fail()
        self._changed.notify_all()


def command(storage: str) -> str:
    """Return the command that starts the agent of a storage."""
    return f"At the site: gemel data agent --engine URL --storage {storage} --folder DIR --token file:TOKEN"


def absent(storage: str, seen: float | None) -> StoreUnavailable:
    """Return the error for a site whose agent does not call."""
    if seen is None:
        message = f"No agent of storage '{storage}' has called since the engine began to serve."
    else:
        message = f"No agent of storage '{storage}' has called for {time.time() - seen:.0f} s."
    return StoreUnavailable(message, hint=command(storage), storage=storage)


def not_serving(storage: str) -> StoreUnavailable:
    """Return the error for a process that agents cannot call."""
    message = f"The agent of storage '{storage}' calls the engine that serves, and this process does not."
    return StoreUnavailable(message, hint="Ask the running engine (gemel up) to do it.", storage=storage)


def busy(task: Task) -> StoreUnavailable:
    """Return the error for a task whose turn does not come."""
    return StoreUnavailable(f"The agent of storage '{task.storage}' is busy with other tasks.", hint="Try again later.")


def slow(task: Task, seconds: float) -> StoreUnavailable:
    """Return the error for a task that does not get on."""
    message = f"The agent of storage '{task.storage}' did not get on with '{task.verb}' for {seconds:g} s."
    return StoreUnavailable(message, hint="Is the folder at the site slow, or hung?", storage=task.storage)
